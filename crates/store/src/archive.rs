//! Records that leave Redis for the bucket, and come back when something about them is to change.
//!
//! What stays is a tombstone, and the ways to it from request, caller's key and task: small fields of few
//! hashes. Reads go on through it to the bucket, by way of a [`Shelf`] that the process has opened; counters
//! and sums stay as they are, and how much of them is of archived jobs is counted beside them.

use crate::archive_facts::{self, Facts, Sorting};
use crate::commit::word;
use crate::connection::Call;
use crate::facts::day_of;
use crate::keys::Keys;
use crate::stored::Found;
use crate::{Idempotency, Store, StoreError, Stored, TimelineLine, script};
use job::{JobId, Record, State, StateWord, TaskId, Timestamp};
use redis::{Pipeline, Value};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::pin::Pin;

/// Version of the archived form. A binary reads this one and those before.
pub const ARCHIVE_VERSION: u32 = 1;
/// Looks at one job that comes and goes while it is looked at.
const ROUNDS_MAX: usize = 8;
/// Records read from the bucket at once.
const FETCHES_AT_ONCE: usize = 16;

/// Where the record of a job lies that has left Redis.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ArchivePlace {
    /// Whose.
    pub tenant: String,
    /// Which job.
    pub job: JobId,
    /// When it ended.
    pub ended_at: Timestamp,
    /// Of the record: what lies there never changes.
    pub revision: u64,
    /// Its content was erased.
    pub bare: bool,
}

/// A record as it lies in the bucket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Archived {
    /// See [`ARCHIVE_VERSION`].
    pub version: u32,
    /// Of the record.
    pub revision: u64,
    /// The caller's own key, if it sent one with the request that made the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency: Option<Idempotency>,
    /// The record.
    pub record: Record,
    /// Its timeline, newest first.
    pub timeline: Vec<TimelineLine>,
    /// See [`Stored::hint`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<TaskId>,
}

/// A record that is about to leave, as it will lie in the bucket.
#[derive(Debug, Clone, PartialEq)]
pub struct Packed {
    /// Where.
    pub place: ArchivePlace,
    /// What.
    pub archived: Archived,
}

/// What is left in Redis of an archived job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tombstone {
    /// Where the record lies.
    pub place: ArchivePlace,
    /// How it ended.
    pub word: StateWord,
    /// The UTC day on which it left, counted from 1970.
    pub left_on: i64,
    pub(crate) text: String,
}

/// What became of a wish to leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// The tombstone stands, the record is out of Redis.
    Now,
    /// That was so before.
    Before,
    /// It has changed since it was written to the bucket, or somebody works on it: not now.
    NotNow,
    /// No such job.
    NoJob,
}

/// What comes of a read of the bucket.
pub type Fetch<'a> =
    Pin<Box<dyn Future<Output = Result<Option<Archived>, StoreError>> + Send + 'a>>;

/// The bucket, as far as this room asks for it.
pub trait Shelf: Send + Sync + std::fmt::Debug {
    /// Reads a record back; none where nothing lies.
    fn fetch<'a>(&'a self, pool: &'a str, place: &'a ArchivePlace) -> Fetch<'a>;
}

impl ArchivePlace {
    /// Where the record of an ended job lies once it has left; none for one that has not ended.
    #[must_use]
    pub fn of(record: &Record, revision: u64) -> Option<Self> {
        let State::Finished { at, .. } = &record.life.state else { return None };
        Some(Self {
            tenant: record.spec.tenant.clone(),
            job: record.id.clone(),
            ended_at: *at,
            revision,
            bare: record.spec.erased,
        })
    }
}

impl Tombstone {
    pub(crate) fn of(place: &ArchivePlace, word: StateWord, now: Timestamp) -> Self {
        let (kind, ended) = (archive_facts::kind(place), place.ended_at.unix_ms());
        let left_on = day_of(now);
        let text = format!("{left_on} {} {kind} {ended} {}", word.as_str(), place.tenant);
        Self { place: place.clone(), word, left_on, text }
    }

    pub(crate) fn read(job: &JobId, text: &str) -> Result<Self, StoreError> {
        let parts: Vec<&str> = text.splitn(5, ' ').collect();
        let read = || {
            let [left_on, word, kind, ended, tenant] = parts.as_slice() else { return None };
            let ended_at = Timestamp::from_unix_ms(ended.parse().ok()?);
            let (bare, revision) = archive_facts::read_kind(kind)?;
            let (tenant, job) = ((*tenant).to_owned(), job.clone());
            let place = ArchivePlace { tenant, job, ended_at, revision, bare };
            let (word, left_on) = (StateWord::parse(word)?, left_on.parse().ok()?);
            Some(Self { place, word, left_on, text: text.to_owned() })
        };
        read().ok_or_else(|| StoreError::corrupt(job.as_str(), format!("its tombstone: {text}")))
    }
}

impl Archived {
    fn into_stored(self, now: Timestamp) -> Stored {
        let Self { record, revision, hint, .. } = self;
        Stored { record, revision, hint, archived: true, now }
    }
}

impl Store {
    /// The same store, reading records that have left Redis from this shelf.
    #[must_use]
    pub fn with_shelf(mut self, shelf: std::sync::Arc<dyn Shelf>) -> Self {
        self.shelf = Some(shelf);
        self
    }

    /// The records that are in Redis, of those asked for; what cannot be read is left out.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn load_here(&self, ids: &[JobId]) -> Result<Vec<Stored>, StoreError> {
        let found = self.find_many(ids).await?.1;
        let here = found.into_iter().filter_map(|found| match found {
            Found::Stored(stored) => Some(*stored),
            Found::Missing | Found::Unreadable(_) => None,
        });
        Ok(here.collect())
    }

    /// The tombstones of jobs, in the order asked for.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn tombstones(&self, ids: &[JobId]) -> Result<Vec<Option<Tombstone>>, StoreError> {
        let mut pipe = Pipeline::with_capacity(ids.len());
        for id in ids {
            let at = self.keys().tomb(id);
            pipe.cmd("HGET").arg(at.key).arg(at.field);
        }
        let answers = self.connection().pipe(&mut pipe).await?;
        let read = |(id, answer): (&JobId, &Value)| match answer {
            Value::Nil => Ok(None),
            other => word(other)
                .ok_or_else(|| StoreError::reply("HGET", other))
                .and_then(|text| Tombstone::read(id, &text).map(Some)),
        };
        ids.iter().zip(&answers).map(read).collect()
    }

    /// A record that has left Redis, with its tombstone; none where there is no tombstone.
    ///
    /// # Errors
    ///
    /// As every call. [`StoreError::Corrupt`] for a record that is not where its tombstone says.
    pub async fn archived(&self, id: &JobId) -> Result<Option<(Tombstone, Archived)>, StoreError> {
        let mut seen: Option<Tombstone> = None;
        for _ in 0..ROUNDS_MAX {
            let tomb = self.tombstones(std::slice::from_ref(id)).await?.pop().flatten();
            let Some(tomb) = tomb else { return Ok(None) };
            let Some(shelf) = &self.shelf else {
                let cause = format!("{id} lies in the bucket, which this process has not opened");
                return Err(StoreError::Refused { cause });
            };
            if let Some(archived) = shelf.fetch(self.pool(), &tomb.place).await? {
                return Ok(Some((tomb, archived)));
            }
            if seen.as_ref() == Some(&tomb) {
                let why = "its record has left Redis, and does not lie in the bucket";
                return Err(StoreError::corrupt(id.as_str(), why));
            }
            // It came back and left again just now, perhaps without its content.
            seen = Some(tomb);
        }
        Err(StoreError::Refused { cause: format!("{id} never stood still") })
    }

    /// What [`Store::load_many`] has not found in Redis.
    pub(crate) async fn load_archived(
        &self,
        ids: &[JobId],
        now: Timestamp,
    ) -> Result<BTreeMap<JobId, Result<Stored, StoreError>>, StoreError> {
        use futures::{FutureExt, StreamExt};
        let tombs = self.tombstones(ids).await?;
        let (buried, unsure): (Vec<_>, Vec<_>) =
            ids.iter().cloned().zip(tombs).partition(|(_, tomb)| tomb.is_some());
        let mut reads = Vec::with_capacity(buried.len());
        for (id, _) in buried {
            let read = async move {
                let read = self.archived(&id).await;
                (id, read.map(|found| found.map(|(_, archived)| archived.into_stored(now))))
            };
            reads.push(read.boxed());
        }
        let mut reads = futures::stream::iter(reads).buffer_unordered(FETCHES_AT_ONCE);
        let mut found = BTreeMap::new();
        // Without a tombstone now, and without a record before: it may have come back in between.
        let mut again: Vec<JobId> = unsure.into_iter().map(|(id, _)| id).collect();
        while let Some((id, read)) = reads.next().await {
            match read.transpose() {
                Some(read) => drop(found.insert(id, read)),
                None => again.push(id),
            }
        }
        if !again.is_empty() {
            for (id, back) in again.iter().zip(self.find_many(&again).await?.1) {
                match back {
                    Found::Stored(stored) => drop(found.insert(id.clone(), Ok(*stored))),
                    Found::Missing => {}
                    Found::Unreadable(error) => drop(found.insert(id.clone(), Err(error))),
                }
            }
        }
        Ok(found)
    }

    /// Ended records as they will lie in the bucket. Those that have not ended are left out.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn pack(&self, records: Vec<Stored>) -> Result<Vec<Packed>, StoreError> {
        let keys = self.keys();
        let mut pipe = Pipeline::new();
        for stored in &records {
            let lines = crate::keys::TIMELINE_LINES_MAX - 1;
            pipe.cmd("LRANGE").arg(keys.timeline(&stored.record.id)).arg(0).arg(lines);
            pipe.cmd("HGET").arg(keys.job(&stored.record.id)).arg("idem");
        }
        let mut answers = self.connection().pipe(&mut pipe).await?.into_iter();
        let (mut packed, mut named) = (Vec::with_capacity(records.len()), Vec::new());
        for stored in records {
            let lines: Vec<String> = answers
                .next()
                .and_then(|answer| redis::from_redis_value(answer).ok())
                .unwrap_or_default();
            let name = answers.next().and_then(|answer| word(&answer));
            let Some(place) = ArchivePlace::of(&stored.record, stored.revision) else { continue };
            let timeline = lines.iter().map(|line| serde_json::from_str(line)).collect();
            let timeline: Vec<TimelineLine> = match timeline {
                Ok(timeline) => timeline,
                Err(error) => {
                    // A newer binary wrote it: that one archives it.
                    let error: serde_json::Error = error;
                    tracing::warn!(job.id = %place.job, %error, "its timeline cannot be read: it stays");
                    continue;
                }
            };
            named.extend(name.map(|name| (packed.len(), name)));
            let Stored { record, revision, hint, .. } = stored;
            let (version, idempotency) = (ARCHIVE_VERSION, None);
            let archived = Archived { version, revision, idempotency, record, timeline, hint };
            packed.push(Packed { place, archived });
        }
        self.name_keys(&mut packed, named).await?;
        Ok(packed)
    }

    /// Looks up which body came with each caller's key.
    async fn name_keys(
        &self,
        packed: &mut [Packed],
        named: Vec<(usize, String)>,
    ) -> Result<(), StoreError> {
        if named.is_empty() {
            return Ok(());
        }
        let mut pipe = Pipeline::new();
        for (at, name) in &named {
            pipe.cmd("GET").arg(self.keys().idempotency(&packed[*at].place.tenant, name));
        }
        let answers = self.connection().pipe(&mut pipe).await?;
        for ((at, key), answer) in named.into_iter().zip(answers) {
            let Some(text) = word(&answer) else { continue };
            if let Some((id, body)) = text.split_once(' ')
                && id == packed[at].place.job.as_str()
            {
                let body_sha256 = body.to_owned();
                packed[at].archived.idempotency = Some(Idempotency { key, body_sha256 });
            }
        }
        Ok(())
    }

    /// Takes records out of Redis that lie in the bucket; tells for each what became of it, in the same order.
    ///
    /// Safe to repeat.
    ///
    /// # Errors
    ///
    /// Outer: what is ours cannot be written as JSON. Inner: as every call; it may have left.
    pub async fn leave(
        &self,
        packed: &[Packed],
        now: Timestamp,
    ) -> Result<Vec<Result<Left, StoreError>>, StoreError> {
        let calls: Vec<Call> = packed
            .iter()
            .map(|packed| {
                Facts::leaving(self.keys(), packed, now).call(&script::ARCHIVE, Vec::new())
            })
            .collect::<Result<_, _>>()?;
        let replies = self.connection().call_many(&calls).await;
        let read = |reply: Value| {
            let Value::Array(parts) = &reply else {
                return Err(StoreError::reply("archive", &reply));
            };
            match parts.first().and_then(word).as_deref() {
                Some("left") => Ok(Left::Now),
                Some("before") => Ok(Left::Before),
                Some("stale" | "busy") => Ok(Left::NotNow),
                Some("gone") => Ok(Left::NoJob),
                Some(_) | None => Err(StoreError::reply("archive", &reply)),
            }
        };
        Ok(replies.into_iter().map(|reply| reply.and_then(read)).collect())
    }

    /// Brings a job back that has left, as it was: its record may change again. Tells whether there is one.
    ///
    /// Safe to repeat.
    ///
    /// # Errors
    ///
    /// As [`Store::archived`].
    pub async fn recall(&self, id: &JobId) -> Result<bool, StoreError> {
        let token = ulid::Ulid::generate().to_string();
        for _ in 0..ROUNDS_MAX {
            let Some((tomb, archived)) = self.archived(id).await? else {
                return Ok(!self.load_here(std::slice::from_ref(id)).await?.is_empty());
            };
            let now = self.now().await?;
            let (facts, texts) = Sorting::back(self.keys(), &tomb, &archived, &token, now)?;
            let reply = self.connection().call(facts.call(&script::RECALL, texts)?).await?;
            let Value::Array(parts) = &reply else {
                return Err(StoreError::reply("recall", &reply));
            };
            match parts.first().and_then(word).as_deref() {
                Some("back" | "there") => return Ok(true),
                Some("moved" | "gone") => {}
                Some(_) | None => return Err(StoreError::reply("recall", &reply)),
            }
        }
        Err(StoreError::Refused { cause: format!("{id} never stood still") })
    }

    /// Whose tasks these are, of those whose owners are not in Redis any more.
    pub(crate) async fn archived_owners(
        &self,
        tasks: &[&TaskId],
    ) -> Result<Vec<Option<JobId>>, StoreError> {
        let mut pipe = Pipeline::with_capacity(tasks.len());
        for task in tasks {
            let at = self.keys().tomb_of_task(task);
            pipe.cmd("HGET").arg(at.key).arg(at.field);
        }
        let answers = self.connection().pipe(&mut pipe).await?;
        Ok(answers.iter().map(|answer| word(answer).and_then(|text| Keys::long(&text))).collect())
    }
}
