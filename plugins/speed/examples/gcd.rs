//! See the crate.

braid_guest::function! {
    fn gcd(a: i32, b: i32) -> i32 {
        braid_speed::gcd(a, b)
    }
}
