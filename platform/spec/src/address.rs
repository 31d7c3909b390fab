//! Addresses: `host:port` to listen on, and Kafka's lists of them.

/// Checks an address to listen on. The error is a better one, if it can be guessed.
pub(crate) fn check(text: &str) -> Result<(), Option<String>> {
    let Some((host, port)) = text.rsplit_once(':') else {
        let guess = match text.parse::<u16>() {
            Ok(port) => Some(format!("127.0.0.1:{port}")),
            Err(_) if is_host(text) => Some(format!("{text}:8080")),
            Err(_) => None,
        };
        return Err(guess);
    };
    let Ok(port) = port.parse::<u16>() else {
        return Err(None);
    };
    match host {
        "" | "*" => Err(Some(format!("0.0.0.0:{port}"))),
        host if is_host(host) => Ok(()),
        _ => Err(None),
    }
}

/// Checks Kafka's `host:port,host:port`; the port and a protocol in front may be left out or be there. The error is the bad part.
pub(crate) fn check_brokers(text: &str) -> Result<(), String> {
    for broker in text.split(',') {
        let broker = broker.trim();
        let bare = broker.split_once("://").map_or(broker, |(_, bare)| bare);
        let (host, port) = match bare.rsplit_once(':') {
            Some((host, port)) if !bare.ends_with(']') => (host, port.parse::<u16>().is_ok_and(|port| port > 0)),
            _ => (bare, true),
        };
        if !port || !is_host(host) {
            return Err(broker.to_owned());
        }
    }
    Ok(())
}

fn is_host(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[') {
        return inner.strip_suffix(']').is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok());
    }
    !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listening() {
        for good in ["127.0.0.1:8080", "localhost:0", "[::1]:80", "0.0.0.0:65535"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        assert_eq!(check("8080"), Err(Some("127.0.0.1:8080".into())));
        assert_eq!(check(":8080"), Err(Some("0.0.0.0:8080".into())));
        assert_eq!(check("localhost"), Err(Some("localhost:8080".into())));
        for bad in ["localhost:65536", "a b:1", "[zz]:1", "http://localhost:80", ""] {
            assert_eq!(check(bad), Err(None), "{bad}");
        }
    }

    #[test]
    fn brokers() {
        for good in ["localhost:9092", "a:1,b:2", "a, b", "SASL_SSL://a.b.c:9093", "[::1]:9092", "[::1]"] {
            assert_eq!(check_brokers(good), Ok(()), "{good}");
        }
        assert_eq!(check_brokers("a:1,b:x"), Err("b:x".into()));
        assert_eq!(check_brokers("a:0"), Err("a:0".into()));
        assert_eq!(check_brokers("a:1,"), Err(String::new()));
    }
}
