//! What became of each of many jobs, and the one exit code that says it all.

use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Form, Row, Rows};
use job::JobId;
use serde_json::json;
use store::Reported;

/// Answers, one row a job.
pub(crate) struct Tally {
    rows: Rows,
    done: u64,
    refused: u64,
}

/// What one job's machine answered.
pub(crate) struct Told {
    /// The public state word, or `gone`.
    pub(crate) state: &'static str,
    /// In words.
    pub(crate) answer: String,
    /// It stands as it was asked for.
    pub(crate) done: bool,
}

impl Told {
    /// The usual reading of a report; `done` are the words for a move.
    ///
    /// # Errors
    ///
    /// An answer that only a worker can get.
    pub(crate) fn of(id: &JobId, reported: &Reported, done: &str) -> Result<Self, Failure> {
        Ok(match reported {
            Reported::Written { stored, .. } => Self {
                state: stored.record.life.state.word().as_str(),
                answer: done.to_owned(),
                done: true,
            },
            Reported::Ignored { why, stored } => Self {
                state: stored.record.life.state.word().as_str(),
                answer: (*why).to_owned(),
                done: false,
            },
            Reported::Gone => {
                Self { state: "gone", answer: "there is no such job".to_owned(), done: false }
            }
            Reported::Fenced | Reported::Owned { .. } => return Err(strange(id)),
        })
    }
}

/// The store answered a person as it answers a worker.
pub(crate) fn strange(id: &JobId) -> Failure {
    Failure::new(Exit::Failed, format!("{id}: the store gave a worker's answer"))
}

impl Tally {
    pub(crate) fn new(form: &Form) -> Self {
        Self { rows: Rows::new(form, &["job", "state", "answer"]), done: 0, refused: 0 }
    }

    /// Adds one job.
    ///
    /// # Errors
    ///
    /// Standard output is closed.
    pub(crate) fn add(&mut self, id: &JobId, told: &Told) -> Result<(), Failure> {
        if told.done {
            self.done += 1;
        } else {
            self.refused += 1;
        }
        let mut row = Row::new();
        row.insert("job".into(), json!(id));
        row.insert("state".into(), json!(told.state));
        row.insert("answer".into(), json!(told.answer));
        self.rows.add(row)
    }

    /// Closes the page and tells how it went: all, some or none.
    pub(crate) fn end(self) -> Outcome {
        self.rows.end()?;
        Ok(exit_of(self.done, self.refused))
    }
}

fn exit_of(done: u64, refused: u64) -> Exit {
    match (done, refused) {
        (_, 0) => Exit::Done,
        (0, _) => Exit::Conflict,
        (_, _) => Exit::Partial,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_tells_whether_all_some_or_none_was_done() {
        assert_eq!(exit_of(2, 0), Exit::Done);
        assert_eq!(exit_of(0, 0), Exit::Done);
        assert_eq!(exit_of(1, 1), Exit::Partial);
        assert_eq!(exit_of(0, 3), Exit::Conflict);
    }
}
