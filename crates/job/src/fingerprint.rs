//! Identity of a request (M23): equal requests have equal fingerprints, for ever and everywhere.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;

/// Version of the rule below; part of the fingerprint, so that a new rule never matches an old one.
pub const FINGERPRINT_VERSION: u32 = 1;

/// SHA-256 over the canonical request, route, end user and take: `f1_` and 64 hex digits.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// Computes the fingerprint of a normalised request, before the fleet adds its own fields.
    ///
    /// Inline media stand in the normal form as content hashes, so a data URL written in another
    /// way is the same request; the order of references is kept, because prompts count them.
    #[must_use]
    pub fn of(
        route: seedance::Route,
        request: &seedance::Request,
        end_user: Option<&str>,
        take: u32,
    ) -> Self {
        #[derive(Serialize)]
        struct Canonical<'a> {
            version: u32,
            route: seedance::Route,
            end_user: Option<&'a str>,
            take: u32,
            request: &'a seedance::Request,
        }
        let canonical = Canonical { version: FINGERPRINT_VERSION, route, end_user, take, request };
        // Through a value, whose maps are then sorted: the order of fields in our structs is not
        // part of the promise.
        let value = serde_json::to_value(&canonical).expect("plain data always serialises");
        let mut hasher = Sha256::new();
        feed(&mut hasher, &value);
        Self(format!("f{FINGERPRINT_VERSION}_{}", hex::encode(hasher.finalize())))
    }

    /// The fingerprint as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Feeds a value in one unambiguous form: a type letter, a length, the content.
fn feed(hasher: &mut Sha256, value: &serde_json::Value) {
    use serde_json::Value as V;
    match value {
        V::Null => hasher.update(b"z"),
        V::Bool(b) => hasher.update(if *b { b"t" } else { b"f" }),
        V::Number(n) => feed_text(hasher, b'n', &n.to_string()),
        V::String(s) => feed_text(hasher, b's', s),
        V::Array(items) => {
            feed_text(hasher, b'a', &items.len().to_string());
            for item in items {
                feed(hasher, item);
            }
        }
        V::Object(map) => {
            let mut fields: Vec<_> = map.iter().filter(|(_, v)| !v.is_null()).collect();
            fields.sort_by(|a, b| a.0.cmp(b.0));
            feed_text(hasher, b'o', &fields.len().to_string());
            for (name, v) in fields {
                feed_text(hasher, b'k', name);
                feed(hasher, v);
            }
        }
    }
}

fn feed_text(hasher: &mut Sha256, kind: u8, text: &str) {
    hasher.update([kind]);
    hasher.update((text.len() as u64).to_be_bytes());
    hasher.update(text.as_bytes());
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
