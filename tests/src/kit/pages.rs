//! The dashboard as a browser without scripts uses it: pages, cookies, forms, redirects.

use super::Fleet;
use super::sse::Follower;
use reqwest::redirect::Policy;
use reqwest::{Client, Method};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// One person's browser, on one gateway.
pub struct Visitor<'a> {
    fleet: &'a Fleet,
    client: Client,
    cookies: Mutex<BTreeMap<String, String>>,
}

/// A page as it came.
#[derive(Debug, Clone)]
pub struct Shown {
    /// HTTP status.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body as text; a file's is shortened to what is text of it.
    pub text: String,
    /// Bytes of the body.
    pub bytes: usize,
}

impl Shown {
    /// Where it sends the browser; empty where nowhere.
    #[must_use]
    pub fn leads_to(&self) -> &str {
        self.headers.get("location").map_or("", String::as_str)
    }

    /// The value of the first hidden field of this name.
    ///
    /// # Panics
    ///
    /// There is none.
    #[must_use]
    pub fn hidden(&self, name: &str) -> String {
        let start = format!("name=\"{name}\" value=\"");
        let rest = self.text.split_once(&start).map(|(_, rest)| rest);
        let value = rest.and_then(|rest| rest.split_once('"')).map(|(value, _)| value);
        value.unwrap_or_else(|| panic!("no field {name} in {}", self.text)).to_owned()
    }
}

impl Fleet {
    /// A browser nobody has logged in with.
    ///
    /// # Panics
    ///
    /// Never in practice.
    #[must_use]
    pub fn visitor(&self) -> Visitor<'_> {
        let builder = Client::builder().no_proxy().redirect(Policy::none());
        let client = builder.timeout(Duration::from_secs(20)).build().expect("no extras");
        Visitor { fleet: self, client, cookies: Mutex::default() }
    }

    /// A browser with a session.
    ///
    /// # Panics
    ///
    /// The key does not open one.
    #[must_use]
    pub fn logged_in(&self, key: &str) -> Visitor<'_> {
        let visitor = self.visitor();
        let shown = visitor.log_in(key);
        assert_eq!((shown.status, shown.leads_to()), (303, "/ui/fleet"), "{}", shown.text);
        visitor
    }
}

impl Visitor<'_> {
    /// `GET`.
    pub fn get(&self, path: &str) -> Shown {
        self.ask(Method::GET, path, &[], None)
    }

    /// `GET` with headers.
    pub fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Shown {
        self.ask(Method::GET, path, headers, None)
    }

    /// Opens the stream that a page listens to.
    ///
    /// # Panics
    ///
    /// No answer.
    pub fn listen(&self, path: &str) -> Follower {
        let url = format!("http://127.0.0.1:{}{path}", self.fleet.gateway_port());
        let request = self.client.get(url).header("cookie", self.cookie());
        let response = self.fleet.run(async { request.send().await });
        Follower::of(response.unwrap_or_else(|error| panic!("{path}: {error}")))
    }

    /// Sends a form as it stands.
    pub fn post(&self, path: &str, fields: &[(&str, &str)]) -> Shown {
        self.post_with(path, &[], fields)
    }

    /// Sends a form with more headers.
    pub fn post_with(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        fields: &[(&str, &str)],
    ) -> Shown {
        let pairs = fields.iter().map(|(name, value)| format!("{name}={}", encoded(value)));
        self.ask(Method::POST, path, headers, Some(pairs.collect::<Vec<_>>().join("&")))
    }

    /// Sends a form with the session's token, as a page of ours would.
    pub fn send(&self, path: &str, fields: &[(&str, &str)]) -> Shown {
        let token = self.token();
        let mut all = vec![("csrf", token.as_str())];
        all.extend_from_slice(fields);
        self.post(path, &all)
    }

    /// The session's token.
    pub fn token(&self) -> String {
        self.get("/ui/audit").hidden("csrf")
    }

    /// Fills the login form in.
    pub fn log_in(&self, key: &str) -> Shown {
        let door = self.get("/ui/login").hidden("csrf");
        self.post("/ui/login", &[("csrf", &door), ("key", key), ("next", "")])
    }

    /// The cookies as they would be sent.
    pub fn cookie(&self) -> String {
        let cookies = self.cookies.lock().unwrap_or_else(PoisonError::into_inner);
        let pairs = cookies.iter().map(|(name, value)| format!("{name}={value}"));
        pairs.collect::<Vec<_>>().join("; ")
    }

    fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        form: Option<String>,
    ) -> Shown {
        let url = format!("http://127.0.0.1:{}{path}", self.fleet.gateway_port());
        let mut request = self.client.request(method, url).header("cookie", self.cookie());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(form) = form {
            request =
                request.header("content-type", "application/x-www-form-urlencoded").body(form);
        }
        self.fleet.run(async {
            let response = request.send().await.unwrap_or_else(|error| panic!("{path}: {error}"));
            let status = response.status().as_u16();
            let told = response.headers().clone();
            for cookie in told.get_all("set-cookie") {
                self.keep(cookie.to_str().unwrap_or_default());
            }
            let headers = told.iter().map(|(name, value)| {
                (name.as_str().to_owned(), value.to_str().unwrap_or_default().to_owned())
            });
            let headers = headers.collect();
            let bytes = response.bytes().await.unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            Shown { status, headers, text, bytes: bytes.len() }
        })
    }

    fn keep(&self, cookie: &str) {
        let pair = cookie.split(';').next().unwrap_or_default();
        let Some((name, value)) = pair.split_once('=') else { return };
        let mut cookies = self.cookies.lock().unwrap_or_else(PoisonError::into_inner);
        if cookie.contains("Max-Age=0") {
            cookies.remove(name);
        } else {
            cookies.insert(name.to_owned(), value.to_owned());
        }
    }
}

/// Percent-encoded for a form.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    text.bytes().fold(String::new(), |mut out, byte| {
        if plain(byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}
