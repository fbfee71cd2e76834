//! Section `limits`, and how a limit becomes a spacing.

use serde::Deserialize;
use std::time::Duration;
use store::{Counted, Pace};

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

/// Calls that may follow each other sooner are not counted: spacing alone keeps their limit, and two more calls
/// to Redis for each would cost more than they are worth.
const COUNTED_FROM: Duration = Duration::from_secs(1);
/// From the permit to the first byte of a read; later it is not made.
pub(crate) const START_MAX: Duration = Duration::from_secs(1);

/// How long calls may be under way: counted from when they are made, by then all of one has arrived or nothing of
/// it ever will. Their own time-out, and what the kernel goes on sending after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnderWay {
    /// A retrieve, list or delete.
    pub read: Duration,
    /// A create.
    pub create: Duration,
}

/// The row of an account's creates of one class, at `rpm` a minute.
#[must_use]
pub fn create_pace(rpm: u32, settings: &Settings, under_way: UnderWay) -> Pace {
    let pace = Pace { lead_max_us: us(settings.lead_max), ..pace(CREATE_WINDOW, rpm, settings) };
    counted(pace, CREATE_WINDOW, settings.use_within + under_way.create)
}

/// The row of an account's reads, lists or deletes, at `qps` a second. Nobody leaves a lead before them.
pub(crate) fn read_pace(qps: u32, settings: &Settings, under_way: UnderWay) -> Pace {
    let longest = settings.use_within + START_MAX + under_way.read;
    counted(pace(READ_WINDOW, qps, settings), READ_WINDOW, longest)
}

/// Calls of a small limit are counted too.
fn counted(pace: Pace, window: Duration, under_way: Duration) -> Pace {
    let counted = Counted { window_us: us(window), under_way_us: us(under_way) };
    Pace { counted: (pace.interval_us >= us(COUNTED_FROM)).then_some(counted), ..pace }
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
    fn what_is_as_rare_as_a_call_a_second_is_counted() {
        let (settings, s) = (Settings::default(), Duration::from_secs);
        let under_way = UnderWay { read: s(20), create: s(40) };
        let counted = |pace: Pace| pace.counted.map(|c| (c.window_us, c.under_way_us));
        assert_eq!(counted(create_pace(15, &settings, under_way)), Some((60_000_000, 40_100_000)));
        assert_eq!(counted(read_pace(1, &settings, under_way)), Some((1_000_000, 21_100_000)));
        assert_eq!(counted(create_pace(180, &settings, under_way)), None);
        assert_eq!(counted(read_pace(20, &settings, under_way)), None);
    }

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
