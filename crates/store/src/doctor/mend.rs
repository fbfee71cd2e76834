//! Cures: what to write, and what must still be so.

use super::{Drift, DriftKind};
use crate::connection::Call;
use crate::facts::{KeyTable, Place};
use crate::keys::AUDIT_LINES_MAX;
use crate::queue::{Lane, Queue};
use crate::{Store, StoreError, commit, script};
use job::Timestamp;
use serde::Serialize;

/// A read and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Still {
    command: &'static str,
    key: String,
    args: Vec<String>,
    seen: Option<String>,
}

/// A plain write.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Write {
    command: &'static str,
    key: String,
    args: Vec<String>,
}

/// What to write, and what must still be so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cure {
    id: String,
    still: Vec<Still>,
    ticket: Option<(Queue, Lane)>,
    writes: Vec<Write>,
}

fn words(args: &[&str]) -> Vec<String> {
    args.iter().map(|arg| (*arg).to_owned()).collect()
}

impl Cure {
    pub(super) fn new(id: &str) -> Self {
        Self { id: id.to_owned(), still: Vec::new(), ticket: None, writes: Vec::new() }
    }

    /// As long as the record stands at this revision; none: as long as there is no record.
    pub(super) fn while_revision(self, job: &str, revision: Option<u64>) -> Self {
        let revision = revision.map(|revision| revision.to_string());
        self.still("HGET", job, &["rev"], revision.as_deref())
    }

    pub(super) fn still(
        mut self,
        command: &'static str,
        key: &str,
        args: &[&str],
        seen: Option<&str>,
    ) -> Self {
        let (key, args, seen) = (key.to_owned(), words(args), seen.map(str::to_owned));
        self.still.push(Still { command, key, args, seen });
        self
    }

    /// A ticket, due now.
    pub(super) fn ticket(mut self, queue: Queue, lane: Lane) -> Self {
        self.ticket = Some((queue, lane));
        self
    }

    pub(super) fn write(mut self, command: &'static str, key: &str, args: &[&str]) -> Self {
        self.writes.push(Write { command, key: key.to_owned(), args: words(args) });
        self
    }
}

/// {command, key index, arguments, seen}; without `seen` the read answers nothing.
#[derive(Serialize)]
#[serde(untagged)]
enum Read<'a> {
    Seen(&'static str, usize, &'a [String], &'a str),
    Nothing(&'static str, usize, &'a [String]),
}

#[derive(Serialize)]
struct Facts<'a> {
    id: &'a str,
    still: Vec<Read<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<Place>,
    moves: Vec<(&'static str, usize, Vec<String>)>,
}

/// A line of the audit list.
#[derive(Serialize)]
struct Line<'a> {
    at: Timestamp,
    alarm: &'static str,
    by: &'a str,
    reason: String,
}

/// What a person's wish to repair led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mended {
    /// Differences that are gone: written, each with a line in the audit list.
    pub mended: u64,
    /// Differences that were gone or had changed before their turn.
    pub passed: u64,
    /// Differences for which no program knows the truth.
    pub left: u64,
}

impl Store {
    /// Repairs what a recount found, most basic kinds first, each after one more look and only if that
    /// shows it again. Tickets come back due now; sums are moved by their difference, which no commit
    /// in between changes. One at a time: take a lock first.
    ///
    /// # Errors
    ///
    /// As every call; some may be repaired.
    pub async fn mend(
        &self,
        drifts: &[Drift],
        by: &str,
        reason: &str,
    ) -> Result<Mended, StoreError> {
        let mut done = Mended::default();
        let mut order: Vec<&Drift> = drifts.iter().collect();
        order.sort_by_key(|drift| drift.kind);
        for drift in order {
            let again = self.examine(std::slice::from_ref(&drift.subject)).await?.drifts;
            let Some(now) = again.into_iter().find(|other| super::same(other, drift)) else {
                done.passed += 1;
                continue;
            };
            let Some(cure) = &now.cure else {
                done.left += 1;
                continue;
            };
            let what = format!("{}: {} instead of {}", now.what, now.found, now.expected);
            if self.write_cure(cure, now.kind, by, format!("{what}; {reason}")).await? {
                done.mended += 1;
            } else {
                done.passed += 1;
            }
        }
        Ok(done)
    }

    async fn write_cure(
        &self,
        cure: &Cure,
        kind: DriftKind,
        by: &str,
        reason: String,
    ) -> Result<bool, StoreError> {
        let at = self.now().await?;
        let mut table = KeyTable::default();
        let still = cure.still.iter().map(|still| {
            let key = table.at(still.key.clone());
            match &still.seen {
                Some(seen) => Read::Seen(still.command, key, &still.args, seen),
                None => Read::Nothing(still.command, key, &still.args),
            }
        });
        let still = still.collect();
        let to = cure
            .ticket
            .as_ref()
            .map(|(queue, lane)| Place::of(self.keys(), &mut table, *queue, lane, Some(at)));
        let mut moves: Vec<_> = cure
            .writes
            .iter()
            .map(|write| (write.command, table.at(write.key.clone()), write.args.clone()))
            .collect();
        let line = StoreError::json("a line that is", &Line { at, alarm: "repaired", by, reason })?;
        let audit = table.at(self.keys().audit());
        moves.push(("LPUSH", audit, vec![line]));
        moves.push(("LTRIM", audit, vec!["0".into(), (AUDIT_LINES_MAX - 1).to_string()]));
        let facts = StoreError::json("facts that are", &Facts { id: &cure.id, still, to, moves })?;
        let call = Call::new(&script::MEND, table.into_keys(), vec![facts]);
        let reply = self.connection().call(call).await?;
        match commit::word(&reply).as_deref() {
            Some("mended") => {
                tracing::warn!(
                    pool = self.pool(),
                    kind = kind.word(),
                    id = cure.id,
                    by,
                    "repaired"
                );
                Ok(true)
            }
            Some("changed") => Ok(false),
            Some(_) | None => Err(StoreError::reply("mend", &reply)),
        }
    }
}
