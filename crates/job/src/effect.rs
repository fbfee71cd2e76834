//! What the machine answers: the next life and what must be written with it.

use crate::record::Life;
use crate::state::Step;
use crate::{AttemptId, JobId, StateWord, TaskId, Timestamp};
use seedance::{Class, SlotClass};
use serde::Serialize;

/// The machine's answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Commit this, whole or not at all.
    Write {
        /// The next life.
        life: Box<Life>,
        /// The job's one ticket from here on.
        ticket: Ticket,
        /// What goes with it.
        effects: Vec<Effect>,
        /// The line for the timeline; none for a check that changed nothing a person would read.
        note: Option<Note>,
    },
    /// Late or repeated news: nothing changes. The reporter drops its ticket if the job no longer
    /// needs its step, and hands it back otherwise.
    Ignore {
        /// Why, for the log.
        why: &'static str,
    },
}

/// A job's ticket after a commit. A job has at most one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ticket {
    /// Whatever ticket or lease there is stays as it is: Begin under its own lease, or an outside
    /// remark to a job that a worker holds.
    Kept,
    /// Due at this instant for this step; every other ticket of the job goes.
    Due(Step, Timestamp),
    /// No ticket: the job waits for a person or is finished.
    Gone,
}

/// Something the world must learn together with the new state. Slots, nonces, indexes, counters and
/// task ownership are not listed: the store derives them from the life before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// No create on this account before `until`; it ends by itself.
    StopAccount {
        /// Which account.
        account: String,
        /// Only creates of this slot class; none: whatever the account would create.
        only: Option<SlotClass>,
        /// For how long.
        until: Timestamp,
        /// Why.
        class: Class,
        /// The provider's code.
        code: String,
        /// Stops in a row, this one included.
        in_row: u32,
    },
    /// The account answered well: a row of stops ends, its own and that of the class.
    ClearStop {
        /// Which account.
        account: String,
        /// The slot class of the create that was answered.
        class: SlotClass,
    },
    /// A person should look.
    Page(Alarm),
}

/// What a person should look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Alarm {
    /// A second task exists for one job.
    StrayTask,
    /// A job was parked.
    JobParked,
    /// Paid, and lost.
    OutputLost,
    /// The provider used a status word that the contract does not know.
    UnknownStatus,
    /// An account was stopped for AUTH or ACCOUNT.
    AccountStopped,
    /// A success without a link.
    SuccessWithoutVideo,
}

/// One line of a job's timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// What happened, in a few words; no secrets, no prompt.
    pub what: String,
    /// The state before.
    pub from: StateWord,
    /// The state after.
    pub to: StateWord,
}

/// No history we allow leads here: the caller pages and writes nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Contradiction {
    /// A report about an attempt that this job never began, and no attempt is known whose frozen
    /// facts could carry the task.
    #[error("{job} in {state:?} never began {attempt}, of which came {task}")]
    UnknownAttempt {
        /// Which job.
        job: JobId,
        /// Where it stands.
        state: StateWord,
        /// The attempt.
        attempt: AttemptId,
        /// What came of it, perhaps paid: the only trace there is.
        task: TaskId,
    },
    /// A report about a task the job does not own.
    #[error("{job} in {state:?} does not own {task}")]
    ForeignTask {
        /// Which job.
        job: JobId,
        /// Where it stands.
        state: StateWord,
        /// The task.
        task: TaskId,
    },
}
