//! HTTP as a platform speaks it to the gateway.

use super::Fleet;
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;
use std::time::Duration;

/// The key of tenant `default`.
pub const ALICE: &str = "canary-alice-key-0f2b9a";
/// The key of tenant `bob`.
pub const BOB: &str = "canary-bob-key-77d1c3e8";

/// The client.
pub(super) struct Web {
    pub(super) client: Client,
}

impl Web {
    pub(super) fn new() -> Self {
        let client = Client::builder().no_proxy().timeout(Duration::from_secs(20)).build();
        Self { client: client.expect("a client without any extras") }
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// What came before the body.
    pub headers: HeaderMap,
    /// The body, where it is JSON.
    pub body: Value,
    /// The body as it came.
    pub bytes: Vec<u8>,
}

impl Reply {
    /// A header's text; empty where there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

impl Fleet {
    /// A request to the gateway on `port`, with a key unless it is empty.
    pub fn ask(&self, port: u16, method: Method, path: &str, key: &str) -> RequestBuilder {
        let request = self.web.client.request(method, format!("http://127.0.0.1:{port}{path}"));
        if key.is_empty() { request } else { request.bearer_auth(key) }
    }

    /// Sends it.
    ///
    /// # Panics
    ///
    /// No answer.
    pub fn send(&self, request: RequestBuilder) -> Reply {
        self.run(answer(request))
    }

    /// Sends many at once.
    ///
    /// # Panics
    ///
    /// One of them gets no answer.
    pub fn send_all(&self, requests: Vec<RequestBuilder>) -> Vec<Reply> {
        self.run(futures::future::join_all(requests.into_iter().map(answer)))
    }

    /// `POST /v1/jobs` as Alice.
    pub fn post_job(&self, body: impl Into<Value>) -> Reply {
        let request = self.ask(self.gateway_port(), Method::POST, "/v1/jobs", ALICE);
        self.send(request.json(&body.into()))
    }

    /// `GET` a path as somebody.
    pub fn get(&self, path: &str, key: &str) -> Reply {
        self.send(self.ask(self.gateway_port(), Method::GET, path, key))
    }

    /// What the provider would do: post a task to the address it was given.
    pub fn call_back(&self, path: &str, body: &Value) -> Reply {
        self.send(self.ask(self.gateway_port(), Method::POST, path, "").json(body))
    }
}

async fn answer(request: RequestBuilder) -> Reply {
    let response = request.send().await.unwrap_or_else(|error| panic!("no answer: {error:?}"));
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let bytes = response.bytes().await.unwrap_or_default().to_vec();
    Reply { status, headers, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null), bytes }
}
