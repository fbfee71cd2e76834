//! A storage host: one file, served over real HTTP/1.1, whose answers follow a script.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// How the next request is answered.
#[derive(Debug, Clone)]
pub enum Turn {
    /// As a good host does, ranges included.
    Well,
    /// Well, but the connection breaks after so many bytes of the body.
    CutAfter(usize),
    /// The whole file, whatever was asked.
    IgnoreRange,
    /// Another file from now on, with another validator.
    Replace(Vec<u8>),
    /// This status and this body.
    Say(u16, &'static str),
    /// The connection breaks before any answer.
    Hang,
}

struct State {
    file: Vec<u8>,
    version: u32,
    turns: VecDeque<Turn>,
    heads: Vec<String>,
}

pub struct Host {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Host {
    pub async fn serving(file: &[u8], turns: Vec<Turn>) -> Self {
        let state =
            State { file: file.to_vec(), version: 1, turns: turns.into(), heads: Vec::new() };
        let state = Arc::new(Mutex::new(state));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, shared.clone()));
            }
        });
        Self { address, state }
    }

    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A link with a signature that must appear nowhere.
    pub fn link(&self) -> String {
        format!("{}/film.mp4?X-Tos-Signature=deadbeef", self.origin())
    }

    /// Heads of all requests, lower case.
    pub fn heads(&self) -> Vec<String> {
        self.state.lock().unwrap().heads.clone()
    }
}

async fn serve(mut socket: TcpStream, state: Arc<Mutex<State>>) {
    let mut head = Vec::new();
    let mut byte = [0; 1];
    while !head.ends_with(b"\r\n\r\n") {
        match socket.read(&mut byte).await {
            Ok(1) if head.len() < 16_384 => head.push(byte[0]),
            Ok(_) | Err(_) => return,
        }
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let Some((answer, cut)) = answer(&head, &mut state.lock().unwrap()) else { return };
    let end = cut.unwrap_or(answer.len()).min(answer.len());
    // A client that hangs up is its own affair; so is a half-written answer when we do.
    let _ = socket.write_all(&answer[..end]).await;
    let _ = socket.shutdown().await;
}

/// The bytes to send, and how many of them before the connection breaks.
fn answer(head: &str, state: &mut State) -> Option<(Vec<u8>, Option<usize>)> {
    state.heads.push(head.to_owned());
    let turn = state.turns.pop_front().unwrap_or(Turn::Well);
    let field = |name: &str| {
        head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ").map(str::to_owned))
    };
    let mut cut_body = None;
    let mut range = field("range");
    match turn {
        Turn::Well => {}
        Turn::CutAfter(bytes) => cut_body = Some(bytes),
        Turn::IgnoreRange => range = None,
        Turn::Replace(file) => {
            state.file = file;
            state.version += 1;
        }
        Turn::Say(status, body) => {
            let length = body.len();
            let text = format!(
                "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
            return Some((text.into_bytes(), None));
        }
        Turn::Hang => return None,
    }
    let etag = format!("\"v{}\"", state.version);
    let first = range
        .filter(|_| field("if-range").is_none_or(|held| held == etag))
        .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    let whole = state.file.len();
    let (status, first) = first.map_or((200, 0), |first| (206, first));
    let body = &state.file[first..];
    let mut answer = format!(
        "HTTP/1.1 {status} X\r\netag: {etag}\r\ncontent-length: {}\r\nconnection: close\r\n",
        body.len()
    );
    if status == 206 {
        answer.push_str(&format!("content-range: bytes {first}-{}/{whole}\r\n", whole - 1));
    }
    answer.push_str("\r\n");
    let cut = cut_body.map(|bytes| answer.len() + bytes);
    Some(([answer.as_bytes(), body].concat(), cut))
}
