//! Redis's clock, held against this process's own.
//!
//! Absence is proven by waiting. A server whose clock is set forward would make the wait seem over
//! before a request that is still on its way could arrive, so a leap counts for nothing until it is so
//! old that whatever was on its way then has arrived.

use job::Timestamp;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use store::Store;

/// What two clocks and a slow answer may differ by.
const TOLERANCE: Duration = Duration::from_secs(5);
/// So long a leap is doubted; longer than any quiet horizon that can be configured.
const DOUBTED_FOR: Duration = Duration::from_secs(30 * 60);
/// How often the clocks are compared while nobody scans.
const COMPARED_EVERY: Duration = Duration::from_secs(10);

/// The comparison of one server's clock with ours.
#[derive(Debug, Default)]
pub(crate) struct Steady {
    anchor: Mutex<Option<Anchor>>,
}

#[derive(Debug, Clone, Copy)]
struct Anchor {
    /// Ours and theirs, at one moment when they were believed.
    ours: Instant,
    theirs: Timestamp,
    /// Since when they no longer agree.
    apart_since: Option<Instant>,
}

impl Steady {
    /// Compares now and then for as long as anybody holds the comparison.
    pub(crate) fn watch(store: Store) -> Arc<Self> {
        let steady = Arc::new(Self::default());
        let watched = Arc::downgrade(&steady);
        tokio::spawn(async move { compare(&watched, &store).await });
        steady
    }

    /// The server's time as far as it may be believed: never later than it says itself.
    pub(crate) fn believed(&self, told: Timestamp) -> Timestamp {
        self.believed_at(told, Instant::now())
    }

    fn believed_at(&self, told: Timestamp, now: Instant) -> Timestamp {
        let mut kept = self.anchor.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = Anchor { ours: now, theirs: told, apart_since: None };
        let anchor = kept.get_or_insert(fresh);
        let expected = anchor.theirs + now.saturating_duration_since(anchor.ours);
        if told <= expected + TOLERANCE && expected <= told + TOLERANCE {
            *anchor = fresh;
            return told;
        }
        let since = *anchor.apart_since.get_or_insert_with(|| {
            // An answer that was late by itself looks like a clock that was set back; it harms nobody.
            if told > expected {
                tracing::error!(
                    told = %told.rfc3339(), expected = %expected.rfc3339(),
                    "Redis's clock was set forward: until that is long past, waiting proves nothing"
                );
            }
            now
        });
        if now.saturating_duration_since(since) >= DOUBTED_FOR {
            *anchor = fresh;
            return told;
        }
        told.min(expected)
    }
}

/// The earlier of two witnesses: Redis's time at the start of a scan, and what the provider's own clock
/// said in an answer to it, which came later.
///
/// A process that starts after Redis's clock was set forward has nothing of its own to hold it against.
/// The provider's clock is the one that stamps tasks and ages its list, so a wait is over when it says so
/// too; one that is behind by more than clocks usually are costs time and nothing else.
pub(crate) fn witnessed(told: Timestamp, sent_at_s: Option<i64>) -> Timestamp {
    let Some(theirs) = sent_at_s.map(Timestamp::from_unix_s) else { return told };
    if told <= theirs + TOLERANCE {
        return told;
    }
    tracing::warn!(
        told = %told.rfc3339(), provider = %theirs.rfc3339(),
        "Redis's clock is ahead of the provider's: waiting counts by the provider's"
    );
    theirs
}

async fn compare(watched: &Weak<Steady>, store: &Store) {
    loop {
        let told = store.now().await;
        let Some(steady) = watched.upgrade() else { return };
        if let Ok(told) = told {
            steady.believed(told);
        }
        drop(steady);
        tokio::time::sleep(COMPARED_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const NOON: Timestamp = Timestamp::from_unix_s(1_790_000_000);

    #[test]
    fn a_leap_forward_is_not_believed_until_it_is_long_past() {
        let (steady, start) = (Steady::default(), Instant::now());
        assert_eq!(steady.believed_at(NOON, start), NOON);
        assert_eq!(steady.believed_at(NOON + MINUTE, start + MINUTE), NOON + MINUTE);
        let leap = 10 * MINUTE;
        let told = |real: Duration| NOON + real + leap;
        assert_eq!(steady.believed_at(told(2 * MINUTE), start + 2 * MINUTE), NOON + 2 * MINUTE);
        assert_eq!(steady.believed_at(told(9 * MINUTE), start + 9 * MINUTE), NOON + 9 * MINUTE);
        let late = 33 * MINUTE;
        assert_eq!(steady.believed_at(told(late), start + late), told(late));
        let later = 34 * MINUTE;
        assert_eq!(steady.believed_at(told(later), start + later), told(later), "and from then on");
    }

    #[test]
    fn a_clock_that_is_set_back_only_makes_us_wait() {
        let (steady, start) = (Steady::default(), Instant::now());
        steady.believed_at(NOON, start);
        let back = |real: Duration| NOON + real - 10 * MINUTE;
        assert_eq!(steady.believed_at(back(MINUTE), start + MINUTE), back(MINUTE));
        let again = NOON + 2 * MINUTE;
        assert_eq!(steady.believed_at(again, start + 2 * MINUTE), again, "it came back to its own");
    }

    #[test]
    fn who_starts_after_the_leap_asks_the_providers_clock() {
        let (told, noon_s) = (NOON + 10 * MINUTE, NOON.unix_ms() / 1_000);
        assert_eq!(witnessed(told, Some(noon_s)), NOON);
        assert_eq!(witnessed(NOON, Some(noon_s + 15)), NOON, "an answer comes later");
        assert_eq!(witnessed(NOON + TOLERANCE, Some(noon_s)), NOON + TOLERANCE);
        assert_eq!(witnessed(told, None), told);
    }

    #[test]
    fn small_differences_are_how_clocks_are() {
        let (steady, start) = (Steady::default(), Instant::now());
        let told = |real: Duration| NOON + real + real / 100;
        for minutes in 1..200 {
            let real = minutes * MINUTE;
            assert_eq!(steady.believed_at(told(real), start + real), told(real));
        }
    }
}
