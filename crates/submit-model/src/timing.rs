//! Compressed time: instants are small numbers of ticks, and the policy's spans a few ticks each.

use job::{DoubtPolicy, DownloadPolicy, Policy, PollPolicy, SettlePolicy, SubmitPolicy, Timestamp};
use std::time::Duration;

/// Longer than the clock skew that the match allows for, so that its window means something.
const TICK: Duration = Duration::from_secs(10);

/// Tick 0.
pub(crate) const BIRTH: Timestamp = Timestamp::from_unix_ms(1_790_000_000_000);

/// What a request may spend in our kernel.
pub(crate) const DELIVERY: u8 = 1;
/// What it may spend in the provider's front door.
pub(crate) const FRONT_DOOR: u8 = 1;
/// How late a list may show a task.
pub(crate) const LIST_LAG: u8 = 1;
/// From Begin to the last byte.
const SEND: u8 = 1;
/// How long the provider keeps records: looking ends after it.
const RECORDS_KEPT: u8 = 9;
/// How long a Begin may take until its reply is in.
pub(crate) const BEGIN_MAX: u8 = 1;
/// No world is older.
pub(crate) const CLOCK_MAX: u8 = 24;

/// The instant of a tick.
pub(crate) fn at(tick: u8) -> Timestamp {
    BIRTH + ticks(tick)
}

/// The tick in which an instant lies, rounded up: nothing that is due later is due.
pub(crate) fn tick_of(instant: Timestamp) -> u8 {
    let ticks = instant.since(BIRTH).as_millis().div_ceil(TICK.as_millis());
    u8::try_from(ticks).unwrap_or(u8::MAX)
}

fn ticks(count: u8) -> Duration {
    TICK * u32::from(count)
}

/// The machine's numbers in ticks. Pauses between tries and looks are nought: the model lets anything
/// happen at once or late by itself.
pub(crate) fn policy(doubt: DoubtPolicy) -> Policy {
    Policy {
        submit: SubmitPolicy {
            tries_max: 3,
            send_deadline: ticks(SEND),
            retry_first: Duration::ZERO,
            retry_max: Duration::ZERO,
            account_probe_first: Duration::ZERO,
            account_probe_max: Duration::ZERO,
        },
        settle: SettlePolicy {
            front_door_max: ticks(FRONT_DOOR),
            list_lag_max: ticks(LIST_LAG),
            scan_gap: Duration::ZERO,
            look_first: Duration::ZERO,
            look_max: Duration::ZERO,
            blind_max: Duration::from_secs(86_400),
            resend_max: 1,
            parked_look: Duration::ZERO,
            records_kept: ticks(RECORDS_KEPT),
        },
        poll: PollPolicy {
            first: Duration::ZERO,
            steady: ticks(1),
            max: ticks(1),
            jitter_ratio: 0.0,
            deadline: ticks(1),
            overdue_look: ticks(1),
            not_found_grace: ticks(1),
        },
        download: DownloadPolicy {
            tries_max: 1,
            retry_first: ticks(1),
            retry_max: ticks(1),
            link_life: ticks(1),
        },
        delivery_max: ticks(DELIVERY),
        doubt,
    }
}
