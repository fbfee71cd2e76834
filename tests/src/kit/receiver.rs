//! A customer's server: takes webhooks, keeps every one of them, answers as it is told to.

use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
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
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let receiver = Self { port, state: Arc::default() };
        let serving = receiver.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = serving.clone();
                std::thread::spawn(move || serving.serve(stream));
            }
        });
        receiver
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
        self.lock().answers.entry(path.to_owned()).or_default().extend(answers);
    }

    /// All that arrived at a path, in order.
    #[must_use]
    pub fn at(&self, path: &str) -> Vec<Hook> {
        self.lock().hooks.iter().filter(|hook| hook.path == path).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, stream: TcpStream) {
        let Ok(mut writer) = stream.try_clone() else { return };
        let mut reader = BufReader::new(stream);
        while let Some(hook) = read(&mut reader) {
            let answer = {
                let mut state = self.lock();
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
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Hook> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let header = |name: &str| headers.get(name).cloned().unwrap_or_default();
    let mut raw = vec![0; header("content-length").parse().ok()?];
    reader.read_exact(&mut raw).ok()?;
    Some(Hook {
        path,
        id: header("webhook-id"),
        timestamp_s: header("webhook-timestamp").parse().unwrap_or_default(),
        signature: header("webhook-signature"),
        body: serde_json::from_slice(&raw).unwrap_or(Value::Null),
        raw,
    })
}
