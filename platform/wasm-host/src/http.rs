//! Requests that the host makes for a plugin: to origins that the deployment grants, within limits, and to no address that
//! a granted name was not meant for.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use braid_spec::model::{Grants, HttpLimits};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Method};
use tokio::runtime::Runtime;
use url::Url;
use wasmtime::component::{ComponentType, Lift, Lower};

/// Headers that say how a request goes over the wire, which is the host's matter, or to whom.
const OWN_HEADERS: [&str; 9] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "te",
    "transfer-encoding",
    "upgrade",
];
/// The most headers of a request.
const HEADERS_MAX: usize = 64;
/// An answer's headers that are longer than this together are left out.
const HEADER_BYTES_MAX: usize = 64 * 1024;

/// What a guest asks for.
#[derive(ComponentType, Lift, Debug)]
#[component(record)]
pub(crate) struct Request {
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// What it gets.
#[derive(ComponentType, Lower, Debug)]
#[component(record)]
pub(crate) struct Response {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// The way out of a plugin, shared by its instances.
#[derive(Debug)]
pub(crate) struct Outside {
    plugin: String,
    grants: Grants,
    limits: HttpLimits,
    client: Client,
    /// `None` while it is dropped.
    runtime: Option<Runtime>,
}

impl Outside {
    pub(crate) fn new(plugin: &str, grants: &Grants, limits: HttpLimits) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("braid-wasm-http")
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        // A proxy would look names up where nobody checks what they stand for.
        let client = Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .dns_resolver(Arc::new(Resolver { private: grants.private_addresses }))
            .build()
            .map_err(|error| chain(&error))?;
        Ok(Self { plugin: plugin.into(), grants: grants.clone(), limits, client, runtime: Some(runtime) })
    }

    /// The URL, where its origin is granted.
    pub(crate) fn granted(&self, url: &str) -> Result<Url, String> {
        let url = Url::parse(url).map_err(|error| format!("a request to what is no URL: {error}"))?;
        let origin = url.origin().ascii_serialization();
        if !url.username().is_empty() || url.password().is_some() {
            return Err(format!("the URL for {origin} holds a login: send it as a header"));
        }
        if self.grants.http.contains(&origin) {
            return Ok(url);
        }
        Err(format!(
            "{origin} was not granted: write `grants: {{http: [\"{origin}\"]}}` for the plugin `{}`",
            self.plugin
        ))
    }
}

impl Drop for Outside {
    /// Waits for nothing: a runtime must not be waited for where others run.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// What one instance has asked for so far.
#[derive(Debug)]
pub(crate) struct Session {
    outside: Arc<Outside>,
    /// Requests are for epochs.
    pub(crate) may_send: bool,
    sent: u64,
    waited: Duration,
    /// What was refused, and will be again.
    pub(crate) refused: Option<String>,
}

impl Session {
    pub(crate) fn new(outside: Arc<Outside>) -> Self {
        Self { outside, may_send: false, sent: 0, waited: Duration::ZERO, refused: None }
    }

    pub(crate) fn granted(&self, url: &str) -> Result<(), String> {
        self.outside.granted(url).map(drop)
    }

    /// Sends a request, and waits for its answer. An error is told to the guest.
    pub(crate) fn send(&mut self, request: Request) -> Result<Response, String> {
        let allowed = self.allow(&request);
        let prepared = allowed.inspect_err(|reason| self.refused = Some(reason.clone()))?;
        let limits = self.outside.limits;
        let left = limits.wait.saturating_sub(self.waited);
        if left.is_zero() {
            return Err(format!(
                "requests of this epoch have waited for their limit of {:?} (`http_wait`)",
                limits.wait
            ));
        }
        self.sent += 1;
        let began = Instant::now();
        let answer = self.outside.ask(prepared, limits.time.min(left), limits.response_bytes);
        self.waited += began.elapsed();
        answer
    }

    /// The request, where it keeps within what was granted.
    fn allow(&self, request: &Request) -> Result<reqwest::Request, String> {
        if !self.may_send {
            return Err("requests are sent when an epoch is written, not when a deployment is planned".into());
        }
        let limits = self.outside.limits;
        let url = self.outside.granted(&request.url)?;
        let origin = url.origin().ascii_serialization();
        if self.sent >= limits.requests {
            return Err(format!("more than {} requests in one epoch (`http_requests`)", limits.requests));
        }
        if request.body.len() as u64 > limits.request_bytes {
            let (bytes, max) = (request.body.len(), limits.request_bytes);
            return Err(format!("a request to {origin} of {bytes} bytes; the limit is {max} (`http_request`)"));
        }
        let method = Method::from_bytes(request.method.as_bytes());
        let method = method.ok().filter(|method| method != Method::CONNECT);
        let method = method.ok_or_else(|| format!("a request to {origin} with a method that is none"))?;
        let mut prepared = reqwest::Request::new(method, url);
        *prepared.headers_mut() = headers(&request.headers).map_err(|why| format!("a request to {origin} {why}"))?;
        *prepared.body_mut() = Some(request.body.clone().into());
        Ok(prepared)
    }
}

fn headers(given: &[(String, String)]) -> Result<HeaderMap, String> {
    if given.len() > HEADERS_MAX {
        return Err(format!("has more than {HEADERS_MAX} headers"));
    }
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let (Ok(name), Ok(mut value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) else {
            return Err("has a header that is none".into());
        };
        if OWN_HEADERS.contains(&name.as_str()) {
            return Err(format!("has the header `{name}`, which is the host's to write"));
        }
        value.set_sensitive(true);
        headers.append(name, value);
    }
    Ok(headers)
}

impl Outside {
    /// Asks on a runtime of its own: the calling thread may be one of another.
    fn ask(&self, request: reqwest::Request, time: Duration, bytes_max: u64) -> Result<Response, String> {
        let Some(runtime) = &self.runtime else { return Err("the host is ending".into()) };
        let origin = request.url().origin().ascii_serialization();
        let (client, (sender, receiver)) = (self.client.clone(), mpsc::sync_channel(1));
        let at = origin.clone();
        runtime.spawn(async move {
            let answer = tokio::time::timeout(time, answer(&client, request, bytes_max)).await;
            let late = |_| Err(format!("did not answer within {time:?}"));
            let answer = answer.unwrap_or_else(late).map_err(|reason| format!("{at} {reason}"));
            let _ = sender.send(answer);
        });
        receiver.recv().unwrap_or_else(|_| Err(format!("bug: the request to {origin} was dropped")))
    }
}

async fn answer(client: &Client, request: reqwest::Request, bytes_max: u64) -> Result<Response, String> {
    let failed = |error: reqwest::Error| format!("does not answer: {}", chain(&error.without_url()));
    let mut response = client.execute(request).await.map_err(failed)?;
    let status = response.status().as_u16();
    let mut header_bytes = 0;
    let mut headers = vec![];
    for (name, value) in response.headers() {
        header_bytes += name.as_str().len() + value.len();
        if header_bytes <= HEADER_BYTES_MAX {
            headers.push((name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
        }
    }
    let mut body = vec![];
    while let Some(piece) = response.chunk().await.map_err(failed)? {
        if (body.len() + piece.len()) as u64 > bytes_max {
            return Err(format!("answers with more than {bytes_max} bytes (`http_response`)"));
        }
        body.extend_from_slice(&piece);
    }
    Ok(Response { status, headers, body })
}

/// Looks names up, and keeps those away that stand for addresses they were not granted for.
#[derive(Debug)]
struct Resolver {
    private: bool,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let name = name.as_str().to_owned();
        let private = self.private;
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if let Some(address) = found.iter().map(SocketAddr::ip).find(|ip| !private && !meant(&name, *ip)) {
                return Err(format!(
                    "`{name}` stands for {address}, an address of this machine or of a private network: grant that \
                     address itself, or write `private_addresses: true` beside the grants"
                )
                .into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Whether a name may stand for an address: `localhost` for this machine, others for what is public.
fn meant(name: &str, ip: IpAddr) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    match name == "localhost" || name.ends_with(".localhost") {
        true => ip.is_loopback(),
        false => is_public(ip),
    }
}

/// Whether an address is one of the internet's.
fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => {
            let [a, b, c, d, e, f, g, h] = ip.segments();
            let v4 = |high: u16, low: u16| is_public_v4(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
            match (a, b) {
                // Translated (NAT64), and tunnelled (6to4).
                (0x64, 0xff9b) => [c, d, e, f] == [0; 4] && v4(g, h),
                (0x2002, _) => v4(b, c),
                // What is given out to the world so far, less Teredo and documentation.
                _ => a & 0xe000 == 0x2000 && !(a == 0x2001 && (b < 0x200 || b == 0xdb8)) && a != 0x3fff,
            }
        }
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let shared = a == 100 && b & 0xc0 == 64;
    let benchmarks = a == 198 && b & 0xfe == 18;
    let protocols = (a, b, c) == (192, 0, 0);
    !(a == 0
        || a >= 224
        || shared
        || benchmarks
        || protocols
        || ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_documentation())
}

/// An error with what is behind it: the outermost only says that something failed.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut behind = error.source();
    while let Some(error) = behind {
        text.push_str(": ");
        text.push_str(&error.to_string());
        behind = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outside(granted: &[&str]) -> Outside {
        let grants = Grants { http: granted.iter().map(ToString::to_string).collect(), ..Grants::default() };
        let limits = HttpLimits {
            requests: 1,
            time: Duration::from_secs(1),
            wait: Duration::from_secs(1),
            request_bytes: 1,
            response_bytes: 1,
        };
        Outside::new("p", &grants, limits).expect("a client")
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let outside = outside(&["https://api.example.com", "http://127.0.0.1:9000", "http://[::1]:9000"]);
        for url in [
            "https://api.example.com/a?b#c",
            "https://API.example.com:443/",
            "http://127.0.0.1:9000/x",
            "http://127.1:9000",
            "http://2130706433:9000",
            "http://[0::1]:9000/",
        ] {
            assert!(outside.granted(url).is_ok(), "{url}");
        }
        for url in [
            "http://api.example.com/",
            "https://api.example.com:8443/",
            "https://api.example.com.evil.org/",
            "https://evil.org/https://api.example.com",
            "https://api.example.com./",
            "https://api.example.com@evil.org/",
            "https://user@api.example.com/",
            "http://127.0.0.1/",
            "http://localhost:9000/",
            "file:///etc/passwd",
            "//api.example.com",
            "",
        ] {
            assert!(outside.granted(url).is_err(), "{url}");
        }
        let refused = outside.granted("http://10.0.0.1:80/secret").expect_err("it is not granted");
        assert_eq!(
            refused,
            "http://10.0.0.1 was not granted: write `grants: {http: [\"http://10.0.0.1\"]}` for the plugin `p`"
        );
    }

    #[test]
    fn a_name_stands_for_what_is_public() {
        for ip in ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "64:ff9b::101:101", "::ffff:1.1.1.1"] {
            assert!(meant("api.example.com", ip.parse().expect("an address")), "{ip}");
        }
        for ip in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001:db8::1",
            "2001::1",
        ] {
            assert!(!meant("api.example.com", ip.parse().expect("an address")), "{ip}");
        }
        let loopback = "127.0.0.1".parse().expect("an address");
        assert!(meant("localhost", loopback) && meant("a.localhost.", loopback));
        assert!(!meant("localhost", "10.0.0.1".parse().expect("an address")));
    }
}
