//! Configuration: layers read once at start, merged, checked and handed out by section.
//!
//! `config/default.toml` is embedded and is three things at once: the lowest layer, the list of
//! known keys, and their manual. What it says after `Allowed:` is enforced here, so the comment an
//! operator reads cannot drift from what the program accepts. Keys under names that the operator
//! chooses (pools, accounts, tenants) stand in `patterns.rs`.
//!
//! Each room owns the struct of its section; this crate knows none of them and must not. It never
//! reads the environment behind the caller's back: [`Sources`] says what is read, so that a test
//! can say it too. The crate `config` parses files, merges layers and makes the structs; each of its
//! values carries its layer as origin.
#![forbid(unsafe_code)]

mod error;
mod key;
mod loaded;
mod mask;
mod patterns;
mod reread;
mod rule;
mod schema;
mod secret;
mod sources;

pub use error::{Fault, Layer, Refusal, SettingsError, SettingsErrors};
pub use loaded::{Loaded, Shown};
pub use reread::{Change, Marks};
pub use schema::{EnvName, env_names, explain};
pub use secret::secret_file;
pub use sources::Sources;

/// The annotated defaults, as they stand in the repository.
pub const DEFAULT_TOML: &str = include_str!("../../../config/default.toml");

/// Where an installed fleet keeps `seedfleet.toml` and `conf.d/`.
pub const ETC_DIR: &str = "/etc/seedfleet";
/// The variable that names another folder in its place.
pub const ETC_ENV: &str = "SEEDFLEET_ETC";

/// What every name in the environment starts with.
pub const ENV_PREFIX: &str = "SEEDFLEET__";
