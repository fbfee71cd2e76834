//! How long tasks of one class take: a bounded histogram, eight buckets to a doubling.

use std::collections::BTreeMap;
use std::time::Duration;

/// Fewer samples say nothing.
pub const SAMPLES_MIN: u64 = 30;
/// Buckets there are: from one second to more than a week.
pub const BUCKETS: u16 = 160;
/// Buckets to a doubling: each is a twelfth longer than the one before.
const PER_DOUBLING: f64 = 8.0;

/// The bucket of a generation time.
#[must_use]
pub fn bucket(time: Duration) -> u16 {
    let place = (time.as_secs_f64().max(1.0).log2() * PER_DOUBLING).floor();
    // A float beyond the range becomes its end.
    (place as u16).min(BUCKETS - 1)
}

/// Where a bucket begins.
fn begin(bucket: u16) -> f64 {
    (f64::from(bucket) / PER_DOUBLING).exp2()
}

/// Samples by bucket.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Times(BTreeMap<u16, u64>);

impl Times {
    /// What was counted; buckets that do not exist are left out.
    #[must_use]
    pub fn of(counts: impl IntoIterator<Item = (u16, u64)>) -> Self {
        Self(counts.into_iter().filter(|(bucket, n)| *bucket < BUCKETS && *n > 0).collect())
    }

    /// One more.
    pub fn add(&mut self, time: Duration) {
        *self.0.entry(bucket(time)).or_default() += 1;
    }

    /// Samples in all.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.0.values().sum()
    }

    /// What both have seen.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        for (bucket, n) in other.0 {
            *self.0.entry(bucket).or_default() += n;
        }
        self
    }

    /// How long they take on average, to about half a bucket; none below [`SAMPLES_MIN`].
    #[must_use]
    pub fn mean(&self) -> Option<Duration> {
        let samples = self.samples();
        if samples < SAMPLES_MIN {
            return None;
        }
        let middle = |bucket: u16| f64::midpoint(begin(bucket), begin(bucket + 1));
        let sum: f64 = self.0.iter().map(|(bucket, n)| middle(*bucket) * *n as f64).sum();
        Some(Duration::from_secs_f64(sum / samples as f64))
    }

    /// The time within which `share` of the tasks have ended; none below [`SAMPLES_MIN`].
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let samples = self.samples();
        if samples < SAMPLES_MIN {
            return None;
        }
        let wanted = samples as f64 * share.clamp(0.0, 1.0);
        let mut before = 0.0;
        for (bucket, n) in &self.0 {
            let n = *n as f64;
            if before + n >= wanted {
                let (from, to) = (begin(*bucket), begin(bucket + 1));
                let part = ((wanted - before) / n).clamp(0.0, 1.0);
                return Some(Duration::from_secs_f64(from + (to - from) * part));
            }
            before += n;
        }
        self.0.keys().next_back().map(|last| Duration::from_secs_f64(begin(last + 1)))
    }
}
