//! The server's clock between two answers that told it: this process's own monotonic clock carries it on.

use crate::{Store, StoreError};
use job::Timestamp;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What was told longer ago is not carried on: the server is asked.
const CARRIED_MAX: Duration = Duration::from_secs(10);
/// An answer may be read late. One that lies farther behind what was reckoned tells that the clock was set back.
const LATE_MAX: Duration = Duration::from_secs(1);

/// What the server's clock has come to, at least: an answer is older when it is read than when it was given, so
/// what is reckoned from it never runs ahead, unless the clock itself was set back since.
#[derive(Debug, Default)]
pub(crate) struct Clock(Mutex<Option<Heard>>);

#[derive(Debug, Clone, Copy)]
struct Heard {
    told: Timestamp,
    read: Instant,
}

impl Heard {
    fn carried_to(&self, now: Instant) -> Timestamp {
        self.told + now.saturating_duration_since(self.read)
    }
}

impl Clock {
    /// An answer of this moment carried the server's clock.
    pub(crate) fn hear(&self, told: Timestamp) {
        self.hear_at(told, Instant::now());
    }

    fn hear_at(&self, told: Timestamp, read: Instant) {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let reckoned = heard.map(|heard| heard.carried_to(read));
        // Answers are read in any order: the latest word counts.
        let late = reckoned.is_some_and(|now| now > told && now.since(told) <= LATE_MAX);
        if !late {
            *heard = Some(Heard { told, read });
        }
    }

    /// The server's clock, if it was told lately.
    pub(crate) fn now(&self) -> Option<Timestamp> {
        self.at(Instant::now())
    }

    fn at(&self, now: Instant) -> Option<Timestamp> {
        let heard = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let heard = heard.filter(|heard| now.saturating_duration_since(heard.read) <= CARRIED_MAX);
        heard.map(|heard| heard.carried_to(now))
    }
}

impl Store {
    /// The server's clock, reckoned from the last answer that told it, or asked for where that is too long ago.
    /// It is late by what an answer takes, and never early: good for waits, not for what a create is judged by.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn reckoned_now(&self) -> Result<Timestamp, StoreError> {
        match self.inner.clock.now() {
            Some(now) => Ok(now),
            None => self.now().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn at(ms: i64) -> Option<Timestamp> {
        Some(Timestamp::from_unix_ms(ms))
    }

    fn told(clock: &Clock, ms: i64, read: Instant) {
        clock.hear_at(Timestamp::from_unix_ms(ms), read);
    }

    #[test]
    fn it_is_carried_on_for_a_while() {
        let (clock, start) = (Clock::default(), Instant::now());
        assert_eq!(clock.at(start), None);
        told(&clock, 50_000, start);
        assert_eq!(clock.at(start + 40 * MS), at(50_040));
        assert_eq!(clock.at(start + CARRIED_MAX), at(60_000));
        assert_eq!(clock.at(start + CARRIED_MAX + MS), None);
    }

    #[test]
    fn an_answer_that_is_read_late_does_not_turn_it_back() {
        let (clock, start) = (Clock::default(), Instant::now());
        told(&clock, 50_000, start);
        told(&clock, 49_700, start + 100 * MS);
        assert_eq!(clock.at(start + 100 * MS), at(50_100));
        told(&clock, 50_130, start + 120 * MS);
        assert_eq!(clock.at(start + 120 * MS), at(50_130), "the first answer was read late");
    }

    #[test]
    fn a_clock_that_was_set_is_followed() {
        let (clock, start) = (Clock::default(), Instant::now());
        told(&clock, 50_000, start);
        told(&clock, 10_000, start + MS);
        assert_eq!(clock.at(start + MS), at(10_000));
        told(&clock, 90_000, start + 2 * MS);
        assert_eq!(clock.at(start + 2 * MS), at(90_000));
    }
}
