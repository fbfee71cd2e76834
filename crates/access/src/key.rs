//! What is kept of a key.

use crate::secret::{is_spelled, spell};
use crate::{Mode, Scope, Sha256Hex, Source};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;

/// Longest name of a key.
pub const NAME_CHARS_MAX: usize = 100;
/// 60 bits at 5 a character.
const ID_CHARS: usize = 12;

/// The public part of a key: enough to name it, worthless without its secret.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyId(String);

/// No key is called so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no key id: expected 12 of 0-9 and a-z without i, l, o, u")]
pub struct KeyIdError(String);

impl KeyId {
    /// The id these bytes spell.
    pub(crate) fn from_bytes(bytes: &[u8; 8]) -> Self {
        Self(spell(bytes, ID_CHARS))
    }

    /// Reads an id from outside.
    ///
    /// # Errors
    ///
    /// [`KeyIdError`] names the form that is expected.
    pub fn parse(text: &str) -> Result<Self, KeyIdError> {
        let good = text.len() == ID_CHARS && is_spelled(text);
        if good {
            Ok(Self(text.to_owned()))
        } else {
            Err(KeyIdError(text.chars().take(40).collect()))
        }
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for KeyId {
    type Error = KeyIdError;
    fn try_from(text: String) -> Result<Self, KeyIdError> {
        Self::parse(&text)
    }
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> Self {
        id.0
    }
}

/// For whom a key speaks and what it may do; a rotation hands it on unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeySpec {
    /// For people.
    pub name: String,
    /// The tenant, or [`crate::ANY_TENANT`].
    pub tenant: String,
    /// Which pools it reaches.
    pub mode: Mode,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// Where it may be used from; empty: from everywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Source>,
    /// Who made it, as a person looks for them.
    pub created_by: String,
}

/// One key, without its secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ApiKey {
    /// Its public part.
    pub id: KeyId,
    /// What a caller must have the original of.
    pub sha256: Sha256Hex,
    /// For whom it speaks.
    #[serde(flatten)]
    pub spec: KeySpec,
    /// The key it took over from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotated_from: Option<KeyId>,
}

impl KeySpec {
    /// Whether the key may be used from this address.
    #[must_use]
    pub fn admits(&self, from: IpAddr) -> bool {
        self.sources.is_empty() || self.sources.iter().any(|source| source.contains(from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Secret;

    #[test]
    fn a_key_is_stored_without_its_secret() {
        let secret = Secret::draw(Mode::Live);
        let spec = KeySpec {
            name: "ci".into(),
            tenant: "acme".into(),
            mode: Mode::Live,
            scopes: vec![Scope::JobsRead],
            sources: vec![Source::parse("10.0.0.0/8").expect("a range")],
            created_by: "ops".into(),
        };
        let key =
            ApiKey { id: secret.id().clone(), sha256: secret.sha256(), spec, rotated_from: None };
        let text = serde_json::to_string(&key).expect("plain data");
        let hidden = secret.reveal().rsplit('_').next().unwrap_or_default();
        assert!(!text.contains(hidden), "{text}");
        let back: ApiKey = serde_json::from_str(&text).expect("our own");
        assert!(back.sha256.is(&key.sha256) && back.spec == key.spec && back.id == key.id);
        assert!(back.spec.admits([10, 1, 2, 3].into()) && !back.spec.admits([11, 1, 2, 3].into()));
        for bad in ["", "short", "UPPERCASE123", "has_underscor", "iiiiiiiiiiii"] {
            assert!(KeyId::parse(bad).is_err(), "{bad}");
        }
    }
}
