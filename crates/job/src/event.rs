//! What workers, callbacks and people can learn about a job.

use crate::attempt::OpenAttempt;
use crate::cap::SpendCap;
use crate::rounds::Outlook;
use crate::{AttemptId, ErasureId, TaskId, Timestamp};
use serde::{Deserialize, Serialize};

/// One thing learned. Every report about an attempt or a task names it, so that a late report
/// cannot speak for a newer one.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Review said yes, or a cap was raised.
    Approved {
        /// By whom.
        by: By,
    },
    /// Review said no.
    ReviewRejected {
        /// By whom.
        by: By,
        /// Why.
        reason: String,
    },
    /// It shall wait, as long as nothing is under way for it.
    PauseAsked {
        /// By whom.
        by: By,
        /// Why.
        reason: String,
    },
    /// A paused job may go on.
    ResumeAsked {
        /// By whom.
        by: By,
    },
    /// A submitter was about to begin an attempt that would have passed a cap of spending.
    BudgetReached {
        /// Which.
        cap: SpendCap,
    },
    /// The cap that holds the job has room for it.
    BudgetFreed,
    /// A submitter is about to send: commit this first.
    SubmitBegan {
        /// The attempt, complete.
        attempt: OpenAttempt,
    },
    /// A submitter saw that `useful_until` has passed.
    UsefulnessPassed,
    /// The fence outside Redis holds an attempt that the record does not know: it was begun in a
    /// life that Redis has lost, and may have bought a task.
    IntentForgotten {
        /// The attempt, as its intent describes it.
        attempt: OpenAttempt,
        /// The attempt of ours that met it when it raised its own intent, and that sent nothing; none
        /// when it was met before Begin, or by a walk through all intents.
        instead_of: Option<AttemptId>,
    },
    /// The attempt ended with proof that nothing was bought.
    AttemptNotSent {
        /// Which.
        attempt: AttemptId,
        /// In words.
        reason: String,
        /// The route could not be reached: stop the account for a moment. False when our own gate
        /// closed.
        unreachable: bool,
        /// See [`Refusal::stops_in_row`].
        stops_in_row: u32,
    },
    /// The provider said no.
    AttemptRefused {
        /// Which.
        attempt: AttemptId,
        /// How.
        refusal: Refusal,
    },
    /// The provider answered with a task id.
    AttemptAccepted {
        /// Which.
        attempt: AttemptId,
        /// What was bought.
        task: TaskId,
    },
    /// No clear answer.
    AttemptUnclear {
        /// Which.
        attempt: AttemptId,
        /// In words.
        cause: DoubtCause,
    },
    /// The ticket of a job in `Submitting` was handed out again: its worker is gone or late.
    SubmitLeasePassed,
    /// A look-up ended without exactly one match.
    Looked {
        /// Which attempt was looked for.
        attempt: AttemptId,
        /// What was seen.
        look: Look,
    },
    /// A task is known to belong to the attempt.
    TaskFound {
        /// Which attempt.
        attempt: AttemptId,
        /// Which task.
        task: TaskId,
        /// How we know.
        via: FoundVia,
        /// Who says so and why, where a person does.
        said: Option<String>,
    },
    /// An authenticated read of the task.
    TaskSeen {
        /// Which.
        task: TaskId,
        /// What it said.
        report: TaskReport,
    },
    /// The task could not be read this time.
    PollTroubled {
        /// Which.
        task: TaskId,
        /// How.
        trouble: Trouble,
    },
    /// The provider does not know the task (404).
    TaskMissing {
        /// Which.
        task: TaskId,
    },
    /// Bytes, payload and manifest are in the bucket.
    OutputStored {
        /// Of which task.
        task: TaskId,
        /// Where and what.
        output: StoredOutput,
    },
    /// A fetch failed; the link may still live.
    DownloadTroubled {
        /// Of which task.
        task: TaskId,
        /// In words, without the link.
        reason: String,
    },
    /// Our own bucket refused or did not answer: no fault of the link, and none of its fetches counts.
    BucketTroubled {
        /// Of which task.
        task: TaskId,
        /// In words.
        reason: String,
    },
    /// The link is dead; `fresh` holds new links if one more read of the task gave some.
    LinkDied {
        /// Of which task.
        task: TaskId,
        /// New links, different from the dead ones.
        fresh: Option<Links>,
        /// In words, without the link.
        reason: String,
    },
    /// The payload of a task without output is in the bucket.
    PayloadFiled,
    /// The payload could not be written this time.
    FilingTroubled,
    /// Somebody wants the job stopped.
    CancelAsked {
        /// Who.
        by: By,
    },
    /// The poller deleted the task after reading `queued`, and the provider agreed.
    CancelDone {
        /// Which.
        task: TaskId,
    },
    /// Too late: the provider no longer lets go of the task.
    CancelTooLate {
        /// Which.
        task: TaskId,
    },
    /// An operator sends a parked job again, with the risk in view.
    ResendOrdered {
        /// Who.
        by: By,
        /// Why.
        reason: String,
    },
    /// An operator ends a doubtful job.
    GaveUp {
        /// Who.
        by: By,
        /// Why.
        reason: String,
    },
    /// A failure needs nobody's eyes any more: lists of failures leave it out.
    Dismissed {
        /// Who.
        by: By,
        /// Why.
        reason: String,
    },
    /// What was asked and made must go: from here on nothing of it is written down again.
    EraseAsked {
        /// Who.
        by: By,
        /// By which wish.
        erasure: ErasureId,
    },
    /// A ticket reminded of a step that the job has left: nothing to do, the ticket goes.
    StepLeft,
    /// The step's code panicked or could not do its work; the ticket comes back later.
    StepBroke {
        /// Which step.
        step: crate::Step,
        /// In words.
        reason: String,
    },
}

impl Event {
    /// The event's name in diagrams, logs and metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Approved { .. } => "approved",
            Self::ReviewRejected { .. } => "review_rejected",
            Self::PauseAsked { .. } => "pause_asked",
            Self::ResumeAsked { .. } => "resume_asked",
            Self::BudgetReached { .. } => "budget_reached",
            Self::BudgetFreed => "budget_freed",
            Self::SubmitBegan { .. } => "submit_began",
            Self::UsefulnessPassed => "usefulness_passed",
            Self::IntentForgotten { .. } => "intent_forgotten",
            Self::AttemptNotSent { .. } => "attempt_not_sent",
            Self::AttemptRefused { .. } => "attempt_refused",
            Self::AttemptAccepted { .. } => "attempt_accepted",
            Self::AttemptUnclear { .. } => "attempt_unclear",
            Self::SubmitLeasePassed => "submit_lease_passed",
            Self::Looked { .. } => "looked",
            Self::TaskFound { .. } => "task_found",
            Self::TaskSeen { .. } => "task_seen",
            Self::PollTroubled { .. } => "poll_troubled",
            Self::TaskMissing { .. } => "task_missing",
            Self::OutputStored { .. } => "output_stored",
            Self::DownloadTroubled { .. } => "download_troubled",
            Self::BucketTroubled { .. } => "bucket_troubled",
            Self::LinkDied { .. } => "link_died",
            Self::PayloadFiled => "payload_filed",
            Self::FilingTroubled => "filing_troubled",
            Self::CancelAsked { .. } => "cancel_asked",
            Self::CancelDone { .. } => "cancel_done",
            Self::CancelTooLate { .. } => "cancel_too_late",
            Self::ResendOrdered { .. } => "resend_ordered",
            Self::GaveUp { .. } => "gave_up",
            Self::Dismissed { .. } => "dismissed",
            Self::EraseAsked { .. } => "erase_asked",
            Self::StepLeft => "step_left",
            Self::StepBroke { .. } => "step_broke",
        }
    }
}

/// Who acts: `worker`, `callback`, or a person with a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct By(String);

impl By {
    /// A person or a key, by name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self(name.chars().take(120).collect())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A definite no to a create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Sorted by what to do about it.
    pub class: seedance::Class,
    /// The provider's code, or `http-<status>`.
    pub code: String,
    /// The provider's words, bounded.
    pub message: String,
    /// `Retry-After` or a reset time, as an instant.
    pub not_before: Option<Timestamp>,
    /// How often the account was stopped without a success in between; sets the length of the next
    /// stop.
    pub stops_in_row: u32,
}

/// What made an attempt unclear.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoubtCause {
    /// `timeout`, `reset`, `http-502`, `unreadable`, `lease-passed`.
    pub kind: String,
    /// In words, for people; no secrets.
    pub detail: String,
}

impl std::fmt::Display for DoubtCause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.kind, self.detail)
    }
}

/// What a look-up saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// A whole scan began at this instant and held no task of the attempt.
    Nothing {
        /// Start of the scan.
        scan_began_at: Timestamp,
        /// What the fleet's own rules say about one more send; read only where `balanced` would send.
        leave: ResendLeave,
    },
    /// The scan failed or was torn: it proves nothing.
    Inconclusive,
    /// More than one task fits.
    Several {
        /// Which.
        tasks: Vec<TaskId>,
    },
}

/// Whether a proven absence may be followed by an automatic re-send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResendLeave {
    /// The account has shown what the proof rests on, and the day's budget has room.
    Granted,
    /// The account has not yet shown often enough that it echoes the mark, and how late its list is.
    EvidenceMissing,
    /// The pool's automatic re-sends of this day are spent.
    DayBudgetSpent,
}

/// How a task was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FoundVia {
    /// The attempt's own callback path, confirmed by a read.
    Callback,
    /// The nonce in a list.
    List,
    /// A person says so.
    Operator,
}

/// What a read of the task said.
#[derive(Debug, Clone, PartialEq)]
pub enum TaskReport {
    /// `queued`, `running`, or a word we do not know.
    InProgress {
        /// The provider's word.
        word: String,
        /// Not in the contract: alarm, and keep polling.
        unknown: bool,
        /// What is known of the end that is waited for.
        outlook: Outlook,
    },
    /// Done, with links.
    Succeeded {
        /// Temporary links.
        links: Links,
        /// The task as the provider told it.
        payload: String,
    },
    /// Done, and no link: an error that is seen (M12).
    SucceededWithoutVideo {
        /// The task as the provider told it.
        payload: String,
    },
    /// Failed; not billed.
    Failed {
        /// Why, classified.
        cause: crate::Cause,
        /// The task as the provider told it.
        payload: String,
    },
    /// The provider's own limit passed; not billed.
    Expired {
        /// The task as the provider told it.
        payload: String,
    },
    /// Somebody cancelled it; not billed.
    Cancelled {
        /// The task as the provider told it.
        payload: String,
    },
}

/// Temporary links to the output. Secrets: never logged.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Links {
    /// The MP4.
    pub video: String,
    /// The last frame, when the provider made one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_frame: Option<String>,
    /// When the video link dies, read from its signature, else assumed.
    pub die_at: Timestamp,
}

impl Links {
    /// The links of a task that has succeeded; `None` when it names no video.
    ///
    /// They die when the signature of the video link says so; without one, `life` after the task's
    /// last change, or after `now` when that is not told either.
    #[must_use]
    pub fn of_task(
        task: &seedance::Task,
        now: Timestamp,
        life: std::time::Duration,
    ) -> Option<Self> {
        let video = task.video_url.clone()?;
        let signed = seedance::links_die_at_unix_s(&video).map(Timestamp::from_unix_s);
        let changed = task.updated_at_s.map_or(now, Timestamp::from_unix_s);
        let die_at = signed.unwrap_or(changed + life);
        Some(Self { video, last_frame: task.last_frame_url.clone(), die_at })
    }
}

impl std::fmt::Debug for Links {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Links {{ [redacted], die_at: {} }}", self.die_at.rfc3339())
    }
}

/// Where the output lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredOutput {
    /// The manifest's path in the bucket.
    pub manifest: String,
    /// The video's path in the bucket.
    pub video: String,
    /// SHA-256 (hex) of the video.
    pub video_sha256: String,
    /// Bytes of the video.
    pub video_bytes: u64,
    /// The last frame's path in the bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_frame: Option<String>,
    /// Tokens the provider bills.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
}

impl StoredOutput {
    /// Of an output that is gone, or was never fetched: what was billed for it, and no place.
    #[must_use]
    pub fn gone(video_bytes: u64, tokens: Option<u64>) -> Self {
        Self {
            manifest: String::new(),
            video: String::new(),
            video_sha256: String::new(),
            video_bytes,
            last_frame: None,
            tokens,
        }
    }

    /// Whether it lies in the bucket.
    #[must_use]
    pub fn is_here(&self) -> bool {
        !self.manifest.is_empty()
    }
}

/// A read that did not answer the question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Sorted by what to do about it.
    pub class: seedance::Class,
    /// Code, or what the transport said.
    pub code: String,
    /// `Retry-After`, as an instant.
    pub not_before: Option<Timestamp>,
}
