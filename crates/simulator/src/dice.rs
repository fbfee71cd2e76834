//! Chance that repeats: every draw is a pure function of the seed, a purpose and a counter, so a
//! run can be replayed and one kind of draw never disturbs another.

/// What a draw is for. Each purpose has its own stream.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    TaskId = 1,
    IdAge,
    QueueTime,
    RunTime,
    Duration,
    Seed,
    FaultHit,
    FaultSize,
    RequestId,
    ObjectName,
}

/// A seeded source of draws.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dice {
    seed: u64,
}

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// 64 even bits for the `n`th draw of `purpose`.
    pub(crate) fn bits(self, purpose: Purpose, n: u64) -> u64 {
        let stream = mix(self.seed ^ mix(purpose as u64));
        mix(stream ^ n.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// A whole number in `low..=high`.
    pub(crate) fn between(self, purpose: Purpose, n: u64, low: u64, high: u64) -> u64 {
        let (low, high) = (low.min(high), low.max(high));
        low + self.bits(purpose, n) % (high - low + 1)
    }

    /// A number in `0.0..1.0`.
    pub(crate) fn fraction(self, purpose: Purpose, n: u64) -> f64 {
        (self.bits(purpose, n) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// The finaliser of splitmix64: a bijection whose output bits all depend on all input bits.
fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
