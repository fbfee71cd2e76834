//! Who may do what, as values: API keys in their written form, what is kept of them, modes, scopes and
//! the addresses a key may be used from.
//!
//! A secret exists in memory once, when a key is made; what is kept is its SHA-256. Pure: no clock, no
//! I/O, no store. Must not know: HTTP, Redis, jobs.
#![forbid(unsafe_code)]

mod key;
mod scope;
mod secret;
mod sources;

pub use key::{ApiKey, KeyId, KeyIdError, KeySpec, NAME_CHARS_MAX};
pub use scope::{ANY_TENANT, Mode, Scope, ScopeError, TENANT_CHARS_MAX, is_tenant};
pub use secret::{Presented, Secret, Sha256Hex, Unreadable, digest};
pub use sources::{Source, SourceError};
