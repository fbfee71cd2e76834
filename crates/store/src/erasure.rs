//! What must go: a request's content, and the wishes to erase with their receipts.
//!
//! The state of a job changes through the machine alone; what follows here rewrites what the machine
//! never reads: the request, written once at admission, and the words of the timeline.

use crate::connection::Call;
use crate::facts::{KeyTable, Move, Moves};
use crate::keys::AUDIT_LINES_MAX;
use crate::{Store, StoreError, Stored, commit, script};
use job::{ERASED, ErasureId, JobId, Timestamp};
use redis::Value;
use serde::Serialize;
use std::time::Duration;

/// Looks at one job before its rivals are a fault and not traffic.
const ROUNDS_MAX: usize = 16;
/// Members of an index read at once.
pub const MEMBERS_MAX: usize = 500;

/// What became of a request's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forgotten {
    /// It is gone; so many lines of the timeline have lost their words.
    Done {
        /// Lines.
        lines: u64,
    },
    /// It was gone before.
    Before,
    /// No such job.
    NoJob,
}

/// A place in an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Which job.
    pub id: JobId,
    /// Its score, Unix milliseconds.
    pub at: Timestamp,
}

#[derive(Serialize)]
struct Facts<'a> {
    rev: String,
    by: &'a str,
    lines: Vec<String>,
    moves: Vec<Move>,
}

/// A line of a timeline without its words.
#[derive(Serialize)]
struct Line<'a> {
    at: Timestamp,
    rev: u64,
    by: &'a str,
    what: &'a str,
    from: &'a str,
    to: &'a str,
}

impl Store {
    /// Writes the request of an erased job anew without its content, with its timeline, and takes it out
    /// of the indexes that lead to the content. Its objects must be gone: from here on nobody knows them.
    ///
    /// Safe to repeat.
    ///
    /// # Errors
    ///
    /// As every call. [`StoreError::Bug`] for a job that is not marked as erased.
    pub async fn forget(&self, id: &JobId) -> Result<Forgotten, StoreError> {
        let token = ulid::Ulid::generate().to_string();
        for _ in 0..ROUNDS_MAX {
            let Some(stored) = self.load(id).await? else { return Ok(Forgotten::NoJob) };
            if stored.record.life.erased.is_none() {
                return Err(StoreError::Bug(format!("{id} is not marked as erased")));
            }
            if stored.record.spec == stored.record.spec.without_content() {
                return Ok(Forgotten::Before);
            }
            let (call, lines) = self.forget_call(&stored, &token).await?;
            let reply = self.connection().call(call).await?;
            let Value::Array(parts) = &reply else {
                return Err(StoreError::reply("forget", &reply));
            };
            match parts.first().and_then(commit::word).as_deref() {
                Some("forgotten") => return Ok(Forgotten::Done { lines }),
                Some("gone") => return Ok(Forgotten::NoJob),
                Some("stale") => {}
                Some(_) | None => return Err(StoreError::reply("forget", &reply)),
            }
        }
        Err(StoreError::Refused { cause: format!("{id} never stood still") })
    }

    async fn forget_call(&self, stored: &Stored, token: &str) -> Result<(Call, u64), StoreError> {
        let (keys, record) = (self.keys(), &stored.record);
        let mut bare = record.clone();
        bare.spec = record.spec.without_content();
        let (spec, _) =
            bare.to_parts().map_err(|error| StoreError::corrupt(record.id.as_str(), error))?;
        let lines = self.timeline(&record.id).await?;
        let lines: Vec<String> = lines
            .iter()
            .map(|line| {
                let (from, to) = (line.from.as_str(), line.to.as_str());
                let bare =
                    Line { at: line.at, rev: line.rev, by: &line.by, what: ERASED, from, to };
                serde_json::to_string(&bare)
            })
            .collect::<Result<_, _>>()
            .map_err(|error| StoreError::Bug(format!("a line that is no JSON: {error}")))?;
        let count = lines.len() as u64;
        let mut table = KeyTable::default();
        table.at(keys.job(&record.id));
        table.at(keys.timeline(&record.id));
        let mut moves = Moves::new(keys, &mut table, record);
        moves.forgotten();
        let moves = moves.into_list();
        let rev = stored.revision.to_string();
        let facts = serde_json::to_string(&Facts { rev, by: token, lines, moves })
            .map_err(|error| StoreError::Bug(format!("facts that are no JSON: {error}")))?;
        Ok((Call::new(&script::FORGET, table.into_keys(), vec![facts, spec]), count))
    }

    /// Strikes a job off the list of those that need an inline medium, and tells whether any is left. Of
    /// jobs that leave at the same time at least one hears that it was the last, also when it asks again.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn leave_medium(
        &self,
        tenant: &str,
        sha256: &str,
        id: &JobId,
    ) -> Result<bool, StoreError> {
        let key = self.keys().ix_media(tenant, sha256);
        let mut pipe = redis::Pipeline::new();
        pipe.cmd("ZREM").arg(&key).arg(id.as_str());
        pipe.cmd("ZCARD").arg(&key);
        let answers = self.connection().pipe(&mut pipe).await?;
        let left = answers.last().and_then(commit::integer);
        left.map(|left| left > 0).ok_or_else(|| StoreError::Bug(format!("ZCARD said {answers:?}")))
    }

    /// Up to [`MEMBERS_MAX`] jobs of an index behind `after`, oldest first, none younger than `until`.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn members(
        &self,
        index: &str,
        after: Option<&Member>,
        until: Option<Timestamp>,
    ) -> Result<Vec<Member>, StoreError> {
        let from = after.map_or_else(|| "-inf".to_owned(), |after| after.at.unix_ms().to_string());
        let top = until.map_or_else(|| "+inf".to_owned(), |at| at.unix_ms().to_string());
        let (mut offset, mut members) = (0, Vec::new());
        loop {
            let mut command = redis::cmd("ZRANGE");
            command.arg(index).arg(&from).arg(&top).arg("BYSCORE");
            command.arg("LIMIT").arg(offset).arg(MEMBERS_MAX).arg("WITHSCORES");
            let got: Vec<(String, f64)> = self.connection().ask(&command).await?;
            let end = got.len() < MEMBERS_MAX;
            offset += got.len();
            for (id, score) in got {
                let id = JobId::parse(&id).map_err(|e| StoreError::corrupt(index, e))?;
                // Scores are whole milliseconds below 2^53.
                let at = Timestamp::from_unix_ms(score as i64);
                let seen = after.is_some_and(|after| at == after.at && id <= after.id);
                if !seen {
                    members.push(Member { id, at });
                }
            }
            if end || !members.is_empty() {
                return Ok(members);
            }
        }
    }

    /// Tenants with ended jobs, up to [`MEMBERS_MAX`] of them behind `after`, by name.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn kept_tenants(&self, after: Option<&str>) -> Result<Vec<String>, StoreError> {
        let from = after.map_or_else(|| "-".to_owned(), |after| format!("({after}"));
        let mut command = redis::cmd("ZRANGE");
        command.arg(self.keys().kept()).arg(from).arg("+").arg("BYLEX");
        command.arg("LIMIT").arg(0).arg(MEMBERS_MAX);
        self.connection().ask(&command).await
    }

    /// Writes an erasure down and when its next turn is; `None`: it is fulfilled.
    ///
    /// # Errors
    ///
    /// As every call; safe to repeat.
    pub async fn save_erasure(
        &self,
        id: &ErasureId,
        text: &str,
        due: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let (key, open) = (self.keys().erasure(id), self.keys().erasures());
        let mut pipe = redis::Pipeline::new();
        // The turn before the wish, and the receipt before its end: a crash in between leaves a turn too
        // many, which costs a look, and never a promise that nobody comes to.
        if let Some(at) = due {
            pipe.cmd("ZADD").arg(&open).arg(at.unix_ms()).arg(id.as_str());
        }
        pipe.cmd("SET").arg(&key).arg(text);
        if due.is_none() {
            pipe.cmd("ZREM").arg(&open).arg(id.as_str());
        }
        self.connection().pipe(&mut pipe).await.map(drop)
    }

    /// Takes a turn away that no wish belongs to.
    ///
    /// # Errors
    ///
    /// As every call; safe to repeat.
    pub async fn drop_erasure(&self, id: &ErasureId) -> Result<(), StoreError> {
        let mut command = redis::cmd("ZREM");
        command.arg(self.keys().erasures()).arg(id.as_str());
        let _: i64 = self.connection().ask(&command).await?;
        Ok(())
    }

    /// An erasure as it was written down.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn erasure(&self, id: &ErasureId) -> Result<Option<String>, StoreError> {
        self.connection().ask(redis::cmd("GET").arg(self.keys().erasure(id))).await
    }

    /// Erasures whose turn has come, longest waiting first; at most `n`.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn due_erasures(&self, n: usize) -> Result<Vec<ErasureId>, StoreError> {
        let key = self.keys().erasures();
        let now = self.now().await?;
        let mut command = redis::cmd("ZRANGE");
        command.arg(&key).arg("-inf").arg(now.unix_ms()).arg("BYSCORE");
        let ids: Vec<String> = self.connection().ask(command.arg("LIMIT").arg(0).arg(n)).await?;
        let read = |id: &String| ErasureId::parse(id).map_err(|e| StoreError::corrupt(&key, e));
        ids.iter().map(read).collect()
    }

    /// One line of the audit about the pool as a whole.
    ///
    /// # Errors
    ///
    /// As every call; a repeat leaves a second line.
    pub async fn note_pool(&self, what: &str, by: &str, reason: &str) -> Result<(), StoreError> {
        #[derive(Serialize)]
        struct Line<'a> {
            at: Timestamp,
            alarm: &'a str,
            by: &'a str,
            reason: &'a str,
        }
        let line = Line { at: self.now().await?, alarm: what, by, reason };
        let text = serde_json::to_string(&line)
            .map_err(|error| StoreError::Bug(format!("a line that is no JSON: {error}")))?;
        let key = self.keys().audit();
        let mut pipe = redis::Pipeline::new();
        pipe.cmd("LPUSH").arg(&key).arg(text);
        pipe.cmd("LTRIM").arg(&key).arg(0).arg(AUDIT_LINES_MAX - 1);
        self.connection().pipe(&mut pipe).await.map(drop)
    }

    /// Takes the next turn of an erasure for `ttl`; `true` while this process has it.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn lock_erasure(&self, id: &ErasureId, ttl: Duration) -> Result<bool, StoreError> {
        self.lock(id.as_str(), ttl).await
    }
}
