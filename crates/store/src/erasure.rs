//! What must go: a request's content, and the ways that lead to it.
//!
//! The state of a job changes through the machine alone; what follows here rewrites what the machine
//! never reads: the request, written once at admission, and the words of the timeline.

use crate::connection::Call;
use crate::facts::{KeyTable, Move, Moves};
use crate::lease::instant;
use crate::{Endpoint, Store, StoreError, Stored, commit, script};
use job::{ERASED, ErasureId, JobId, Timestamp, Webhook};
use redis::Value;
use serde::Serialize;

/// Looks at one job before its rivals are a fault and not traffic.
const ROUNDS_MAX: usize = 16;
/// Members of an index read at once.
pub const MEMBERS_MAX: usize = 500;

/// What became of a request's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forgotten {
    /// It is gone, and counted.
    Done,
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
    /// of the indexes that lead to the content; `erasure` counts it. Its objects must be gone: from here on
    /// nobody knows them.
    ///
    /// Safe to repeat: it is counted once.
    ///
    /// # Errors
    ///
    /// As every call. [`StoreError::Bug`] for a job that is not marked as erased.
    pub async fn forget(&self, id: &JobId, erasure: &ErasureId) -> Result<Forgotten, StoreError> {
        let token = ulid::Ulid::generate().to_string();
        for _ in 0..ROUNDS_MAX {
            let Some(stored) = self.load(id).await? else { return Ok(Forgotten::NoJob) };
            if stored.record.life.erased.is_none() {
                return Err(StoreError::Bug(format!("{id} is not marked as erased")));
            }
            if stored.record.spec.erased {
                return Ok(Forgotten::Before);
            }
            let call = self.forget_call(&stored, &token, erasure).await?;
            let reply = self.connection().call(call).await?;
            let Value::Array(parts) = &reply else {
                return Err(StoreError::reply("forget", &reply));
            };
            match parts.first().and_then(commit::word).as_deref() {
                Some("forgotten") => return Ok(Forgotten::Done),
                Some("gone") => return Ok(Forgotten::NoJob),
                Some("stale") => {}
                Some(_) | None => return Err(StoreError::reply("forget", &reply)),
            }
        }
        Err(StoreError::Refused { cause: format!("{id} never stood still") })
    }

    async fn forget_call(
        &self,
        stored: &Stored,
        token: &str,
        erasure: &ErasureId,
    ) -> Result<Call, StoreError> {
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
                StoreError::json("a line that is", &bare)
            })
            .collect::<Result<_, _>>()?;
        let mut table = KeyTable::default();
        table.at(keys.job(&record.id));
        table.at(keys.timeline(&record.id));
        table.at(keys.erased(erasure));
        let mut moves = Moves::new(keys, &mut table, record);
        moves.forgotten();
        let moves = moves.into_writes().plain(record);
        let rev = stored.revision.to_string();
        let facts = StoreError::json("facts that are", &Facts { rev, by: token, lines, moves })?;
        Ok(Call::new(&script::FORGET, table.into_keys(), vec![facts, spec]))
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
                let at = instant(score);
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

    /// Forgets the address that a job brought with it, as soon as nothing waits to be told there; what does
    /// wait takes it along within a week. A later job that names the address brings it anew.
    ///
    /// # Errors
    ///
    /// As every call; safe to repeat.
    pub async fn leave_hook(&self, tenant: &str, hook: &Webhook) -> Result<(), StoreError> {
        let id = Endpoint::own_id(tenant, &hook.url, hook.secret_ref.as_deref());
        self.rest_endpoint(&id, tenant).await.map(drop)
    }

    /// Forgets the refused rows of all of a tenant's batches; tells how many.
    ///
    /// # Errors
    ///
    /// As every call; safe to repeat, and what was forgotten by then is not told again.
    pub async fn drop_rejects(&self, tenant: &str) -> Result<u64, StoreError> {
        let (keys, index) = (self.keys(), self.keys().rejects_of(tenant));
        let mut rows = 0;
        loop {
            let mut command = redis::cmd("ZRANGE");
            command.arg(&index).arg(0).arg(MEMBERS_MAX - 1);
            let batches: Vec<String> = self.connection().ask(&command).await?;
            if batches.is_empty() {
                return Ok(rows);
            }
            let mut pipe = redis::Pipeline::new();
            for batch in &batches {
                pipe.cmd("HLEN").arg(keys.rejects(tenant, batch));
            }
            for batch in &batches {
                pipe.cmd("UNLINK").arg(keys.rejects(tenant, batch));
            }
            pipe.cmd("ZREM").arg(&index).arg(&batches);
            let answers = self.connection().pipe(&mut pipe).await?;
            let lengths = answers.iter().take(batches.len()).filter_map(commit::integer);
            rows += lengths.filter_map(|n| u64::try_from(n).ok()).sum::<u64>();
        }
    }
}
