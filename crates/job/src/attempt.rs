//! One try to submit, the facts frozen with it, and the task it may have bought.

use crate::{AttemptId, TaskId, Timestamp};
use seedance::{Route, SlotClass};
use serde::{Deserialize, Serialize};

/// What a living task must be read with, whatever the configuration says later (M3).
///
/// Written at Begin; poll, delete, settle and the manifest use these and never the settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The provider's region with its URLs, ids and billing.
    pub route: Route,
    /// Where the create call goes: an absolute URL.
    pub create_url: String,
    /// Where one task is read: `<retrieve_url>/<task id>`; the list is the URL itself.
    pub retrieve_url: String,
    /// The model's id on the wire.
    pub model_id: String,
    /// The account (one API key with its limits) whose money this is.
    pub account: String,
    /// Which tier of the account's limits the request falls under.
    pub class: SlotClass,
    /// The `effective_from` of the price row used for the estimate.
    pub price_version: String,
}

/// The account's right to one more task at the provider, held by the record and not by a process.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot {
    /// Whose limit.
    pub account: String,
    /// Which of its limits.
    pub class: SlotClass,
}

impl Facts {
    /// The slot that a task with these facts occupies.
    #[must_use]
    pub fn slot(&self) -> Slot {
        Slot { account: self.account.clone(), class: self.class }
    }
}

/// An attempt whose outcome is not known yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenAttempt {
    /// The fence.
    pub id: AttemptId,
    /// 1 for the job's first attempt; for people, never compared.
    pub number: u32,
    /// `execution_expires_after` in seconds: unique among the account's open attempts and echoed
    /// by the provider in every state, so a list names our orphan (`docs/provider.md` §4.3).
    pub nonce_s: u32,
    /// When Begin was committed.
    pub begun_at: Timestamp,
    /// The last byte of the body leaves before this instant or never.
    pub send_by: Timestamp,
    /// Version of the body renderer, and the SHA-256 (hex) of the rendered body: the sender
    /// refuses to send anything else.
    pub renderer: u32,
    /// See `renderer`.
    pub body_sha256: String,
    /// The identifier sent along, when the operator allows one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub safety_identifier: Option<String>,
    /// Which intent outside Redis stands for it: the n-th send of this fingerprint, ever. None while
    /// the second fence is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<u32>,
    /// Frozen facts.
    pub facts: Facts,
}

impl OpenAttempt {
    /// Whether the intent that stands for `other` says that nothing of this attempt is to be waited for.
    ///
    /// Nobody raises a number before its record knew how the one before had ended, and an attempt that
    /// had bought a task would have been the last. So a higher number means that this attempt was
    /// answered for in a life that Redis has lost. The same number means that it never had an intent,
    /// and so was never sent.
    #[must_use]
    pub fn is_answered_for_by(&self, other: &OpenAttempt) -> bool {
        match (self.intent, other.intent) {
            (Some(own), Some(standing)) => standing >= own && self.id != other.id,
            (None, _) | (_, None) => false,
        }
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum AttemptOutcome {
    /// Proof that nothing was bought: the last byte never left.
    NotSent {
        /// In words, for people.
        reason: String,
    },
    /// A definite no.
    Refused {
        /// The provider's code, or `http-<status>`.
        code: String,
    },
    /// A task came of it.
    Accepted {
        /// Which.
        task: TaskId,
    },
    /// Two whole scans after the quiet horizon saw nothing.
    Absent,
    /// A person decided without proof.
    Abandoned {
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
}

impl AttemptOutcome {
    /// Proof, and not only evidence or a decision, that no task came of it.
    #[must_use]
    pub const fn bought_nothing(&self) -> bool {
        match self {
            Self::NotSent { .. } | Self::Refused { .. } => true,
            Self::Accepted { .. } | Self::Absent | Self::Abandoned { .. } => false,
        }
    }
}

/// A closed attempt, kept for people and for the match of late evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The attempt as it was opened.
    pub open: OpenAttempt,
    /// When it was closed.
    pub closed_at: Timestamp,
    /// How.
    #[serde(flatten)]
    pub outcome: AttemptOutcome,
}

/// A generation at the provider that this job owns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRef {
    /// The provider's id.
    pub id: TaskId,
    /// The attempt that bought it.
    pub attempt: AttemptId,
    /// When we learned of it.
    pub known_at: Timestamp,
    /// When the provider gives up on it: created + `execution_expires_after`, by our clock.
    pub expires_at: Timestamp,
    /// Frozen facts.
    pub facts: Facts,
}
