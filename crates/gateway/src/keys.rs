//! Who calls: configured keys, kept as hashes.

use crate::problem::Problem;
use crate::settings::Scope;
use axum::http::{HeaderMap, header};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Longest `Authorization` value looked at, bytes.
const AUTHORIZATION_BYTES_MAX: usize = 512;

/// One configured key.
#[derive(Debug, Clone)]
pub(crate) struct KeyEntry {
    pub(crate) name: String,
    pub(crate) tenant: String,
    pub(crate) sha256: [u8; 32],
    pub(crate) scopes: Vec<Scope>,
}

/// Every configured key.
#[derive(Debug)]
pub(crate) struct Keys {
    entries: Vec<KeyEntry>,
}

impl Keys {
    pub(crate) fn new(entries: Vec<KeyEntry>) -> Self {
        Self { entries }
    }

    /// The key with this SHA-256.
    pub(crate) fn of_digest(&self, sha256: &[u8; 32]) -> Option<&KeyEntry> {
        // Every entry is compared: the time taken says nothing about which key came close.
        self.entries.iter().fold(None, |found, entry| {
            if bool::from(entry.sha256.ct_eq(sha256)) { Some(entry) } else { found }
        })
    }

    /// The caller behind a request, if it may do what it asks.
    pub(crate) fn caller(&self, headers: &HeaderMap, needs: Scope) -> Result<&KeyEntry, Problem> {
        let given = headers
            .get(header::AUTHORIZATION)
            .filter(|value| value.len() <= AUTHORIZATION_BYTES_MAX)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "))
            .ok_or_else(Problem::unauthorized)?;
        let entry = self.of_digest(&digest(given.trim())).ok_or_else(Problem::unauthorized)?;
        if entry.scopes.contains(&needs) { Ok(entry) } else { Err(Problem::forbidden(needs)) }
    }
}

pub(crate) fn digest(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

pub(crate) fn unhex(text: &str) -> Option<[u8; 32]> {
    let text = text.trim();
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; 32];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        Keys::new(vec![KeyEntry {
            name: "alice".into(),
            tenant: "acme".into(),
            sha256: digest("a-long-enough-key"),
            scopes: vec![Scope::JobsRead],
        }])
    }

    fn with(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())])
    }

    #[test]
    fn a_key_opens_what_its_scopes_say() {
        let keys = keys();
        let headers = with("Bearer a-long-enough-key");
        assert_eq!(keys.caller(&headers, Scope::JobsRead).unwrap().tenant, "acme");
        assert_eq!(keys.caller(&headers, Scope::JobsWrite).unwrap_err().status(), 403);
    }

    #[test]
    fn anything_else_is_401() {
        for value in ["Bearer wrong", "a-long-enough-key", "Basic a-long-enough-key", "Bearer "] {
            assert_eq!(keys().caller(&with(value), Scope::JobsRead).unwrap_err().status(), 401);
        }
        assert_eq!(keys().caller(&HeaderMap::new(), Scope::JobsRead).unwrap_err().status(), 401);
    }

    #[test]
    fn hashes_are_read_strictly() {
        assert_eq!(unhex(&"ab".repeat(32)), Some([0xab; 32]));
        for bad in ["", "ab", &"zz".repeat(32), &"ä".repeat(32)] {
            assert_eq!(unhex(bad), None, "{bad}");
        }
    }
}
