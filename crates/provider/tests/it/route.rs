//! A route on 127.0.0.1 that gives prepared answers and keeps what it was asked.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use job::{AttemptId, PoolSettings, TaskId};
use limiter::Permit;
use provider::{Client, CreateAnswer, CreateCall, Settings, Site};
use seedance::Call;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

pub const ACCOUNT: &str = "a";
pub const KEY: &str = "canary-key-4711";
pub const TASK: &str = "cgt-20261122200000-abcde";

/// A request as it arrived, complete.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Request line and headers; the names in lower case, as our client sends them.
    pub head: String,
    pub body: Vec<u8>,
}

impl Asked {
    pub fn line(&self) -> &str {
        self.head.lines().next().unwrap()
    }
}

/// The route. It ends with the test's runtime.
pub struct Route {
    pub base_url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    folder: tempfile::TempDir,
}

impl Route {
    /// Gives `answer`, byte for byte, to every request, and closes the connection after it.
    pub async fn answering(answer: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}/api/v3", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (kept, answer) = (Arc::clone(&kept), answer.clone());
                tokio::spawn(async move { serve(stream, &kept, &answer).await });
            }
        });
        Self { base_url, asked, folder: tempfile::tempdir().unwrap() }
    }

    /// Gives a JSON answer with this status to every request.
    pub async fn json(status: u16, headers: &str, body: &str) -> Self {
        Self::answering(answer(status, headers, body)).await
    }

    /// Everything that was asked completely.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub fn key_file(&self) -> PathBuf {
        self.folder.path().join("key")
    }

    /// A simulated pool with one account on this route.
    pub fn pool(&self) -> PoolSettings {
        let file = self.key_file();
        if !file.exists() {
            std::fs::write(&file, KEY).unwrap();
        }
        pool(&self.base_url, &file)
    }

    pub fn client(&self) -> Client {
        Client::open("sim", &self.pool(), &settings()).unwrap()
    }

    pub fn site(&self) -> Site {
        Site::configured(&self.pool(), ACCOUNT)
    }

    /// One create call with ample time.
    pub async fn create(&self) -> CreateAnswer {
        let gate = egress::Gate::until(Instant::now() + Duration::from_secs(60));
        let site = self.site();
        let attempt = attempt();
        let call =
            CreateCall { site: &site, attempt: &attempt, body: "{\"model\":1}".into(), gate };
        self.client().create(permit(Call::Create), call).await
    }
}

pub fn answer(status: u16, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status} Word\r\ncontent-length: {length}\r\n{headers}\r\n{body}")
}

pub fn pool(base_url: &str, key_file: &std::path::Path) -> PoolSettings {
    serde_json::from_value(serde_json::json!({
        "route": "byteplus",
        "base_url": base_url,
        "simulated": true,
        "accounts": {ACCOUNT: {"api_key_file": key_file}},
    }))
    .unwrap()
}

pub fn settings() -> Settings {
    Settings {
        connect_timeout: Duration::from_secs(2),
        create_timeout: Duration::from_secs(10),
        read_timeout: Duration::from_secs(10),
        ..Settings::default()
    }
}

pub fn permit(call: Call) -> Permit {
    Permit::new(ACCOUNT.to_owned(), call)
}

pub fn attempt() -> AttemptId {
    AttemptId::parse("att_01ARZ3NDEKTSV4RRFFQ69G5FAV").unwrap()
}

pub fn task() -> TaskId {
    TaskId::parse(TASK).unwrap()
}

async fn serve(mut stream: TcpStream, kept: &Mutex<Vec<Asked>>, answer: &str) {
    let mut buffer = Vec::new();
    let (head, length) = loop {
        if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            let body = buffer.split_off(at + 4);
            let head = String::from_utf8(std::mem::replace(&mut buffer, body)).unwrap();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |value| value.parse().unwrap());
            break (head, length);
        }
        if stream.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
            return;
        }
    };
    while buffer.len() < length {
        if stream.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
            return;
        }
    }
    kept.lock().unwrap().push(Asked { head, body: buffer });
    // A client that has gone is part of some tests.
    let _ = stream.write_all(answer.as_bytes()).await;
}
