//! New jobs, and forgotten ones: many in one pipeline, each created once however often it is sent.

use crate::birth::{Birth, Born};
use crate::keys::{Keys, TombField};
use crate::{Store, StoreError, facts};
use job::{Fingerprint, JobId, Record, State, Ticket, Timestamp};
use serde::{Deserialize, Serialize};
use std::borrow::Borrow;

/// Jobs in one call.
pub const ADMIT_MAX: usize = 200;

/// The caller's own key for a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Idempotency {
    /// As the caller sent it.
    pub key: String,
    /// SHA-256 (hex) of the body it came with.
    pub body_sha256: String,
}

/// A job to be created.
#[derive(Debug, Clone, PartialEq)]
pub struct NewJob {
    /// Held or queued, with a fresh id.
    pub record: Record,
    /// The caller's key, if it sent one.
    pub idempotency: Option<Idempotency>,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admitted {
    /// It is new.
    Created,
    /// The same request exists.
    Existing {
        /// As which job.
        id: JobId,
        /// How we know.
        by: Match,
    },
    /// The key was used for another request: nothing was written.
    KeyReused {
        /// By which job.
        id: JobId,
    },
    /// The tenant has as many jobs waiting as it may: nothing was written.
    Full {
        /// How many.
        waiting: u64,
    },
    /// The tenant's day has no room for what this may cost: nothing was written.
    Spent {
        /// What the day has taken, in millionths of the route's currency.
        micros: u64,
        /// When the next day begins.
        resets_at: Timestamp,
    },
}

/// What became of a wish to take a task over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Adopted {
    /// It has a job now.
    New,
    /// It had been taken over before.
    Before {
        /// By which job.
        id: JobId,
    },
    /// It is the task of a job that bought it: nothing was written.
    Owned {
        /// Of which.
        by: JobId,
    },
}

/// How an equal request was recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// By the idempotency key.
    Key,
    /// By the fingerprint.
    Fingerprint,
}

impl Store {
    /// Creates jobs, in the order given; equal requests among them become one job.
    ///
    /// Safe to repeat with the same records: a job created by an earlier call whose reply was lost is
    /// told as created.
    ///
    /// # Errors
    ///
    /// Outer: more than [`ADMIT_MAX`] jobs; or as every call, and they may have been created. Inner, per job: as
    /// every call; it may have been created.
    pub async fn admit<J: Borrow<NewJob> + Sync>(
        &self,
        jobs: &[J],
    ) -> Result<Vec<Result<Admitted, StoreError>>, StoreError> {
        let jobs: Vec<&NewJob> = jobs.iter().map(Borrow::borrow).collect();
        if jobs.len() > ADMIT_MAX {
            return Err(StoreError::Bug(format!("{} jobs in one call", jobs.len())));
        }
        let births: Vec<Birth<'_>> = jobs.iter().copied().map(new).collect::<Result<_, _>>()?;
        let mut born = self.bear(&births).await?;
        let free = self.free_keys(&jobs, &born).await?;
        let again: Vec<Birth<'_>> =
            free.iter().map(|at| new(jobs[*at])).collect::<Result<_, _>>()?;
        for (at, told) in free.into_iter().zip(self.bear(&again).await?) {
            born[at] = told;
        }
        Ok(jobs.iter().zip(born).map(|(job, born)| admitted(&job.record, born?)).collect())
    }

    /// Brings back jobs that the server forgot, each in the state its record carries, with ticket, slot, mark
    /// and indexes. Tells for each whether it is back: `false` where a record or another job of the same
    /// request is there already, and nothing was written. Idempotency keys do not come back.
    ///
    /// Safe to repeat: what is back already is told as `false`.
    ///
    /// # Errors
    ///
    /// As every call; some may be back. [`StoreError::Corrupt`] when a job's task is another job's by now.
    pub async fn restore(&self, records: &[Record]) -> Result<Vec<bool>, StoreError> {
        let at = self.now().await?;
        let mut back = Vec::with_capacity(records.len());
        for records in records.chunks(ADMIT_MAX) {
            let births: Vec<Birth<'_>> = records
                .iter()
                .map(|record| {
                    let step = record.life.state.step();
                    let ticket = step.map_or(Ticket::Gone, |step| Ticket::Due(step, at));
                    let what = "restored";
                    Birth { record, idempotency: None, ticket, what, at, capped: false }
                })
                .collect();
            for (record, born) in records.iter().zip(self.bear(&births).await?) {
                let born = born?;
                back.push(matches!(born, Born::Created));
                admitted(record, born)?;
            }
        }
        Ok(back)
    }

    /// Takes a task over that was bought elsewhere: its record is born running, with its ticket.
    ///
    /// Safe to repeat with the same record.
    ///
    /// # Errors
    ///
    /// As every call; it may have been taken over.
    pub async fn adopt(&self, record: &Record) -> Result<Adopted, StoreError> {
        let ticket = Ticket::Due(job::Step::Poll, record.created_at);
        let (what, at) = ("adopted: bought elsewhere", record.created_at);
        // Nothing is spent on it here.
        let birth = Birth { record, idempotency: None, ticket, what, at, capped: false };
        let nothing = || StoreError::Bug("a birth without an answer".into());
        let born = self.bear(&[birth]).await?.pop().ok_or_else(nothing)??;
        if let Born::Owned { by, .. } = born {
            return Ok(Adopted::Owned { by });
        }
        match admitted(record, born)? {
            Admitted::Created => Ok(Adopted::New),
            Admitted::Existing { id, .. } | Admitted::KeyReused { id } => {
                Ok(Adopted::Before { id })
            }
            full @ (Admitted::Full { .. } | Admitted::Spent { .. }) => {
                Err(StoreError::Bug(format!("a birth without a cap answered {full:?}")))
            }
        }
    }

    /// The job of a request, if there is one.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn job_of_request(
        &self,
        tenant: &str,
        fingerprint: &Fingerprint,
    ) -> Result<Option<JobId>, StoreError> {
        let key = self.keys().fingerprint(tenant, fingerprint);
        let id: Option<String> = self.connection().ask(redis::cmd("GET").arg(&key)).await?;
        if let Some(id) = id {
            return JobId::parse(&id).map(Some).map_err(|e| StoreError::corrupt(&key, e));
        }
        self.buried(self.keys().tomb_of_request(tenant, fingerprint)).await
    }

    /// The job of a caller's key, if there is one.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn job_of_key(&self, tenant: &str, key: &str) -> Result<Option<JobId>, StoreError> {
        let place = self.keys().idempotency(tenant, key);
        let held: Option<String> = self.connection().ask(redis::cmd("GET").arg(&place)).await?;
        if let Some(held) = held {
            let id = held.split(' ').next().unwrap_or_default();
            return JobId::parse(id).map(Some).map_err(|e| StoreError::corrupt(&place, e));
        }
        self.buried(self.keys().tomb_of_key(tenant, key)).await
    }

    /// The job that a way to a tombstone leads to.
    async fn buried(&self, at: TombField) -> Result<Option<JobId>, StoreError> {
        let short: Option<String> =
            self.connection().ask(redis::cmd("HGET").arg(&at.key).arg(&at.field)).await?;
        Ok(short.and_then(|short| Keys::long(&short)))
    }
}

/// The birth of a new job.
fn new(job: &NewJob) -> Result<Birth<'_>, StoreError> {
    let record = &job.record;
    let ticket = match &record.life.state {
        State::Held { .. } => Ticket::Gone,
        State::Queued { .. } => Ticket::Due(job::Step::Submit, record.created_at),
        State::Submitting { .. }
        | State::InDoubt { .. }
        | State::Parked { .. }
        | State::Generating { .. }
        | State::Overdue { .. }
        | State::Downloading { .. }
        | State::Finished { .. } => {
            let word = record.life.state.word().as_str();
            return Err(StoreError::Bug(format!("a new job cannot be {word}")));
        }
    };
    let (what, at) = ("accepted", record.created_at);
    let idempotency = job.idempotency.as_ref();
    Ok(Birth { record, idempotency, ticket, what, at, capped: true })
}

fn admitted(record: &Record, born: Born) -> Result<Admitted, StoreError> {
    Ok(match born {
        // Our own id: an earlier call of ours, whose reply was lost.
        Born::Existing { id, .. } if id == record.id => Admitted::Created,
        Born::Created => Admitted::Created,
        Born::Existing { id, by } => Admitted::Existing { id, by },
        Born::Owned { task, by } => {
            let why = format!("its task {task} belongs to {by}");
            return Err(StoreError::corrupt(record.id.as_str(), why));
        }
        Born::Reused { id } => Admitted::KeyReused { id },
        Born::Full { waiting } => Admitted::Full { waiting },
        Born::Spent { micros } => {
            let resets_at = facts::day_end(facts::day_of(record.created_at));
            Admitted::Spent { micros, resets_at }
        }
    })
}
