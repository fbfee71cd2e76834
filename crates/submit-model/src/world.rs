//! One world: what everybody knows at one instant. Plain numbers, so that a million of them fit.

use crate::news::News;
use crate::shelf::{AttemptNo, RecordNo};
use job::Step;

/// Jobs of one request: the one that was accepted, and the one it is accepted as again after Redis
/// has lost it.
pub(crate) const JOBS: usize = 2;
/// Attempts a world can hold.
pub(crate) const ATTEMPTS: usize = 4;

/// A state of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct World {
    /// Ticks since the beginning; every clock runs alike.
    pub(crate) now: u8,
    /// What Redis answers.
    pub(crate) redis: Redis,
    /// What it comes back with after a fall.
    pub(crate) disk: Redis,
    /// Two submitters. Which is which does not matter: they are kept in order.
    pub(crate) workers: [Worker; 2],
    /// Every attempt that was ever begun, whoever remembers it.
    pub(crate) attempts: [Option<Begun>; ATTEMPTS],
    /// The second fence: intent n + 1 is the attempt's at place n.
    pub(crate) intents: [Option<u8>; ATTEMPTS],
    /// The provider, by attempt.
    pub(crate) tasks: [Option<Made>; ATTEMPTS],
    /// Requests that left and have not ended: one bit per attempt.
    pub(crate) travelling: u8,
    /// What a slow poller has seen and not yet reported.
    pub(crate) seen: Option<(u8, News)>,
    pub(crate) left: Budgets,
    /// Sends that a person ordered with the evidence in view.
    pub(crate) ordered: u8,
    /// A report that no history allows.
    pub(crate) contradicted: bool,
}

/// Everything Redis holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Redis {
    pub(crate) jobs: [Option<Row>; JOBS],
}

/// A job in Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Row {
    pub(crate) record: RecordNo,
    /// The ticket, and the tick from which it is due.
    pub(crate) ticket: Option<(Step, u8)>,
}

/// An attempt, as the far side of all memory knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Begun {
    pub(crate) no: AttemptNo,
    pub(crate) job: u8,
    /// When its last byte left.
    pub(crate) sent: Option<u8>,
}

/// A task at the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Made {
    pub(crate) at: u8,
    /// In the list.
    pub(crate) listed: bool,
}

/// A submitter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Worker {
    Idle,
    /// Holds a ticket, has looked at the fence and read both clocks.
    Asked {
        job: u8,
        at: u8,
        /// The number its intent will have; 0 without a fence.
        intent: u8,
    },
    /// Begin is committed; the intent is not raised. The gate closes at `until`.
    Begun {
        attempt: u8,
        until: u8,
    },
    /// May send.
    Ready {
        attempt: u8,
        until: u8,
    },
    /// The last byte has left.
    Sent {
        attempt: u8,
    },
    /// Has something to report.
    Reporting {
        job: u8,
        news: News,
    },
}

/// Misfortunes that are left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Budgets {
    /// Workers that die, or fall silent past their lease.
    pub(crate) silences: u8,
    /// Requests, answers and replies that get lost, and answers that mislead.
    pub(crate) losses: u8,
    /// Falls of Redis.
    pub(crate) rollbacks: u8,
    /// Rows that shift under a scan's hands.
    pub(crate) shifts: u8,
    /// Orders to send again that a person will give.
    pub(crate) orders: u8,
    /// Attempts that may begin.
    pub(crate) attempts: u8,
}

/// Something that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Time passes.
    Tick,
    /// A submitter takes the job's ticket, looks at the fence and reads the clocks.
    Claims(u8),
    /// Its Begin is committed.
    Begins(usize),
    /// Its intent is raised, or met by another.
    Raises(usize),
    /// Nobody knows whether its intent was raised; it was, or it was not.
    RaiseUnclear(usize, bool),
    /// The last byte leaves.
    Sends(usize),
    /// It sends nothing: no connection, or the gate has closed.
    Withholds(usize),
    /// No answer comes any more.
    Waits(usize),
    /// It reports.
    Reports(usize),
    /// It reports, and will do so again: the reply was lost.
    ReportsInVain(usize),
    /// It dies.
    Dies(usize),
    /// The lease of a job in `submitting` passes.
    LeasePasses(u8),
    /// A request arrives at the provider.
    Arrives(u8, Mood),
    /// A request is lost on the way.
    GetsLost(u8),
    /// A task shows in the list.
    Shows(u8),
    /// The task's callback is heard and confirmed by a read.
    CallsBack(u8),
    /// The poller scans the list for a job and reports; a row may shift out of its sight.
    Scans(u8, Option<u8>, Leave),
    /// It scans, and is slow to report.
    ScansSlowly(u8, Leave),
    /// The slow poller reports.
    ReportsScan,
    /// Redis saves what it holds.
    Saves,
    /// Redis falls and comes back with what it had saved.
    Falls,
    /// The caller repeats the request that Redis has lost.
    AcceptedAgain,
    /// The walk through the intents brings a lost job back.
    Restored,
    /// The walk tells a job in doubt of an intent that it does not know.
    Recalled(u8),
    /// A person sends a parked job again.
    SentAgain(u8),
}

pub use crate::news::Leave;

/// What the provider does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// A task, and its id.
    Accepts,
    /// A task, and a 5xx.
    MakesAndFails,
    /// A 5xx and nothing else.
    Fails,
    /// 429.
    Throttles,
}

impl World {
    /// The place of an attempt among those begun.
    pub(crate) fn place_of(&self, no: AttemptNo) -> Option<usize> {
        self.attempts.iter().position(|begun| begun.is_some_and(|begun| begun.no == no))
    }

    /// Attempts begun so far.
    pub(crate) fn begun(&self) -> usize {
        self.attempts.iter().flatten().count()
    }
}
