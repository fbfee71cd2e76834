//! Flood gates: how often somebody outside may knock. Local to a process and never about money.

use governor::clock::DefaultClock;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};
use std::hash::Hash;
use std::num::NonZeroU32;
use std::time::Duration;

/// Keys remembered before those that are at rest are forgotten.
const KEYS_KEPT: usize = 10_000;

/// One gate per key, all alike.
pub struct Flood<K: Hash + Eq + Clone> {
    cells: RateLimiter<K, DefaultKeyedStateStore<K>, DefaultClock>,
}

impl<K: Hash + Eq + Clone> Flood<K> {
    /// Lets `count` (at least 1) knocks of one key through per `window`, in any rhythm.
    #[must_use]
    pub fn new(count: u32, window: Duration) -> Self {
        let count = NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
        let each = window / count.get();
        let quota = Quota::with_period(each)
            .unwrap_or_else(|| Quota::per_second(NonZeroU32::MAX))
            .allow_burst(count);
        Self { cells: RateLimiter::keyed(quota) }
    }

    /// Whether this knock may pass.
    pub fn passes(&self, key: &K) -> bool {
        let passes = self.cells.check_key(key).is_ok();
        if self.cells.len() > KEYS_KEPT {
            self.cells.retain_recent();
        }
        passes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_its_own_count() {
        let flood = Flood::new(2, Duration::from_secs(3600));
        assert!(flood.passes(&"a") && flood.passes(&"a") && !flood.passes(&"a"));
        assert!(flood.passes(&"b"));
    }
}
