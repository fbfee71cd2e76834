//! Configured keys, kept as hashes: the way in before the first key of the fleet is made.

use crate::caller::Caller;
use access::{Mode, Scope, Sha256Hex};
use std::net::IpAddr;

/// One configured key.
#[derive(Debug, Clone)]
pub(crate) struct KeyEntry {
    pub(crate) name: String,
    pub(crate) tenant: String,
    pub(crate) mode: Option<Mode>,
    pub(crate) sha256: Sha256Hex,
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

    /// The caller whose key has this hash, if it is one of these.
    pub(crate) fn of(&self, hash: &Sha256Hex, source: IpAddr) -> Option<Caller> {
        // Every entry is compared: the time taken says nothing about which key came close.
        let found = self
            .entries
            .iter()
            .fold(None, |found, entry| if entry.sha256.is(hash) { Some(entry) } else { found })?;
        Some(Caller {
            key: None,
            name: found.name.clone(),
            tenant: found.tenant.clone(),
            mode: found.mode,
            scopes: found.scopes.clone(),
            source,
            proof: found.sha256.hex().to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use access::digest;

    #[test]
    fn a_configured_key_is_known_by_its_hash_only() {
        let keys = Keys::new(vec![KeyEntry {
            name: "alice".into(),
            tenant: "acme".into(),
            mode: None,
            sha256: digest("a-long-enough-key"),
            scopes: vec![Scope::JobsRead],
        }]);
        let source = [127, 0, 0, 1].into();
        let found = keys.of(&digest("a-long-enough-key"), source).expect("known");
        assert_eq!((found.tenant.as_str(), found.key), ("acme", None));
        for wrong in ["", "wrong", "a-long-enough-keY"] {
            assert!(keys.of(&digest(wrong), source).is_none(), "{wrong}");
        }
    }
}
