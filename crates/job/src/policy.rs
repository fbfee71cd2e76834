//! The numbers the machine decides with. One struct per section of the configuration; each key is
//! documented in `config/default.toml`, which also holds the defaults that ship.

use crate::mutant::{self, Mutant};
use crate::pools::DoubtPolicy;
use serde::Deserialize;
use std::time::Duration;

/// Everything [`crate::transition`] may look at beside the record and the event.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Section `submit`.
    pub submit: SubmitPolicy,
    /// Section `settle`.
    pub settle: SettlePolicy,
    /// Section `poll`.
    pub poll: PollPolicy,
    /// Section `download`.
    pub download: DownloadPolicy,
    /// How long after the gate's deadline bytes may still be on their way: what `provider.create_timeout`
    /// leaves after `submit.send_deadline`, and `provider.tcp_user_timeout` in the kernel.
    pub delivery_max: Duration,
    /// What the job's pool does with a proven absence.
    pub doubt: DoubtPolicy,
}

/// Section `submit`: how creates are tried.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct SubmitPolicy {
    /// Attempts that provably sent nothing before the job fails.
    pub tries_max: u32,
    /// Begin to the last moment the last byte may leave.
    #[serde(with = "humantime_serde")]
    pub send_deadline: Duration,
    /// First pause after an attempt that sent nothing, or a refusal for rate; doubles.
    #[serde(with = "humantime_serde")]
    pub retry_first: Duration,
    /// Longest such pause.
    #[serde(with = "humantime_serde")]
    pub retry_max: Duration,
    /// First pause of an account stopped for AUTH or ACCOUNT; doubles.
    #[serde(with = "humantime_serde")]
    pub account_probe_first: Duration,
    /// Longest such pause.
    #[serde(with = "humantime_serde")]
    pub account_probe_max: Duration,
}

impl SubmitPolicy {
    /// When an attempt's gate closes, on the sender's own clock.
    ///
    /// Counted from `asked`, read before the server's clock and before Begin, and never from
    /// `answered`: so it cannot lie behind the deadline in the record, however long Begin took.
    #[must_use]
    pub fn gate_closes<T: std::ops::Add<Duration, Output = T>>(&self, asked: T, answered: T) -> T {
        let from = if mutant::on(Mutant::DeadlineAfterBegin) { answered } else { asked };
        from + self.send_deadline
    }
}

/// Section `settle`: how doubt is resolved (reliability: quiet horizon).
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct SettlePolicy {
    /// Longest stay of a complete request inside the provider's front door.
    #[serde(with = "humantime_serde")]
    pub front_door_max: Duration,
    /// Longest time until a created task shows in a list.
    #[serde(with = "humantime_serde")]
    pub list_lag_max: Duration,
    /// Gap between the two scans that together prove absence.
    #[serde(with = "humantime_serde")]
    pub scan_gap: Duration,
    /// First pause between look-ups; doubles.
    #[serde(with = "humantime_serde")]
    pub look_first: Duration,
    /// Longest pause between look-ups.
    #[serde(with = "humantime_serde")]
    pub look_max: Duration,
    /// Past the quiet horizon by this much without evidence either way, a person is told.
    #[serde(with = "humantime_serde")]
    pub blind_max: Duration,
    /// Automatic re-sends of one job under `balanced`.
    pub resend_max: u32,
    /// Pause between look-ups for a parked job.
    #[serde(with = "humantime_serde")]
    pub parked_look: Duration,
    /// How long the provider keeps a record: after this nothing can be found any more.
    #[serde(with = "humantime_serde")]
    pub records_kept: Duration,
}

/// Section `poll`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct PollPolicy {
    /// First check after the task id is known.
    #[serde(with = "humantime_serde")]
    pub first: Duration,
    /// The cadence that checks back off to (M8: 10 to 20 s).
    #[serde(with = "humantime_serde")]
    pub steady: Duration,
    /// Longest pause after troubled reads.
    #[serde(with = "humantime_serde")]
    pub max: Duration,
    /// Every pause is spread by up to this share, both ways.
    pub jitter_ratio: f64,
    /// Our own wall-clock limit, from the moment the task is known.
    #[serde(with = "humantime_serde")]
    pub deadline: Duration,
    /// Pause between checks of an overdue task.
    #[serde(with = "humantime_serde")]
    pub overdue_look: Duration,
    /// A task this young may be answered 404 and still exist.
    #[serde(with = "humantime_serde")]
    pub not_found_grace: Duration,
}

/// Section `download`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct DownloadPolicy {
    /// Fetches of one link; the provider allows 100.
    pub tries_max: u32,
    /// First pause after a failed fetch; doubles.
    #[serde(with = "humantime_serde")]
    pub retry_first: Duration,
    /// Longest pause between fetches.
    #[serde(with = "humantime_serde")]
    pub retry_max: Duration,
    /// Life of a link whose signature does not tell.
    #[serde(with = "humantime_serde")]
    pub link_life: Duration,
}
