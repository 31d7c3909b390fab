//! See the crate.

braid_guest::function! {
    fn url_host(url: &str) -> Option<&str> {
        braid_speed::url_host(url)
    }
}
