//! Reading a file on a thread of its own, a bounded batch of rows ahead of who takes it in. What a row is, the
//! door says: the same reader stands behind `POST /v1/batches`.

use crate::exit::{Exit, Failure};
use admission::{Row, RowForm, RowReader};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use tokio::sync::mpsc::{self, Receiver};

/// Rows of one batch: several calls, so that the end of one costs little.
const ROWS_MAX: usize = 5 * store::ADMIT_MAX;
/// Bytes of one batch, unless a single row is longer. A few batches are in memory, read and unread.
const BATCH_BYTES_MAX: u64 = 8 << 20;
/// The longest row: the largest request with its media inline.
const ROW_BYTES_MAX: usize = 96 << 20;
/// Bytes read at once.
const PIECE_BYTES: usize = 64 << 10;

/// Rows read together.
pub(crate) struct Batch {
    pub(crate) rows: Vec<Row>,
    pub(crate) bytes: u64,
}

/// An opened file.
pub(crate) struct Source {
    /// Its length, where it has one.
    pub(crate) bytes: Option<u64>,
    pub(crate) batches: Receiver<Result<Batch, String>>,
}

/// The form that a file's name tells; lines of JSON where it tells none.
pub(crate) fn form_of(path: &Path) -> RowForm {
    let end = path.extension().map(|end| end.to_string_lossy().to_ascii_lowercase());
    match end.as_deref() {
        Some("csv") => RowForm::Csv,
        Some("json") => RowForm::JsonList,
        Some(_) | None => RowForm::JsonLines,
    }
}

/// Opens a file, or standard input for `-`.
///
/// # Errors
///
/// It is not there or cannot be read.
pub(crate) fn open(path: &Path, form: RowForm) -> Result<Source, Failure> {
    if path.as_os_str() == "-" {
        return Ok(Source { bytes: None, batches: read(Box::new(io::stdin()), form) });
    }
    let cannot = |error: io::Error| {
        let exit =
            if error.kind() == io::ErrorKind::NotFound { Exit::NotFound } else { Exit::Failed };
        Failure::new(exit, format!("cannot read {}", path.display())).because(error)
    };
    let file = File::open(path).map_err(cannot)?;
    let about = file.metadata().map_err(cannot)?;
    if about.is_dir() {
        return Err(Failure::usage(format!("{} is a folder", path.display())));
    }
    let bytes = about.is_file().then_some(about.len());
    Ok(Source { bytes, batches: read(Box::new(file), form) })
}

fn read(input: Box<dyn Read + Send>, form: RowForm) -> Receiver<Result<Batch, String>> {
    let (send, receive) = mpsc::channel(1);
    // A thread and not a blocking task: standard input may never answer, and nobody waits for us.
    std::thread::spawn(move || {
        let mut rows = Rows::of(input, form, PIECE_BYTES);
        loop {
            let (batch, over) = match rows.batch() {
                Ok(None) => return,
                Ok(Some(batch)) => (Ok(batch), false),
                Err(why) => (Err(why), true),
            };
            // Whoever took the rows in has stopped: nobody wants the rest.
            if send.blocking_send(batch).is_err() || over {
                return;
            }
        }
    });
    receive
}

struct Rows<R> {
    input: R,
    reader: RowReader,
    piece: Vec<u8>,
    ready: VecDeque<Row>,
    /// Read since the last batch.
    bytes: u64,
    /// The input has no more; why, where that is no good end.
    over: Option<Result<(), String>>,
}

impl<R: Read> Rows<R> {
    fn of(input: R, form: RowForm, piece_bytes: usize) -> Self {
        Self {
            input,
            reader: RowReader::new(form, ROW_BYTES_MAX),
            piece: vec![0; piece_bytes],
            ready: VecDeque::new(),
            bytes: 0,
            over: None,
        }
    }

    /// The next rows; none at the end. Good rows come before the reason why no more can be read.
    fn batch(&mut self) -> Result<Option<Batch>, String> {
        let mut full = false;
        while !full && self.over.is_none() {
            full = self.more();
        }
        let rows: Vec<Row> = self.ready.drain(..self.ready.len().min(ROWS_MAX)).collect();
        if rows.is_empty() && self.bytes == 0 {
            return self.over.take().unwrap_or(Ok(())).map(|()| None);
        }
        Ok(Some(Batch { rows, bytes: std::mem::take(&mut self.bytes) }))
    }

    /// Reads on; whether the rows at hand are worth a batch. Whoever writes into a pipe slowly does not wait
    /// for a full one.
    fn more(&mut self) -> bool {
        let mut rows = Vec::new();
        let (short, fed) = match self.input.read(&mut self.piece) {
            Ok(0) => {
                let end = self.reader.end(&mut rows);
                self.over = Some(end.map_err(|fault| fault.to_string()));
                (true, Ok(()))
            }
            Ok(n) => {
                self.bytes += n as u64;
                (n < self.piece.len(), self.reader.feed(&self.piece[..n], &mut rows))
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (false, Ok(())),
            Err(error) => {
                self.over = Some(Err(error.to_string()));
                (true, Ok(()))
            }
        };
        if let Err(fault) = fed {
            self.over = Some(Err(fault.to_string()));
        }
        self.ready.extend(rows);
        let some = !self.ready.is_empty();
        self.ready.len() >= ROWS_MAX || self.bytes >= BATCH_BYTES_MAX || (short && some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every row of a text, read in pieces of this size, and why the rest could not be read.
    fn rows(form: RowForm, text: &[u8], piece_bytes: usize) -> (Vec<Row>, u64, Option<String>) {
        let mut reading = Rows::of(text, form, piece_bytes);
        let (mut rows, mut bytes) = (Vec::new(), 0);
        loop {
            match reading.batch() {
                Ok(Some(batch)) => {
                    assert!(batch.rows.len() <= ROWS_MAX);
                    bytes += batch.bytes;
                    rows.extend(batch.rows);
                }
                Ok(None) => return (rows, bytes, None),
                Err(why) => return (rows, bytes, Some(why)),
            }
        }
    }

    #[test]
    fn lines_are_counted_as_an_editor_counts_them() {
        let text = b"\xef\xbb\xbf{\"a\":1}\n\n  \n{broken\r\n{\"b\":2}";
        let (rows, bytes, why) = rows(RowForm::JsonLines, text, PIECE_BYTES);
        let seen: Vec<(u64, bool)> = rows.iter().map(|r| (r.number, r.body.is_ok())).collect();
        assert_eq!(seen, [(1, true), (4, false), (5, true)]);
        assert_eq!((bytes, why), (text.len() as u64, None));
    }

    #[test]
    fn good_rows_come_before_the_end_of_what_can_be_read() {
        let (found, _, why) = rows(RowForm::JsonList, b"[{\"a\":1}, {\"b\":2},]", 5);
        assert_eq!(found.len(), 2);
        assert!(why.is_some_and(|why| !why.is_empty()));
        let (found, _, why) = rows(RowForm::Csv, b"prompt\na boat\n", 64);
        assert_eq!((found.len(), why), (1, None));
        assert_eq!(found[0].body.as_ref().unwrap()["content"][0]["text"], "a boat");
    }

    #[test]
    fn fuzz_jsonl_row() {
        let words = ["\n", "\r\n", "{}", "{\"a\":1}", "null", "\u{feff}", " ", "\"", "\\"];
        fuzz::run("jsonl_row", &words, |text| {
            let (whole, bytes, why) = rows(RowForm::JsonLines, text, 1 << 20);
            assert_eq!(bytes, text.len() as u64, "no byte is skipped or read twice");
            let (pieces, _, _) = rows(RowForm::JsonLines, text, 3);
            assert_eq!((&whole, why), (&pieces, None), "however the file arrives");
            assert!(whole.is_sorted_by(|a, b| a.number < b.number));
            let good = whole.iter().filter(|row| row.body.is_ok()).count();
            format!("{} rows, {} good", whole.len().min(9), good.min(9))
        });
    }

    #[test]
    fn a_long_file_comes_in_bounded_batches() {
        let text = "{}\n".repeat(ROWS_MAX + 1);
        let mut reading = Rows::of(text.as_bytes(), RowForm::JsonLines, PIECE_BYTES);
        assert_eq!(reading.batch().unwrap().unwrap().rows.len(), ROWS_MAX);
        assert_eq!(reading.batch().unwrap().unwrap().rows.len(), 1);
        assert!(reading.batch().unwrap().is_none());
    }

    #[test]
    fn a_file_is_read_as_its_name_says() {
        let of = |name: &str| form_of(Path::new(name));
        assert_eq!((of("a.csv"), of("a.JSON")), (RowForm::Csv, RowForm::JsonList));
        assert_eq!((of("a.jsonl"), of("-")), (RowForm::JsonLines, RowForm::JsonLines));
    }
}
