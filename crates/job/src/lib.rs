//! Our record of one requested generation, and its life.
//!
//! Nobody sets a state. Workers, the callback door and operators report an [`Event`];
//! [`transition`] answers with a [`Verdict`]: the next [`Life`], the one ticket it needs and the
//! [`Effect`]s that are committed with it. Everything here is pure: time is an argument, random
//! numbers arrive inside the event, and no socket, file or clock is ever touched. That is what lets
//! one function serve production, the property tests and the model checker.
//!
//! Must not know: Redis, HTTP, the bucket, tokio.
#![forbid(unsafe_code)]

mod adopt;
mod again;
mod attempt;
mod cap;
mod charge;
#[cfg(test)]
mod dice;
mod effect;
mod erase;
mod event;
mod fingerprint;
mod ids;
mod intent;
mod leave;
mod park;
mod policy;
mod pools;
mod reason;
mod record;
mod schema;
mod state;
mod stop_on;

pub mod docs;
pub mod eta;
pub mod filter;
pub mod mutant;
pub mod retry;
pub mod rounds;
pub mod settle;
mod transition;

pub use adopt::{Adoption, TASK_UNKNOWN, Told};
pub use again::Again;
pub use attempt::{Attempt, AttemptOutcome, Facts, OpenAttempt, Slot, TaskRef};
pub use cap::{BuyCaps, CAP_UNITS_MAX, CapOf, CapSpan, SpendCap, cap_micros};
pub use effect::{Alarm, Contradiction, Effect, Note, Ticket, Verdict};
pub use erase::{ERASED, Erased};
pub use event::{
    By, DoubtCause, Event, FoundVia, Links, Look, Refusal, ResendLeave, StoredOutput, TaskReport,
    Trouble,
};
pub use fingerprint::{FINGERPRINT_VERSION, Fingerprint};
pub use ids::{AttemptId, ErasureId, IdError, JobId, TaskId, Timestamp};
pub use intent::Intent;
pub use leave::UNSETTLED_FOR;
pub use policy::{DownloadPolicy, Policy, PollPolicy, SettlePolicy, SubmitPolicy};
pub use pools::{AccountSettings, ClassLimits, DoubtPolicy, LimitSettings, PoolSettings};
pub use reason::{REASON_CHARS_MAX, reason};
pub use record::{
    CancelAsk, Life, Priority, Record, RecordError, Source, Spec, Webhook, version_of_parts,
};
pub use rounds::Outlook;
pub use schema::{AHEAD_ENV, Misfit, SCHEMA_VERSION, Versions};
pub use state::{Cause, End, Filing, HeldWhy, Looks, ParkWhy, State, StateWord, Step};
pub use stop_on::{STOP_BYTES_MAX, STOP_CONDITIONS_MAX, StopOn, StopTally};
pub use transition::transition;
