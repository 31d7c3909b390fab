//! A real Chromium, driven over WebDriver (HTTP), to look at pages as a person would.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use base64::Engine;
use serde_json::{Value, json};

use crate::braid::eventually;
use crate::http;

/// A browser with one page. It ends when this is dropped.
#[derive(Debug)]
pub struct Browser {
    driver: Child,
    address: String,
    session: String,
}

impl Browser {
    /// Starts one; `None` where it is not installed (`e2e/setup/browser` does that).
    pub fn start(check: &str) -> Option<Self> {
        let spawned = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut driver) = spawned else {
            eprintln!("LEFT OUT: {check}: e2e/setup/browser installs the browser");
            return None;
        };
        let mut said = BufReader::new(driver.stdout.take().expect("it was piped")).lines().map_while(Result::ok);
        let port = said
            .find_map(|line| {
                line.split_once("successfully on port ").map(|(_, rest)| rest.trim_end_matches('.').to_owned())
            })
            .expect("chromedriver says its port");
        // What it says later is read too, or it would stop at a full pipe.
        std::thread::spawn(move || said.for_each(drop));
        let mut browser = Self { driver, address: format!("127.0.0.1:{port}"), session: String::new() };
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--window-size=1400,1800",
            "--no-first-run",
            "--disable-quic",
            "--disable-sync",
            "--disable-component-update",
            "--disable-background-networking",
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let made = browser.post("/session", &wanted);
        browser.session = made["sessionId"].as_str().expect("a session").to_owned();
        Some(browser)
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let body = body.to_string();
        let answer = http::request(&self.address, "POST", path, "application/json", body.as_bytes())
            .unwrap_or_else(|error| panic!("WebDriver {path}: {error}"));
        answer.ok()["value"].clone()
    }

    /// Opens a page.
    pub fn open(&self, url: &str) {
        self.post(&format!("/session/{}/url", self.session), &json!({ "url": url }));
    }

    /// Runs a script in the page, and gives what it returns.
    pub fn script(&self, script: &str) -> Value {
        self.post(&format!("/session/{}/execute/sync", self.session), &json!({"script": script, "args": []}))
    }

    /// The text of the first element that a selector finds, as it is seen; empty where there is none.
    pub fn text(&self, selector: &str) -> String {
        let script = format!("return document.querySelector({})?.innerText ?? ''", json!(selector));
        self.script(&script).as_str().unwrap_or_default().to_owned()
    }

    /// A number as the page shows it, without what groups its digits.
    pub fn number(&self, selector: &str) -> Option<u64> {
        let text = self.text(selector);
        let digits: String = text.chars().filter(|c| !c.is_whitespace() && !",\u{202f}".contains(*c)).collect();
        digits.parse().ok()
    }

    /// Waits until a script returns something that is not null.
    pub fn wait(&self, what: &str, script: &str) -> Value {
        eventually(what, || match self.script(script) {
            Value::Null => Err(self.text("body")),
            value => Ok(value),
        })
    }

    /// What the page wrote to the browser's console at the level of an error.
    pub fn errors(&self) -> Vec<String> {
        let log = self.post(&format!("/session/{}/se/log", self.session), &json!({"type": "browser"}));
        let entries = log.as_array().cloned().unwrap_or_default();
        entries.iter().filter(|entry| entry["level"] == "SEVERE").map(|entry| entry["message"].to_string()).collect()
    }

    /// Keeps what is seen as a PNG file.
    pub fn screenshot(&self, path: &Path) {
        let answer = http::get(&self.address, &format!("/session/{}/screenshot", self.session)).ok();
        let text = answer["value"].as_str().expect("a picture");
        let bytes = base64::engine::general_purpose::STANDARD.decode(text).expect("base64");
        std::fs::write(path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let path = format!("/session/{}", self.session);
        // The driver may be gone already; killing it is what counts.
        let _ = http::request(&self.address, "DELETE", &path, "application/json", b"");
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
