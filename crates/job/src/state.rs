//! The states of a job. Data lives inside the variant that has it.

use crate::attempt::{OpenAttempt, Slot, TaskRef};
use crate::cap::SpendCap;
use crate::event::{By, DoubtCause, Links, StoredOutput};
use crate::{TaskId, Timestamp};
use serde::{Deserialize, Serialize};

mod word;

pub use word::StateWord;

/// One queue each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Buy a task.
    Submit,
    /// Find out what an unclear create bought.
    Settle,
    /// Ask the provider how the task is.
    Poll,
    /// Bring the output, or the payload of a task without one, into the bucket.
    Download,
    /// Tell the caller's webhook.
    Notify,
}

impl Step {
    /// Every step, in the order of a job's way.
    pub const ALL: [Self; 5] =
        [Self::Submit, Self::Settle, Self::Poll, Self::Download, Self::Notify];

    /// The word in keys, metrics and output.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Submit => "submit",
            Self::Settle => "settle",
            Self::Poll => "poll",
            Self::Download => "download",
            Self::Notify => "notify",
        }
    }
}

/// Where a job stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// Waits for a person or for money; nothing is due.
    Held {
        /// For what.
        why: HeldWhy,
    },
    /// Waits for a submitter.
    Queued {
        /// Attempts that provably sent nothing.
        tries: u32,
    },
    /// The intent is durable, the create call may be under way.
    Submitting {
        /// The one open attempt.
        attempt: OpenAttempt,
        /// See `Queued`.
        tries: u32,
    },
    /// The create call ended without a clear answer: perhaps bought.
    InDoubt {
        /// The attempt in question.
        attempt: OpenAttempt,
        /// What made it unclear.
        cause: DoubtCause,
        /// Since when.
        since: Timestamp,
        /// Look-ups so far.
        looks: Looks,
        /// See `Queued`.
        tries: u32,
    },
    /// Still unclear after the budget; watched for late evidence, decided by a person.
    Parked {
        /// The attempt in question.
        attempt: OpenAttempt,
        /// Why no program decides.
        why: ParkWhy,
        /// Since when.
        since: Timestamp,
        /// Look-ups so far.
        looks: Looks,
    },
    /// A task exists and is not terminal.
    Generating {
        /// Which.
        task: TaskRef,
        /// The provider's last word, lower case; empty before the first read.
        seen: String,
        /// Reads that found it in progress, until they come at the steady pace.
        checks: u32,
        /// Troubled reads in a row.
        troubles: u32,
        /// Odd answers since the last ordinary one: 404, or a success without a link. Counted apart,
        /// so that a route that stumbles does not turn the first odd answer into an end.
        #[serde(default)]
        odd: u32,
        /// Our wall-clock limit.
        give_up_at: Timestamp,
    },
    /// Past our limit, still watched: a late success has been paid for.
    Overdue {
        /// Which.
        task: TaskRef,
        /// The provider's record ends.
        watch_until: Timestamp,
        /// The task may still occupy its slot: true until `execution_expires_after` has passed.
        slot_held: bool,
    },
    /// The task succeeded; its output must reach the bucket before the link dies.
    Downloading {
        /// Which.
        task: TaskRef,
        /// Temporary links.
        links: Links,
        /// Fetches that failed, for these links.
        tries: u32,
        /// Turns in a row that our own bucket spoiled.
        #[serde(default)]
        bucket_troubles: u32,
        /// The provider has given fresh links before.
        renewed: bool,
        /// Reads in a row by which the provider gave no link that lives.
        #[serde(default)]
        dead_reads: u32,
        /// Since when.
        since: Timestamp,
    },
    /// Never moves, save on proof of a paid task.
    Finished {
        /// How it ended.
        end: End,
        /// The task, where there was one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        task: Option<TaskRef>,
        /// Whether the provider's payload still has to be filed beside the assets.
        filing: Filing,
        /// When.
        at: Timestamp,
    },
}

/// What a held job waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeldWhy {
    /// A person's approval.
    Review,
    /// A cap to be raised, or to begin anew.
    Budget {
        /// See [`State::Queued`].
        tries: u32,
        /// Which cap, as it stood when the job would have passed it.
        cap: SpendCap,
    },
    /// Somebody who paused it to resume it.
    Paused {
        /// See [`State::Queued`].
        tries: u32,
    },
}

/// Look-ups made for an unclear attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Looks {
    /// All of them.
    pub count: u32,
    /// Whole scans that began after the quiet horizon and saw nothing, counted at most once per
    /// `settle.scan_gap`.
    pub empty_after_horizon: u32,
    /// When the last counted one began.
    pub last_empty_at: Option<Timestamp>,
}

/// Why a job is parked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ParkWhy {
    /// No task was seen, and the pool's policy is `strict`.
    NoTaskStrict,
    /// No task was seen, and the automatic re-sends are spent.
    ResendSpent,
    /// No task was seen, and the account has not yet shown that its list may be believed.
    EvidenceMissing,
    /// No task was seen, and the pool's automatic re-sends of the day are spent.
    DayBudgetSpent,
    /// For `settle.blind_max` after the quiet horizon no scan of the list proved anything, or the attempt is older
    /// than the provider's records.
    ListUnreadable,
    /// More than one task fits the attempt.
    SeveralTasks {
        /// Which.
        tasks: Vec<TaskId>,
    },
}

/// Why a generation failed, sorted for people and filters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// The provider's code verbatim, or one of ours in kebab-case.
    pub code: String,
    /// The class of `config/error-codes.toml`.
    pub class: seedance::Class,
    /// The provider's words, bounded.
    pub message: String,
    /// A task had existed (it is not billed when it failed).
    pub task_existed: bool,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "snake_case")]
pub enum End {
    /// The output is ours.
    Stored {
        /// Where and what.
        output: StoredOutput,
    },
    /// The request or the generation failed.
    Failed {
        /// Why.
        cause: Cause,
    },
    /// The provider gave up; retryable by the caller while the request is still useful.
    Expired {
        /// `useful_until` lay ahead, or there is none.
        retryable: bool,
    },
    /// Stopped on request, unpaid.
    Cancelled {
        /// By whom.
        by: By,
    },
    /// Review said no.
    Rejected {
        /// By whom.
        by: By,
        /// Why.
        reason: String,
    },
    /// Its `useful_until` passed while it waited, unpaid.
    NotUseful,
    /// A person ended a doubtful job.
    GivenUp {
        /// By whom.
        by: By,
        /// Why.
        reason: String,
    },
    /// Paid, and the output is gone: seen, paged, never silent.
    OutputLost {
        /// Why.
        reason: String,
    },
    /// Neither we nor the provider know how it ended.
    TimedOut,
}

/// The provider's payload of a task that ended without output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filing {
    /// Nothing to file.
    Nothing,
    /// The downloader still has to write it.
    Pending,
    /// It lies in the bucket.
    Filed,
}

impl State {
    /// The public word.
    #[must_use]
    pub const fn word(&self) -> StateWord {
        match self {
            Self::Held { .. } => StateWord::Held,
            Self::Queued { .. } => StateWord::Queued,
            Self::Submitting { .. } => StateWord::Submitting,
            Self::InDoubt { .. } => StateWord::InDoubt,
            Self::Parked { .. } => StateWord::Parked,
            Self::Generating { .. } => StateWord::Running,
            Self::Overdue { .. } => StateWord::Overdue,
            Self::Downloading { .. } => StateWord::Downloading,
            Self::Finished { end, .. } => match end {
                End::Stored { .. } => StateWord::Succeeded,
                End::Failed { .. } => StateWord::Failed,
                End::Expired { .. } => StateWord::Expired,
                End::Cancelled { .. } => StateWord::Cancelled,
                End::Rejected { .. } => StateWord::Rejected,
                End::NotUseful => StateWord::NotUseful,
                End::GivenUp { .. } => StateWord::GivenUp,
                End::OutputLost { .. } => StateWord::OutputLost,
                End::TimedOut => StateWord::TimedOut,
            },
        }
    }

    /// The step that moves the job on, where one does.
    #[must_use]
    pub const fn step(&self) -> Option<Step> {
        match self {
            Self::Held { .. } => None,
            Self::Queued { .. } | Self::Submitting { .. } => Some(Step::Submit),
            Self::InDoubt { .. } | Self::Parked { .. } => Some(Step::Settle),
            Self::Generating { .. } | Self::Overdue { .. } => Some(Step::Poll),
            Self::Downloading { .. } => Some(Step::Download),
            Self::Finished { filing: Filing::Pending, .. } => Some(Step::Download),
            Self::Finished { filing: Filing::Nothing | Filing::Filed, .. } => None,
        }
    }

    /// The attempt whose outcome is open.
    #[must_use]
    pub const fn open_attempt(&self) -> Option<&OpenAttempt> {
        match self {
            Self::Submitting { attempt, .. }
            | Self::InDoubt { attempt, .. }
            | Self::Parked { attempt, .. } => Some(attempt),
            Self::Held { .. }
            | Self::Queued { .. }
            | Self::Generating { .. }
            | Self::Overdue { .. }
            | Self::Downloading { .. }
            | Self::Finished { .. } => None,
        }
    }

    /// The task this job owns.
    #[must_use]
    pub const fn task(&self) -> Option<&TaskRef> {
        match self {
            Self::Generating { task, .. }
            | Self::Overdue { task, .. }
            | Self::Downloading { task, .. } => Some(task),
            Self::Finished { task, .. } => task.as_ref(),
            Self::Held { .. }
            | Self::Queued { .. }
            | Self::Submitting { .. }
            | Self::InDoubt { .. }
            | Self::Parked { .. } => None,
        }
    }

    /// The slot this job occupies at the provider.
    ///
    /// Taken in the commit that begins an attempt, freed in the one that learns the task is
    /// terminal or that none exists. A parked job has lived past the quiet horizon and holds none.
    #[must_use]
    pub fn slot(&self) -> Option<Slot> {
        match self {
            Self::Submitting { attempt, .. } | Self::InDoubt { attempt, .. } => {
                Some(attempt.facts.slot())
            }
            Self::Generating { task, .. } | Self::Overdue { task, slot_held: true, .. } => {
                Some(task.facts.slot())
            }
            Self::Overdue { slot_held: false, .. }
            | Self::Held { .. }
            | Self::Queued { .. }
            | Self::Parked { .. }
            | Self::Downloading { .. }
            | Self::Finished { .. } => None,
        }
    }

    /// What was stored, also where its content was erased since.
    #[must_use]
    pub const fn output(&self) -> Option<&StoredOutput> {
        if let Self::Finished { end: End::Stored { output }, .. } = self {
            Some(output)
        } else {
            None
        }
    }

    /// Why it failed.
    #[must_use]
    pub const fn failure(&self) -> Option<&Cause> {
        if let Self::Finished { end: End::Failed { cause }, .. } = self {
            Some(cause)
        } else {
            None
        }
    }

    /// The code by which failures are grouped.
    #[must_use]
    pub fn failure_code(&self) -> Option<&str> {
        if let Self::Finished { end: End::OutputLost { .. }, .. } = self {
            return Some("output-lost");
        }
        self.failure().map(|cause| cause.code.as_str())
    }
}
