//! Reading a file line by line on a thread of its own, a bounded batch ahead of who takes it in.

use super::rejects::Reject;
use crate::exit::{Exit, Failure};
use serde_json::Value;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use tokio::sync::mpsc::{self, Receiver};

/// Rows of one batch.
const ROWS_MAX: usize = 200;
/// Bytes of one batch, unless a single line is longer.
const BATCH_BYTES_MAX: u64 = 16 << 20;
/// The longest line: the largest request with its media inline.
const LINE_BYTES_MAX: u64 = 96 << 20;

/// Lines read together.
pub(crate) struct Batch {
    pub(super) lines: Vec<Line>,
    pub(super) bytes: u64,
}

/// One line that is not blank.
pub(super) struct Line {
    /// From 1.
    pub(super) number: u64,
    pub(super) body: Result<Value, Reject>,
}

/// An opened file.
pub(crate) struct Source {
    /// Its length, where it has one.
    pub(crate) bytes: Option<u64>,
    pub(crate) batches: Receiver<Result<Batch, String>>,
}

/// Opens a file, or standard input for `-`.
///
/// # Errors
///
/// It is not there or cannot be read.
pub(crate) fn open(path: &Path) -> Result<Source, Failure> {
    if path.as_os_str() == "-" {
        return Ok(Source { bytes: None, batches: read(Box::new(io::stdin())) });
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
    Ok(Source { bytes, batches: read(Box::new(file)) })
}

fn read(input: Box<dyn Read + Send>) -> Receiver<Result<Batch, String>> {
    let (send, receive) = mpsc::channel(1);
    // A thread and not a blocking task: standard input may never answer, and nobody waits for us.
    std::thread::spawn(move || {
        let mut lines = Lines { input: BufReader::with_capacity(1 << 20, input), number: 0 };
        loop {
            match lines.batch() {
                Ok(None) => return,
                Ok(Some(batch)) => {
                    if send.blocking_send(Ok(batch)).is_err() {
                        return;
                    }
                }
                Err(error) => {
                    let _ = send.blocking_send(Err(error.to_string()));
                    return;
                }
            }
        }
    });
    receive
}

struct Lines<R> {
    input: BufReader<R>,
    number: u64,
}

impl<R: Read> Lines<R> {
    fn batch(&mut self) -> io::Result<Option<Batch>> {
        let mut batch = Batch { lines: Vec::new(), bytes: 0 };
        let mut line = Vec::new();
        while batch.lines.len() < ROWS_MAX && batch.bytes < BATCH_BYTES_MAX {
            line.clear();
            let read = (&mut self.input).take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
            if read == 0 {
                break;
            }
            self.number += 1;
            batch.bytes += read as u64;
            let whole = line.ends_with(b"\n") || (read as u64) < LINE_BYTES_MAX;
            let body = if whole {
                let text = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line);
                if text.trim_ascii().is_empty() {
                    continue;
                }
                serde_json::from_slice(text).map_err(|error| Reject::not_json(&error))
            } else {
                batch.bytes += self.skip_line()?;
                Err(Reject::too_long(LINE_BYTES_MAX))
            };
            batch.lines.push(Line { number: self.number, body });
            if self.input.buffer().is_empty() {
                // Whoever writes into a pipe slowly does not wait for a full batch.
                break;
            }
        }
        Ok((batch.bytes > 0).then_some(batch))
    }

    /// The rest of a line nobody wants.
    fn skip_line(&mut self) -> io::Result<u64> {
        let mut skipped = 0;
        loop {
            let found = self.input.fill_buf()?;
            if found.is_empty() {
                return Ok(skipped);
            }
            let end = found.iter().position(|byte| *byte == b'\n');
            let used = end.map_or(found.len(), |at| at + 1);
            self.input.consume(used);
            skipped += used as u64;
            if end.is_some() {
                return Ok(skipped);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_as_an_editor_counts_them() {
        let text = b"\xef\xbb\xbf{\"a\":1}\n\n  \n{broken\r\n{\"b\":2}";
        let mut lines = Lines { input: BufReader::new(&text[..]), number: 0 };
        let batch = lines.batch().expect("readable").expect("not empty");
        let seen: Vec<(u64, bool)> =
            batch.lines.iter().map(|line| (line.number, line.body.is_ok())).collect();
        assert_eq!(seen, [(1, true), (4, false), (5, true)]);
        assert_eq!(batch.bytes, text.len() as u64);
        assert!(lines.batch().expect("readable").is_none());
    }

    /// Every row of a text, read through a buffer of this size.
    fn rows(text: &[u8], buffer_bytes: usize) -> (Vec<Line>, u64) {
        let mut lines = Lines { input: BufReader::with_capacity(buffer_bytes, text), number: 0 };
        let (mut rows, mut bytes) = (Vec::new(), 0);
        while let Some(batch) = lines.batch().expect("memory can be read") {
            assert!(batch.lines.len() <= ROWS_MAX);
            bytes += batch.bytes;
            rows.extend(batch.lines);
        }
        (rows, bytes)
    }

    #[test]
    fn fuzz_jsonl_row() {
        let words = ["\n", "\r\n", "{}", "{\"a\":1}", "null", "\u{feff}", " ", "\"", "\\"];
        fuzz::run("jsonl_row", &words, |text| {
            let (whole, bytes) = rows(text, 1 << 20);
            assert_eq!(bytes, text.len() as u64, "no byte is skipped or read twice");
            let (pieces, _) = rows(text, 3);
            let numbers = |rows: &[Line]| rows.iter().map(|row| row.number).collect::<Vec<_>>();
            assert_eq!(numbers(&whole), numbers(&pieces), "however the file arrives");
            assert!(numbers(&whole).is_sorted_by(|a, b| a < b));
            let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
            for row in &whole {
                let line = lines[usize::try_from(row.number).unwrap() - 1];
                match &row.body {
                    Ok(body) => {
                        let text = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
                        assert_eq!(serde_json::from_slice::<Value>(text).ok().as_ref(), Some(body));
                    }
                    Err(reject) => {
                        let told = [&reject.code, &reject.reason, &reject.fix];
                        assert!(told.iter().all(|part| !part.is_empty()), "{reject:?}");
                        assert!(!reject.reason.contains('\n'), "{reject:?}");
                    }
                }
            }
            let good = whole.iter().filter(|row| row.body.is_ok()).count();
            format!("{} rows, {} good", whole.len().min(9), good.min(9))
        });
    }

    #[test]
    fn a_long_file_comes_in_bounded_batches() {
        let text = "{}\n".repeat(ROWS_MAX + 1);
        let mut lines = Lines { input: BufReader::new(text.as_bytes()), number: 0 };
        assert_eq!(lines.batch().unwrap().unwrap().lines.len(), ROWS_MAX);
        assert_eq!(lines.batch().unwrap().unwrap().lines.len(), 1);
    }
}
