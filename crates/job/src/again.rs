//! Once more: which ended jobs may be made again, and whether money may have moved for them before.

use crate::record::{Record, Source};
use crate::state::{End, State, StateWord};

/// The request of an ended job may become a new job, which is bought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Again {
    /// The task before may have been paid.
    pub paid_again: bool,
}

impl Again {
    /// The states of jobs that may be made again.
    pub const WORDS: [StateWord; 5] = [
        StateWord::Failed,
        StateWord::Expired,
        StateWord::Cancelled,
        StateWord::OutputLost,
        StateWord::TimedOut,
    ];

    /// `None` for jobs that go on, that succeeded, or that a person ended; and where nobody here knows what
    /// was asked for, since it was erased or bought elsewhere.
    #[must_use]
    pub fn of(record: &Record) -> Option<Self> {
        let known = record.life.erased.is_none() && record.spec.source != Source::Adopted;
        Self::of_state(&record.life.state).filter(|_| known)
    }

    fn of_state(state: &State) -> Option<Self> {
        let State::Finished { end, .. } = state else { return None };
        match end {
            // The provider bills successes only, and what was refused or cancelled bought nothing.
            End::Failed { .. } | End::Expired { .. } | End::Cancelled { .. } => {
                Some(Self { paid_again: false })
            }
            End::OutputLost { .. } | End::TimedOut => Some(Self { paid_again: true }),
            End::Stored { .. } | End::Rejected { .. } | End::NotUseful | End::GivenUp { .. } => {
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docs::{adopted, records};

    #[test]
    fn the_words_are_those_of_the_jobs_that_may_be_made_again() {
        for job in records() {
            let word = job.life.state.word();
            let may = Again::WORDS.contains(&word);
            assert_eq!(Again::of_state(&job.life.state).is_some(), may, "{word:?}");
            let known = job.life.erased.is_none() && job.spec.source != Source::Adopted;
            assert_eq!(Again::of(&job).is_some(), may && known, "{word:?}");
        }
        assert_eq!(Again::of(&adopted()), None);
    }
}
