//! A raw TCP peer that breaks off at a chosen point and counts what it had until then.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// Longest wait for a fact that is sure to come.
const FACT_WITHIN: Duration = Duration::from_secs(20);

/// How a peer ends a connection.
#[derive(Debug, Clone, Copy)]
pub enum End {
    /// In order.
    Fin,
    /// By a reset.
    Rst,
    /// Not at all: it stays silent until the client goes.
    Hang,
}

/// What a peer does with a connection.
#[derive(Debug, Clone)]
pub enum Plan {
    /// Reads nothing.
    Accept(End),
    /// Writes something that is no TLS, then ends.
    Garble,
    /// Reads the head of the request, then ends.
    Head(End),
    /// Reads the head and answers without reading the body.
    EarlyAnswer(String),
    /// Reads the whole request, writes this, then ends.
    Whole(String, End),
    /// As `Whole`, but takes nothing in for so long at first.
    SlowStart(Duration, String),
    /// Answers every request and closes the idle connection shortly afterwards, in the way of
    /// servers whose patience ends just when the next request leaves.
    AnswerThenCloseIdle(String),
    /// Answers the first request of a connection and resets at the second one, after reading it.
    ResetSecond(String),
    /// Answers every request by its path; unknown paths get the first answer.
    Paths(Vec<(&'static str, String)>),
}

/// What a peer has had so far.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Connections accepted.
    pub connections: usize,
    /// Connections that are over.
    pub ended: usize,
    /// Whole requests read.
    pub whole: usize,
    /// Body bytes of all requests, whole or not.
    pub body_bytes: usize,
    /// Heads of all requests, lower case.
    pub heads: Vec<String>,
}

/// A running peer. It ends with the test's runtime.
pub struct Peer {
    pub address: SocketAddr,
    seen: watch::Receiver<Seen>,
}

impl Peer {
    pub async fn start(plan: Plan) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, seen) = watch::channel(Seen::default());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tell.send_modify(|seen| seen.connections += 1);
                let (plan, tell) = (plan.clone(), tell.clone());
                tokio::spawn(async move {
                    let mut link = Link { stream, buffer: Vec::new(), tell: &tell };
                    link.follow(plan).await;
                    drop(link.stream);
                    tell.send_modify(|seen| seen.ended += 1);
                });
            }
        });
        Self { address, seen }
    }

    pub fn url(&self, path: &str) -> egress::Url {
        egress::Url::parse(&format!("http://{}{path}", self.address)).unwrap()
    }

    /// Waits for a fact about what the peer has had.
    pub async fn until(&self, fact: impl FnMut(&Seen) -> bool) -> Seen {
        let mut seen = self.seen.clone();
        tokio::time::timeout(FACT_WITHIN, seen.wait_for(fact))
            .await
            .unwrap_or_else(|_| panic!("never came true; seen {:?}", self.seen.borrow()))
            .unwrap()
            .clone()
    }

    /// What the peer had once every connection is over.
    pub async fn at_the_end(&self) -> Seen {
        self.until(|seen| seen.ended == seen.connections).await
    }

    /// What the peer has had up to now.
    pub fn now(&self) -> Seen {
        self.seen.borrow().clone()
    }
}

/// An answer with a length.
pub fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{headers}\r\n{body}")
}

struct Link<'a> {
    stream: TcpStream,
    buffer: Vec<u8>,
    tell: &'a watch::Sender<Seen>,
}

impl Link<'_> {
    async fn follow(&mut self, plan: Plan) {
        match plan {
            Plan::Accept(end) => self.end(end).await,
            Plan::Garble => {
                self.write("this is no TLS\r\n").await;
                self.end(End::Fin).await;
            }
            Plan::Head(end) => {
                if self.read_head().await.is_some() {
                    self.end(end).await;
                }
            }
            Plan::EarlyAnswer(text) => {
                if self.read_head().await.is_some() {
                    self.write(&text).await;
                    self.end(End::Hang).await;
                }
            }
            Plan::Whole(text, end) => {
                if self.read_request().await.is_some() {
                    self.write(&text).await;
                    self.end(end).await;
                }
            }
            Plan::SlowStart(pause, text) => {
                // sleeps: plays a far side that is slow to take a body in
                tokio::time::sleep(pause).await;
                if self.read_request().await.is_some() {
                    self.write(&text).await;
                }
            }
            Plan::AnswerThenCloseIdle(text) => {
                if self.read_request().await.is_some() {
                    self.write(&text).await;
                    // sleeps: plays a server that closes an idle connection just after answering
                    tokio::time::sleep(Duration::from_micros(300)).await;
                }
            }
            Plan::ResetSecond(text) => {
                if self.read_request().await.is_some() {
                    self.write(&text).await;
                    if self.read_request().await.is_some() {
                        self.end(End::Rst).await;
                    }
                }
            }
            Plan::Paths(paths) => {
                while let Some(head) = self.read_request().await {
                    let path = head.split(' ').nth(1).unwrap_or_default();
                    let fit = paths.iter().find(|(known, _)| *known == path).unwrap_or(&paths[0]);
                    self.write(&fit.1).await;
                }
            }
        }
    }

    /// Reads one request and counts it if it came whole.
    async fn read_request(&mut self) -> Option<String> {
        let (head, length) = self.read_head().await?;
        while self.buffer.len() < length {
            self.read_some().await?;
        }
        self.buffer.drain(..length);
        self.tell.send_modify(|seen| seen.whole += 1);
        Some(head)
    }

    /// Reads up to the end of a head; returns it with the length of the body it announces.
    async fn read_head(&mut self) -> Option<(String, usize)> {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            let mut some = [0; 4096];
            let count = self.stream.read(&mut some).await.ok().filter(|count| *count > 0)?;
            self.buffer.extend_from_slice(&some[..count]);
        };
        let rest = self.buffer.split_off(end);
        let head = String::from_utf8_lossy(&self.buffer).to_ascii_lowercase();
        self.buffer = rest;
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"))
            .and_then(|value| value.trim().parse().ok())
            .unwrap_or(0);
        let early = self.buffer.len();
        self.tell.send_modify(|seen| {
            seen.heads.push(head.clone());
            seen.body_bytes += early;
        });
        Some((head, length))
    }

    async fn read_some(&mut self) -> Option<()> {
        let mut some = vec![0; 65536];
        let count = self.stream.read(&mut some).await.ok().filter(|count| *count > 0)?;
        self.buffer.extend_from_slice(&some[..count]);
        self.tell.send_modify(|seen| seen.body_bytes += count);
        Some(())
    }

    async fn write(&mut self, text: &str) {
        // A client that has gone is part of many plans.
        let _ = self.stream.write_all(text.as_bytes()).await;
    }

    async fn end(&mut self, end: End) {
        match end {
            End::Fin => {}
            End::Rst => self.stream.set_zero_linger().unwrap(),
            End::Hang => while self.read_some().await.is_some() {},
        }
    }
}
