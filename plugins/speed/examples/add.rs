//! See the crate.

braid_guest::function! {
    fn add(a: i32, b: i32) -> i32 {
        braid_speed::add(a, b)
    }
}
