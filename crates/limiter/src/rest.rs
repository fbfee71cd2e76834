//! How long a kind of call rests after the provider told an account off for it. Fed with time.

use crate::settings::Settings;
use job::retry::backoff;
use std::time::{Duration, Instant};

/// Longest rest the provider may ask for at a time. What it asks for beyond is asked for again by its
/// next answer: nobody should be blind for a day because of one header.
const ASKED_MAX: Duration = Duration::from_secs(3_600);

/// One kind of call on one account, as this process has seen it answered.
#[derive(Debug, Default)]
pub(crate) struct Rest {
    /// Rests without a good answer between them.
    in_row: u32,
    /// The end of the last one.
    until: Option<Instant>,
}

impl Rest {
    /// A call that left at `sent` was refused for its rate, and the provider may have `asked` for a
    /// wait. Returns how long nobody should call, from `now`.
    pub(crate) fn refused(
        &mut self,
        sent: Instant,
        now: Instant,
        asked: Option<Duration>,
        settings: &Settings,
    ) -> Duration {
        // Twenty calls on their way at once are told off twenty times, for one fault.
        if self.until.is_none_or(|until| sent >= until) {
            self.in_row = self.in_row.saturating_add(1);
        }
        let before = self.in_row.saturating_sub(1);
        let own = backoff(settings.hold_first, settings.hold_max, before);
        let rest = asked.map_or(own, |asked| asked.min(ASKED_MAX).max(own));
        self.until = self.until.max(Some(now + rest));
        rest
    }

    /// A call that left at `sent` was answered otherwise.
    pub(crate) fn passed(&mut self, sent: Instant) {
        // One that left before the rest says nothing about what came of it.
        if self.until.is_none_or(|until| sent >= until) {
            *self = Self::default();
        }
    }

    /// What is left of the rest; none when there is none.
    pub(crate) fn left(&self, now: Instant) -> Option<Duration> {
        let left = self.until?.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn settings() -> Settings {
        Settings { hold_first: S, hold_max: 10 * S, ..Settings::default() }
    }

    #[test]
    fn rests_double_up_to_a_bound_and_begin_anew_after_a_good_answer() {
        let (mut rest, mut now) = (Rest::default(), Instant::now());
        for seconds in [1, 2, 4, 8, 10, 10] {
            assert_eq!(rest.refused(now, now, None, &settings()), seconds * S);
            assert_eq!(rest.left(now), Some(seconds * S));
            now += seconds * S;
            assert_eq!(rest.left(now), None, "it ends by itself");
        }
        rest.passed(now);
        assert_eq!(rest.refused(now, now, None, &settings()), S);
    }

    #[test]
    fn calls_that_were_on_their_way_together_count_once() {
        let (mut rest, start) = (Rest::default(), Instant::now());
        for n in 0..20 {
            assert_eq!(rest.refused(start, start + n * S / 100, None, &settings()), S);
        }
        // A good answer to one of them proves nothing either.
        rest.passed(start);
        assert!(rest.left(start).is_some());
        let next = start + 2 * S;
        assert_eq!(rest.refused(next, next, None, &settings()), 2 * S);
    }

    #[test]
    fn the_providers_wish_counts_within_reason() {
        let now = Instant::now();
        let asked = |wait| Rest::default().refused(now, now, Some(wait), &settings());
        assert_eq!(asked(5 * S), 5 * S);
        assert_eq!(asked(Duration::ZERO), S, "never less than our own");
        assert_eq!(asked(86_400 * S), ASKED_MAX);
        let mut rest = Rest::default();
        rest.refused(now, now, Some(60 * S), &settings());
        rest.refused(now, now, None, &settings());
        assert_eq!(rest.left(now), Some(60 * S), "a shorter one does not end a longer one");
    }
}
