//! A JSON list, cut into its items without being read whole.

use super::{Row, json_row, too_long};
use crate::codes;
use seedance::Fault;

#[derive(Debug)]
pub(super) struct List {
    row_bytes_max: usize,
    number: u64,
    item: Vec<u8>,
    /// Bytes of the item at hand, kept or not.
    bytes: u64,
    depth: usize,
    in_text: bool,
    escaped: bool,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Nothing but blanks so far.
    Before,
    /// Behind the bracket: an item or the end.
    First,
    /// Behind a comma: an item.
    Next,
    /// Inside an item.
    Item,
    /// Behind the closing bracket.
    After,
}

impl List {
    pub(super) fn new(row_bytes_max: usize) -> Self {
        Self {
            row_bytes_max,
            number: 1,
            item: Vec::new(),
            bytes: 0,
            depth: 0,
            in_text: false,
            escaped: false,
            place: Place::Before,
        }
    }

    pub(super) fn feed(&mut self, piece: &[u8], rows: &mut Vec<Row>) -> Result<(), Fault> {
        for &byte in piece {
            let blank = matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
            match (self.place, byte) {
                (Place::Item, _) => self.inside(byte, rows),
                (_, _) if blank => {}
                (Place::Before, b'[') => self.place = Place::First,
                (Place::First, b']') => self.place = Place::After,
                (Place::Before | Place::After, _)
                | (Place::First | Place::Next, b',' | b']' | b'}') => return Err(broken()),
                (Place::First | Place::Next, _) => {
                    self.place = Place::Item;
                    self.inside(byte, rows);
                }
            }
        }
        Ok(())
    }

    pub(super) fn end(&self) -> Result<(), Fault> {
        if self.place == Place::After { Ok(()) } else { Err(broken()) }
    }

    fn inside(&mut self, byte: u8, rows: &mut Vec<Row>) {
        if self.depth == 0 && !self.in_text && matches!(byte, b',' | b']') {
            self.close(rows);
            self.place = if byte == b',' { Place::Next } else { Place::After };
            return;
        }
        match (self.in_text, byte) {
            (true, _) if self.escaped => self.escaped = false,
            (true, b'\\') => self.escaped = true,
            (_, b'"') => self.in_text = !self.in_text,
            (false, b'{' | b'[') => self.depth += 1,
            (false, b'}' | b']') => self.depth = self.depth.saturating_sub(1),
            (true | false, _) => {}
        }
        self.bytes += 1;
        if self.bytes <= self.row_bytes_max as u64 {
            self.item.push(byte);
        } else {
            self.item = Vec::new();
        }
    }

    fn close(&mut self, rows: &mut Vec<Row>) {
        rows.push(if self.bytes > self.row_bytes_max as u64 {
            too_long(self.number, self.bytes, self.row_bytes_max)
        } else {
            json_row(self.number, &self.item)
        });
        self.item.clear();
        self.bytes = 0;
        self.number += 1;
    }
}

fn broken() -> Fault {
    let message = "the body is not one whole JSON list";
    let fix = "send [ … ] with an object for each request, or JSON lines";
    Fault::new("", codes::JSON_INVALID, message, fix)
}
