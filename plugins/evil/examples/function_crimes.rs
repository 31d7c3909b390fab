//! A function that commits the crime that its argument names, and answers with the length of others.

braid_guest::function! {
    /// See the crate.
    fn commits(crime: &str) -> Result<i64, String> {
        braid_evil::commit(crime)?;
        Ok(crime.len() as i64)
    }
}
