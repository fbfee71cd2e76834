//! What people decided: the commit and its line in the audit, whole or not at all.
//!
//! Decisions have a list of their own, so that no flood of alarms pushes them out.

use crate::commit::Writer;
use crate::keys::DECISION_LINES_MAX;
use crate::report::Question;
use crate::{ReportError, Reported, Store, StoreError, Stored};
use job::{By, Event, JobId, Life, Policy, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Told when the record no longer shows what the person saw.
pub(crate) const CHANGED: &str = "changed since it was looked at: look again";

/// One person's decision about one job.
#[derive(Debug, Clone, Copy)]
pub struct Decided<'a> {
    /// Who.
    pub by: &'a By,
    /// By which command.
    pub verb: &'a str,
    /// Why, in the person's words.
    pub reason: &'a str,
    /// What the person was shown.
    pub evidence: &'a Value,
}

/// One line of the audit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DecisionLine {
    /// When, by the server's clock.
    #[serde(skip)]
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// By which command.
    pub verb: String,
    /// About which job.
    pub job: JobId,
    /// Why.
    pub reason: String,
    /// What the person was shown.
    pub evidence: Value,
    /// What came of it.
    pub result: String,
}

/// A decision on its way through [`Store::decide`].
pub(crate) struct Deciding<'a> {
    decided: Decided<'a>,
    still: &'a (dyn Fn(&Stored) -> bool + Sync),
}

impl Deciding<'_> {
    /// The record is as the person saw it.
    pub(crate) fn stands(&self, stored: &Stored) -> bool {
        (self.still)(stored)
    }

    /// The line that is written together with the move from `before` to `life`.
    pub(crate) fn line(&self, before: &Stored, life: &Life) -> Result<String, StoreError> {
        let words = [&before.record.life, life].map(|life| life.state.word().as_str());
        let revision = before.revision + 1;
        let result = format!("{} to {}, revision {revision}", words[0], words[1]);
        text(&line(&before.record.id, &self.decided, result))
    }
}

fn line(id: &JobId, decided: &Decided<'_>, result: String) -> DecisionLine {
    DecisionLine {
        at: Timestamp::default(),
        by: decided.by.as_str().to_owned(),
        verb: decided.verb.to_owned(),
        job: id.clone(),
        reason: decided.reason.to_owned(),
        evidence: decided.evidence.clone(),
        result,
    }
}

fn text(line: &DecisionLine) -> Result<String, StoreError> {
    StoreError::json("a decision that is", line)
}

impl Store {
    /// Takes a person's decision about a job, if the record still is as `still` wants it, and writes
    /// it down. A decision that changed nothing is written down as well.
    ///
    /// # Errors
    ///
    /// As [`Store::report`].
    pub async fn decide(
        &self,
        id: &JobId,
        event: &Event,
        policy: &Policy,
        decided: &Decided<'_>,
        still: &(dyn Fn(&Stored) -> bool + Sync),
    ) -> Result<Reported, ReportError> {
        let deciding = Deciding { decided: *decided, still };
        let question = Question { event, policy, deciding: Some(&deciding), only: None };
        let told = self.report_as(id, Writer::Outside, None, question).await;
        let result = match &told {
            Ok(Reported::Written { .. }) | Err(ReportError::Store(_)) => return told,
            Ok(Reported::Ignored { why, .. }) => format!("nothing: {why}"),
            Ok(Reported::Gone) => "nothing: there is no such job".to_owned(),
            Ok(Reported::Fenced) => "nothing: a worker holds it".to_owned(),
            Ok(Reported::Owned { task, by }) => format!("nothing: {task} belongs to {by}"),
            Err(ReportError::Contradiction(why)) => format!("nothing: {why}"),
        };
        self.note_decision(&line(id, decided, result)).await?;
        told
    }

    /// Writes down a decision about a job that moves nothing in its record, such as to make it again.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn note_deed(
        &self,
        id: &JobId,
        decided: &Decided<'_>,
        result: &str,
    ) -> Result<(), StoreError> {
        self.note_decision(&line(id, decided, result.to_owned())).await
    }

    async fn note_decision(&self, line: &DecisionLine) -> Result<(), StoreError> {
        let mut command = redis::cmd("XADD");
        command.arg(self.keys().decisions());
        command.arg(&["MAXLEN", "~", &DECISION_LINES_MAX.to_string(), "*", "line"]);
        let _: String = self.connection().ask(command.arg(text(line)?)).await?;
        Ok(())
    }

    /// The newest `n` decisions, newest first; with `since`, none older than that.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn decisions(
        &self,
        since: Option<Timestamp>,
        n: usize,
    ) -> Result<Vec<DecisionLine>, StoreError> {
        let key = self.keys().decisions();
        let from = since.map_or_else(|| "-".to_owned(), |at| at.unix_ms().max(0).to_string());
        let mut command = redis::cmd("XREVRANGE");
        command.arg(&key).arg("+").arg(from).arg("COUNT").arg(n.clamp(1, DECISION_LINES_MAX));
        let entries: Vec<(String, Vec<String>)> = self.connection().ask(&command).await?;
        let read = |(id, fields): &(String, Vec<String>)| {
            let at = id.split('-').next().and_then(|ms| ms.parse().ok());
            let text = fields.get(1).map_or("", String::as_str);
            let line: DecisionLine =
                serde_json::from_str(text).map_err(|error| StoreError::corrupt(&key, error))?;
            Ok(DecisionLine { at: Timestamp::from_unix_ms(at.unwrap_or(0)), ..line })
        };
        entries.iter().take(n).map(read).collect()
    }
}
