//! The one door for a new job: API, import and command line all come through [`Door`].
//!
//! A document is the provider's create body with a few fields of ours beside it. The door tells every
//! fault of both at once, in the caller's own pointers, and stores nothing of a faulty one. What is
//! sound gets an identity, a price and the answer of the review gate (M21); its inline media go to the
//! bucket, then the record goes to the store, where equal requests become one job however many arrive
//! at once (M23). A job that waits for a person has no ticket, so nothing can buy it.
//!
//! The judgement itself is a pure function ([`Door::check`]): the clock is an argument. It must not
//! know HTTP, files or terminals, nor the provider's wire beyond what `seedance` says.
#![forbid(unsafe_code)]

mod adopt;
mod ahead;
mod beside;
mod check;
mod codes;
mod door;
mod draw;
mod dry_run;
mod envelope;
mod hook;
mod identity;
mod intake;
mod json;
mod mend;
mod reader;
mod refusal;
mod retry;
mod rows;
mod seen;
mod sent;
mod settings;
mod takes;
mod trace;

pub use adopt::{AdoptRefusal, AdoptWish, TakenOver};
pub use ahead::Prepared;
pub use beside::Beside;
pub use check::Checked;
pub use codes::CODES;
pub use door::Door;
pub use draw::{Deck, Drawn, settings_of};
pub use dry_run::DryRun;
pub use envelope::{FIELDS, TAKE_MAX};
pub use intake::{Admitted, How, Intake, Mends};
pub use json::read_json;
pub use refusal::{Money, Refusal};
pub use rows::{COLUMNS, NOTE, Row, RowForm, RowReader, flat};
pub use sent::{document, whole_document};
pub use settings::{Review, ReviewSettings, Settings, TenantSettings};
pub use takes::Takes;
