//! Making an attempt: its id, its mark, its deadline.

use crate::Settings;
use job::{AttemptId, Facts, OpenAttempt, Record, SubmitPolicy, Timestamp};
use sha2::{Digest, Sha256};
use ulid::Ulid;

/// Hex digits of the identifier that stands for an end user at the provider; it takes 64.
const IDENTIFIER_HEX: usize = 40;

/// What an attempt needs beside its rendered body.
pub(crate) struct Blank {
    pub(crate) id: AttemptId,
    pub(crate) nonce_s: u32,
    pub(crate) begun_at: Timestamp,
    pub(crate) facts: Facts,
    pub(crate) safety_identifier: Option<String>,
}

impl Blank {
    /// Draws an id and a mark. `now` is Redis's clock.
    pub(crate) fn draw(record: &Record, facts: Facts, now: Timestamp, settings: &Settings) -> Self {
        let ulid = Ulid::generate();
        // The mark is echoed in every state of the task, so it must differ among the account's open
        // attempts; Begin refuses one that is taken.
        let spread = u128::from(settings.nonce_spread_s.max(1));
        let offset = u32::try_from(ulid.random() % spread).unwrap_or(0);
        Self {
            id: AttemptId::from_ulid(ulid),
            nonce_s: settings.nonce_base_s.saturating_sub(offset),
            begun_at: now,
            facts,
            safety_identifier: record
                .spec
                .end_user
                .as_deref()
                .map(|user| identifier(&record.spec.tenant, user)),
        }
    }

    /// The attempt as it is committed, for this body.
    pub(crate) fn with_body(
        self,
        record: &Record,
        body: &[u8],
        policy: &SubmitPolicy,
    ) -> OpenAttempt {
        OpenAttempt {
            id: self.id,
            number: record.life.attempts_begun.saturating_add(1),
            nonce_s: self.nonce_s,
            begun_at: self.begun_at,
            send_by: self.begun_at + policy.send_deadline,
            renderer: seedance::RENDERER_VERSION,
            body_sha256: hex(body),
            safety_identifier: self.safety_identifier,
            facts: self.facts,
        }
    }
}

/// The provider wants a stable, hashed id of the end user (`docs/provider.md` §2.1).
fn identifier(tenant: &str, end_user: &str) -> String {
    let mut text = hex(format!("{tenant}\n{end_user}").as_bytes());
    text.truncate(IDENTIFIER_HEX);
    text
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_user_is_told_by_a_stable_hash_and_per_tenant() {
        assert_eq!(identifier("a", "eve"), identifier("a", "eve"));
        assert_ne!(identifier("a", "eve"), identifier("b", "eve"));
        assert!(!identifier("a", "eve").contains("eve"));
        assert_eq!(identifier("a", "eve").len(), IDENTIFIER_HEX);
    }
}
