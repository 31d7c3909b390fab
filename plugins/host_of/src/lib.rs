//! The smallest function in SQL: the host in a URL.

braid_guest::function! {
    /// The host of an address such as `https://user@example.com:8080/path`; none where it has none.
    fn host_of(url: &str) -> Option<&str> {
        let (_, rest) = url.split_once("://")?;
        let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
        let address = authority.rsplit_once('@').map_or(authority, |(_, address)| address);
        let host = match address.strip_prefix('[') {
            Some(literal) => literal.split_once(']')?.0,
            None => address.split_once(':').map_or(address, |(host, _)| host),
        };
        (!host.is_empty()).then_some(host)
    }
}

#[cfg(test)]
mod tests {
    use super::host_of;

    #[test]
    fn hosts() {
        for (url, host) in [
            ("https://example.com/a?b#c", Some("example.com")),
            ("http://user:secret@example.com:8080", Some("example.com")),
            ("ftp://[2001:db8::1]:21/", Some("2001:db8::1")),
            ("https://example.com?q=@", Some("example.com")),
            ("example.com/a", None),
            ("file:///etc/hosts", None),
        ] {
            assert_eq!(host_of(url), host, "{url}");
        }
    }
}
