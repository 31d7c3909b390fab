//! See the crate.

braid_guest::function! {
    fn grade(n: i64) -> Result<i64, String> {
        if n % 10 == 9 { Err(format!("{n} ends in 9")) } else { Ok(n + 300) }
    }
}
