//! See the crate.

braid_guest::function! {
    fn grade(n: i64) -> i64 {
        n + 200
    }
}
