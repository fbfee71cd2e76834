//! A wish to erase, and its receipt. Neither shows what it removes.

use job::{By, ErasureId, JobId, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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

/// What an erasure removed. It is counted in Redis as it goes, so that a process that dies takes no more
/// than its last objects out of the count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Removed {
    /// Jobs whose content is gone; exact, whatever happened on the way.
    pub jobs: u64,
    /// Objects: videos, last frames, payloads, manifests.
    pub objects: u64,
    /// Their bytes, inline media included.
    pub bytes: u64,
    /// Inline media that no other request needs.
    pub media: u64,
    /// Intents of the second fence that were written anew without content.
    pub intents: u64,
    /// Lines of timelines that have lost their words; exact.
    pub lines: u64,
    /// Refused rows of uploads.
    pub rejects: u64,
}

impl Removed {
    /// Each number by the name that it is counted under.
    #[must_use]
    pub const fn named(&self) -> [(&'static str, u64); 7] {
        [
            ("jobs", self.jobs),
            ("objects", self.objects),
            ("bytes", self.bytes),
            ("media", self.media),
            ("intents", self.intents),
            ("lines", self.lines),
            ("rejects", self.rejects),
        ]
    }

    pub(crate) fn read(counted: &BTreeMap<String, u64>) -> Self {
        let of = |name: &str| counted.get(name).copied().unwrap_or(0);
        Self {
            jobs: of("jobs"),
            objects: of("objects"),
            bytes: of("bytes"),
            media: of("media"),
            intents: of("intents"),
            lines: of("lines"),
            rejects: of("rejects"),
        }
    }

    fn add(&mut self, more: &Self) {
        self.jobs += more.jobs;
        self.objects += more.objects;
        self.bytes += more.bytes;
        self.media += more.media;
        self.intents += more.intents;
        self.lines += more.lines;
        self.rejects += more.rejects;
    }
}

impl Erasure {
    /// The same wish in two pools, told as one: done when both are.
    #[must_use]
    pub fn with(mut self, other: &Self) -> Self {
        self.removed.add(&other.removed);
        self.jobs_before += other.jobs_before;
        self.jobs_waiting += other.jobs_waiting;
        self.interruptions += other.interruptions;
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
    /// Jobs that had no content left when they were looked at first.
    pub jobs_before: u64,
    /// Jobs that are waited for.
    pub jobs_waiting: u64,
    /// Turns that broke off: a process died, or Redis went away. Objects, media and intents that went at
    /// that very moment may be missing in the numbers.
    #[serde(default)]
    pub interruptions: u32,
    /// What was removed so far.
    #[serde(skip)]
    pub removed: Removed,
    /// A turn has begun and has not come to its end.
    #[serde(default)]
    pub(crate) under_way: bool,
    /// The last job looked at in this pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) after: Option<(Timestamp, JobId)>,
    /// Passes that left jobs to wait for.
    #[serde(default)]
    pub(crate) passes: u32,
}
