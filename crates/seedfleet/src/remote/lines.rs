//! Lines of an answer that comes piece by piece.

use super::gateway::Gateway;
use super::rows;
use crate::exit::Failure;
use egress::Pieces;

/// The longest line: a row of results is far shorter.
const LINE_BYTES_MAX: usize = 16 << 20;

/// An answer that is read line by line, with bounded memory.
pub(super) struct Lines<'a> {
    gateway: &'a Gateway,
    pieces: Pieces,
    gathered: Vec<u8>,
    over: bool,
}

impl<'a> Lines<'a> {
    pub(super) fn of(gateway: &'a Gateway, pieces: Pieces) -> Self {
        Self { gateway, pieces, gathered: Vec::new(), over: false }
    }

    /// The next line without its end; none when all were read.
    ///
    /// # Errors
    ///
    /// The answer broke off, or is no text in lines.
    pub(super) async fn next(&mut self) -> Result<Option<String>, Failure> {
        loop {
            if let Some(line) = cut(&mut self.gathered, self.over) {
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
}

/// Takes the first line out; at the end, what is left is one.
fn cut(gathered: &mut Vec<u8>, at_end: bool) -> Option<Vec<u8>> {
    match gathered.iter().position(|byte| *byte == b'\n') {
        Some(at) => {
            let mut line: Vec<u8> = gathered.drain(..=at).collect();
            line.pop();
            Some(line)
        }
        None if at_end && !gathered.is_empty() => Some(std::mem::take(gathered)),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_where_they_end() {
        let mut text = b"one\n\ntwo".to_vec();
        assert_eq!(cut(&mut text, false), Some(b"one".to_vec()));
        assert_eq!(cut(&mut text, false), Some(Vec::new()));
        assert_eq!(cut(&mut text, false), None, "the rest of it is still to come");
        assert_eq!(cut(&mut text, true), Some(b"two".to_vec()));
        assert_eq!(cut(&mut text, true), None);
    }
}
