//! Server-sent events as a follower reads them.

use super::Fleet;
use reqwest::Method;
use serde_json::Value;

/// One block of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Block {
    /// What a follower sends to come back.
    pub id: String,
    /// The type of the event; empty for a block that is none.
    pub event: String,
    /// Its JSON.
    pub data: Value,
    /// Milliseconds after which to come back, where it says so.
    pub retry: Option<u64>,
    /// Comments.
    pub comment: String,
}

/// An open stream.
pub struct Follower {
    response: reqwest::Response,
    text: String,
}

impl Follower {
    pub(super) fn of(response: reqwest::Response) -> Self {
        Self { response, text: String::new() }
    }

    /// HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    /// A header of the answer; empty where it is missing.
    #[must_use]
    pub fn header(&self, name: &str) -> String {
        let value = self.response.headers().get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    }

    fn cut(&mut self) -> Option<Block> {
        let (block, rest) = self.text.split_once("\n\n")?;
        let mut read = Block::default();
        for line in block.lines() {
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "id" => read.id = value.to_owned(),
                "event" => read.event = value.to_owned(),
                "data" => read.data = serde_json::from_str(value).unwrap_or(Value::Null),
                "retry" => read.retry = value.parse().ok(),
                _ => read.comment = value.to_owned(),
            }
        }
        self.text = rest.to_owned();
        Some(read)
    }
}

impl Fleet {
    /// Opens a stream of the gateway on `port`, after the event of this id if one is given.
    ///
    /// # Panics
    ///
    /// No answer.
    pub fn follow(&self, port: u16, path: &str, key: &str, last: Option<&str>) -> Follower {
        let request = self.ask(port, Method::GET, path, key);
        let request = match last {
            Some(id) => request.header("last-event-id", id),
            None => request,
        };
        let response = self
            .run(async { request.send().await })
            .unwrap_or_else(|error| panic!("{path}: {error}"));
        Follower::of(response)
    }

    /// The next block; [`None`] at the end of the stream.
    ///
    /// # Panics
    ///
    /// Nothing comes within the client's bound of 20 s.
    pub fn heard(&self, follower: &mut Follower) -> Option<Block> {
        loop {
            if let Some(block) = follower.cut() {
                return Some(block);
            }
            match self.run(async { follower.response.chunk().await }) {
                Ok(Some(bytes)) => follower.text.push_str(&String::from_utf8_lossy(&bytes)),
                Ok(None) => return None,
                Err(error) => panic!("the stream broke: {error}"),
            }
        }
    }
}
