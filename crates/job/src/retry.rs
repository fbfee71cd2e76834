//! The retry matrix (M24, M25) as data, and the pauses it speaks of.
//!
//! `transition` asks these functions and `docs/retry-matrix.md` is printed from them, so the page
//! cannot say anything the machine does not do.

use crate::policy::SubmitPolicy;
use seedance::Class;
use std::time::Duration;

/// What a refused create leads to. The provider said no, so nothing was bought in any row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterRefusal {
    /// The request itself is at fault: the job ends with the provider's words.
    Fail,
    /// The account waits, the job goes back to `queued` unspent.
    StopAccount(Stop),
    /// Not a definite no after all: settle it.
    Doubt,
}

/// How long an account stays stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// `submit.retry_first`, doubling to `submit.retry_max`; `Retry-After` when it is longer.
    Backoff,
    /// `submit.account_probe_first`, doubling to `submit.account_probe_max`, one job as the probe.
    Probe,
    /// Until the time the provider names, else as `Probe`.
    Reset,
}

/// The rule for a refused create of this class.
#[must_use]
pub const fn after_refusal(class: Class) -> AfterRefusal {
    match class {
        Class::Input | Class::Content | Class::Output | Class::State => AfterRefusal::Fail,
        Class::Auth | Class::Account => AfterRefusal::StopAccount(Stop::Probe),
        Class::Rate | Class::Capacity => AfterRefusal::StopAccount(Stop::Backoff),
        Class::Pause => AfterRefusal::StopAccount(Stop::Reset),
        Class::Server | Class::Ambiguous => AfterRefusal::Doubt,
    }
}

/// Whether such a refusal speaks of the slot class alone: the provider counts calls and tasks for each model,
/// and a 4k video that was one too many says nothing about the others.
#[must_use]
pub const fn stops_one_class(class: Class) -> bool {
    match class {
        Class::Rate | Class::Capacity => true,
        Class::Input
        | Class::Content
        | Class::Output
        | Class::Auth
        | Class::Account
        | Class::Pause
        | Class::Server
        | Class::Ambiguous
        | Class::State => false,
    }
}

/// What a troubled read of a task leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterTrouble {
    /// Again, `poll.steady` doubling to `poll.max`, until the wall-clock limit.
    Backoff,
    /// Again at `poll.max`, and a person is told: key or account are at fault, the task is not.
    BackoffAndPage,
}

/// The rule for a read that failed with this class.
#[must_use]
pub const fn after_trouble(class: Class) -> AfterTrouble {
    match class {
        Class::Auth | Class::Account => AfterTrouble::BackoffAndPage,
        Class::Input
        | Class::Content
        | Class::Output
        | Class::State
        | Class::Rate
        | Class::Capacity
        | Class::Pause
        | Class::Server
        | Class::Ambiguous => AfterTrouble::Backoff,
    }
}

/// `first`, doubled `n` times, at most `max`.
#[must_use]
pub fn backoff(first: Duration, max: Duration, n: u32) -> Duration {
    let factor = 2_u32.checked_pow(n.min(30)).unwrap_or(u32::MAX);
    first.saturating_mul(factor).min(max)
}

/// The pause of a stopped account.
#[must_use]
pub fn stop_pause(stop: Stop, in_row: u32, policy: &SubmitPolicy) -> Duration {
    match stop {
        Stop::Backoff => backoff(policy.retry_first, policy.retry_max, in_row),
        Stop::Probe | Stop::Reset => {
            backoff(policy.account_probe_first, policy.account_probe_max, in_row)
        }
    }
}

/// The pause before check number `checks + 1`: `first`, growing by half to `steady` (M8).
#[must_use]
pub fn cadence(first: Duration, steady: Duration, checks: u32) -> Duration {
    let mut pause = first;
    for _ in 0..checks.min(64) {
        if pause >= steady {
            break;
        }
        pause = pause.saturating_mul(3) / 2;
    }
    // A first pause above the steady one is a wish to wait before the first check only.
    if checks == 0 { first } else { pause.min(steady) }
}

/// A number that tells texts apart: `seed`, mixed with one byte after the other (the steps of FNV-1a).
pub(crate) fn mixed(seed: u64, text: &str) -> u64 {
    text.bytes().fold(seed, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// Spreads `pause` by up to `ratio` both ways, the same way for the same `seed`: the machine stays
/// a pure function and two jobs still do not march in step.
#[must_use]
pub fn jittered(pause: Duration, ratio: f64, seed: u64) -> Duration {
    // SplitMix64's finaliser: enough to decorrelate neighbours.
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let unit = ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64;
    let ratio = ratio.clamp(0.0, 0.9);
    pause.mul_f64(1.0 + ratio * (2.0 * unit - 1.0))
}
