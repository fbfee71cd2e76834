//! What a key reaches (mode, tenant) and what it may do there (scopes).

use serde::{Deserialize, Serialize};
use std::fmt;

/// The tenant of the fleet's own operators: their keys speak for every tenant.
pub const ANY_TENANT: &str = "*";
/// Longest name of a tenant.
pub const TENANT_CHARS_MAX: usize = 64;

/// Whether a tenant may be called so: 1 to 64 of letters, digits and `. _ -`.
#[must_use]
pub fn is_tenant(name: &str) -> bool {
    (1..=TENANT_CHARS_MAX).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// Which pools a key reaches: those that bill, or those with `simulated = true`. Never both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Real pools: jobs cost money.
    Live,
    /// Simulated pools: nothing is billed.
    Test,
}

impl Mode {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Live, Self::Test];

    /// The word in keys, configuration and output.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Test => "test",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.word() == word)
    }

    /// The mode that reaches a pool.
    #[must_use]
    pub const fn of_pool(simulated: bool) -> Self {
        if simulated { Self::Test } else { Self::Live }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Scope {
    /// Make, cancel and retry jobs.
    #[serde(rename = "jobs:write")]
    JobsWrite,
    /// Look at jobs, outputs and numbers.
    #[serde(rename = "jobs:read")]
    JobsRead,
    /// Approve and reject jobs that wait for a person.
    #[serde(rename = "review")]
    Review,
    /// All of the above, and keys, webhooks and settings of the tenant. Who may make keys may do what
    /// any key may do, so this scope says so.
    #[serde(rename = "admin")]
    Admin,
}

/// No scope is called so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no scope; known are jobs:write, jobs:read, review and admin")]
pub struct ScopeError(pub String);

impl Scope {
    /// All scopes.
    pub const ALL: [Self; 4] = [Self::JobsWrite, Self::JobsRead, Self::Review, Self::Admin];

    /// The word in configuration, keys and output.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::JobsWrite => "jobs:write",
            Self::JobsRead => "jobs:read",
            Self::Review => "review",
            Self::Admin => "admin",
        }
    }

    /// Reads the word.
    ///
    /// # Errors
    ///
    /// [`ScopeError`] names the words there are.
    pub fn parse(word: &str) -> Result<Self, ScopeError> {
        let found = Self::ALL.into_iter().find(|scope| scope.word() == word);
        found.ok_or_else(|| ScopeError(word.chars().take(40).collect()))
    }

    /// Whether somebody with `held` may do what needs this scope.
    #[must_use]
    pub fn is_in(self, held: &[Self]) -> bool {
        held.contains(&self) || held.contains(&Self::Admin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_back_and_admin_holds_all() {
        for scope in Scope::ALL {
            assert_eq!(Scope::parse(scope.word()), Ok(scope));
            assert!(scope.is_in(&[Scope::Admin]) && !scope.is_in(&[]));
        }
        assert!(!Scope::JobsWrite.is_in(&[Scope::JobsRead, Scope::Review]));
        assert!(Scope::parse("jobs").is_err());
        assert!(Mode::ALL.into_iter().all(|mode| Mode::parse(mode.word()) == Some(mode)));
    }

    #[test]
    fn a_tenants_name_fits_keys_paths_and_labels() {
        assert!(is_tenant("acme-2.eu_west"));
        for bad in ["", ANY_TENANT, "a/b", "a b", "ä", &"x".repeat(65)] {
            assert!(!is_tenant(bad), "{bad:?}");
        }
    }
}
