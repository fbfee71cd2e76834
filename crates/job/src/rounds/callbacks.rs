//! Whether callbacks tell the ends of an account's tasks. Pure: fed with the last ends and the time.

use crate::Timestamp;
use std::time::Duration;

/// Ends that are remembered of an account.
pub const ENDS_KEPT: usize = 100;
/// Fewer say nothing.
const ENDS_MIN: usize = 20;
/// Share of them that must have been told.
const HEALTHY: f64 = 0.95;
/// As many untold ends in a row are a silence, whatever was before.
const SILENT_AFTER: usize = 3;

/// One task's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// When it ended.
    pub at: Timestamp,
    /// When a callback said so, if one did.
    pub told_at: Option<Timestamp>,
}

/// How long callbacks may take, and be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// A callback that comes later than this after the end is as good as none.
    pub grace: Duration,
    /// An end that was not told, and no callback at all for so long: silence.
    pub silence: Duration,
}

/// Whether a look at a task would only repeat what a callback will have told.
///
/// `ends` are the account's last, in any order; `last_told_at` is when a callback last told any end. An end
/// younger than the grace that was not told yet is left out: nobody knows.
#[must_use]
pub fn tell_ends(
    ends: &[Ended],
    last_told_at: Option<Timestamp>,
    now: Timestamp,
    patience: Patience,
) -> bool {
    let judged = judged(ends, now, patience);
    let told = judged.iter().filter(|told| **told).count();
    let untold_in_row = untold_in_row(&judged);
    let is_quiet = last_told_at.is_none_or(|told| told + patience.silence <= now);
    judged.len() >= ENDS_MIN
        && told as f64 >= HEALTHY * judged.len() as f64
        && untold_in_row < SILENT_AFTER
        && !(untold_in_row > 0 && is_quiet)
}

/// Whether no callback told any of the last ends: as many in a row as end the trust of [`tell_ends`], however few
/// there were.
#[must_use]
pub fn are_silent(ends: &[Ended], now: Timestamp, patience: Patience) -> bool {
    untold_in_row(&judged(ends, now, patience)) >= SILENT_AFTER
}

/// Of each end of which it can be said, whether it was told in time; the newest first.
fn judged(ends: &[Ended], now: Timestamp, patience: Patience) -> Vec<bool> {
    let is_told = |end: &Ended| end.told_at.is_some_and(|told| told <= end.at + patience.grace);
    let mut judged: Vec<&Ended> =
        ends.iter().filter(|end| is_told(end) || end.at + patience.grace <= now).collect();
    judged.sort_unstable_by_key(|end| std::cmp::Reverse(end.at));
    judged.truncate(ENDS_KEPT);
    judged.into_iter().map(is_told).collect()
}

fn untold_in_row(judged: &[bool]) -> usize {
    judged.iter().take_while(|told| !**told).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience =
        Patience { grace: Duration::from_secs(10), silence: Duration::from_secs(120) };

    const fn at(s: i64) -> Timestamp {
        Timestamp::from_unix_s(s)
    }

    /// Ends a second apart, the last at 1,000; `untold` by their place from the newest.
    fn ends(n: i64, untold: &[i64]) -> Vec<Ended> {
        let end = |k: i64| Ended {
            at: at(1_000 - k),
            told_at: (!untold.contains(&k)).then_some(at(1_002 - k)),
        };
        (0..n).map(end).collect()
    }

    fn healthy(ends: &[Ended], last_told_s: i64, now_s: i64) -> bool {
        tell_ends(ends, Some(at(last_told_s)), at(now_s), PATIENCE)
    }

    // covers: M8, M9
    #[test]
    fn ninety_five_of_a_hundred_are_enough_and_twenty_the_least() {
        assert!(healthy(&ends(100, &[10, 30, 50, 70, 90]), 1_002, 1_020));
        assert!(!healthy(&ends(100, &[10, 30, 50, 70, 90, 95]), 1_002, 1_020));
        assert!(healthy(&ends(20, &[]), 1_002, 1_020));
        assert!(!healthy(&ends(19, &[]), 1_002, 1_020));
        assert!(!tell_ends(&[], None, at(1_000), PATIENCE));
    }

    #[test]
    fn an_end_that_may_be_told_yet_is_not_held_against_anybody() {
        assert!(healthy(&ends(60, &[0, 1, 2, 3]), 998, 1_005));
        assert!(!healthy(&ends(60, &[0, 1, 2, 3]), 998, 1_020));
    }

    #[test]
    fn a_late_callback_is_as_good_as_none() {
        let late = |n: i64| Ended { at: at(n), told_at: Some(at(n + 11)) };
        assert!(!healthy(&(0..60).map(late).collect::<Vec<_>>(), 71, 80));
    }

    #[test]
    fn silence_ends_health_at_once() {
        assert!(healthy(&ends(100, &[0, 1]), 1_000, 1_020), "two of many may be lost");
        assert!(!healthy(&ends(100, &[0, 1, 2]), 1_000, 1_020), "three in a row are not");
        assert!(!healthy(&ends(100, &[0]), 890, 1_020), "nor one, and no callback for long");
        assert!(healthy(&ends(100, &[]), 1_002, 900_000), "nothing ended, nothing was told");
    }

    #[test]
    fn three_untold_ends_in_a_row_are_a_silence_however_few_there_were() {
        let silent = |ends: &[Ended], now_s| are_silent(ends, at(now_s), PATIENCE);
        assert!(silent(&ends(3, &[0, 1, 2]), 1_020));
        assert!(!silent(&ends(3, &[0, 1, 2]), 1_005), "they may be told yet");
        assert!(!silent(&ends(2, &[0, 1]), 1_020), "two may be lost");
        assert!(!silent(&ends(100, &[1, 2, 3, 4]), 1_020), "the newest was told");
        assert!(!silent(&[], 1_020));
    }
}
