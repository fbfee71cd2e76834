//! CSV: a header of known names, then one request in each record. An empty cell is a field left out.

use super::{NOTE, Row, take_notes, too_long};
use crate::codes;
use csv_core::{ReadFieldResult, Reader};
use seedance::{Fault, nearest};
use serde_json::{Map, Value, json};

/// Names of columns; `metadata.<key>` stands beside them, once for each key, and notes under any name that begins
/// with `_`. Cells of the three plural ones hold addresses with blanks between.
pub const COLUMNS: [&str; 23] = [
    "model",
    "prompt",
    "first_frame",
    "last_frame",
    "reference_images",
    "reference_videos",
    "reference_audios",
    "resolution",
    "ratio",
    "duration",
    "generate_audio",
    "watermark",
    "priority",
    "custom_id",
    "end_user",
    "useful_until",
    "take",
    "people",
    "consent_ref",
    "review",
    "output_prefix",
    "webhook_url",
    "webhook_secret_ref",
];

pub(super) const METADATA: &str = "metadata.";
/// Columns of one table.
pub(super) const COLUMNS_MAX: usize = 64;
/// Bytes taken out of the parser at once.
const PIECE_BYTES: usize = 4_096;

pub(super) struct Csv {
    reader: Reader,
    row_bytes_max: usize,
    header: Option<Vec<String>>,
    number: u64,
    cells: Vec<Vec<u8>>,
    cell: Vec<u8>,
    /// Cells of the record at hand, kept or not.
    count: usize,
    bytes: u64,
}

impl std::fmt::Debug for Csv {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Csv").field("number", &self.number).field("header", &self.header).finish()
    }
}

impl Csv {
    pub(super) fn new(row_bytes_max: usize) -> Self {
        Self {
            reader: Reader::new(),
            row_bytes_max,
            header: None,
            number: 1,
            cells: Vec::new(),
            cell: Vec::new(),
            count: 0,
            bytes: 0,
        }
    }

    pub(super) fn feed(&mut self, mut piece: &[u8], rows: &mut Vec<Row>) -> Result<(), Fault> {
        // Empty input means the end to the parser, so it is never shown an empty piece.
        while !piece.is_empty() {
            let used = self.step(piece, rows)?;
            piece = piece.get(used..).unwrap_or_default();
        }
        Ok(())
    }

    pub(super) fn end(&mut self, rows: &mut Vec<Row>) -> Result<(), Fault> {
        while self.step(&[], rows)? != usize::MAX {}
        if self.header.is_none() {
            return Err(header_fault("the table has no header".to_owned(), "begin with a header"));
        }
        Ok(())
    }

    /// One call of the parser; [`usize::MAX`] at its end.
    fn step(&mut self, piece: &[u8], rows: &mut Vec<Row>) -> Result<usize, Fault> {
        let mut out = [0; PIECE_BYTES];
        let (result, used, written) = self.reader.read_field(piece, &mut out);
        self.bytes += written as u64;
        if self.bytes <= self.row_bytes_max as u64 {
            self.cell.extend_from_slice(&out[..written]);
        } else {
            (self.cell, self.cells) = (Vec::new(), Vec::new());
        }
        match result {
            ReadFieldResult::InputEmpty | ReadFieldResult::OutputFull => {}
            ReadFieldResult::End => return Ok(usize::MAX),
            ReadFieldResult::Field { record_end } => {
                self.count += 1;
                let cell = std::mem::take(&mut self.cell);
                if self.cells.len() <= COLUMNS_MAX {
                    self.cells.push(cell);
                }
                if record_end {
                    self.close(rows)?;
                }
            }
        }
        Ok(used)
    }

    fn close(&mut self, rows: &mut Vec<Row>) -> Result<(), Fault> {
        let cells = std::mem::take(&mut self.cells);
        let (count, bytes) = (std::mem::take(&mut self.count), std::mem::take(&mut self.bytes));
        let number = self.number;
        self.number += 1;
        let Some(header) = &self.header else {
            self.header = Some(read_header(&cells, count)?);
            return Ok(());
        };
        if bytes > self.row_bytes_max as u64 {
            rows.push(too_long(number, bytes, self.row_bytes_max));
            return Ok(());
        }
        let mut body = if count == header.len() {
            request(header, cells)
        } else {
            let message = format!("the row has {count} cells and the header {}", header.len());
            let fix = "write one cell for each column; quote cells with commas or line breaks";
            Err(Fault::new("", codes::ROW_MALFORMED, message, fix))
        };
        let notes = body.as_mut().ok().and_then(Value::as_object_mut).map(take_notes);
        rows.push(Row { number, bytes, notes: notes.unwrap_or_default(), body });
        Ok(())
    }
}

fn header_fault(message: String, fix: &str) -> Fault {
    let allowed = format!("{}, metadata.<key> and notes named _…", COLUMNS.join(", "));
    Fault::new("", codes::HEADER_MALFORMED, message, fix).allowing(allowed)
}

fn read_header(cells: &[Vec<u8>], count: usize) -> Result<Vec<String>, Fault> {
    if count > COLUMNS_MAX {
        let message = format!("the header has {count} columns, more than {COLUMNS_MAX}");
        return Err(header_fault(message, "take columns out"));
    }
    let mut header: Vec<String> = Vec::with_capacity(cells.len());
    for (at, cell) in cells.iter().enumerate() {
        let text = String::from_utf8_lossy(cell);
        let name = if at == 0 { text.trim_start_matches('\u{feff}') } else { &text }.trim();
        let shown: String = name.chars().take(48).collect();
        let keyed = name.strip_prefix(METADATA).is_some_and(|key| !key.is_empty());
        if !keyed && !name.starts_with(NOTE) && !COLUMNS.contains(&name) {
            let fix = match nearest(name, COLUMNS) {
                Some(close) => format!("did you mean {close:?}?"),
                None => "take it out".to_owned(),
            };
            return Err(header_fault(format!("{shown:?} is not a known column"), &fix));
        }
        if header.iter().any(|known| known == name) {
            return Err(header_fault(format!("the column {shown:?} stands twice"), "take one out"));
        }
        header.push(name.to_owned());
    }
    Ok(header)
}

/// The request a record stands for. What is not of its column's form stays a text, for the door to refuse with
/// its place.
pub(super) fn request(header: &[String], cells: Vec<Vec<u8>>) -> Result<Value, Fault> {
    let mut body = Map::new();
    let (mut content, mut metadata, mut webhook) = (Vec::new(), Map::new(), Map::new());
    for (name, cell) in header.iter().zip(cells) {
        let text = String::from_utf8(cell).map_err(|_| {
            let message = format!("the cell under {name:?} is not UTF-8");
            Fault::new("", codes::ROW_MALFORMED, message, "save the table as UTF-8")
        })?;
        if text.is_empty() {
            continue;
        }
        let medium = |kind: &str, role: &str, url: &str| json!({"type": kind, kind: {"url": url}, "role": role});
        match name.as_str() {
            "prompt" => content.insert(0, json!({"type": "text", "text": text})),
            "first_frame" | "last_frame" => content.push(medium("image_url", name, &text)),
            "reference_images" => content.extend(
                text.split_whitespace().map(|url| medium("image_url", "reference_image", url)),
            ),
            "reference_videos" => content.extend(
                text.split_whitespace().map(|url| medium("video_url", "reference_video", url)),
            ),
            "reference_audios" => content.extend(
                text.split_whitespace().map(|url| medium("audio_url", "reference_audio", url)),
            ),
            "duration" | "take" | "priority" => {
                let number = text.trim().parse::<i64>().map(Value::from);
                body.insert(name.clone(), number.unwrap_or(Value::String(text)));
            }
            "generate_audio" | "watermark" | "people" | "review" => {
                let flag = match text.trim().to_ascii_lowercase().as_str() {
                    "true" => Value::Bool(true),
                    "false" => Value::Bool(false),
                    _ => Value::String(text),
                };
                body.insert(name.clone(), flag);
            }
            "output_prefix" => drop(body.insert("output".into(), json!({"prefix": text}))),
            "webhook_url" => drop(webhook.insert("url".into(), text.into())),
            "webhook_secret_ref" => drop(webhook.insert("secret_ref".into(), text.into())),
            other => match other.strip_prefix(METADATA) {
                Some(key) => drop(metadata.insert(key.to_owned(), text.into())),
                None => drop(body.insert(name.clone(), text.into())),
            },
        }
    }
    let parts = [("metadata", metadata), ("webhook", webhook)];
    let parts = parts.into_iter().filter(|(_, part)| !part.is_empty());
    body.extend(parts.map(|(name, part)| (name.to_owned(), Value::Object(part))));
    if !content.is_empty() {
        body.insert("content".into(), Value::Array(content));
    }
    Ok(Value::Object(body))
}
