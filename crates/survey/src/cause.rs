//! What limits a pool now, in words, with the next command and the page about it. Pure: fed with what was read at
//! one moment.
//!
//! Several may hold at once. The order of [`CauseKind`] is the order in which they are told: first what stops
//! everything, then what stops the whole way of a job (a role, the bucket, the provider), then what is only as much
//! as there is (money, slots, pace), and last what delays news without holding up a job.

mod judge;
mod look;
#[cfg(test)]
mod tests;
mod words;

pub(crate) use judge::{Scene, causes, sentence};
pub(crate) use look::{Others, Unlent, others, unlent};

use job::rounds::Patience;
use serde::{Deserialize, Serialize};
use settings::{Loaded, SettingsError};
use std::time::Duration;
use utoipa::ToSchema;

/// What limits, from the strongest to the weakest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = CauseKind)]
pub enum CauseKind {
    /// Redis lost what it had acknowledged: nothing is bought.
    FrozenAfterLoss,
    /// A person froze the pool.
    Frozen,
    /// A person paused every create.
    Paused,
    /// Redis's memory is nearly used up: no job is taken in.
    RedisFull,
    /// No process of a role is at work that has work.
    RoleMissing,
    /// The bucket takes nothing.
    BucketIll,
    /// The provider refuses the key of every account.
    KeyRefused,
    /// The provider refuses every account, for its balance or what it may do.
    AccountRefused,
    /// The provider cannot be reached.
    ProviderUnreachable,
    /// The provider answers and serves nothing.
    ProviderFails,
    /// The provider refuses creates for their rate, or asks for a pause.
    Throttled,
    /// Many jobs are in doubt.
    InDoubt,
    /// A person paused a part with work.
    PartPaused,
    /// All slots are taken.
    SlotsFull,
    /// All slots are taken that a person left.
    LimitSet,
    /// A cap of spending holds jobs.
    Budget,
    /// Jobs are due whose tenants may begin nothing now.
    TenantsRest,
    /// The rate of creates.
    CreateRate,
    /// Jobs wait for the end of a pause after a refusal.
    Waiting,
    /// Jobs wait for a person.
    Held,
    /// Some accounts are stopped and others go on.
    AccountStopped,
    /// Outputs cannot be fetched.
    LinksFail,
    /// Many videos wait for their copy.
    CopiesWait,
    /// No notifier runs and something is to be told.
    NotifierMissing,
    /// Customers' webhooks are not answered well.
    WebhooksFail,
    /// Jobs are parked for a person.
    Parked,
    /// Callbacks do not come.
    CallbacksSilent,
}

impl CauseKind {
    /// Every kind, in the order of precedence.
    pub const ALL: [Self; 27] = [
        Self::FrozenAfterLoss,
        Self::Frozen,
        Self::Paused,
        Self::RedisFull,
        Self::RoleMissing,
        Self::BucketIll,
        Self::KeyRefused,
        Self::AccountRefused,
        Self::ProviderUnreachable,
        Self::ProviderFails,
        Self::Throttled,
        Self::InDoubt,
        Self::PartPaused,
        Self::SlotsFull,
        Self::LimitSet,
        Self::Budget,
        Self::TenantsRest,
        Self::CreateRate,
        Self::Waiting,
        Self::Held,
        Self::AccountStopped,
        Self::LinksFail,
        Self::CopiesWait,
        Self::NotifierMissing,
        Self::WebhooksFail,
        Self::Parked,
        Self::CallbacksSilent,
    ];

    /// Whether something is to be mended, and not only as much as there is.
    #[must_use]
    pub const fn is_grave(self) -> bool {
        !matches!(
            self,
            Self::SlotsFull
                | Self::LimitSet
                | Self::Budget
                | Self::TenantsRest
                | Self::CreateRate
                | Self::Waiting
                | Self::Held
                | Self::CopiesWait
        )
    }

    /// The command that shows more, or does what is to be done.
    #[must_use]
    pub const fn next(self) -> &'static str {
        match self {
            Self::FrozenAfterLoss => "seedfleet reconcile --dry-run",
            Self::Frozen => "seedfleet thaw",
            Self::Paused | Self::PartPaused => "seedfleet queue status",
            Self::RedisFull
            | Self::BucketIll
            | Self::KeyRefused
            | Self::AccountRefused
            | Self::AccountStopped
            | Self::ProviderUnreachable
            | Self::ProviderFails
            | Self::CallbacksSilent => "seedfleet doctor",
            Self::RoleMissing | Self::NotifierMissing => "seedfleet schema status",
            Self::TenantsRest => "seedfleet tenants list",
            Self::Throttled => "seedfleet limits set",
            Self::LimitSet => "seedfleet limits reset",
            Self::InDoubt | Self::Parked => "seedfleet doubt list",
            Self::SlotsFull | Self::CreateRate | Self::CopiesWait => "seedfleet workers",
            Self::Budget => "seedfleet jobs list --state held",
            Self::Waiting => "seedfleet jobs list --state queued",
            Self::Held => "seedfleet review list",
            Self::LinksFail => "seedfleet jobs list --state downloading",
            Self::WebhooksFail => "seedfleet webhooks list",
        }
    }

    /// The page of the repository that tells what to do.
    #[must_use]
    pub const fn page(self) -> &'static str {
        match self {
            Self::FrozenAfterLoss => "docs/runbooks/creates-frozen-after-loss.md",
            Self::Frozen => "docs/runbooks/creates-frozen.md",
            Self::Paused | Self::PartPaused => "docs/runbooks/paused-for-long.md",
            Self::RedisFull => "docs/runbooks/redis-memory-high.md",
            Self::RoleMissing | Self::NotifierMissing => "docs/runbooks/role-missing.md",
            Self::BucketIll | Self::LinksFail => "docs/runbooks/downloads-failing.md",
            Self::KeyRefused | Self::AccountRefused | Self::AccountStopped => {
                "docs/runbooks/provider-refuses-account.md"
            }
            Self::ProviderUnreachable | Self::ProviderFails => "docs/runbooks/provider-failing.md",
            Self::Throttled => "docs/runbooks/provider-throttles.md",
            Self::InDoubt => "docs/runbooks/in-doubt-growing.md",
            Self::Parked => "docs/runbooks/jobs-parked.md",
            Self::SlotsFull | Self::CreateRate | Self::CopiesWait => "docs/scaling.md",
            Self::Budget => "docs/runbooks/jobs-held-for-budget.md",
            Self::LimitSet | Self::TenantsRest | Self::Waiting | Self::Held => {
                "docs/runbooks/nothing-is-submitted.md"
            }
            Self::WebhooksFail => "docs/runbooks/webhooks-failing.md",
            Self::CallbacksSilent => "docs/runbooks/callbacks-silent.md",
        }
    }
}

/// One cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Cause)]
pub struct CauseView {
    /// Which.
    pub cause: CauseKind,
    /// In words.
    pub says: String,
    /// The command that shows more, or does what is to be done.
    pub next: &'static str,
    /// The page that tells what to do.
    pub page: &'static str,
}

impl CauseView {
    pub(crate) fn new(cause: CauseKind, says: impl Into<String>) -> Self {
        Self { cause, says: says.into(), next: cause.next(), page: cause.page() }
    }
}

/// What of the configuration the judgement rests on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LimitsSettings {
    /// `submit.lookahead`.
    pub lookahead: u32,
    /// `redis.intake_stop_ratio`.
    pub intake_stop_ratio: f64,
    /// How long callbacks may take and be missing; none where the provider is not asked for any.
    pub callbacks: Option<Patience>,
}

impl LimitsSettings {
    /// As configured.
    ///
    /// # Errors
    ///
    /// A section that cannot be read.
    pub fn from_loaded(loaded: &Loaded) -> Result<Self, SettingsError> {
        // Each section belongs to another room, so its other keys are not refused here.
        #[derive(Deserialize)]
        struct Submit {
            lookahead: u32,
        }
        #[derive(Deserialize)]
        struct Redis {
            intake_stop_ratio: f64,
        }
        #[derive(Deserialize)]
        struct Callbacks {
            enabled: bool,
        }
        #[derive(Deserialize)]
        struct Poll {
            #[serde(with = "humantime_serde")]
            callback_grace: Duration,
            #[serde(with = "humantime_serde")]
            callback_silence: Duration,
        }
        let Submit { lookahead } = loaded.section("submit")?;
        let Redis { intake_stop_ratio } = loaded.section("redis")?;
        let Callbacks { enabled } = loaded.section("callbacks")?;
        let Poll { callback_grace: grace, callback_silence: silence } = loaded.section("poll")?;
        let callbacks = enabled.then_some(Patience { grace, silence });
        Ok(Self { lookahead, intake_stop_ratio, callbacks })
    }
}
