//! One JSON object on each line.

use super::{Row, json_row, too_long};

#[derive(Debug)]
pub(super) struct Lines {
    row_bytes_max: usize,
    number: u64,
    line: Vec<u8>,
    /// Bytes of the line at hand, kept or not.
    bytes: u64,
}

impl Lines {
    pub(super) fn new(row_bytes_max: usize) -> Self {
        Self { row_bytes_max, number: 1, line: Vec::new(), bytes: 0 }
    }

    pub(super) fn feed(&mut self, mut piece: &[u8], rows: &mut Vec<Row>) {
        while let Some(at) = piece.iter().position(|byte| *byte == b'\n') {
            self.keep(&piece[..at]);
            piece = &piece[at + 1..];
            self.close(rows);
        }
        self.keep(piece);
    }

    pub(super) fn end(&mut self, rows: &mut Vec<Row>) {
        self.close(rows);
    }

    fn keep(&mut self, piece: &[u8]) {
        self.bytes += piece.len() as u64;
        if self.bytes <= self.row_bytes_max as u64 {
            self.line.extend_from_slice(piece);
        } else {
            self.line = Vec::new();
        }
    }

    fn close(&mut self, rows: &mut Vec<Row>) {
        if self.bytes > self.row_bytes_max as u64 {
            rows.push(too_long(self.number, self.bytes, self.row_bytes_max));
        } else {
            let marked = self.number == 1;
            let bare = self.line.strip_prefix(b"\xef\xbb\xbf").filter(|_| marked);
            let text = bare.unwrap_or(&self.line);
            if !text.trim_ascii().is_empty() {
                rows.push(json_row(self.number, text));
            }
        }
        self.line.clear();
        self.bytes = 0;
        self.number += 1;
    }
}
