//! Wrong keys, counted per source: who guesses is stopped before anything is hashed or looked up.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const WINDOW: Duration = Duration::from_secs(60);
/// Sources remembered. Who has more addresses than this is not stopped by counting addresses.
const SOURCES_MAX: usize = 10_000;

/// Failures of this minute.
pub(super) struct Failures {
    most: u32,
    seen: Mutex<HashMap<IpAddr, (Instant, u32)>>,
}

impl Failures {
    pub(super) fn new(most: u32) -> Self {
        Self { most, seen: Mutex::default() }
    }

    /// How long a source is not heard; none: it may try.
    pub(super) fn wait(&self, source: IpAddr) -> Option<Duration> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, count) = *seen.get(&one(source))?;
        let left = WINDOW.checked_sub(since.elapsed())?;
        (count >= self.most).then_some(left)
    }

    pub(super) fn count(&self, source: IpAddr) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= SOURCES_MAX {
            seen.retain(|_, (since, _)| since.elapsed() < WINDOW);
        }
        if seen.len() >= SOURCES_MAX {
            seen.clear();
        }
        let (since, count) = seen.entry(one(source)).or_insert_with(|| (Instant::now(), 0));
        if since.elapsed() >= WINDOW {
            (*since, *count) = (Instant::now(), 0);
        }
        *count = count.saturating_add(1);
    }
}

/// One customer has a whole /64 of v6 addresses.
fn one(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_guesses_is_not_heard_and_others_are() {
        let failures = Failures::new(3);
        let of = |text: &str| text.parse::<IpAddr>().unwrap();
        for _ in 0..3 {
            assert_eq!(failures.wait(of("192.0.2.1")), None);
            failures.count(of("192.0.2.1"));
        }
        assert!(failures.wait(of("::ffff:192.0.2.1")).is_some_and(|wait| wait <= WINDOW));
        assert_eq!(failures.wait(of("192.0.2.2")), None);
        for host in 1..=3 {
            failures.count(of(&format!("2001:db8::{host}")));
        }
        assert!(failures.wait(of("2001:db8::99")).is_some());
        assert_eq!(failures.wait(of("2001:db8:0:1::99")), None);
    }
}
