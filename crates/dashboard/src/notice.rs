//! What a form has just done, as the page after it says so.

use crate::wording;

/// Only words of this list and numbers travel in the address, so that a link cannot put words into our
/// mouth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// The job was cancelled.
    Cancelled,
    /// The wish to cancel is noted.
    CancelAsked,
    /// Too late.
    TooLate,
    /// An operation on so many jobs has begun.
    Begun(u64),
    /// As many operations wait as may.
    Full,
    /// The batch is paused.
    Paused,
    /// The batch goes on.
    Resumed,
    /// The batch is being cancelled.
    Stopping,
    /// Approved: the job goes on.
    Approved,
    /// Rejected: the job is over, unpaid.
    Rejected,
    /// The task is the job's.
    Adopted,
    /// Sent again.
    Resent,
    /// Ended by a person.
    GivenUp,
    /// A new job repeats the old one.
    Retried,
    /// It had been repeated before.
    RetriedBefore,
    /// The endpoint hears of jobs again.
    Enabled,
    /// It hears nothing.
    Disabled,
    /// Something is on its way to the endpoint.
    Telling,
    /// The endpoint is off or full.
    NotTold,
    /// No attempt begins.
    Frozen,
    /// Attempts begin again.
    Thawed,
}

impl Notice {
    const ALL: [Self; 21] = [
        Self::Cancelled,
        Self::CancelAsked,
        Self::TooLate,
        Self::Begun(0),
        Self::Full,
        Self::Paused,
        Self::Resumed,
        Self::Stopping,
        Self::Approved,
        Self::Rejected,
        Self::Adopted,
        Self::Resent,
        Self::GivenUp,
        Self::Retried,
        Self::RetriedBefore,
        Self::Enabled,
        Self::Disabled,
        Self::Telling,
        Self::NotTold,
        Self::Frozen,
        Self::Thawed,
    ];

    /// The query of the page that shows it.
    #[must_use]
    pub fn query(self) -> String {
        match self.number() {
            Some(of) => format!("said={}&of={of}", self.told().0),
            None => format!("said={}", self.told().0),
        }
    }

    /// Reads what [`Notice::query`] wrote.
    #[must_use]
    pub fn read(said: &str, of: u64) -> Option<Self> {
        let found = Self::ALL.into_iter().find(|notice| notice.told().0 == said)?;
        Some(if found.number().is_some() { Self::Begun(of) } else { found })
    }

    const fn number(self) -> Option<u64> {
        if let Self::Begun(of) = self { Some(of) } else { None }
    }

    pub(crate) fn sentence(self) -> String {
        let (_, text) = self.told();
        match self.number() {
            Some(of) => format!("Begun for {}{text}", wording::counted(of, "job", "jobs")),
            None => text.to_owned(),
        }
    }

    /// The word in the address and the sentence on the page.
    const fn told(self) -> (&'static str, &'static str) {
        match self {
            Self::Cancelled => ("cancelled", "Cancelled. Nothing was paid."),
            Self::CancelAsked => {
                ("cancel-asked", "The wish to cancel is noted; the provider has the last word.")
            }
            Self::TooLate => ("too-late", "Too late to cancel: nothing was changed."),
            Self::Begun(_) => (
                "begun",
                ". It goes on by itself, also when this page is closed; the audit shows how far it has come.",
            ),
            Self::Full => (
                "full",
                "Nothing was begun: too many operations wait. Try again when some are done.",
            ),
            Self::Paused => (
                "paused",
                "Paused: none of its waiting jobs is sent. What is at the provider goes on.",
            ),
            Self::Resumed => {
                ("resumed", "Resumed: its jobs go back to where they stood in the queue.")
            }
            Self::Stopping => (
                "stopping",
                "Being cancelled: what waits stops, and what runs at the provider if it still can.",
            ),
            Self::Approved => ("approved", "Approved: the job is queued."),
            Self::Rejected => ("rejected", "Rejected: the job is over, and nothing was paid."),
            Self::Adopted => {
                ("adopted", "Adopted: the task is this job’s, and is polled from here on.")
            }
            Self::Resent => ("resent", "Queued to be sent once more."),
            Self::GivenUp => ("given-up", "Given up: the job is over."),
            Self::Retried => ("retried", "This is the new job, which repeats the old one."),
            Self::RetriedBefore => {
                ("retried-before", "This job repeats the old one already; no other was made.")
            }
            Self::Enabled => ("enabled", "On: what waits for this endpoint is sent."),
            Self::Disabled => ("disabled", "Off: this endpoint hears nothing from now on."),
            Self::Telling => ("telling", "On its way; the delivery shows below when it has ended."),
            Self::NotTold => (
                "not-told",
                "Nothing was sent: the endpoint is off, or too much waits for it already.",
            ),
            Self::Frozen => (
                "frozen",
                "Frozen: no attempt begins in this pool. What is at the provider goes on.",
            ),
            Self::Thawed => ("thawed", "Thawed: attempts begin again."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn notices_survive_their_address_and_no_others_are_believed() {
        for notice in Notice::ALL.into_iter().chain([Notice::Begun(5)]) {
            let query = notice.query();
            let of = |name: &str| {
                let found = query.split('&').find_map(|pair| pair.strip_prefix(name));
                found.and_then(|rest| rest.strip_prefix('=')).unwrap_or_default().to_owned()
            };
            let number = of("of").parse().unwrap_or(0);
            assert_eq!(Notice::read(&of("said"), number), Some(notice));
        }
        assert_eq!(Notice::read("your account is closed", 0), None);
        assert!(Notice::Begun(1_000).sentence().starts_with("Begun for 1,000 jobs. It goes on"));
        let words: BTreeSet<_> = Notice::ALL.map(|notice| notice.told().0).into();
        assert_eq!(words.len(), Notice::ALL.len());
    }
}
