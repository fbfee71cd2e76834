//! Requests over HTTP as a plain server takes them in: for receivers that keep what they are sent.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};

/// One request as it arrived.
#[derive(Debug, Clone)]
pub struct Request {
    /// The path it was sent to.
    pub path: String,
    headers: BTreeMap<String, String>,
    /// The body, byte by byte.
    pub body: Vec<u8>,
}

impl Request {
    /// The next of a connection; none once it ends, or its body has a length that is not told at the start.
    #[must_use]
    pub fn read(reader: &mut BufReader<TcpStream>) -> Option<Self> {
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
        // Without a length there is no body, unless it comes in pieces (RFC 9112 §6.3).
        let length = match (headers.get("content-length"), headers.get("transfer-encoding")) {
            (Some(length), _) => length.parse().ok()?,
            (None, Some(_)) => return None,
            (None, None) => 0,
        };
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        Some(Self { path, headers, body })
    }

    /// A header by its name in lower case; empty where there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(String::as_str).unwrap_or_default()
    }

    /// Whether the body holds this text.
    #[must_use]
    pub fn contains(&self, text: &str) -> bool {
        self.body.windows(text.len()).any(|window| window == text.as_bytes())
    }
}

/// Serves a free port, each connection in a thread of its own; they end with the test's process.
///
/// # Panics
///
/// There is no free port.
#[must_use]
pub fn listen(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = serve.clone();
            std::thread::spawn(move || serve(stream));
        }
    });
    port
}
