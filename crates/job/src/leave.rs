//! When a record need not be at hand any more.

use crate::attempt::AttemptOutcome;
use crate::record::Record;
use crate::state::{End, Filing, State};
use crate::{Life, Timestamp};
use std::time::Duration;

/// So long after its end something may still be learned of a job that is not settled for certain: the provider
/// keeps its records for 7 days.
pub const UNSETTLED_FOR: Duration = Duration::from_secs(9 * 24 * 3_600);

impl Record {
    /// From when on the record of an ended job may leave the store, `after` its last change; of one whose content
    /// was erased, after its end, since an erasure may have brought it back. None while something about it is
    /// under way: a payload to be filed, an erasure.
    #[must_use]
    pub fn may_leave_at(&self, after: Duration) -> Option<Timestamp> {
        let State::Finished { end, filing, at, .. } = &self.life.state else { return None };
        let filed = match filing {
            Filing::Pending => false,
            Filing::Filed | Filing::Nothing => true,
        };
        if !filed || self.life.erased.is_some() != self.spec.erased {
            return None;
        }
        let changed_at = *at.max(&self.life.updated_at);
        Some(match (is_final(end) && self.life.is_settled(), self.spec.erased) {
            (true, false) => changed_at + after,
            (true, true) => *at + after,
            (false, _) => changed_at + after.max(UNSETTLED_FOR),
        })
    }
}

impl Life {
    /// Whether every attempt is known by proof: a task came of it, which is ours, or none can have come.
    fn is_settled(&self) -> bool {
        let known = self.attempts.iter().all(|attempt| match attempt.outcome {
            AttemptOutcome::NotSent { .. }
            | AttemptOutcome::Refused { .. }
            | AttemptOutcome::Accepted { .. } => true,
            AttemptOutcome::Absent | AttemptOutcome::Abandoned { .. } => false,
        });
        let all = usize::try_from(self.attempts_begun).is_ok_and(|n| n <= self.attempts.len());
        known && all && self.strays.is_empty()
    }
}

/// Whether late news cannot change the end.
const fn is_final(end: &End) -> bool {
    match end {
        End::Stored { .. }
        | End::Failed { .. }
        | End::Expired { .. }
        | End::Cancelled { .. }
        | End::Rejected { .. }
        | End::NotUseful => true,
        End::GivenUp { .. } | End::OutputLost { .. } | End::TimedOut => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docs::records;
    use crate::{By, ErasureId};

    const DAY: Duration = Duration::from_secs(24 * 3_600);

    #[test]
    fn only_what_has_ended_and_is_at_rest_leaves() {
        for record in records() {
            let leaves = record.may_leave_at(DAY);
            let state = &record.life.state;
            let pending = matches!(state, State::Finished { filing: Filing::Pending, .. });
            let erasing = record.life.erased.is_some() != record.spec.erased;
            let rests = state.word().is_finished() && !pending && !erasing;
            assert_eq!(leaves.is_some(), rests, "{:?}", record.life.state);
            let Some(at) = leaves else { continue };
            assert!(record.spec.erased || at >= record.life.updated_at + DAY, "{at:?}");
            let mut erasing = record.clone();
            let (by, erasure) =
                (By::named("p"), ErasureId::from_ulid(ulid::Ulid::from_parts(1, 2)));
            erasing.life.erased = Some(crate::Erased { by, at, erasure });
            assert_eq!(erasing.may_leave_at(DAY), None);
            erasing.spec.erased = true;
            assert!(erasing.may_leave_at(DAY).is_some_and(|erased| erased <= at));
        }
    }

    #[test]
    fn what_may_still_be_learned_of_keeps_a_record_for_longer() {
        let record = records().into_iter().find(|record| {
            matches!(&record.life.state, State::Finished { end: End::TimedOut, .. })
        });
        let record = record.expect("a sample");
        let at = record.may_leave_at(DAY).expect("it has ended");
        assert!(at >= record.life.updated_at + UNSETTLED_FOR);
    }
}
