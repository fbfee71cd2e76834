//! What comes to the door and what leaves it.

use job::{JobId, Source, StateWord, Timestamp};
use seedance::{Cost, Warning};
use serde_json::{Map, Value};
use store::Match;

/// The tenant of a fleet that has none.
const TENANT_DEFAULT: &str = "default";

/// One request for a job.
#[derive(Debug, Clone, PartialEq)]
pub struct Intake {
    /// The caller's document: the provider's create body, with [`crate::FIELDS`] beside it.
    pub body: Value,
    /// Whose job; `default` where tenants are not used.
    pub tenant: String,
    /// The door it came through.
    pub source: Source,
    /// The batch it belongs to.
    pub batch: Option<String>,
    /// The caller's key for this request. An imported row without one that has a batch and a
    /// `custom_id` is known by these two.
    pub idempotency_key: Option<String>,
    /// W3C trace context of the request that brought it.
    pub traceparent: Option<String>,
    /// The key or person that sends it, for the rule of four eyes.
    pub made_by: Option<String>,
    /// It is one of its batch's pilot.
    pub pilot: bool,
    /// In place of the document's `take`: the importer counts equal rows with it.
    pub take_override: Option<u32>,
    /// It stands in place of a job that ended badly; which, the door finds out.
    pub mends: Option<Mends>,
}

/// What a row is sent in place of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mends {
    /// A job of this batch of the tenant.
    pub batch: String,
    /// The job itself, where the row names it.
    pub job: Option<JobId>,
}

impl Mends {
    /// What a row with these notes stands in place of, in this batch. A `_job` that is no job's name says nothing: the
    /// row is found otherwise.
    #[must_use]
    pub fn of(batch: &str, notes: &Map<String, Value>) -> Self {
        let named = notes.get("_job").and_then(Value::as_str);
        Self { batch: batch.to_owned(), job: named.and_then(|id| JobId::parse(id).ok()) }
    }
}

impl Intake {
    /// A bare request of the default tenant.
    #[must_use]
    pub fn new(body: Value, source: Source) -> Self {
        Self {
            body,
            tenant: TENANT_DEFAULT.to_owned(),
            source,
            batch: None,
            idempotency_key: None,
            traceparent: None,
            made_by: None,
            pilot: false,
            take_override: None,
            mends: None,
        }
    }
}

/// A request that has a job now.
#[derive(Debug, Clone, PartialEq)]
pub struct Admitted {
    /// Which.
    pub id: JobId,
    /// Where it stands: `held` or `queued` when it is new; `None` if an older job's record has left
    /// Redis or cannot be read by this binary.
    pub state: Option<StateWord>,
    /// Whether it is new.
    pub how: How,
    /// When the job was accepted, by Redis's clock; `None` as above.
    pub created_at: Option<Timestamp>,
    /// Tokens expected of this request.
    pub estimate_tokens: u64,
    /// What they cost today.
    pub cost: Cost,
    /// Legal, but worth telling.
    pub warnings: Vec<Warning>,
}

/// How a request came to its job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// It made it.
    Created,
    /// An equal one had.
    Deduplicated {
        /// How we know.
        by: Match,
    },
}
