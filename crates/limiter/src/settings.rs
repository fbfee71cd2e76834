//! Section `limits`, and how a limit becomes a spacing.

use serde::Deserialize;
use std::time::Duration;
use store::Pace;

/// Section `limits`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// How far ahead of the server's clock slots are handed out.
    #[serde(with = "humantime_serde")]
    pub grant_horizon: Duration,
    /// The longest time before its instant that a create's slot is handed out, whatever its intent and its
    /// connection take.
    #[serde(with = "humantime_serde")]
    pub lead_max: Duration,
    /// How long after its instant a slot may still be used.
    #[serde(with = "humantime_serde")]
    pub use_within: Duration,
    /// Slowest minus fastest way to the provider.
    #[serde(with = "humantime_serde")]
    pub network_spread: Duration,
    /// First rest of a kind of call that the provider refused for its rate without naming a time.
    #[serde(with = "humantime_serde")]
    pub hold_first: Duration,
    /// Longest such rest; it doubles with each refusal that follows.
    #[serde(with = "humantime_serde")]
    pub hold_max: Duration,
    /// How often one percent of the limit comes back of a rate of creates that was lowered.
    #[serde(with = "humantime_serde")]
    pub recover_every: Duration,
    /// How often a tenth of the limit comes back after creates that grew too fast.
    #[serde(with = "humantime_serde")]
    pub ramp_every: Duration,
    /// How often a task comes back of a look-ahead that was lowered.
    #[serde(with = "humantime_serde")]
    pub deepen_every: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            grant_horizon: Duration::from_millis(500),
            lead_max: Duration::from_secs(5),
            use_within: Duration::from_millis(100),
            network_spread: Duration::from_millis(250),
            hold_first: Duration::from_secs(1),
            hold_max: Duration::from_secs(60),
            recover_every: Duration::from_secs(30),
            ramp_every: Duration::from_secs(10),
            deepen_every: Duration::from_secs(300),
        }
    }
}

/// The provider counts creates by the minute.
const CREATE_WINDOW: Duration = Duration::from_secs(60);
/// The provider counts reads, lists and deletes by the second.
const READ_WINDOW: Duration = Duration::from_secs(1);

/// The row of an account's creates of one class, at `rpm` a minute.
#[must_use]
pub fn create_pace(rpm: u32, settings: &Settings) -> Pace {
    Pace { lead_max_us: us(settings.lead_max), ..pace(CREATE_WINDOW, rpm, settings) }
}

/// The row of an account's reads, lists or deletes, at `qps` a second. Nobody leaves a lead before them.
pub(crate) fn read_pace(qps: u32, settings: &Settings) -> Pace {
    pace(READ_WINDOW, qps, settings)
}

fn us(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// The spacing that keeps every window of length `window` at or below `limit` calls.
///
/// Two slots whose calls arrive within one window lie less than `window + use_within +
/// network_spread` apart, so that span may hold `limit` slots. Share used of a limit per minute:
/// 99.4 %; of a limit per second: 74 % with the default spread, the price of a network that jitters.
fn pace(window: Duration, limit: u32, settings: &Settings) -> Pace {
    let span = window + settings.use_within + settings.network_spread;
    // Rounded up: a spacing that is short by a fraction of a microsecond adds up over a window.
    let interval_us = us(span).div_ceil(u64::from(limit.max(1)));
    let horizon_us = us(settings.grant_horizon);
    Pace { interval_us, calls: limit.max(1), horizon_us, ..Pace::NONE }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_window_can_hold_more_than_the_limit() {
        let settings = Settings::default();
        for (window_ms, limit) in [(60_000, 600), (60_000, 15), (1_000, 20), (1_000, 1)] {
            let window = Duration::from_millis(window_ms);
            let spacing = Duration::from_micros(pace(window, limit, &settings).interval_us);
            let span = window + settings.use_within + settings.network_spread;
            // limit + 1 slots span `limit` spacings; they must not fit into the widest span.
            assert!(spacing * limit >= span, "{limit} per {window_ms} ms");
        }
    }
}
