//! A started simulator and the few calls tests make.

use std::time::{Duration, Instant};

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use simulator::{Limits, Options, Running, Simulator};

pub const MODEL: &str = "dreamina-seedance-2-0-260128";
const PATIENCE: Duration = Duration::from_secs(20);

/// One answer, read whole.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub request_id: Option<String>,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
    pub text: String,
}

impl Answer {
    pub async fn read(response: Response) -> Self {
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let header = headers.get("x-request-id");
        let request_id = header.map(|value| value.to_str().unwrap().to_owned());
        let text = response.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Self { status, request_id, headers, body, text }
    }

    pub fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_default()
    }

    pub fn id(&self) -> String {
        self.body["id"].as_str().unwrap_or_else(|| panic!("no id in {self:?}")).to_owned()
    }
}

pub struct Bench {
    pub sim: Running,
    pub http: reqwest::Client,
}

impl Bench {
    /// Real limits switched off: most tests are about something else.
    pub async fn start() -> Self {
        Self::with(Options { limits: Limits::unlimited(), ..Options::default() }).await
    }

    pub async fn with(options: Options) -> Self {
        let sim = Simulator::start(options).await.unwrap();
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .timeout(PATIENCE)
            .build()
            .unwrap();
        Self { sim, http }
    }

    pub fn tasks_url(&self) -> String {
        format!("{}/contents/generations/tasks", self.sim.base_url())
    }

    pub async fn call(&self, method: Method, tail: &str, body: Option<&Value>) -> Answer {
        Answer::read(self.send(method, tail, body, "sim-key").await.unwrap()).await
    }

    pub async fn send(
        &self,
        method: Method,
        tail: &str,
        body: Option<&Value>,
        key: &str,
    ) -> reqwest::Result<Response> {
        let request = self.http.request(method, format!("{}{tail}", self.tasks_url()));
        let request = request.bearer_auth(key);
        match body {
            Some(body) => request.json(body).send().await,
            None => request.send().await,
        }
    }

    pub async fn create(&self, body: &Value) -> Answer {
        self.call(Method::POST, "", Some(body)).await
    }

    /// Creates a task that must be accepted.
    pub async fn make(&self, extra: Value) -> String {
        self.create(&request(extra)).await.id()
    }

    pub async fn get(&self, id: &str) -> Answer {
        self.call(Method::GET, &format!("/{id}"), None).await
    }

    pub async fn list(&self, query: &str) -> Answer {
        self.call(Method::GET, &format!("?{query}"), None).await
    }

    pub async fn delete(&self, id: &str) -> Answer {
        self.call(Method::DELETE, &format!("/{id}"), Some(&json!({}))).await
    }

    pub async fn control(&self, resource: &str, body: Value) -> Answer {
        let request = self.http.put(self.sim.control_url(resource)).json(&body);
        Answer::read(request.send().await.unwrap()).await
    }

    pub async fn set(&self, resource: &str, body: Value) {
        let answer = self.control(resource, body).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    }

    pub async fn advance(&self, seconds: u64) {
        self.set("clock", json!({"advance_s": seconds})).await;
    }

    pub async fn stats(&self) -> Value {
        let response = self.http.get(self.sim.control_url("stats")).send().await.unwrap();
        Answer::read(response).await.body
    }

    pub async fn ledger(&self) -> Vec<Value> {
        let response = self.http.get(self.sim.control_url("ledger")).send().await.unwrap();
        let text = response.text().await.unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Lines of one event.
    pub async fn events(&self, event: &str) -> Vec<Value> {
        self.ledger().await.into_iter().filter(|line| line["event"] == event).collect()
    }

    /// Waits until a task has `status`; its object then.
    pub async fn until(&self, id: &str, status: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.get(id).await;
            if answer.body["status"] == status {
                return answer.body;
            }
            assert!(Instant::now() < deadline, "{id} never became {status}: {answer:?}");
            tokio::task::yield_now().await;
        }
    }

    /// A task that has just succeeded.
    pub async fn finished(&self, extra: Value) -> Value {
        let id = self.make(extra).await;
        self.advance(400).await;
        self.until(&id, "succeeded").await
    }
}

/// Waits until the ledger or the counters show what `look` wants.
pub async fn wait_for<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut look: impl FnMut() -> F,
) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        tokio::task::yield_now().await;
    }
}

/// A plain text request with `extra` fields on top.
pub fn request(extra: Value) -> Value {
    let mut body = json!({"model": MODEL, "content": [{"type": "text", "text": "a paper boat"}]});
    let object = body.as_object_mut().unwrap();
    object.extend(extra.as_object().unwrap().clone());
    body
}

/// A fixture file.
pub fn fixture(name: &str) -> Vec<Value> {
    let path = format!("{}/fixtures/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Keys of an object, sorted.
pub fn keys(object: &Value) -> Vec<String> {
    let mut keys: Vec<String> = object.as_object().unwrap().keys().cloned().collect();
    keys.sort();
    keys
}
