//! Many requests in one stream: JSON lines, a JSON list, or CSV with columns of fixed names.
//!
//! The stream is fed as it comes, however it is cut; what is kept is one unfinished row. A row that cannot be
//! read is told and the next one is read on; a stream that has lost its rows' bounds ends with a reason.

mod csv;
mod flat;
mod lines;
mod list;

pub use csv::COLUMNS;
pub use flat::flat;

use crate::codes;
use crate::json::read_json;
use csv::Csv;
use lines::Lines;
use list::List;
use seedance::Fault;
use serde_json::{Map, Value};

/// How the names of notes begin, in JSON as in the header of a table.
pub const NOTE: char = '_';

/// How the rows of a stream are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowForm {
    /// One JSON object on each line.
    JsonLines,
    /// One JSON list of objects.
    JsonList,
    /// A header line, then one request in each record.
    Csv,
}

/// One row.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Line of a file of lines, place in a list, record of a CSV with the header as 1; from 1. For people
    /// only: no row is known by it.
    pub number: u64,
    /// Bytes it was written in.
    pub bytes: u64,
    /// What stands beside the request under names that begin with [`NOTE`]: for people, and no part of it.
    pub notes: Map<String, Value>,
    /// The request, or why it is none.
    pub body: Result<Value, Fault>,
}

/// Cuts a stream into rows.
#[derive(Debug)]
pub struct RowReader {
    form: Reading,
    /// Faults that end the stream are told once.
    ended: Option<Fault>,
}

#[derive(Debug)]
enum Reading {
    Lines(Lines),
    List(List),
    Csv(Box<Csv>),
}

impl RowReader {
    /// Reads rows of up to `row_bytes_max` bytes.
    #[must_use]
    pub fn new(form: RowForm, row_bytes_max: usize) -> Self {
        let form = match form {
            RowForm::JsonLines => Reading::Lines(Lines::new(row_bytes_max)),
            RowForm::JsonList => Reading::List(List::new(row_bytes_max)),
            RowForm::Csv => Reading::Csv(Box::new(Csv::new(row_bytes_max))),
        };
        Self { form, ended: None }
    }

    /// Takes the next piece of the stream; the rows it completes are appended.
    ///
    /// # Errors
    ///
    /// Why nothing behind this place can be read. The rows before it are good.
    pub fn feed(&mut self, piece: &[u8], rows: &mut Vec<Row>) -> Result<(), Fault> {
        if let Some(fault) = &self.ended {
            return Err(fault.clone());
        }
        let fed = match &mut self.form {
            Reading::Lines(lines) => {
                lines.feed(piece, rows);
                Ok(())
            }
            Reading::List(list) => list.feed(piece, rows),
            Reading::Csv(csv) => csv.feed(piece, rows),
        };
        self.ended = fed.as_ref().err().cloned();
        fed
    }

    /// The stream is over; its last row may need no end of its own.
    ///
    /// # Errors
    ///
    /// As [`RowReader::feed`], and for a stream that breaks off.
    pub fn end(&mut self, rows: &mut Vec<Row>) -> Result<(), Fault> {
        if let Some(fault) = &self.ended {
            return Err(fault.clone());
        }
        match &mut self.form {
            Reading::Lines(lines) => {
                lines.end(rows);
                Ok(())
            }
            Reading::List(list) => list.end(),
            Reading::Csv(csv) => csv.end(rows),
        }
    }
}

/// A row out of the text of one JSON document.
fn json_row(number: u64, text: &[u8]) -> Row {
    let mut body = read_json(text).map_err(|why| {
        let fix = "write one JSON object with each key once, without line breaks inside";
        Fault::new("", codes::JSON_INVALID, format!("the row is not JSON: {why}"), fix)
    });
    let notes = body.as_mut().ok().and_then(Value::as_object_mut).map(take_notes);
    Row { number, bytes: text.len() as u64, notes: notes.unwrap_or_default(), body }
}

/// Takes the notes out of a request.
fn take_notes(body: &mut Map<String, Value>) -> Map<String, Value> {
    if !body.keys().any(|key| key.starts_with(NOTE)) {
        return Map::new();
    }
    let (notes, rest) =
        std::mem::take(body).into_iter().partition(|(key, _)| key.starts_with(NOTE));
    *body = rest;
    notes
}

fn too_long(number: u64, bytes: u64, bytes_max: usize) -> Row {
    let message = format!("the row has more than {bytes_max} bytes");
    let fix = "pass large media by URL or asset id instead of inline";
    let body = Err(Fault::new("", codes::LINE_TOO_LONG, message, fix));
    Row { number, bytes, notes: Map::new(), body }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(form: RowForm, text: &[u8], piece_bytes: usize) -> (Vec<Row>, Result<(), Fault>) {
        let mut reader = RowReader::new(form, 1 << 16);
        let mut rows = Vec::new();
        for piece in text.chunks(piece_bytes.max(1)) {
            if let Err(fault) = reader.feed(piece, &mut rows) {
                return (rows, Err(fault));
            }
        }
        let end = reader.end(&mut rows);
        (rows, end)
    }

    fn bodies(form: RowForm, text: &str) -> Vec<(u64, Option<Value>)> {
        let (rows, end) = read(form, text.as_bytes(), 7);
        end.unwrap();
        rows.into_iter().map(|row| (row.number, row.body.ok())).collect()
    }

    #[test]
    fn lines_are_counted_as_an_editor_counts_them() {
        let text = "\u{feff}{\"a\":1}\n\n  \n{broken\r\n{\"b\":2}";
        let seen = bodies(RowForm::JsonLines, text);
        let numbers: Vec<(u64, bool)> = seen.iter().map(|(n, b)| (*n, b.is_some())).collect();
        assert_eq!(numbers, [(1, true), (4, false), (5, true)]);
    }

    #[test]
    fn a_list_gives_its_items_however_it_is_cut() {
        let text = r#" [ {"a":"]},{"} , {"b":[1,{"c":"\""}]},{"a":1,"a":2}, 5 ] "#;
        let seen = bodies(RowForm::JsonList, text);
        assert_eq!(seen.len(), 4, "{seen:?}");
        assert_eq!(seen[0].1, Some(serde_json::json!({"a": "]},{"})));
        assert_eq!(seen[1].1, Some(serde_json::json!({"b": [1, {"c": "\""}]})));
        assert_eq!((seen[2].1.as_ref(), &seen[3].1), (None, &Some(Value::from(5))));
        for broken in ["", "{}", "[1", "[1,]", "[] x", "[,1]", "[1}"] {
            assert!(read(RowForm::JsonList, broken.as_bytes(), 3).1.is_err(), "{broken}");
        }
        assert_eq!(bodies(RowForm::JsonList, "[]"), []);
    }

    #[test]
    fn a_row_of_a_table_is_the_same_request() {
        let text = "\u{feff}model,prompt,duration,first_frame,metadata.order,generate_audio,priority\r\n\
                    seedance-2.0,\"a \"\"red\"\" boat,\nat dawn\",5,https://x.example/a.png,991,false,high\r\n\
                    seedance-2.0,short,,,,,\n\
                    a,b\n";
        let (rows, end) = read(RowForm::Csv, text.as_bytes(), 5);
        end.unwrap();
        let body = rows[0].body.clone().unwrap();
        assert_eq!(body["content"][0]["text"], "a \"red\" boat,\nat dawn");
        assert_eq!(body["content"][1]["role"], "first_frame");
        assert_eq!((&body["duration"], &body["generate_audio"]), (&5.into(), &false.into()));
        assert_eq!(
            (&body["metadata"]["order"], &body["priority"]),
            (&"991".into(), &"high".into())
        );
        let short = serde_json::json!({
            "model": "seedance-2.0", "content": [{"type": "text", "text": "short"}]
        });
        assert_eq!(rows[1].body, Ok(short));
        assert!(rows[2].body.as_ref().is_err_and(|fault| fault.message.contains("2 cells")));
        assert_eq!(rows.iter().map(|row| row.number).collect::<Vec<_>>(), [2, 3, 4]);
        for (header, why) in [("promt\nx\n", "prompt"), ("prompt,prompt\nx,x\n", "twice")] {
            let fault = read(RowForm::Csv, header.as_bytes(), 64).1.unwrap_err();
            assert!(format!("{fault}").contains(why), "{fault}");
        }
    }

    #[test]
    fn notes_stand_beside_a_request_and_are_no_part_of_it() {
        let lines = "{\"_job\":\"j\",\"model\":\"m\",\"_code\":5,\"metadata\":{\"_own\":\"x\"}}";
        let table = "_job,model,_code,metadata._own\nj,m,5,x\n";
        for (form, text) in [(RowForm::JsonLines, lines), (RowForm::Csv, table)] {
            let (rows, end) = read(form, text.as_bytes(), 7);
            end.unwrap();
            let body = serde_json::json!({"model": "m", "metadata": {"_own": "x"}});
            assert_eq!(rows[0].body, Ok(body), "{form:?}");
            assert_eq!(rows[0].notes["_job"], "j");
            assert_eq!(rows[0].notes.len(), 2);
        }
    }

    #[test]
    fn a_row_without_end_is_told_and_the_next_is_read() {
        let long = "x".repeat(70_000);
        for (form, text) in [
            (RowForm::JsonLines, format!("{{\"a\":\"{long}\"}}\n{{\"b\":1}}\n")),
            (RowForm::JsonList, format!("[{{\"a\":\"{long}\"}},{{\"b\":1}}]")),
            (RowForm::Csv, format!("prompt\n{long}\nb\n")),
        ] {
            let (rows, end) = read(form, text.as_bytes(), 4_096);
            end.unwrap();
            assert_eq!(rows.len(), 2, "{form:?}");
            assert_eq!(rows[0].body.as_ref().unwrap_err().code, codes::LINE_TOO_LONG);
            assert!(rows[1].body.is_ok());
        }
    }

    #[test]
    fn fuzz_rows() {
        let words =
            ["\n", "\r\n", "{}", "{\"a\":1}", "[", "]", ",", "\u{feff}", "\"", "\\", "prompt"];
        fuzz::run("rows", &words, |text| {
            let mut seen = String::new();
            for form in [RowForm::JsonLines, RowForm::JsonList, RowForm::Csv] {
                let whole = read(form, text, text.len());
                assert_eq!(whole, read(form, text, 3), "however the stream is cut");
                assert!(whole.0.is_sorted_by(|a, b| a.number < b.number));
                let bytes: u64 = whole.0.iter().map(|row| row.bytes).sum();
                assert!(bytes <= text.len() as u64 + 3);
                for row in &whole.0 {
                    let Err(fault) = &row.body else { continue };
                    assert!(!fault.message.is_empty() && !fault.fix.is_empty(), "{fault:?}");
                }
                let good = whole.0.iter().filter(|row| row.body.is_ok()).count();
                seen += &format!("{form:?} {} {} ", good.min(3), whole.1.is_ok());
            }
            seen
        });
    }
}
