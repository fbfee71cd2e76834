//! What is asked of endpoints, and how they and their deliveries are shown.

use job::Timestamp;
use serde::{Deserialize, Serialize};
use store::{DeliveryLine, EndpointState, HookSecret, Replayed};
use utoipa::ToSchema;

/// What a new endpoint is asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewEndpoint {
    /// An https address.
    pub(super) url: String,
    /// Types of events; all ends of jobs, of batches and of endpoints if none are named.
    pub(super) types: Option<Vec<String>>,
    /// For people.
    #[serde(default)]
    pub(super) description: String,
    /// A secret of your own, `whsec_` and base64 of 24 to 64 bytes; one is made if none is given.
    pub(super) secret: Option<String>,
}

/// What is to be otherwise.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EndpointPatch {
    pub(super) url: Option<String>,
    pub(super) types: Option<Vec<String>>,
    pub(super) description: Option<String>,
    /// True: nothing more is sent until it is enabled.
    pub(super) disabled: Option<bool>,
}

/// How a secret is changed.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Rotation {
    /// Seconds for which the old secret signs as well.
    pub(super) overlap_s: Option<u64>,
    /// See the secret of a new endpoint.
    pub(super) secret: Option<String>,
}

/// Which events are told again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReplayAsked {
    /// RFC 3339.
    pub(super) since: String,
    /// RFC 3339; up to now if it is left out.
    pub(super) until: Option<String>,
    /// Types; those of the endpoint if none are named.
    pub(super) types: Option<Vec<String>>,
}

/// An endpoint as its owner sees it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookEndpoint)]
pub(crate) struct EndpointView {
    id: String,
    object: &'static str,
    pub(super) url: String,
    pub(super) types: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) description: String,
    status: &'static str,
    disabled: Option<DisabledView>,
    waiting: u64,
    failed_tries: u32,
    next_try_at: Option<String>,
    last_failure: Option<String>,
    secrets: Vec<SecretView>,
    /// Told when it is made, and never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) secret: Option<String>,
    created_by: String,
    created_at: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookDisabled)]
struct DisabledView {
    why: String,
    at: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookSecret)]
struct SecretView {
    /// The last characters, to tell secrets apart.
    hint: String,
    active_until: Option<String>,
}

/// One delivery as its owner sees it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookDelivery)]
pub(crate) struct DeliveryView {
    id: String,
    object: &'static str,
    event: String,
    #[serde(rename = "type")]
    kind: String,
    job: Option<String>,
    result: String,
    status: Option<u16>,
    took_ms: u64,
    attempt: u32,
    at: String,
    next_try_at: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    why: String,
}

impl EndpointView {
    pub(super) fn of(state: &EndpointState, now: Timestamp) -> Self {
        let endpoint = &state.endpoint;
        let hint = |secret: &HookSecret| {
            let tail: Vec<char> = secret.text.chars().rev().take(4).collect();
            format!("…{}", tail.into_iter().rev().collect::<String>())
        };
        Self {
            id: endpoint.id.clone(),
            object: "webhook_endpoint",
            url: endpoint.url.clone(),
            types: endpoint.types.clone(),
            description: endpoint.description.clone(),
            status: if state.off.is_some() { "disabled" } else { "enabled" },
            disabled: state
                .off
                .as_ref()
                .map(|off| DisabledView { why: off.why.clone(), at: off.at.rfc3339() }),
            waiting: state.waiting,
            failed_tries: state.tries,
            next_try_at: state.next_at.map(Timestamp::rfc3339),
            last_failure: state.why.clone(),
            secrets: endpoint
                .signing(now)
                .map(|secret| SecretView {
                    hint: hint(secret),
                    active_until: secret.until.map(Timestamp::rfc3339),
                })
                .collect(),
            secret: None,
            created_by: endpoint.created_by.clone(),
            created_at: endpoint.created_at.rfc3339(),
        }
    }
}

impl From<DeliveryLine> for DeliveryView {
    fn from(line: DeliveryLine) -> Self {
        Self {
            id: line.id,
            object: "webhook_delivery",
            event: line.event.id,
            kind: line.event.kind,
            job: line.event.job,
            result: line.result,
            status: (line.status > 0).then_some(line.status),
            took_ms: u64::try_from(line.took.as_millis()).unwrap_or(u64::MAX),
            attempt: line.attempt,
            at: line.at.rfc3339(),
            next_try_at: line.next_at.map(Timestamp::rfc3339),
            why: line.why,
        }
    }
}

/// Events that are on their way again.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookReplay)]
pub(crate) struct ReplayView {
    /// `webhook_replay`.
    object: &'static str,
    /// So many.
    events: u64,
    /// The only one, where one delivery was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    event: Option<String>,
    /// They happened until then; go on from there where the outbox is full.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    until: Option<String>,
    /// The outbox took no more: replay the rest when it has been emptied.
    outbox_full: bool,
    /// The stream of events reaches back to then only; null where it holds all that was asked for.
    #[schema(format = DateTime)]
    kept_from: Option<String>,
    /// Where their deliveries can be looked at.
    deliveries: String,
}

impl ReplayView {
    pub(super) fn of(done: &Replayed, deliveries: String) -> Self {
        Self {
            object: "webhook_replay",
            events: done.events,
            event: None,
            until: Some(done.until.rfc3339()),
            outbox_full: done.full,
            kept_from: done.kept_from.map(Timestamp::rfc3339),
            deliveries,
        }
    }

    pub(super) fn one(event: String, deliveries: String) -> Self {
        Self {
            object: "webhook_replay",
            events: 1,
            event: Some(event),
            until: None,
            outbox_full: false,
            kept_from: None,
            deliveries,
        }
    }
}

/// A test event that is on its way.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookTest)]
pub(crate) struct TestView {
    /// `webhook_test`.
    pub(super) object: &'static str,
    /// Its id.
    pub(super) event: String,
    /// Where its delivery can be looked at.
    pub(super) deliveries: String,
}
