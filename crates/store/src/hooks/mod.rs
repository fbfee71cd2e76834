//! Outgoing webhooks: endpoints, their outboxes, and what became of each delivery.
//!
//! A pool's endpoints live with the pool, under its hash tag, so that an event leaves the stream and reaches
//! every outbox in one script (`docs/decisions/0014`). The ticket of the step Notify is the endpoint's, not
//! a job's: one delivery at a time, in order, and no endpoint waits for another.

mod deliver;
mod endpoint;
mod replay;
mod share;

pub use deliver::{
    Bell, Delivered, DeliveryEnd, DeliveryLine, DeliveryReport, HookClaim, HookWork,
};
pub use endpoint::{ENDPOINTS_MAX, EndpointPut};
pub use replay::Replayed;
pub use share::{BatchEnd, BatchPause, Outgoing, SHARE_MAX, Shared, Sharing};

use job::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;

/// Entries of one outbox; an endpoint that lets more pile up is switched off.
pub const OUTBOX_MAX: usize = 100_000;
/// Deliveries of one endpoint that are remembered, about.
pub const DELIVERY_LINES_MAX: usize = 1_000;
/// How long the outbox of an endpoint that is off waits for it; also the life of an endpoint that a job
/// brought with it, from its last event on.
pub(crate) const OUTBOX_KEPT: std::time::Duration = std::time::Duration::from_secs(7 * 24 * 3_600);

/// A key by which deliveries are signed, as the receiver knows it: `whsec_` and base64.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookSecret {
    /// The text. Only its owner and the notifier read it.
    pub text: String,
    /// Signs until then; [`None`]: the current one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl fmt::Debug for HookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HookSecret").field("until", &self.until).finish_non_exhaustive()
    }
}

/// Where a tenant wants to hear of what, and by which key it knows that we spoke.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// `whe_…`, or `whj_…` for one that a job brought with it.
    pub id: String,
    /// Whose.
    pub tenant: String,
    /// The address.
    pub url: String,
    /// Types of events; `job.*` and `*` stand for many.
    pub types: Vec<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<HookSecret>,
    /// The endpoint whose secrets sign: of one that a job brought with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<String>,
    /// Which key made it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
}

impl Endpoint {
    /// The endpoint behind an address that a job brought with it: the same for all of a tenant's jobs that
    /// name it.
    #[must_use]
    pub fn own_id(tenant: &str, url: &str, secret_ref: Option<&str>) -> String {
        let mut hash = Sha256::new();
        for part in [tenant, url, secret_ref.unwrap_or_default()] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        format!("whj_{}", hex::encode(&hash.finalize()[..13]))
    }

    /// Whether it wants to hear of events of this type.
    #[must_use]
    pub fn takes(&self, kind: &str) -> bool {
        let family = kind.split_once('.').map_or(kind, |(family, _)| family);
        self.types.iter().any(|wanted| {
            wanted == "*" || wanted == kind || wanted.strip_suffix(".*") == Some(family)
        })
    }

    /// The secrets that sign at this instant.
    pub fn signing(&self, now: Timestamp) -> impl Iterator<Item = &HookSecret> {
        self.secrets.iter().filter(move |secret| secret.until.is_none_or(|until| now < until))
    }
}

/// Why nothing more is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Off {
    /// Since when.
    pub at: Timestamp,
    /// `gone` (it answered 410), `failing` (the whole schedule failed), `full` (its outbox), `asked` (a
    /// person), `secret` (the one it names is no more).
    pub why: String,
}

/// An endpoint and how it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointState {
    /// What was asked for.
    pub endpoint: Endpoint,
    /// Changes of it so far.
    pub revision: u64,
    /// Switched off.
    pub off: Option<Off>,
    /// Failed tries of the entry that is due.
    pub tries: u32,
    /// When it is tried again, if it failed.
    pub next_at: Option<Timestamp>,
    /// Why it failed last.
    pub why: Option<String>,
    /// Entries that wait.
    pub waiting: u64,
}

/// One entry of an outbox: what happened, without a word of what was asked or made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookEvent {
    /// The same in every delivery and replay of this event: `webhook-id`.
    pub id: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// When it happened.
    pub at: Timestamp,
    /// The job it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// The batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<String>,
    /// The state before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The state from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// The endpoint, of events about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Why, of a batch that was paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Of two events of one job the higher one is the later.
    #[serde(default)]
    pub seq: u64,
    /// A person asked for it again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replayed: bool,
}

impl HookEvent {
    /// An event that says no more than that an endpoint can be reached.
    #[must_use]
    pub fn test(endpoint: &str, at: Timestamp) -> Self {
        Self {
            id: format!("evt_test_{}", ulid::Ulid::generate()),
            kind: "webhook.test".to_owned(),
            at,
            job: None,
            batch: None,
            from: None,
            state: None,
            endpoint: Some(endpoint.to_owned()),
            reason: None,
            seq: 0,
            replayed: false,
        }
    }
}

impl From<&crate::Change> for HookEvent {
    fn from(change: &crate::Change) -> Self {
        Self {
            id: format!("evt_{}", change.mark),
            kind: change.kind().to_owned(),
            at: change.mark.at(),
            job: Some(change.job.to_string()),
            batch: change.batch.clone(),
            from: change.from.map(|word| word.as_str().to_owned()),
            state: Some(change.to.as_str().to_owned()),
            endpoint: None,
            reason: None,
            seq: change.seq,
            replayed: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_takes_what_it_names_and_a_secret_is_not_shown() {
        let secret = |text: &str, until| HookSecret { text: text.into(), until };
        let at = Timestamp::from_unix_ms;
        let mut endpoint = Endpoint {
            id: "whe_1".into(),
            tenant: "acme".into(),
            url: "https://x.example/".into(),
            types: vec!["job.failed".into()],
            description: String::new(),
            secrets: vec![secret("whsec_new", None), secret("whsec_old", Some(at(100)))],
            secret_ref: None,
            created_by: String::new(),
            created_at: at(0),
        };
        assert!(endpoint.takes("job.failed") && !endpoint.takes("job.running"));
        endpoint.types = vec!["job.*".into()];
        assert!(endpoint.takes("job.running") && !endpoint.takes("batch.completed"));
        endpoint.types = vec!["*".into()];
        assert!(endpoint.takes("batch.completed"));
        assert_eq!(endpoint.signing(at(99)).count(), 2);
        assert_eq!(endpoint.signing(at(100)).count(), 1);
        assert!(!format!("{endpoint:?}").contains("whsec"), "{endpoint:?}");
    }
}
