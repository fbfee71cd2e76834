//! Rows that are read here go out as lines of JSON, each on the line of its number in the file: what the gateway tells of
//! a row by its line is true of the file.

use super::refused::Refused;
use super::sending::Pass;
use crate::exit::Failure;
use crate::output::Progress;
use crate::verbs::import::{Batch, References};
use admission::Row;
use futures::Stream;
use serde_json::{Map, Value};
use std::io;
use std::time::Duration;
use tokio::sync::mpsc::{self, Receiver, Sender};

/// While files are looked at or a pipe is silent, a blank says that we are alive: a gateway waits 10 s for the next byte.
const SIGN_OF_LIFE_EVERY: Duration = Duration::from_secs(3);

/// A body that somebody writes, and where.
pub(super) fn stream() -> (Sender<Vec<u8>>, impl Stream<Item = io::Result<Vec<u8>>> + Send + 'static)
{
    let (out, pieces) = mpsc::channel(1);
    let stream = futures::stream::unfold(pieces, |mut pieces: Receiver<Vec<u8>>| async move {
        pieces.recv().await.map(|piece| (Ok(piece), pieces))
    });
    (out, stream)
}

/// Writes the body of one pass.
pub(super) struct Feeder<'a> {
    pass: &'a Pass<'a>,
    references: Option<&'a References>,
    refused: &'a mut Refused,
    progress: &'a Progress,
    out: Sender<Vec<u8>>,
    /// The line that is written on, from 1.
    line: u64,
    /// Bytes of the file read so far.
    bytes: u64,
}

impl<'a> Feeder<'a> {
    pub(super) fn of(
        pass: &'a Pass<'a>,
        references: Option<&'a References>,
        refused: &'a mut Refused,
        progress: &'a Progress,
        out: Sender<Vec<u8>>,
    ) -> Self {
        Self { pass, references, refused, progress, out, line: 1, bytes: 0 }
    }

    /// Writes all rows, or as many as the gateway wants.
    ///
    /// # Errors
    ///
    /// The rejects file cannot be written.
    pub(super) async fn feed(
        mut self,
        mut batches: Receiver<Result<Batch, String>>,
    ) -> Result<(), Failure> {
        loop {
            let batch = match self.alive(batches.recv()).await {
                None => return Ok(()),
                Some(Err(why)) => {
                    self.refused.unreadable = Some(why);
                    return Ok(());
                }
                Some(Ok(batch)) => batch,
            };
            self.bytes += batch.bytes;
            if let Some(references) = self.references {
                let meant = batch.rows.iter().filter(|row| self.pass.takes(row.number));
                let bodies = meant.filter_map(|row| Some((row.number, row.body.as_ref().ok()?)));
                self.alive(references.ask(bodies, self.bytes, self.progress)).await;
            }
            let piece = self.lines(batch.rows)?;
            // Whoever takes no more has answered, and that is told.
            if !piece.is_empty() && self.out.send(piece).await.is_err() {
                return Ok(());
            }
            self.progress.at(self.bytes, &format!("{} rows sent", self.line));
        }
    }

    /// Waits, and gives signs of life meanwhile.
    async fn alive<T>(&self, awaited: impl Future<Output = T>) -> T {
        let mut awaited = std::pin::pin!(awaited);
        loop {
            tokio::select! {
                biased;
                done = &mut awaited => return done,
                // Where there is no room, bytes are on their way, or nobody wants any.
                () = tokio::time::sleep(SIGN_OF_LIFE_EVERY) => drop(self.out.try_send(vec![b' '])),
            }
        }
    }

    fn lines(&mut self, rows: Vec<Row>) -> Result<Vec<u8>, Failure> {
        let mut piece = Vec::new();
        for Row { number, notes, body, .. } in rows {
            if !self.pass.takes(number) {
                continue;
            }
            let body = match body {
                Ok(body) => body,
                Err(fault) => {
                    self.refused.add(number, None, vec![fault])?;
                    continue;
                }
            };
            let faults = self.references.map(|known| known.faults(&body)).unwrap_or_default();
            if !faults.is_empty() {
                self.refused.add(number, body["custom_id"].as_str(), faults)?;
                continue;
            }
            while self.line < number {
                piece.push(b'\n');
                self.line += 1;
            }
            piece.extend(whole(notes, body).to_string().into_bytes());
        }
        Ok(piece)
    }
}

/// The row as it was written, with the notes beside the request.
fn whole(notes: Map<String, Value>, body: Value) -> Value {
    match body {
        Value::Object(mut object) => {
            object.extend(notes);
            Value::Object(object)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::import::Rejects;
    use admission::{RowForm, RowReader};
    use serde_json::json;
    use std::collections::BTreeSet;

    #[test]
    fn a_row_stands_on_the_line_of_its_number_with_its_notes() {
        let text = "{\"a\":1}\n\n{broken\n{\"b\":2,\"_job\":\"j\"}\n7\n{\"c\":3}\n";
        let mut rows = Vec::new();
        let mut reader = RowReader::new(RowForm::JsonLines, 1 << 10);
        reader.feed(text.as_bytes(), &mut rows).unwrap();
        reader.end(&mut rows).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let mut refused = Refused::none(Rejects::at(&dir.path().join("rejects.jsonl")).unwrap());
        let progress = Progress::begin(None, true);
        let chosen = BTreeSet::from([1, 3, 4, 5]);
        let pass = Pass::Pilot(4, &chosen);
        let written = {
            let mut feeder = Feeder::of(&pass, None, &mut refused, &progress, stream().0);
            String::from_utf8(feeder.lines(rows).unwrap()).unwrap()
        };
        let lines: Vec<&str> = written.split('\n').collect();
        assert_eq!(lines[..3], ["{\"a\":1}", "", ""]);
        let fourth: Value = serde_json::from_str(lines[3]).unwrap();
        assert_eq!(fourth, json!({"b": 2, "_job": "j"}));
        assert_eq!(lines[4..], ["7"], "what is no request, the gateway refuses");
        assert_eq!(
            (refused.rows, refused.codes(&json!({"x": 2}))),
            (1, "json-invalid 1 · x 2".to_owned())
        );
    }
}
