//! What may be changed of a job that waits: its order among the tenant's jobs, and until when it is worth buying.
//!
//! Neither is part of what the provider is asked, nor of the request's identity. A job that has begun stays as it is.

use crate::batches::Batch;
use crate::connection::Call;
use crate::facts::{self, KeyTable, Line, Move, Moves, Place};
use crate::queue::Lane;
use crate::report::DECIDE_MAX;
use crate::{Store, StoreError, Stored, commit, script};
use futures::future::join_all;
use job::{By, JobId, Note, Priority, Record, StateWord, Timestamp};
use redis::{Pipeline, Value};
use serde::Serialize;

/// Jobs changed at a time.
const EDITS_AT_ONCE: usize = 16;

/// What is to be changed; what is left out stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JobEdit {
    /// Order inside the tenant.
    pub priority: Option<Priority>,
    /// After which instant it is not worth buying; inner none: always.
    pub useful_until: Option<Option<Timestamp>>,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edited {
    /// It is changed.
    Done,
    /// It was so already.
    Same,
    /// It has begun, or ended: it stays as it is.
    Begun,
    /// There is no such job.
    Gone,
}

/// Jobs by what became of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EditCount {
    /// Changed, or of those only counted: they wait.
    pub changed: u64,
    /// So already.
    pub same: u64,
    /// Begun or ended: they stay.
    pub begun: u64,
}

impl EditCount {
    /// Both together.
    #[must_use]
    pub const fn and(self, more: Self) -> Self {
        Self {
            changed: self.changed + more.changed,
            same: self.same + more.same,
            begun: self.begun + more.begun,
        }
    }

    /// Which of these would be changed.
    #[must_use]
    pub fn of(jobs: &[Stored]) -> Self {
        let waits = jobs.iter().filter(|job| JobEdit::waits(job)).count() as u64;
        Self { changed: waits, same: 0, begun: jobs.len() as u64 - waits }
    }
}

#[derive(Serialize)]
struct Facts<'a> {
    id: &'a JobId,
    rev: String,
    by: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<Place>,
    moves: Vec<Move>,
}

impl JobEdit {
    /// The states of jobs that wait.
    pub const WAITING: [StateWord; 2] = [StateWord::Queued, StateWord::Held];

    /// In words.
    #[must_use]
    pub fn words(&self) -> String {
        let priority = self.priority.map(|priority| format!("priority={}", priority.word()));
        let until = self.useful_until.map(|until| match until {
            Some(until) => format!("useful_until={}", until.rfc3339()),
            None => "useful_until=none".to_owned(),
        });
        priority.into_iter().chain(until).collect::<Vec<_>>().join(" ")
    }

    fn waits(stored: &Stored) -> bool {
        Self::WAITING.contains(&stored.record.life.state.word())
    }

    fn of(&self, record: &Record) -> Record {
        let mut new = record.clone();
        new.spec.priority = self.priority.unwrap_or(new.spec.priority);
        new.spec.useful_until = self.useful_until.unwrap_or(new.spec.useful_until);
        new
    }
}

impl Store {
    /// Changes a job that waits, with a line in its timeline; its ticket moves to the lane it belongs to from then on, and
    /// keeps its place in time. A job that a submitter has in hand counts as begun.
    ///
    /// # Errors
    ///
    /// As every call; safe to repeat.
    pub async fn edit_waiting(
        &self,
        id: &JobId,
        edit: &JobEdit,
        by: &By,
        reason: &str,
    ) -> Result<Edited, StoreError> {
        let token = ulid::Ulid::generate().to_string();
        for _ in 0..DECIDE_MAX {
            let Some(stored) = self.load(id).await? else { return Ok(Edited::Gone) };
            if !JobEdit::waits(&stored) || stored.archived {
                return Ok(Edited::Begun);
            }
            let new = edit.of(&stored.record);
            if new == stored.record {
                return Ok(Edited::Same);
            }
            let what = format!("{} by {}: {reason}", edit.words(), by.as_str());
            let reply =
                self.connection().call(self.edit_call(&stored, &new, &token, what)?).await?;
            let Value::Array(parts) = &reply else { return Err(StoreError::reply("edit", &reply)) };
            match parts.first().and_then(commit::word).as_deref() {
                Some("edited") => return Ok(Edited::Done),
                Some("busy") => return Ok(Edited::Begun),
                Some("gone") => return Ok(Edited::Gone),
                Some("stale") => {}
                _ => return Err(StoreError::reply("edit", &reply)),
            }
        }
        let cause = format!("{id} changed {DECIDE_MAX} times while it was edited");
        Err(StoreError::Refused { cause })
    }

    /// Changes those of some jobs that wait, a few at a time, each whole or not at all.
    ///
    /// # Errors
    ///
    /// As every call; some may be changed then, and it is safe to repeat.
    pub async fn edit_all(
        &self,
        jobs: &[Stored],
        edit: &JobEdit,
        by: &By,
        reason: &str,
    ) -> Result<EditCount, StoreError> {
        let waiting: Vec<&Stored> = jobs.iter().filter(|job| JobEdit::waits(job)).collect();
        let begun = (jobs.len() - waiting.len()) as u64;
        let mut count = EditCount { begun, ..EditCount::default() };
        for some in waiting.chunks(EDITS_AT_ONCE) {
            let each = some.iter().map(|job| self.edit_waiting(&job.record.id, edit, by, reason));
            for edited in join_all(each).await {
                match edited? {
                    Edited::Done => count.changed += 1,
                    Edited::Same => count.same += 1,
                    Edited::Begun | Edited::Gone => count.begun += 1,
                }
            }
        }
        Ok(count)
    }

    /// A line in the audit: that jobs of a batch are about to be changed.
    ///
    /// # Errors
    ///
    /// As every call; repeated, it stands there twice.
    pub async fn note_edit(
        &self,
        batch: &Batch,
        edit: &JobEdit,
        filter: &str,
        by: &By,
        reason: &str,
    ) -> Result<(), StoreError> {
        let at = self.now().await?;
        let said = format!("{} of {filter} in {}: {reason}", edit.words(), batch.name);
        let mut pipe = Pipeline::new();
        for (command, key, args) in self.audited(at, "edited", by.as_str(), &said) {
            pipe.cmd(command).arg(key).arg(args);
        }
        self.connection().pipe(&mut pipe).await.map(drop)
    }

    fn edit_call(
        &self,
        stored: &Stored,
        new: &Record,
        token: &str,
        what: String,
    ) -> Result<Call, StoreError> {
        let (keys, old) = (self.keys(), &stored.record);
        let mut table = KeyTable::default();
        table.at(keys.job(&old.id));
        let queue = facts::queue_of(old);
        let from = queue.map(|queue| table.at(facts::due_key(keys, queue, &Lane::of(old))));
        let to = queue.map(|queue| Place::of(keys, &mut table, queue, &Lane::of(new), None));
        let word = old.life.state.word();
        let note = Note { what, from: word, to: word };
        let mut moves = Moves::new(keys, &mut table, new);
        let rev = stored.revision + 1;
        moves.line(&Line { at: stored.now, rev, by: "outside", note: &note });
        let moves = moves.into_writes().plain(new);
        let (spec, _) =
            new.to_parts().map_err(|why| StoreError::Bug(format!("{}: {why}", old.id)))?;
        let facts =
            Facts { id: &old.id, rev: stored.revision.to_string(), by: token, from, to, moves };
        let facts = StoreError::json("facts that are", &facts)?;
        Ok(Call::new(&script::EDIT, table.into_keys(), vec![facts, spec]))
    }
}
