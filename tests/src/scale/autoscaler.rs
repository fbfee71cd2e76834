//! The autoscaler, as `docs/scaling.md` and `deploy/kubernetes/components/keda` describe it: for one role, on told
//! numbers alone.
//!
//! On the way up it follows what is told, no faster than Kubernetes does by itself; on the way down the most that was
//! told in five minutes counts, and one process a minute goes. Whoever is told nothing three times in a row has a number for
//! that.

use std::collections::VecDeque;
use std::time::Duration;

/// Minutes that the most told of them counts for.
const WINDOW: u32 = 5;
/// Answers in a row that may fail.
const FAILURES_MAX: u32 = 3;
/// Processes where nothing is known.
const FALLBACK: u32 = 2;
/// Processes that may come at once, or as many as there are if that is more.
const GROWS_BY: u32 = 4;

/// One role's.
#[derive(Debug)]
pub(super) struct Autoscaler {
    minute: Duration,
    least: u32,
    most: u32,
    told: VecDeque<(Duration, u32)>,
    failures: u32,
    replicas: u32,
    grew: Option<Duration>,
    shrank: Option<Duration>,
}

impl Autoscaler {
    /// With `least` processes there. A `minute` may be shorter than one.
    pub(super) fn new(minute: Duration, least: u32, most: u32) -> Self {
        let told = VecDeque::new();
        Self { minute, least, most, told, failures: 0, replicas: least, grew: None, shrank: None }
    }

    /// Between two questions.
    pub(super) fn every(minute: Duration) -> Duration {
        minute / 4
    }

    /// Takes an answer in, or that there was none, and tells how many processes there are to be from `now` on.
    pub(super) fn hear(&mut self, now: Duration, told: Option<u32>) -> u32 {
        self.failures = if told.is_some() { 0 } else { self.failures + 1 };
        let fallback = (self.failures >= FAILURES_MAX).then_some(FALLBACK);
        let Some(wanted) = told.or(fallback) else { return self.replicas };
        self.told.push_back((now, wanted.clamp(self.least, self.most)));
        let window = self.minute * WINDOW;
        while self.told.front().is_some_and(|(at, _)| *at + window < now) {
            self.told.pop_front();
        }
        let last = self.told.back().map_or(self.least, |(_, told)| *told);
        let most = self.most_told();
        let waited =
            |since: Option<Duration>, time: Duration| since.is_none_or(|since| since + time <= now);
        if last > self.replicas && waited(self.grew, self.minute / 4) {
            self.replicas = last.min((self.replicas + GROWS_BY).max(self.replicas * 2));
            self.grew = Some(now);
        } else if most < self.replicas && waited(self.shrank, self.minute) {
            self.replicas -= 1;
            self.shrank = Some(now);
        }
        self.replicas
    }

    /// The most that was told in the last five minutes.
    pub(super) fn most_told(&self) -> u32 {
        self.told.iter().map(|(_, told)| *told).max().unwrap_or(self.least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn heard(of: &mut Autoscaler, from_s: u32, to_s: u32, told: Option<u32>) -> Vec<u32> {
        (from_s..to_s).step_by(15).map(|s| of.hear(SECOND * s, told)).collect()
    }

    #[test]
    fn it_grows_in_steps_and_shrinks_by_one_a_minute_five_minutes_later() {
        let mut of = Autoscaler::new(SECOND * 60, 1, 16);
        assert_eq!(heard(&mut of, 0, 75, Some(16)), [5, 10, 16, 16, 16]);
        // The last 16 was told in second 60.
        assert_eq!(heard(&mut of, 75, 375, Some(2)), [16; 20]);
        let down = heard(&mut of, 375, 600, Some(2));
        assert_eq!(down, [15, 15, 15, 15, 14, 14, 14, 14, 13, 13, 13, 13, 12, 12, 12]);
        assert_eq!(of.most_told(), 2);
        assert_eq!(of.hear(SECOND * 600, Some(99)), 16, "more than there may be is not started");
    }

    #[test]
    fn one_low_number_among_high_ones_ends_nobody() {
        let mut of = Autoscaler::new(SECOND * 60, 1, 16);
        heard(&mut of, 0, 60, Some(8));
        for s in (60..3_000).step_by(15) {
            let told = if s % 120 == 0 { 3 } else { 8 };
            assert_eq!(of.hear(SECOND * s, Some(told)), 8);
        }
    }

    #[test]
    fn who_hears_nothing_keeps_what_there_is_and_falls_back_in_the_end() {
        let mut of = Autoscaler::new(SECOND * 60, 1, 16);
        assert_eq!(heard(&mut of, 0, 60, None), [1, 1, 2, 2]);
        assert_eq!(heard(&mut of, 60, 90, Some(4)), [4, 4]);
        assert_eq!(heard(&mut of, 90, 120, None), [4, 4]);
    }
}
