//! Lines of an answer that comes piece by piece.

use super::gateway::Gateway;
use super::rows;
use crate::exit::Failure;
use egress::Pieces;
use serde_json::Value;

/// The longest line: a request with its media in it.
const LINE_BYTES_MAX: usize = 96 << 20;

/// An answer that is read line by line, with bounded memory.
pub(super) struct Lines<'a> {
    gateway: &'a Gateway,
    pieces: Pieces,
    gathered: Vec<u8>,
    /// What of it was looked through for the end of a line.
    seen: usize,
    over: bool,
}

impl<'a> Lines<'a> {
    pub(super) fn of(gateway: &'a Gateway, pieces: Pieces) -> Self {
        Self { gateway, pieces, gathered: Vec::new(), seen: 0, over: false }
    }

    /// The next line without its end; none when all were read.
    ///
    /// # Errors
    ///
    /// The answer broke off, or is no text in lines.
    pub(super) async fn next(&mut self) -> Result<Option<String>, Failure> {
        loop {
            if let Some(line) = cut(&mut self.gathered, &mut self.seen, self.over) {
                return String::from_utf8(line).map(Some).map_err(|_| rows::strange("text"));
            }
            if self.over {
                return Ok(None);
            }
            if self.gathered.len() > LINE_BYTES_MAX {
                return Err(rows::strange("the end of a line"));
            }
            let piece = self.pieces.next().await;
            match piece.map_err(|error| self.gateway.silent(&error, false))? {
                Some(piece) => self.gathered.extend_from_slice(&piece),
                None => self.over = true,
            }
        }
    }

    /// The next line that says something: an empty one says that a search goes on.
    ///
    /// # Errors
    ///
    /// As [`Lines::next`]; the line is no JSON.
    pub(super) async fn next_value(&mut self) -> Result<Option<Value>, Failure> {
        while let Some(line) = self.next().await? {
            if !line.is_empty() {
                let value =
                    serde_json::from_str(&line).map_err(|_| rows::strange("a line of JSON"));
                return value.map(Some);
            }
        }
        Ok(None)
    }
}

/// Takes the first line out; at the end, what is left is one. None of `seen` bytes ends one.
fn cut(gathered: &mut Vec<u8>, seen: &mut usize, at_end: bool) -> Option<Vec<u8>> {
    let found = gathered[*seen..].iter().position(|byte| *byte == b'\n').map(|at| *seen + at);
    *seen = if found.is_some() { 0 } else { gathered.len() };
    match found {
        Some(at) => {
            let mut line: Vec<u8> = gathered.drain(..=at).collect();
            line.pop();
            Some(line)
        }
        None if at_end && !gathered.is_empty() => {
            *seen = 0;
            Some(std::mem::take(gathered))
        }
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_where_they_end() {
        let (mut text, mut seen) = (b"one\n\ntw".to_vec(), 0);
        let mut cut = |text: &mut Vec<u8>, at_end| cut(text, &mut seen, at_end);
        assert_eq!(cut(&mut text, false), Some(b"one".to_vec()));
        assert_eq!(cut(&mut text, false), Some(Vec::new()));
        assert_eq!(cut(&mut text, false), None, "the rest of it is still to come");
        text.extend_from_slice(b"o\nthree");
        assert_eq!(cut(&mut text, false), Some(b"two".to_vec()));
        assert_eq!(cut(&mut text, false), None);
        assert_eq!(cut(&mut text, true), Some(b"three".to_vec()));
        assert_eq!(cut(&mut text, true), None);
    }
}
