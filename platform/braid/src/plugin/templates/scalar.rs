//! A card's number with all but its last four digits hidden.

/// Fewer digits are no card's number.
const DIGITS_MIN: usize = 8;
/// So many are shown.
const SHOWN: usize = 4;

braid_guest::function! {
    /// `4111 1111 1111 1234` becomes `**** **** **** 1234`; of a null it is null. An error is why a row has no answer.
    fn mask(number: &str) -> Result<String, String> {
        let digits = number.chars().filter(char::is_ascii_digit).count();
        if digits < DIGITS_MIN {
            return Err(format!("{digits} digits are no card's number"));
        }
        let mut hidden = digits - SHOWN;
        let mut hide = |c: char| {
            if hidden == 0 || !c.is_ascii_digit() {
                return c;
            }
            hidden -= 1;
            '*'
        };
        Ok(number.chars().map(&mut hide).collect())
    }
}
