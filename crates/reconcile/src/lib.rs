//! Our records against the two witnesses outside Redis: the provider's list and the second fence.
//!
//! - [`scan`]: whole scans of an account's list, shared by everybody who asks at the time.
//! - [`sweep`]: tasks nobody owns, jobs whose task the provider does not know, tokens against our
//!   records.
//! - [`quarantine`]: after Redis lost data, everything the fence holds is known again before anything
//!   is bought.
//! - [`doubt`]: what a person is shown of a create without an answer, and may decide about it.
//! - [`Report`]: what was found, in sentences, each with the command that mends it.
//!
//! Nothing here buys, and nothing is cancelled unless a person asked for it. Everything may run
//! twice, at once or after a crash in the middle: news goes through the machine, which ignores what
//! it has heard.
//!
//! Must not know: Redis keys, how a create is sent, who calls.
#![forbid(unsafe_code)]

mod attempts;
mod claim;
pub mod doubt;
mod ground;
pub mod quarantine;
mod report;
pub mod scan;
mod settings;
mod steady;
pub mod sweep;
mod tokens;
mod unknown;

pub use claim::{ClaimError, Claimed, claim};
pub use ground::{Ground, ReconcileError};
pub use report::{AccountReport, Deed, DeedKind, Finding, FindingKind, Recovered, Report, Tokens};
pub use settings::Settings;
