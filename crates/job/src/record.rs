//! The durable record: what was asked (`Spec`, never changed) and what became of it (`Life`).

use crate::adopt::Told;
use crate::attempt::{Attempt, AttemptOutcome, OpenAttempt};
use crate::erase::Erased;
use crate::event::By;
use crate::mutant::{self, Mutant};
use crate::schema::{SCHEMA_VERSION, Versions};
use crate::state::State;
use crate::{Fingerprint, JobId, TaskId, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Closed attempts kept in the record; older ones live on in the timeline.
const ATTEMPTS_KEPT: usize = 12;
/// Stray tasks kept; one is already an alarm.
const STRAYS_KEPT: usize = 16;

/// One job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The version it is written in from here on, see [`SCHEMA_VERSION`]; of a record that was just read, the one
    /// it was read in, or the one in force where that is newer.
    pub schema: u32,
    /// Our id.
    pub id: JobId,
    /// Accepted at, by Redis's clock.
    pub created_at: Timestamp,
    /// What was asked.
    pub spec: Spec,
    /// What became of it.
    pub life: Life,
}

/// What was asked, fixed at admission.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// Whose job; `default` where tenants are not used.
    pub tenant: String,
    /// The pool that carries it.
    pub pool: String,
    /// The caller's own customer: goes into the fingerprint, hashed into `safety_identifier`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_user: Option<String>,
    /// Order inside the tenant.
    #[serde(default)]
    pub priority: Priority,
    /// The batch it came with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<String>,
    /// It is one of its batch's pilot: while the batch waits for that, this job does not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pilot: bool,
    /// The caller's own id for the row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_id: Option<String>,
    /// After this instant the job is not worth buying.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub useful_until: Option<Timestamp>,
    /// 1, 2, 3…: a wanted repeat of the same request.
    pub take: u32,
    /// The caller's notes; never read by us.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Where the caller wants to hear the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Webhook>,
    /// W3C trace context of the request that brought the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// Folder in front of the layout, wished by the caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_prefix: Option<String>,
    /// The ended job that this one was asked for in place of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<JobId>,
    /// The caller says that real people are shown.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub people: bool,
    /// Where their consent is written down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consent_ref: Option<String>,
    /// The key or person by whose hand it came, where the door knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_by: Option<String>,
    /// What was asked has been taken out: only the bill and the identity are left.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub erased: bool,
    /// The door it came through.
    pub source: Source,
    /// Identity of the request.
    pub fingerprint: Fingerprint,
    /// Tokens expected, for budgets and lanes.
    pub estimate_tokens: u64,
    /// What they were reckoned to cost on the day of acceptance; none in a record of an earlier version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate_cost: Option<seedance::Cost>,
    /// The provider's request in normal form.
    pub request: seedance::Request,
}

/// Order inside a tenant.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Before the others.
    High,
    /// As they come.
    #[default]
    Normal,
    /// When nothing else waits.
    Low,
}

impl Priority {
    /// The word in keys and output.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Normal => "normal",
            Self::Low => "low",
        }
    }
}

/// The caller's address for the job's end; delivered by the notifier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// https address.
    pub url: String,
    /// The webhook endpoint whose secrets sign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<String>,
}

/// The door a job came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// HTTP.
    Api,
    /// A file.
    Import,
    /// `seedfleet submit`.
    Cli,
    /// None: the task was bought elsewhere, and only it is known. See [`crate::Adoption`].
    Adopted,
}

impl Source {
    /// Every door.
    pub const ALL: [Self; 4] = [Self::Api, Self::Import, Self::Cli, Self::Adopted];

    /// The word in filters and output.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Import => "import",
            Self::Cli => "cli",
            Self::Adopted => "adopted",
        }
    }
}

/// What became of a job. The only part that changes, and only through `transition`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Life {
    /// Where it stands.
    pub state: State,
    /// Last change of the state.
    pub updated_at: Timestamp,
    /// Attempts begun, ever.
    #[serde(default)]
    pub attempts_begun: u32,
    /// Sends after a proven absence, by program.
    #[serde(default)]
    pub resends: u32,
    /// Closed attempts, newest last, bounded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
    /// Tasks of this job beside its own: paid or not, somebody must look.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub strays: Vec<TaskId>,
    /// A cancel that has not been answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel: Option<CancelAsk>,
    /// The provider's last terminal payload, until it is filed in the bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
    /// What was asked and made is gone, or on its way out: nothing of it is written down again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erased: Option<Erased>,
    /// It failed, and somebody has said that nobody need look: who and why stands in the timeline.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dismissed: bool,
    /// What the provider told about a task whose request nobody here knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<Told>,
}

/// A wish to stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelAsk {
    /// Whose.
    pub by: By,
    /// When.
    pub at: Timestamp,
}

/// The stored form cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Written by a newer binary.
    #[error(
        "record has schema version {found}, this program reads versions {own}: upgrade it; nothing was touched",
        own = Versions::own()
    )]
    Newer {
        /// What was found.
        found: u32,
    },
    /// Not our JSON.
    #[error("record cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
}

/// How the text of a life begins that says its version.
const LIFE_SAYS: &str = "{\"schema\":";

impl Life {
    /// The stored text in the form of this version, which it names from 2 on.
    ///
    /// # Errors
    ///
    /// Only if a value cannot be serialised, which is a bug.
    pub fn to_text(&self, schema: u32) -> Result<String, RecordError> {
        let plain = serde_json::to_string(self)?;
        Ok(match plain.strip_prefix('{') {
            Some(rest) if schema > 1 => format!("{LIFE_SAYS}{schema},{rest}"),
            Some(_) | None => plain,
        })
    }

    /// A life that begins in `state`.
    #[must_use]
    pub fn begin(state: State, now: Timestamp) -> Self {
        Self {
            state,
            updated_at: now,
            attempts_begun: 0,
            resends: 0,
            attempts: Vec::new(),
            strays: Vec::new(),
            cancel: None,
            payload: None,
            erased: None,
            dismissed: false,
            told: None,
        }
    }

    /// The open attempt, or a closed one, by id.
    #[must_use]
    pub fn attempt(&self, id: &crate::AttemptId) -> Option<&OpenAttempt> {
        self.state
            .open_attempt()
            .filter(|a| a.id == *id)
            .or_else(|| self.attempts.iter().rev().map(|a| &a.open).find(|a| a.id == *id))
    }

    /// Whether an attempt of this job has carried this mark already. A new one draws another: after
    /// a rollback an old attempt may be in doubt again, and must not fit its successor's task.
    #[must_use]
    pub fn has_marked(&self, nonce_s: u32) -> bool {
        let closed = self.attempts.iter().map(|closed| &closed.open);
        let mut all = closed.chain(self.state.open_attempt());
        all.any(|attempt| attempt.nonce_s == nonce_s) && !mutant::on(Mutant::MarkReused)
    }

    /// Every task this job answers for.
    pub fn tasks(&self) -> impl Iterator<Item = &TaskId> {
        self.state.task().map(|t| &t.id).into_iter().chain(self.strays.iter())
    }

    pub(crate) fn close(&mut self, open: OpenAttempt, outcome: AttemptOutcome, now: Timestamp) {
        if self.attempts.len() >= ATTEMPTS_KEPT {
            // First those that provably bought nothing: of the others a task may still turn up, and
            // without its attempt nobody could take it in.
            let harmless = |a: &Attempt| a.outcome.bought_nothing();
            let oldest = self.attempts.iter().position(harmless).unwrap_or(0);
            self.attempts.remove(oldest);
        }
        self.attempts.push(Attempt { open, closed_at: now, outcome });
    }

    pub(crate) fn add_stray(&mut self, task: TaskId) {
        if !self.strays.contains(&task) && self.strays.len() < STRAYS_KEPT {
            self.strays.push(task);
        }
    }
}

impl Spec {
    /// What a caller asks who says nothing but this: a first take at normal priority, no tokens reckoned.
    #[must_use]
    pub fn plain(
        tenant: &str,
        pool: &str,
        source: Source,
        fingerprint: Fingerprint,
        request: seedance::Request,
    ) -> Self {
        Self {
            tenant: tenant.to_owned(),
            pool: pool.to_owned(),
            end_user: None,
            priority: Priority::Normal,
            batch: None,
            pilot: false,
            custom_id: None,
            useful_until: None,
            take: 1,
            metadata: BTreeMap::new(),
            webhook: None,
            traceparent: None,
            output_prefix: None,
            retry_of: None,
            people: false,
            consent_ref: None,
            made_by: None,
            erased: false,
            source,
            fingerprint,
            estimate_tokens: 0,
            estimate_cost: None,
            request,
        }
    }
}

impl Record {
    /// A job that is born in `state` at `now`.
    #[must_use]
    pub fn begin(id: JobId, spec: Spec, state: State, now: Timestamp) -> Self {
        let life = Life::begin(state, now);
        Self { schema: SCHEMA_VERSION, id, created_at: now, spec, life }
    }

    /// The two stored parts: the request, written once, and the life, written at every commit.
    ///
    /// # Errors
    ///
    /// Only if a value cannot be serialised, which is a bug.
    pub fn to_parts(&self) -> Result<(String, String), RecordError> {
        self.to_parts_as(self.schema)
    }

    /// As [`Record::to_parts`], in the form of this version. Where forms differ, this is the place that knows how.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn to_parts_as(&self, schema: u32) -> Result<(String, String), RecordError> {
        #[derive(Serialize)]
        struct SpecPart<'a> {
            schema: u32,
            created_at: Timestamp,
            #[serde(flatten)]
            spec: &'a Spec,
        }
        let part = SpecPart { schema, created_at: self.created_at, spec: &self.spec };
        Ok((serde_json::to_string(&part)?, self.life.to_text(schema)?))
    }

    /// Reads the two stored parts.
    ///
    /// # Errors
    ///
    /// [`RecordError::Newer`] when a newer program wrote either, [`RecordError::Unreadable`] otherwise.
    pub fn from_parts(id: JobId, spec: &str, life: &str) -> Result<Self, RecordError> {
        #[derive(Deserialize)]
        struct Head {
            schema: u32,
            created_at: Timestamp,
        }
        let head: Head = serde_json::from_str(spec)?;
        let schema = head.schema.max(life_version(life)?);
        if !Versions::own().reads(schema) {
            return Err(RecordError::Newer { found: schema });
        }
        Ok(Self {
            schema,
            id,
            created_at: head.created_at,
            spec: serde_json::from_str(spec)?,
            life: serde_json::from_str(life)?,
        })
    }
}

/// What a stored part says of itself.
#[derive(Deserialize)]
struct Said {
    schema: u32,
}

/// The version of a life's text. It stands in front, and version 1 says nothing: most lives are read without
/// this look.
fn life_version(life: &str) -> Result<u32, RecordError> {
    if !life.starts_with(LIFE_SAYS) {
        return Ok(1);
    }
    Ok(serde_json::from_str::<Said>(life)?.schema)
}

/// The version of two stored parts, whether this program can read them or not: that of the newer one.
///
/// # Errors
///
/// [`RecordError::Unreadable`]: they do not say.
pub fn version_of_parts(spec: &str, life: &str) -> Result<u32, RecordError> {
    Ok(serde_json::from_str::<Said>(spec)?.schema.max(life_version(life)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docs::record;

    fn parts(schema: u32) -> (String, String) {
        record(State::Queued { tries: 1 }).to_parts_as(schema).expect("plain data")
    }

    fn read(spec: &str, life: &str) -> Result<Record, RecordError> {
        Record::from_parts(record(State::Queued { tries: 1 }).id, spec, life)
    }

    #[test]
    fn a_record_is_as_new_as_its_newer_part_and_beyond_our_own_it_is_refused() {
        let (old, new) = (parts(SCHEMA_VERSION), parts(SCHEMA_VERSION + 1));
        let back = read(&old.0, &old.1).expect("our own form");
        assert_eq!(back, record(State::Queued { tries: 1 }));
        for (spec, life) in [(&new.0, &new.1), (&new.0, &old.1), (&old.0, &new.1)] {
            assert_eq!(version_of_parts(spec, life).expect("it says"), SCHEMA_VERSION + 1);
            let refused = read(spec, life).expect_err("beyond us");
            let found =
                matches!(refused, RecordError::Newer { found } if found == SCHEMA_VERSION + 1);
            assert!(found && refused.to_string().contains("upgrade it"), "{refused}");
        }
        assert!(matches!(read("{}", &old.1), Err(RecordError::Unreadable(_))));
        assert!(version_of_parts("{}", &old.1).is_err());
    }

    #[test]
    fn a_life_says_its_version_in_front_from_the_second_on() {
        let life = record(State::Queued { tries: 1 }).life;
        let plain = serde_json::to_string(&life).expect("plain data");
        assert_eq!(life.to_text(1).expect("plain data"), plain, "records are no longer for it");
        let second = life.to_text(2).expect("plain data");
        assert_eq!(second, format!("{LIFE_SAYS}2,{}", &plain[1..]));
        assert_eq!(serde_json::from_str::<Life>(&second).expect("the same"), life);
    }
}
