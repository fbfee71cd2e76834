//! The client of one pool: four typed calls, no call without a permit, and every answer sorted by
//! what it may have bought.
//!
//! - [`Client::create`] sends one create call and answers with a [`CreateAnswer`]: accepted, not
//!   sent, refused or unclear. There is no fifth case and no error beside it.
//! - [`Client::retrieve`], [`Client::list`] and [`Client::delete`] read and withdraw tasks.
//!
//! One call here is one HTTP request. Trying again is decided by the step that called, from the
//! job's record and policy; nothing in this room repeats anything. It knows the provider's error
//! table (`seedance`) and the HTTP clients (`egress`); it must not know Redis, tickets or states.

#![forbid(unsafe_code)]

mod callback;
mod client;
mod create;
mod keys;
mod raw;
mod read;
mod settings;
mod sort;

pub use callback::{CALLBACK_PREFIX, CallbackFault, CallbackSettings, Callbacks};
pub use client::{Client, OpenError, Site};
pub use create::{CreateAnswer, CreateCall};
pub use keys::{KeyFault, Keys, Reread, keep};
pub use raw::{Raw, RawQuestion};
pub use read::{Deleted, ListQuery, Listed, Lists, Retrieved, TooManyIds};
pub use settings::Settings;
pub use sort::{Refusal, Trouble};
