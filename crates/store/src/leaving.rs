//! The chores around archiving: what was begun and not ended, and tombstones that were kept for long enough.

use crate::archive::{ArchivePlace, Archived, Tombstone};
use crate::keys::{Keys, TOMB_SHARDS};
use crate::{Store, StoreError, archive_facts, commit};
use job::{JobId, Timestamp};
use redis::{Pipeline, Value};

/// Members read at once.
const PAGE: usize = 500;
/// Fields of a hash of tombstones looked at in one call.
const FIELDS_AT_ONCE: usize = 200;

/// A place in the walk over all tombstones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TombCursor {
    shard: u16,
    cursor: u64,
}

impl Store {
    /// Writes down that records are about to be written to these places: whoever dies on the way leaves an
    /// object there that nobody else knows. A place that is written down already counts from now on.
    ///
    /// # Errors
    ///
    /// As every call; safe to repeat.
    pub async fn note_leaving(
        &self,
        places: &[&ArchivePlace],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if places.is_empty() {
            return Ok(());
        }
        let mut command = redis::cmd("ZADD");
        command.arg(self.keys().leaving());
        for place in places {
            command.arg(now.unix_ms()).arg(Keys::leaving_member(place));
        }
        self.connection().ask::<i64>(&command).await.map(drop)
    }

    /// These places are in order: what lies there has its tombstone, or nothing lies there.
    ///
    /// # Errors
    ///
    /// As every call; safe to repeat.
    pub async fn note_left(&self, places: &[&ArchivePlace]) -> Result<(), StoreError> {
        if places.is_empty() {
            return Ok(());
        }
        let members: Vec<String> = places.iter().map(|place| Keys::leaving_member(place)).collect();
        let mut command = redis::cmd("ZREM");
        command.arg(self.keys().leaving()).arg(members);
        self.connection().ask::<i64>(&command).await.map(drop)
    }

    /// Places that somebody began to write to, or that records came back from, before that, and that are not in order.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn left_behind(&self, before: Timestamp) -> Result<Vec<ArchivePlace>, StoreError> {
        let key = self.keys().leaving();
        let mut command = redis::cmd("ZRANGE");
        command.arg(&key).arg("-inf").arg(before.unix_ms()).arg(&["BYSCORE", "LIMIT", "0"]);
        let members: Vec<String> = self.connection().ask(command.arg(PAGE)).await?;
        members
            .iter()
            .map(|member| {
                Keys::leaving_place(member).ok_or_else(|| StoreError::corrupt(&key, member))
            })
            .collect()
    }

    /// The next tombstones of jobs that left before that day, and where the walk goes on; none: it has ended.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn old_tombstones(
        &self,
        at: TombCursor,
        left_before: Timestamp,
    ) -> Result<(Vec<Tombstone>, Option<TombCursor>), StoreError> {
        let day = crate::facts::day_of(left_before);
        let mut command = redis::cmd("HSCAN");
        command.arg(self.keys().tombs(at.shard)).arg(at.cursor).arg("COUNT").arg(FIELDS_AT_ONCE);
        let (cursor, pairs): (u64, Vec<(String, String)>) = self.connection().ask(&command).await?;
        let mut old = Vec::new();
        for (field, text) in pairs {
            // The ways to a tombstone have longer names, and go with it.
            let Some(id) = Keys::job_of_tomb(&field) else { continue };
            match Tombstone::read(&id, &text) {
                Ok(tomb) if tomb.left_on < day => old.push(tomb),
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "a tombstone stays"),
            }
        }
        let next = match cursor {
            0 => TombCursor { shard: at.shard + 1, cursor: 0 },
            cursor => TombCursor { cursor, ..at },
        };
        Ok((old, (next.shard < TOMB_SHARDS).then_some(next)))
    }

    /// Takes a tombstone away, with all that leads to it: from here on an equal request is a new job. Tells
    /// whether it was this one's turn. Its intents must be gone.
    ///
    /// # Errors
    ///
    /// As every call; safe to repeat.
    pub async fn lapse(&self, tomb: &Tombstone, archived: &Archived) -> Result<bool, StoreError> {
        let call = archive_facts::lapse(self.keys(), tomb, archived)?;
        let reply = self.connection().call(call).await?;
        match commit::word(&reply).as_deref() {
            Some("lapsed") => Ok(true),
            Some("changed") => Ok(false),
            Some(_) | None => Err(StoreError::reply("lapse", &reply)),
        }
    }

    /// The revisions of records that are in Redis, in the order asked for.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn revisions_here(&self, ids: &[JobId]) -> Result<Vec<Option<u64>>, StoreError> {
        let mut pipe = Pipeline::with_capacity(ids.len());
        for id in ids {
            pipe.cmd("HGET").arg(self.keys().job(id)).arg("rev");
        }
        let answers = self.connection().pipe(&mut pipe).await?;
        let read = |answer: Value| redis::from_redis_value::<Option<u64>>(answer);
        let read = |answer| read(answer).map_err(|error| StoreError::Bug(error.to_string()));
        answers.into_iter().map(read).collect()
    }

    /// Where the record of a job lies that came back from there; it is old by now.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn came_from(&self, id: &JobId) -> Result<Option<ArchivePlace>, StoreError> {
        let mut command = redis::cmd("HGET");
        command.arg(self.keys().job(id)).arg("left");
        let member: Option<String> = self.connection().ask(&command).await?;
        let read = |member: String| {
            Keys::leaving_place(&member).ok_or_else(|| StoreError::corrupt(id.as_str(), member))
        };
        member.map(read).transpose()
    }
}
