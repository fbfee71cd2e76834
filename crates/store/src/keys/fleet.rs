//! Keys of the whole fleet: what belongs to no pool, under a hash tag of its own.

use super::page::Row;
use super::{part, slot};
use std::fmt::Write as _;

/// The name no pool may have: it is the last word of the fleet's own hash tag.
pub const FLEET: &str = "fleet";

/// The keys of the fleet. No script touches one of these together with a key of a pool.
#[derive(Debug, Clone)]
pub struct FleetKeys {
    tag: String,
}

impl FleetKeys {
    /// The fleet's keys under the operator's `prefix`.
    #[must_use]
    pub fn new(prefix: &str) -> Self {
        Self { tag: format!("{{{}:{FLEET}}}", part(prefix)) }
    }

    /// Where in a Redis Cluster all of these keys lie.
    #[must_use]
    pub fn slot(&self) -> u16 {
        slot::of(&self.tag)
    }

    fn key(&self, rest: std::fmt::Arguments<'_>) -> String {
        let mut key = self.tag.clone();
        write!(key, ":{rest}").expect("a string takes everything");
        key
    }

    /// An API key, without its secret.
    #[must_use]
    pub fn api_key(&self, id: &str) -> String {
        self.key(format_args!("apikey:{}", part(id)))
    }

    /// Every API key.
    #[must_use]
    pub fn ix_api_keys(&self) -> String {
        self.key(format_args!("ix:apikeys"))
    }

    /// When API keys were last used.
    #[must_use]
    pub fn api_keys_used(&self) -> String {
        self.key(format_args!("apikeys:used"))
    }

    /// Requests of a tenant in this minute and the one before.
    #[must_use]
    pub fn rate(&self, tenant: &str) -> String {
        self.key(format_args!("rate:{}", part(tenant)))
    }

    /// A session of the dashboard, by the SHA-256 (hex) of what the browser holds.
    #[must_use]
    pub fn session(&self, id: &str) -> String {
        self.key(format_args!("session:{}", part(id)))
    }

    /// The version of the record in force.
    #[must_use]
    pub fn schema(&self) -> String {
        self.key(format_args!("schema"))
    }

    /// Processes by their last beat.
    #[must_use]
    pub fn workers(&self) -> String {
        self.key(format_args!("workers"))
    }

    /// What each process tells of itself.
    #[must_use]
    pub fn workers_about(&self) -> String {
        self.key(format_args!("workers:about"))
    }

    /// The documented form of a key of the fleet, if it has one; for tests that walk a real server.
    #[must_use]
    pub fn documented(&self, key: &str) -> Option<(&'static str, &'static str)> {
        let rest = key.strip_prefix(self.tag.as_str())?.strip_prefix(':')?;
        super::page::row_of(ROWS, rest)
    }
}

/// The fleet's part of `docs/keys.md`.
pub(super) const ROWS: &[Row] = &[
    Row {
        key: "apikey:<key id>",
        kind: "hash",
        holds: "an API key: `spec` (JSON: SHA-256, name, tenant, mode, scopes, sources), `ends` (Unix ms, when it has an end), `why` (`expires`, `rotated` or `revoked`); expires 90 days after its end",
        bound: "one per key",
    },
    Row {
        key: "ix:apikeys",
        kind: "zset",
        holds: "every API key's id by creation time (Unix ms)",
        bound: "API keys",
    },
    Row {
        key: "apikeys:used",
        kind: "hash",
        holds: "API key's id to its last use (Unix ms), to the minute",
        bound: "API keys",
    },
    Row {
        key: "rate:<tenant>",
        kind: "hash",
        holds: "requests of a tenant with a limit: `at` number of the minute, `n` in it, `before` in the one before; expires after two",
        bound: "one per tenant",
    },
    Row {
        key: "session:<sha256>",
        kind: "string",
        holds: "a session of the dashboard (JSON): the SHA-256 of its API key and the token of its forms; expires `gateway.session` after the login",
        bound: "logins of that time",
    },
    Row {
        key: "schema",
        kind: "hash",
        holds: "`floor`: the version of the record in force, in which all processes write; `at` (Unix ms), `by`, `reason` of the last raise",
        bound: "4",
    },
    Row {
        key: "workers",
        kind: "zset",
        holds: "process by the instant (Unix ms) at which it last told that it lives; one that is silent for a minute counts no more, and goes with the next beat of another",
        bound: "processes",
    },
    Row {
        key: "workers:about",
        kind: "hash",
        holds: "process to what it is (JSON): `role`, `program` (its version), `oldest` form of the record that it writes, `newest` that it reads and writes; goes with its place in `workers`",
        bound: "processes",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fleets_keys_have_a_tag_of_their_own_and_are_documented() {
        let keys = FleetKeys::new("p}x");
        assert_eq!(keys.ix_api_keys(), "{p%7Dx:fleet}:ix:apikeys");
        let row = |key: &str| keys.documented(key).map(|row| row.0);
        assert_eq!(row(&keys.api_key("a:b")), Some("apikey:<key id>"));
        assert_eq!(row(&keys.api_keys_used()), Some("apikeys:used"));
        assert_eq!(row(&keys.workers_about()), Some("workers:about"));
        assert_eq!(row("{p%7Dx:main}:ix:apikeys"), None);
    }
}
