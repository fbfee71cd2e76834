//! As much of the Redis protocol as starting, stopping and poking a server takes.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// A local server that is slower than this is stopped, loading or gone.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Nothing asked for here is larger; a reply that claims to be is refused before it is read.
const REPLY_BYTES_MAX: usize = 64 * 1024 * 1024;
const DEPTH_MAX: u32 = 8;

/// A command that was not answered with a value.
#[derive(Debug)]
pub enum CommandError {
    /// The server answered with an error, such as `WRONGTYPE …`.
    Refused(String),
    /// No answer: not running, stopped, or the connection broke.
    Unreachable(io::Error),
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(said) => write!(f, "the server refused: {said}"),
            Self::Unreachable(error) => write!(f, "no answer from the server: {error}"),
        }
    }
}

impl std::error::Error for CommandError {}

impl From<io::Error> for CommandError {
    fn from(error: io::Error) -> Self {
        Self::Unreachable(error)
    }
}

/// Sends one command on a fresh connection. Strings and numbers come back as text, nil as an empty
/// string, arrays one element per line.
pub(super) fn command(port: u16, words: &[&str]) -> Result<String, CommandError> {
    converse(port, &[words])
}

/// Sends commands one after another on a fresh connection, up to the first that is refused; the answer is
/// that of the last.
pub(super) fn converse(port: u16, commands: &[&[&str]]) -> Result<String, CommandError> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let stream = TcpStream::connect_timeout(&address, ANSWER_MAX)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    stream.set_write_timeout(Some(ANSWER_MAX))?;
    let mut replies = BufReader::new(&stream);
    let mut last = String::new();
    for words in commands {
        (&stream).write_all(&encode(words))?;
        last = read_reply(&mut replies, 0)?;
    }
    Ok(last)
}

fn encode(words: &[&str]) -> Vec<u8> {
    let mut wire = format!("*{}\r\n", words.len());
    for word in words {
        wire.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    wire.into_bytes()
}

fn read_reply(wire: &mut impl BufRead, depth: u32) -> Result<String, CommandError> {
    let mut line = String::new();
    wire.take(REPLY_BYTES_MAX as u64).read_line(&mut line)?;
    let line = line.strip_suffix("\r\n").ok_or_else(|| garbled("the reply broke off"))?;
    let (kind, rest) = line.split_at_checked(1).ok_or_else(|| garbled("empty reply"))?;
    match kind {
        "+" | ":" => Ok(rest.to_owned()),
        "-" => Err(CommandError::Refused(rest.to_owned())),
        "$" => match length(rest)? {
            None => Ok(String::new()),
            Some(length) => {
                let mut bytes = vec![0; length + 2];
                wire.read_exact(&mut bytes)?;
                bytes.truncate(length);
                Ok(String::from_utf8_lossy(&bytes).into_owned())
            }
        },
        "*" if depth < DEPTH_MAX => {
            let elements = 0..length(rest)?.unwrap_or(0);
            let replies: Result<Vec<_>, _> =
                elements.map(|_| read_reply(wire, depth + 1)).collect();
            Ok(replies?.join("\n"))
        }
        _ => Err(garbled("a reply of a kind we do not read").into()),
    }
}

/// [`None`] for nil.
fn length(text: &str) -> io::Result<Option<usize>> {
    match text.parse::<i64>() {
        Ok(-1) => Ok(None),
        Ok(length) => usize::try_from(length)
            .ok()
            .filter(|length| *length <= REPLY_BYTES_MAX)
            .map(Some)
            .ok_or_else(|| garbled("a reply of impossible length")),
        Err(_) => Err(garbled("a length that is no number")),
    }
}

fn garbled(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(wire: &str) -> Result<String, CommandError> {
        read_reply(&mut wire.as_bytes(), 0)
    }

    #[test]
    fn replies_become_text() {
        assert_eq!(encode(&["GET", "käse"]), "*2\r\n$3\r\nGET\r\n$5\r\nkäse\r\n".as_bytes());
        assert_eq!(read("+OK\r\n").expect("simple"), "OK");
        assert_eq!(read(":42\r\n").expect("integer"), "42");
        assert_eq!(read("$4\r\na\r\nb\r\n").expect("bulk"), "a\r\nb");
        assert_eq!(read("$-1\r\n").expect("nil"), "");
        assert_eq!(read("*2\r\n$1\r\na\r\n*1\r\n:7\r\n").expect("array"), "a\n7");
    }

    #[test]
    fn errors_and_garbage_are_told_apart() {
        let refused = read("-ERR unknown command\r\n");
        assert!(matches!(refused, Err(CommandError::Refused(said)) if said.starts_with("ERR")));
        for wire in ["", "+OK", "$9999999999999\r\n", "$x\r\n", "?\r\n", "$5\r\nab"] {
            assert!(matches!(read(wire), Err(CommandError::Unreachable(_))), "{wire:?}");
        }
    }
}
