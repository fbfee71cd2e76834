//! What is taken from the heap: this program's allocator counts.

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;

/// Counting costs an addition each, in this program alone: the fleet's own programs are built without it.
#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What this process has taken from the heap so far.
#[derive(Debug, Clone, Copy)]
pub struct Taken {
    /// Times, a block that grew in place included.
    pub times: f64,
    /// Bytes, given back since or not.
    pub bytes: f64,
}

impl Taken {
    /// Up to now.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "counts of a benchmark are far below 2^52")]
    pub fn now() -> Self {
        let stats = HEAP.stats();
        Self {
            times: (stats.allocations + stats.reallocations) as f64,
            bytes: stats.bytes_allocated as f64,
        }
    }

    /// Since an earlier look.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self { times: self.times - before.times, bytes: self.bytes - before.bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_counted_with_its_bytes() {
        let before = Taken::now();
        let block = std::hint::black_box(vec![0_u8; 1 << 20]);
        let taken = Taken::now().since(before);
        drop(block);
        assert!(taken.times >= 1.0 && taken.bytes >= 1_048_576.0, "{taken:?}");
    }
}
