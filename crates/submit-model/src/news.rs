//! What the players of the model tell the machine, small enough to be a key; and the real event.

use crate::far_side::task_id;
use crate::shelf::{AttemptNo, Shelf};
use crate::timing::at;
use job::{By, DoubtCause, Event, FoundVia, Look, Refusal, ResendLeave};
use seedance::Class;

/// One thing told. Attempts and tasks stand as numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum News {
    Began(AttemptNo),
    Forgotten {
        attempt: AttemptNo,
        instead_of: Option<AttemptNo>,
    },
    Accepted(AttemptNo, u8),
    NotSent(AttemptNo),
    Unclear(AttemptNo),
    /// 429: a definite no.
    Throttled(AttemptNo),
    /// 5xx, told as the provider's word; what it means is the machine's to say.
    Failing(AttemptNo),
    LeasePassed,
    Found {
        attempt: AttemptNo,
        task: u8,
        called: bool,
    },
    Empty {
        attempt: AttemptNo,
        began: u8,
        leave: Leave,
    },
    Several {
        attempt: AttemptNo,
        tasks: u8,
    },
    SentAgain,
}

/// See [`ResendLeave`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Leave {
    /// One more send is allowed.
    Granted,
    /// The fleet's own rules forbid it.
    Withheld,
}

impl News {
    /// The attempt that this closes or questions: the reporter's own.
    pub(crate) fn speaks_of(self) -> Option<AttemptNo> {
        match self {
            Self::Began(no)
            | Self::Accepted(no, _)
            | Self::NotSent(no)
            | Self::Unclear(no)
            | Self::Throttled(no)
            | Self::Failing(no)
            | Self::Found { attempt: no, .. }
            | Self::Empty { attempt: no, .. }
            | Self::Several { attempt: no, .. } => Some(no),
            Self::Forgotten { instead_of, .. } => instead_of,
            Self::LeasePassed | Self::SentAgain => None,
        }
    }

    /// The event as production writes it.
    pub(crate) fn event(self, shelf: &Shelf) -> Event {
        let id = |no| shelf.attempt(no).id.clone();
        match self {
            Self::Began(no) => Event::SubmitBegan { attempt: (*shelf.attempt(no)).clone() },
            Self::Forgotten { attempt, instead_of } => Event::IntentForgotten {
                attempt: (*shelf.attempt(attempt)).clone(),
                instead_of: instead_of.map(id),
            },
            Self::Accepted(no, task) => {
                Event::AttemptAccepted { attempt: id(no), task: task_id(task) }
            }
            Self::NotSent(no) => Event::AttemptNotSent {
                attempt: id(no),
                reason: String::new(),
                unreachable: false,
                stops_in_row: 0,
            },
            Self::Unclear(no) => Event::AttemptUnclear {
                attempt: id(no),
                cause: DoubtCause { kind: "timeout".to_owned(), detail: String::new() },
            },
            Self::Throttled(no) => refused(id(no), Class::Rate, "http-429"),
            Self::Failing(no) => refused(id(no), Class::Server, "http-502"),
            Self::LeasePassed => Event::SubmitLeasePassed,
            Self::Found { attempt, task, called } => Event::TaskFound {
                attempt: id(attempt),
                task: task_id(task),
                via: if called { FoundVia::Callback } else { FoundVia::List },
                said: None,
            },
            Self::Empty { attempt, began, leave } => Event::Looked {
                attempt: id(attempt),
                look: Look::Nothing {
                    scan_began_at: at(began),
                    leave: match leave {
                        Leave::Granted => ResendLeave::Granted,
                        Leave::Withheld => ResendLeave::DayBudgetSpent,
                    },
                },
            },
            Self::Several { attempt, tasks } => Event::Looked {
                attempt: id(attempt),
                look: Look::Several {
                    tasks: (0..8).filter(|task| tasks & 1 << task != 0).map(task_id).collect(),
                },
            },
            Self::SentAgain => {
                Event::ResendOrdered { by: By::named("operator"), reason: "seen".to_owned() }
            }
        }
    }
}

fn refused(attempt: job::AttemptId, class: Class, code: &str) -> Event {
    let refusal = Refusal {
        class,
        code: code.to_owned(),
        message: String::new(),
        not_before: None,
        stops_in_row: 0,
    };
    Event::AttemptRefused { attempt, refusal }
}
