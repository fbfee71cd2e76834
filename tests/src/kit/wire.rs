//! The gateway as it looks to somebody who writes bytes, not requests.

use super::Fleet;
use serde_json::Value;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

/// How long one read may take; what does not come by then is a fact about the server.
const READ_MAX: Duration = Duration::from_secs(20);

/// A bare connection.
pub struct Wire {
    stream: TcpStream,
    rest: Vec<u8>,
}

/// One answer off the wire.
#[derive(Debug, Clone, PartialEq)]
pub struct Spoken {
    /// HTTP status.
    pub status: u16,
    /// The head as it came, in lower case.
    pub head: String,
    /// The body, where it is JSON.
    pub body: Value,
}

impl Fleet {
    /// A connection to the gateway.
    ///
    /// # Panics
    ///
    /// It is refused.
    #[must_use]
    pub fn wire(&self) -> Wire {
        let stream = TcpStream::connect(("127.0.0.1", self.gateway_port()));
        let stream = stream.unwrap_or_else(|error| panic!("the gateway takes nobody: {error}"));
        stream.set_read_timeout(Some(READ_MAX)).expect("a bound on reads");
        stream.set_write_timeout(Some(READ_MAX)).expect("a bound on writes");
        Wire { stream, rest: Vec::new() }
    }
}

impl Wire {
    /// Writes bytes; false once the other end has gone.
    pub fn say(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// Says that nothing more will be said.
    pub fn stop_speaking(&mut self) {
        // The other end may be gone already.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// The next answer; none if the connection ends first.
    ///
    /// # Panics
    ///
    /// Neither comes in time, or it is no HTTP.
    pub fn hear(&mut self) -> Option<Spoken> {
        let end = loop {
            if let Some(at) = find(&self.rest, b"\r\n\r\n") {
                break at + 4;
            }
            if !self.more() {
                assert!(self.rest.is_empty(), "half an answer: {:?}", self.text());
                return None;
            }
        };
        let head = String::from_utf8_lossy(&self.rest[..end]).to_ascii_lowercase();
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no HTTP: {head}"));
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |text| text.trim().parse().expect("a length"));
        while self.rest.len() < end + length {
            assert!(self.more(), "half an answer: {:?}", self.text());
        }
        let body: Vec<u8> = self.rest.drain(..end + length).skip(end).collect();
        Some(Spoken { status, head, body: serde_json::from_slice(&body).unwrap_or(Value::Null) })
    }

    /// Whether the other end closes, in time, without another word.
    pub fn is_closed(&mut self) -> bool {
        !self.more() && self.rest.is_empty()
    }

    /// Whether the other end has neither spoken nor closed so far.
    ///
    /// # Panics
    ///
    /// The socket takes no settings.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.stream.set_nonblocking(true).expect("our own socket");
        let read = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false).expect("our own socket");
        matches!(read, Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    fn more(&mut self) -> bool {
        let mut piece = [0; 16 << 10];
        match self.stream.read(&mut piece) {
            Ok(0) => false,
            Ok(read) => {
                self.rest.extend_from_slice(&piece[..read]);
                true
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("nothing came in {READ_MAX:?}, after {:?}", self.text())
            }
            Err(_) => false,
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.rest[..self.rest.len().min(400)]).into_owned()
    }
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}
