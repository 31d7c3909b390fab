//! Requests that a sink has the host make. The deployment says to whom: `grants: {http: [https://api.example.com]}`.

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// What was answered, with whatever status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status: 200 and so on. A redirect is an answer like any other.
    pub status: u16,
    /// Headers, their names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// A request of this method.
    pub fn new(method: &str, url: &str) -> Self {
        Self { method: method.into(), url: url.into(), headers: Vec::new(), body: Vec::new() }
    }

    /// `GET`.
    pub fn get(url: &str) -> Self {
        Self::new("GET", url)
    }

    /// `POST`.
    pub fn post(url: &str) -> Self {
        Self::new("POST", url)
    }

    /// With one more header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// With this body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sends it, and waits for the answer. An error is that there is none.
    #[cfg(target_arch = "wasm32")]
    pub fn send(self) -> Result<Response, String> {
        let Self { method, url, headers, body } = self;
        crate::worlds::sink::send(method, url, headers, body)
    }

    /// There is no host outside of WebAssembly.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn send(self) -> Result<Response, String> {
        Err(format!("{} is not sent: there is no host here", self.method))
    }
}

/// Whether a request to this URL would be allowed; the error says what to write. For [`crate::Sink::describe`].
#[cfg(target_arch = "wasm32")]
pub fn granted(url: &str) -> Result<(), String> {
    crate::worlds::sink::granted(url)
}

/// Everything would be, where there is no host.
#[cfg(not(target_arch = "wasm32"))]
pub fn granted(_: &str) -> Result<(), String> {
    Ok(())
}
