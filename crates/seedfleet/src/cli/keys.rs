//! The command line of `keys` and `tenants`.

use super::duration;
use access::{KeyId, Mode, Scope, Source};
use clap::{Args, Subcommand};
use std::time::Duration;

#[derive(Debug, Subcommand)]
pub(crate) enum KeysVerb {
    /// Make a key; it is shown once and never again.
    Create(CreateArgs),
    /// Keys, newest first, ended ones included for 90 days.
    List {
        /// Keys of this tenant only.
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Make a key that takes over from another; both live for a while.
    Rotate {
        #[arg(value_parser = key_id)]
        id: KeyId,
        /// How long the older one lives on.
        #[arg(long, default_value = "24h", value_parser = duration)]
        overlap: Duration,
        /// Your name beside the key; the login name if not given.
        #[arg(long)]
        by: Option<String>,
    },
    /// End a key now.
    Revoke {
        #[arg(value_parser = key_id)]
        id: KeyId,
    },
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// What it is for.
    #[arg(long)]
    pub(crate) name: String,
    /// For whom it speaks; `*` for the fleet's own operators.
    #[arg(long, default_value = "default", value_parser = tenant)]
    pub(crate) tenant: String,
    /// live or test: test keys reach simulated pools only, live keys all others only.
    #[arg(long, value_parser = mode)]
    pub(crate) mode: Mode,
    /// jobs:write, jobs:read, review, admin; repeat it or separate by commas.
    #[arg(long = "scope", value_parser = scope, value_delimiter = ',', required = true)]
    pub(crate) scopes: Vec<Scope>,
    /// Address or range it may be used from, such as 10.0.0.0/8; may be repeated.
    #[arg(long = "source", value_parser = source, value_delimiter = ',')]
    pub(crate) sources: Vec<Source>,
    /// How long it lives, such as 90d; for ever if not given.
    #[arg(long, value_parser = lifetime)]
    pub(crate) expires_in: Option<Duration>,
    /// Your name beside the key; the login name if not given.
    #[arg(long)]
    pub(crate) by: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TenantsVerb {
    /// Tenants that are configured, have keys or had jobs, with what they have and may have.
    List,
    /// One tenant: its pools, caps, jobs by state, keys and the cost of its days.
    Show {
        #[arg(value_parser = tenant)]
        tenant: String,
    },
}

fn key_id(text: &str) -> Result<KeyId, String> {
    KeyId::parse(text).map_err(|error| error.to_string())
}

fn scope(text: &str) -> Result<Scope, String> {
    Scope::parse(text).map_err(|error| error.to_string())
}

fn source(text: &str) -> Result<Source, String> {
    Source::parse(text).map_err(|error| error.to_string())
}

fn mode(text: &str) -> Result<Mode, String> {
    Mode::parse(text).ok_or_else(|| format!("{text:?} is no mode; write live or test"))
}

fn tenant(text: &str) -> Result<String, String> {
    if text == access::ANY_TENANT || access::is_tenant(text) {
        return Ok(text.to_owned());
    }
    Err(format!("{text:?} names no tenant: 1 to 64 of letters, digits and . _ -, or *"))
}

/// As [`duration`], with days: `90d`.
fn lifetime(text: &str) -> Result<Duration, String> {
    let days = text.strip_suffix('d').and_then(|days| days.parse::<u32>().ok());
    match days {
        Some(days) => Ok(Duration::from_secs(u64::from(days) * 86_400)),
        None => duration(text),
    }
}
