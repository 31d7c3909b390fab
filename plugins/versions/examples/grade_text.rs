//! See the crate.

braid_guest::function! {
    fn grade(n: i64) -> String {
        n.to_string()
    }
}
