//! Making an attempt: its id, its mark, its deadline.

use crate::Settings;
use job::{AttemptId, Facts, OpenAttempt, Record, SubmitPolicy, Timestamp};
use sha2::{Digest, Sha256};
use ulid::Ulid;

/// Hex digits of the identifier that stands for an end user at the provider; it takes 64.
const IDENTIFIER_HEX: usize = 40;
/// The same where the attempt's own 26 letters and a hyphen follow.
const IDENTIFIER_HEX_SHORT: usize = 32;

/// More marks than a record remembers.
const MARKS_KEPT: u128 = 16;

/// What an attempt needs beside its rendered body.
pub(crate) struct Blank {
    pub(crate) id: AttemptId,
    pub(crate) nonce_s: u32,
    pub(crate) begun_at: Timestamp,
    pub(crate) facts: Facts,
    pub(crate) safety_identifier: Option<String>,
    pub(crate) intent: Option<u32>,
}

impl Blank {
    /// Draws an id and a mark. `now` is Redis's clock.
    pub(crate) fn draw(
        record: &Record,
        facts: Facts,
        now: Timestamp,
        settings: &Settings,
        intent: Option<u32>,
    ) -> Self {
        let ulid = Ulid::generate();
        // The mark is echoed in every state of the task, so it must differ among the account's open
        // attempts; Begin refuses one that is taken.
        let spread = u128::from(settings.nonce_spread_s.max(1));
        let drawn = ulid.random() % spread;
        // Nor may it be one of the job's own: an earlier attempt can be in doubt again.
        let mut marks = (0..=MARKS_KEPT).map(|turn| {
            let offset = u32::try_from((drawn + turn) % spread).unwrap_or(0);
            settings.nonce_base_s.saturating_sub(offset)
        });
        let own = settings.nonce_base_s.saturating_sub(u32::try_from(drawn).unwrap_or(0));
        let nonce_s = marks.find(|mark| !record.life.has_marked(*mark)).unwrap_or(own);
        let number = record.life.attempts_begun.saturating_add(1);
        Self {
            id: AttemptId::draw(&record.id, number, ulid),
            nonce_s,
            begun_at: now,
            facts,
            safety_identifier: safety_identifier(
                &record.spec.tenant,
                record.spec.end_user.as_deref(),
                settings.identifier_suffix.then_some(ulid),
            ),
            intent,
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
            intent: self.intent,
            facts: self.facts,
        }
    }
}

/// What stands for the end user at the provider. With a suffix it also stands for the attempt: a task
/// that shows it is this attempt's and nobody else's.
fn safety_identifier(tenant: &str, end_user: Option<&str>, suffix: Option<Ulid>) -> Option<String> {
    match (end_user, suffix.map(|ulid| ulid.to_string())) {
        (None, None) => None,
        (None, Some(attempt)) => Some(format!("sf-{attempt}")),
        (Some(user), None) => Some(identifier(tenant, user, IDENTIFIER_HEX)),
        (Some(user), Some(attempt)) => {
            Some(format!("{}-{attempt}", identifier(tenant, user, IDENTIFIER_HEX_SHORT)))
        }
    }
}

/// The provider wants a stable, hashed id of the end user (`docs/provider.md` §2.1).
fn identifier(tenant: &str, end_user: &str, digits: usize) -> String {
    let mut text = hex(format!("{tenant}\n{end_user}").as_bytes());
    text.truncate(digits);
    text
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_user_is_told_by_a_stable_hash_and_per_tenant() {
        let of = |tenant, user| safety_identifier(tenant, Some(user), None).unwrap();
        assert_eq!(of("a", "eve"), of("a", "eve"));
        assert_ne!(of("a", "eve"), of("b", "eve"));
        assert!(!of("a", "eve").contains("eve"));
        assert_eq!(of("a", "eve").len(), IDENTIFIER_HEX);
        assert_eq!(safety_identifier("a", None, None), None, "nobody is named without an end user");
    }

    #[test]
    fn a_suffix_makes_the_identifier_the_attempts_own() {
        let (one, two) = (Ulid::generate(), Ulid::generate());
        let of = |user, attempt| safety_identifier("a", user, Some(attempt)).unwrap();
        let (first, second) = (of(Some("eve"), one), of(Some("eve"), two));
        let (user, attempt) = first.split_once('-').unwrap();
        assert_eq!(user, second.split_once('-').unwrap().0, "the end user's part is stable");
        assert!(safety_identifier("a", Some("eve"), None).unwrap().starts_with(user));
        assert_eq!(attempt, one.to_string(), "as in the attempt's id");
        assert_ne!(first, second);
        assert_eq!(of(None, one), format!("sf-{one}"));
        for text in [first, of(None, one)] {
            assert!(text.len() <= 64 && text.is_ascii(), "{text}");
        }
    }
}
