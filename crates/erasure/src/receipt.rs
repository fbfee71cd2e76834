//! A wish to erase, and its receipt. Neither shows what it removes.

use job::{By, ErasureId, JobId, Timestamp};
use serde::{Deserialize, Serialize};

/// Whose content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Subject {
    /// One job's.
    Job {
        /// Which.
        job: JobId,
    },
    /// That of a customer of the tenant.
    EndUser {
        /// SHA-256 (hex) of tenant and customer.
        hash: String,
    },
    /// All of the tenant's.
    Tenant,
    /// What has been kept for long enough.
    Retention {
        /// Jobs that ended before.
        ended_before: Timestamp,
    },
}

/// Where an erasure stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// Under way.
    Working,
    /// All that could go is gone; some jobs are waited for.
    Waiting,
    /// Everything is gone.
    Done,
}

/// What was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Jobs whose content is gone.
    pub jobs: u64,
    /// Jobs that had none left before.
    pub before: u64,
    /// Jobs that are waited for.
    pub waiting: u64,
    /// Objects: videos, last frames, payloads, manifests.
    pub objects: u64,
    /// Their bytes, inline media included.
    pub bytes: u64,
    /// Inline media that no other request needs.
    pub media: u64,
    /// Intents of the second fence that were written anew without content.
    pub intents: u64,
    /// Lines of timelines that have lost their words.
    pub lines: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, more: &Self) {
        self.jobs += more.jobs;
        self.before += more.before;
        self.waiting += more.waiting;
        self.objects += more.objects;
        self.bytes += more.bytes;
        self.media += more.media;
        self.intents += more.intents;
        self.lines += more.lines;
    }
}

impl Erasure {
    /// The same wish in two pools, told as one: done when both are.
    #[must_use]
    pub fn with(mut self, other: &Self) -> Self {
        self.counts.add(&other.counts);
        self.done_at = self.done_at.zip(other.done_at).map(|(one, two)| one.max(two));
        self.progress = self.progress.min(other.progress);
        self.waits_for = self.waits_for.or_else(|| other.waits_for.clone());
        self
    }
}

/// A wish to erase, and its receipt once it is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erasure {
    /// Its id.
    pub id: ErasureId,
    /// Whose jobs.
    pub tenant: String,
    /// Which of them.
    pub subject: Subject,
    /// Who asked.
    pub by: By,
    /// Why, in their words.
    pub reason: String,
    /// Jobs that have not ended are stopped as far as they can be, and not waited for.
    pub cancel: bool,
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// Where it stands.
    pub progress: Progress,
    /// When everything was gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done_at: Option<Timestamp>,
    /// What the last job that is waited for is waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
    /// What was removed.
    pub counts: Counts,
    /// The last job looked at in this pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) after: Option<(Timestamp, JobId)>,
    /// Passes that left jobs to wait for.
    #[serde(default)]
    pub(crate) passes: u32,
}
