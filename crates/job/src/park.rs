//! Why a job is parked, in words and as a word.

use crate::TaskId;
use crate::state::ParkWhy;
use std::fmt;

impl ParkWhy {
    /// The word in records, filters and metrics.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::NoTaskStrict => "no_task_strict",
            Self::ResendSpent => "resend_spent",
            Self::EvidenceMissing => "evidence_missing",
            Self::DayBudgetSpent => "day_budget_spent",
            Self::ListUnreadable => "list_unreadable",
            Self::SeveralTasks { .. } => "several_tasks",
        }
    }
}

/// For people: why no program decides.
impl fmt::Display for ParkWhy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTaskStrict => {
                f.write_str("no task was seen, and the pool's policy is strict")
            }
            Self::ResendSpent => {
                f.write_str("no task was seen, and the automatic re-send is spent")
            }
            Self::EvidenceMissing => f.write_str(
                "no task was seen; the account has not yet shown that its list may be believed",
            ),
            Self::DayBudgetSpent => {
                f.write_str("no task was seen; the automatic re-sends of the day are spent")
            }
            Self::ListUnreadable => f.write_str(
                "no scan of the provider's list proved anything for as long as `settle.blind_max`, or its records have ended",
            ),
            Self::SeveralTasks { tasks } => {
                let tasks: Vec<&str> = tasks.iter().map(TaskId::as_str).collect();
                write!(f, "several tasks fit: {}", tasks.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_is_the_one_that_records_are_stored_with() {
        let several = ParkWhy::SeveralTasks { tasks: Vec::new() };
        for why in [
            ParkWhy::NoTaskStrict,
            ParkWhy::ResendSpent,
            ParkWhy::EvidenceMissing,
            ParkWhy::DayBudgetSpent,
            ParkWhy::ListUnreadable,
            several,
        ] {
            let stored = serde_json::to_value(&why).expect("plain data");
            assert_eq!(stored["kind"], why.kind());
        }
    }
}
