//! A customer's server: takes webhooks, keeps every one of them, answers as it is told to.

use super::inbound::{self, Request};
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One delivery as it arrived.
#[derive(Debug, Clone)]
pub struct Hook {
    /// The path it was sent to.
    pub path: String,
    /// `webhook-id`.
    pub id: String,
    /// `webhook-timestamp`, seconds.
    pub timestamp_s: i64,
    /// `webhook-signature`.
    pub signature: String,
    /// The body, byte by byte.
    pub raw: Vec<u8>,
    /// The same as JSON.
    pub body: Value,
}

impl Hook {
    /// The type of the event.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.body["type"].as_str().unwrap_or_default()
    }
}

/// How a delivery is answered.
#[derive(Debug, Clone)]
pub enum Answer {
    /// With this status.
    Status(u16),
    /// With a redirect to this address.
    Redirect(String),
}

#[derive(Default)]
struct State {
    hooks: Vec<Hook>,
    answers: BTreeMap<String, VecDeque<Answer>>,
}

/// A running receiver. Its threads end with the test's process.
#[derive(Clone)]
pub struct Receiver {
    port: u16,
    state: Arc<Mutex<State>>,
}

impl Receiver {
    /// Listens on a free port; 204 is the answer to everything that nothing else is said about.
    ///
    /// # Panics
    ///
    /// There is no free port.
    #[must_use]
    pub fn start() -> Self {
        let state: Arc<Mutex<State>> = Arc::default();
        let serving = Arc::clone(&state);
        let port = inbound::listen(move |stream| serve(&serving, stream));
        Self { port, state }
    }

    /// The origin, as `webhooks.allow_origins` names it.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// An address below it.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin())
    }

    /// Says how the next deliveries to a path are answered.
    pub fn answer(&self, path: &str, answers: impl IntoIterator<Item = Answer>) {
        lock(&self.state).answers.entry(path.to_owned()).or_default().extend(answers);
    }

    /// All that arrived at a path, in order.
    #[must_use]
    pub fn at(&self, path: &str) -> Vec<Hook> {
        lock(&self.state).hooks.iter().filter(|hook| hook.path == path).cloned().collect()
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(state: &Mutex<State>, stream: TcpStream) {
    let Ok(mut writer) = stream.try_clone() else { return };
    let mut reader = BufReader::new(stream);
    while let Some(request) = Request::read(&mut reader) {
        let hook = Hook::of(request);
        let answer = {
            let mut state = lock(state);
            let next = state.answers.get_mut(&hook.path).and_then(VecDeque::pop_front);
            state.hooks.push(hook);
            next.unwrap_or(Answer::Status(204))
        };
        let (status, more) = match answer {
            Answer::Status(status) => (status, String::new()),
            Answer::Redirect(to) => (301, format!("location: {to}\r\n")),
        };
        let head = format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\n{more}\r\n");
        if writer.write_all(head.as_bytes()).is_err() {
            return;
        }
    }
}

impl Hook {
    fn of(request: Request) -> Self {
        let header = |name: &str| request.header(name).to_owned();
        Self {
            id: header("webhook-id"),
            timestamp_s: header("webhook-timestamp").parse().unwrap_or_default(),
            signature: header("webhook-signature"),
            body: serde_json::from_slice(&request.body).unwrap_or(Value::Null),
            raw: request.body,
            path: request.path,
        }
    }
}
