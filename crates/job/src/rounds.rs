//! When a task that is being generated is looked at next. Pure.
//!
//! The tasks of one account come due together, in rounds: whoever claims them asks for all of them with one
//! page of the list. Accounts have rounds of their own, so that a fleet does not march in step.

use crate::Timestamp;
use std::time::Duration;

/// Between two rounds lie fourteen fifteenths of `poll.steady`; the rest is what a page's turn at the list may
/// take, so that an end is seen within `poll.steady`.
const PARTS: (u32, u32) = (14, 15);

/// The time between two rounds.
#[must_use]
pub fn between(steady: Duration) -> Duration {
    (steady * PARTS.0 / PARTS.1).max(Duration::from_millis(1))
}

/// The round of the account that follows a look at `now`: a whole turn later, or as much sooner as the look was
/// late. A look between two rounds is brought into step by a turn of one to five quarters of the usual.
#[must_use]
pub fn next(account: &str, steady: Duration, now: Timestamp) -> Timestamp {
    let between = between(steady);
    at_or_after(account, between, now + between / 4)
}

/// The account's first round that is not before `from`.
fn at_or_after(account: &str, between: Duration, from: Timestamp) -> Timestamp {
    let between_ms = i64::try_from(between.as_millis()).unwrap_or(i64::MAX).max(1);
    let seed = account
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    let phase_ms = i64::try_from(seed >> 33).unwrap_or(0).rem_euclid(between_ms);
    let over_ms = (from.unix_ms() - phase_ms).rem_euclid(between_ms);
    let wait_ms = if over_ms == 0 { 0 } else { between_ms - over_ms };
    Timestamp::from_unix_ms(from.unix_ms() + wait_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STEADY: Duration = Duration::from_secs(15);

    #[test]
    fn looks_of_one_account_fall_into_one_round_and_stay_in_step() {
        let start = Timestamp::from_unix_s(1_790_000_000);
        let mut dues: Vec<Timestamp> =
            (0..40).map(|n| next("a", STEADY, start + Duration::from_millis(n * 70))).collect();
        dues.dedup();
        assert!(dues.len() <= 2, "{dues:?}");
        let due = dues[0];
        for late_ms in [0, 300, 2_900] {
            let after = next("a", STEADY, due + Duration::from_millis(late_ms));
            assert_eq!(after.since(due), between(STEADY), "{late_ms} ms late");
        }
        assert_ne!(next("a", STEADY, start), next("b", STEADY, start));
    }

    proptest! {
        #[test]
        fn a_turn_is_neither_nothing_nor_far_longer_than_usual(
            account in "[a-z]{1,8}", at_ms in 0_i64..4_000_000_000_000, steady_ms in 50_u64..3_600_000,
        ) {
            let (steady, now) = (Duration::from_millis(steady_ms), Timestamp::from_unix_ms(at_ms));
            let (turn, pause) = (between(steady), next(&account, steady, now).since(now));
            let ms = Duration::from_millis(1);
            prop_assert!(pause + ms >= turn / 4 && pause <= turn + turn / 4 + ms);
        }
    }
}
