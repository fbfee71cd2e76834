//! Operations: one verb for all jobs of a filter, carried out in the background by whoever is there.
//!
//! An operation lies in Redis with the place it has come to, so that another process goes on where one
//! was killed. Operations of a pool go one after the other, in the order of their beginning: what a later
//! one undoes, an earlier one does not do again. Each commit of an operation is made only while it is
//! open, so that a process that slept through its end changes nothing any more.

use crate::failures::FAILED;
use crate::keys::AUDIT_LINES_MAX;
use crate::turn::Write;
use crate::{Store, StoreError};
use job::filter::Filter;
use job::{Again, StateWord, Timestamp};
use redis::Pipeline;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Operations that wait or run in one pool.
pub const OPERATIONS_OPEN_MAX: usize = 100;
/// How long a closed one is remembered.
const KEPT: Duration = Duration::from_secs(90 * 24 * 3_600);

/// What is done to each job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationVerb {
    /// Stop it, as `:cancel` of one job does.
    Cancel,
    /// A queued job waits until it is resumed.
    Pause,
    /// A paused job goes on.
    Resume,
    /// The request of an ended job becomes a new job, as `:retry` of one job does.
    Retry,
    /// A failure is left out of lists of failures from here on.
    Dismiss,
}

impl OperationVerb {
    /// Every verb.
    pub const ALL: [Self; 5] =
        [Self::Cancel, Self::Pause, Self::Resume, Self::Retry, Self::Dismiss];

    /// The word in requests and output.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Retry => "retry",
            Self::Dismiss => "dismiss",
        }
    }

    /// Only the jobs that the verb can change.
    #[must_use]
    pub fn changeable(self, filter: Filter) -> Filter {
        match self {
            Self::Cancel => {
                filter.states(StateWord::ALL.into_iter().filter(|word| !word.is_finished()))
            }
            Self::Pause => filter.state(StateWord::Queued),
            Self::Resume => filter.state(StateWord::Held),
            Self::Retry => filter.states(Again::WORDS),
            Self::Dismiss => filter.states(FAILED).dismissed(false),
        }
    }
}

/// A field of a hash that must be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Only {
    pub(crate) key: String,
    pub(crate) field: &'static str,
    /// A field of the same hash that counts what is written so.
    pub(crate) counts: Option<&'static str>,
}

/// What somebody wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationWish {
    /// `op_…`; equal wishes with one idempotency key have one id.
    pub id: String,
    /// What shall be done.
    pub verb: OperationVerb,
    /// To which jobs.
    pub filter: Filter,
    /// Whose jobs; none: everybody's.
    pub tenant: Option<String>,
    /// Who asks.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Jobs at most, those that were taken in first; none: all.
    pub limit: Option<u64>,
}

/// An operation as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewOperation {
    /// See [`OperationWish::id`].
    pub id: String,
    /// What is done.
    pub verb: OperationVerb,
    /// To which jobs: the canonical text of a filter.
    pub filter: String,
    /// Whose it is; none: the operators'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Who asked.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When, by the server's clock; jobs taken in later are left alone.
    pub created_at: Timestamp,
    /// Jobs at most, those that were taken in first; none: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// How far an operation has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Jobs it changed; counted by the commits that do it.
    pub changed: u64,
    /// Jobs it left as they were.
    pub left: u64,
    /// From the list it walks; none at its beginning.
    pub cursor: Option<String>,
}

/// An operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// As it was asked for.
    pub asked: NewOperation,
    /// How far it has come.
    pub progress: Progress,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Why it ended before its end.
    pub failed: Option<String>,
}

/// What became of a new operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// It will be carried out.
    New(Box<Operation>),
    /// It was asked for before, in the same words.
    Known(Box<Operation>),
    /// The id stands for another one: nothing was written.
    Other(Box<Operation>),
    /// So many wait already that none is taken in.
    Full,
}

/// As [`crate::AuditLine`] is written.
#[derive(Serialize)]
pub(crate) struct AuditedLine<'a> {
    pub(crate) at: Timestamp,
    pub(crate) alarm: &'a str,
    pub(crate) by: &'a str,
    pub(crate) reason: &'a str,
}

fn json(value: &impl Serialize) -> Result<String, StoreError> {
    StoreError::json("an operation that is", value)
}

impl OperationWish {
    pub(crate) fn asked(self, created_at: Timestamp) -> NewOperation {
        let Self { id, verb, filter, tenant, by, reason, limit } = self;
        let filter = match &tenant {
            Some(tenant) => filter.tenant(tenant),
            None => filter,
        };
        let until = created_at + Duration::from_millis(1);
        let filter = verb.changeable(filter).created_before(until).to_string();
        NewOperation { id, verb, filter, tenant, by, reason, created_at, limit }
    }
}

impl Store {
    /// Takes in an operation: a line in the audit, and whoever serves the pool carries it out. Safe to repeat
    /// with the same id.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn open_operation(&self, wish: OperationWish) -> Result<Opened, StoreError> {
        let known = self.operation(&wish.id).await?;
        let created_at = match &known {
            Some(known) => known.asked.created_at,
            None => self.now().await?,
        };
        let new = wish.asked(created_at);
        let Some(known) = known else { return self.write_operation(new).await };
        if known.asked != new {
            return Ok(Opened::Other(known.into()));
        }
        if known.ended_at.is_none() {
            // The call before may have been cut in the middle.
            let at = known.asked.created_at.unix_ms();
            let mut pipe = Pipeline::new();
            for key in [self.keys().operations(), self.keys().operations_open()] {
                pipe.cmd("ZADD").arg(key).arg("NX").arg(at).arg(&new.id);
            }
            self.connection().pipe(&mut pipe).await?;
        }
        Ok(Opened::Known(known.into()))
    }

    async fn write_operation(&self, new: NewOperation) -> Result<Opened, StoreError> {
        if self.operations_full().await? {
            return Ok(Opened::Full);
        }
        let mut pipe = Pipeline::new();
        for (command, key, args) in self.operation_writes(&new)? {
            pipe.cmd(command).arg(key).arg(args);
        }
        self.connection().pipe(&mut pipe).await?;
        let progress = Progress::default();
        let operation = Operation { asked: new, progress, ended_at: None, failed: None };
        Ok(Opened::New(operation.into()))
    }

    /// Whether so many wait that none is taken in.
    pub(crate) async fn operations_full(&self) -> Result<bool, StoreError> {
        let mut command = redis::cmd("ZCARD");
        let open: usize = self.connection().ask(command.arg(self.keys().operations_open())).await?;
        Ok(open >= OPERATIONS_OPEN_MAX)
    }

    /// All that takes an operation in.
    pub(crate) fn operation_writes(&self, new: &NewOperation) -> Result<Vec<Write>, StoreError> {
        let keys = self.keys();
        let text = json(&new)?;
        let line = json(&AuditedLine {
            at: new.created_at,
            alarm: "operation",
            by: &new.by,
            reason: &format!("{} of {}: {} ({})", new.verb.word(), new.filter, new.reason, new.id),
        })?;
        let at = new.created_at.unix_ms();
        let forgotten = (new.created_at - KEPT).unix_ms();
        let texts = |args: &[&str]| args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>();
        let at = at.to_string();
        let listed = texts(&[&at, &new.id]);
        let last = (AUDIT_LINES_MAX - 1).to_string();
        Ok(vec![
            ("HSET", keys.operation(&new.id), texts(&["asked", &text, "open", "1"])),
            ("ZADD", keys.operations(), listed.clone()),
            ("ZADD", keys.operations_open(), listed),
            ("ZREMRANGEBYSCORE", keys.operations(), texts(&["-inf", &forgotten.to_string()])),
            ("LPUSH", keys.audit(), texts(&[&line])),
            ("LTRIM", keys.audit(), texts(&["0", &last])),
        ])
    }

    /// One operation.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn operation(&self, id: &str) -> Result<Option<Operation>, StoreError> {
        Ok(self.operations_named(&[id.to_owned()]).await?.pop())
    }

    /// The newest operations, newest first.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn operations(&self, limit: usize) -> Result<Vec<Operation>, StoreError> {
        let mut command = redis::cmd("ZRANGE");
        command.arg(self.keys().operations()).arg(0).arg(limit.clamp(1, 200) - 1).arg("REV");
        let ids: Vec<String> = self.connection().ask(&command).await?;
        self.operations_named(&ids).await
    }

    /// The operation whose turn it is.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn next_operation(&self) -> Result<Option<Operation>, StoreError> {
        let mut command = redis::cmd("ZRANGE");
        command.arg(self.keys().operations_open()).arg(0).arg(0);
        let ids: Vec<String> = self.connection().ask(&command).await?;
        Ok(self.operations_named(&ids).await?.pop())
    }

    /// Operations that wait or run, the next one first.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn open_operations(&self) -> Result<Vec<Operation>, StoreError> {
        let mut command = redis::cmd("ZRANGE");
        command.arg(self.keys().operations_open()).arg(0).arg(-1);
        let ids: Vec<String> = self.connection().ask(&command).await?;
        self.operations_named(&ids).await
    }

    /// Writes down how far an operation has come. What it changed is counted already by the commits that did
    /// it, save that of a verb which makes new jobs: `made` is then their number so far.
    ///
    /// # Errors
    ///
    /// As every call; safe to repeat.
    pub async fn note_operation(
        &self,
        id: &str,
        progress: &Progress,
        made: Option<u64>,
    ) -> Result<(), StoreError> {
        let mut command = redis::cmd("HSET");
        command.arg(self.keys().operation(id));
        command.arg("left").arg(progress.left);
        if let Some(made) = made {
            command.arg("changed").arg(made);
        }
        command.arg("cursor").arg(progress.cursor.as_deref().unwrap_or_default());
        let _: i64 = self.connection().ask(&command).await?;
        Ok(())
    }

    /// Ends an operation; `failed` tells why it could not be carried out to its end.
    ///
    /// # Errors
    ///
    /// As every call; safe to repeat.
    pub async fn close_operation(
        &self,
        id: &str,
        at: Timestamp,
        failed: Option<&str>,
    ) -> Result<(), StoreError> {
        let (keys, at) = (self.keys(), at.unix_ms().to_string());
        let kept_ms = u64::try_from(KEPT.as_millis()).unwrap_or(u64::MAX);
        let mut pipe = Pipeline::new();
        pipe.cmd("HSET").arg(keys.operation(id)).arg(&["ended_at", &at]);
        if let Some(why) = failed {
            pipe.cmd("HSET").arg(keys.operation(id)).arg(&["failed", why]);
        }
        pipe.cmd("HDEL").arg(keys.operation(id)).arg("open");
        pipe.cmd("PEXPIRE").arg(keys.operation(id)).arg(kept_ms);
        pipe.cmd("ZREM").arg(keys.operations_open()).arg(id);
        self.connection().pipe(&mut pipe).await.map(drop)
    }

    async fn operations_named(&self, ids: &[String]) -> Result<Vec<Operation>, StoreError> {
        let mut pipe = Pipeline::new();
        for id in ids {
            pipe.cmd("HGETALL").arg(self.keys().operation(id));
        }
        let mut found = Vec::with_capacity(ids.len());
        for (id, answer) in ids.iter().zip(self.connection().pipe(&mut pipe).await?) {
            let key = self.keys().operation(id);
            let fields: BTreeMap<String, String> = redis::from_redis_value(answer)
                .map_err(|error| StoreError::corrupt(&key, error))?;
            let Some(asked) = fields.get("asked") else { continue };
            let asked =
                serde_json::from_str(asked).map_err(|error| StoreError::corrupt(&key, error))?;
            let number = |field: &str| fields.get(field).and_then(|n| n.parse::<u64>().ok());
            let text = |field: &str| fields.get(field).filter(|text| !text.is_empty()).cloned();
            let ended = fields.get("ended_at").and_then(|ms| ms.parse().ok());
            found.push(Operation {
                asked,
                progress: Progress {
                    changed: number("changed").unwrap_or(0),
                    left: number("left").unwrap_or(0),
                    cursor: text("cursor"),
                },
                ended_at: ended.map(Timestamp::from_unix_ms),
                failed: text("failed"),
            });
        }
        Ok(found)
    }
}
