//! What beside limits, queues and counts the judgement rests on, read at one moment.

use super::LimitsSettings;
use futures::future::try_join_all;
use job::PoolSettings;
use job::rounds::are_silent;
use std::collections::BTreeMap;
use std::time::Duration;
use store::{Depth, Ill, LiveProcess, Pause, PauseScope, Store, StoreError};

/// Endpoints with undelivered events that are looked at.
const ENDPOINTS_MOST: usize = 20;

/// An endpoint whose last delivery failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FailingHook {
    pub(crate) id: String,
    pub(crate) tenant: String,
    pub(crate) why: String,
    pub(crate) waiting: u64,
}

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Others {
    /// Roles of which a process told within the last minute that it lives, and how long that is ago.
    pub(crate) roles: BTreeMap<String, Duration>,
    /// What processes find ill around themselves, in this pool.
    pub(crate) ill: Vec<Ill>,
    /// Share of Redis's memory in use and the share from which no job is taken in, in percent; none below that.
    pub(crate) memory_past: Option<(u64, u64)>,
    /// Endpoints whose last delivery failed.
    pub(crate) hooks: Vec<FailingHook>,
    /// Accounts of which no callback tells the ends.
    pub(crate) silent: Vec<String>,
}

/// Reads them. A tenant hears of its own endpoints only, and that something is ill but not what was met: that names
/// places of the fleet.
///
/// # Errors
///
/// As every call of the store.
pub(crate) async fn others(
    store: &Store,
    pool: &PoolSettings,
    settings: &LimitsSettings,
    tenant: Option<&str>,
) -> Result<Others, StoreError> {
    let fleet = store.fleet();
    let (live, pulse, hooks, silent) = tokio::try_join!(
        fleet.live_processes(),
        store.pulse(),
        store.failing_endpoints(ENDPOINTS_MOST),
        silent(store, pool, settings)
    )?;
    // What one met that is not at work any more is old.
    let ill = live.iter().filter(|process| !process.is_silent()).flat_map(LiveProcess::ill);
    let ill = ill.filter(|ill| ill.pool == store.pool());
    let hidden = |mut ill: Ill| {
        if tenant.is_some() {
            ill.why.clear();
        }
        ill
    };
    let own = |hook: &FailingHook| tenant.is_none_or(|tenant| tenant == hook.tenant);
    let hooks = hooks.into_iter().map(|state| FailingHook {
        id: state.endpoint.id,
        tenant: state.endpoint.tenant,
        why: state.why.unwrap_or_default(),
        waiting: state.waiting,
    });
    Ok(Others {
        ill: ill.map(hidden).collect(),
        roles: heard(&live),
        memory_past: past(pulse.memory_ratio(), settings.intake_stop_ratio),
        hooks: hooks.filter(own).collect(),
        silent,
    })
}

/// Due jobs whose tenants may begin nothing now, where that may be why no ticket is in hand.
///
/// # Errors
///
/// As every call of the store.
pub(crate) async fn resting(
    store: &Store,
    depths: &[Depth],
    pauses: &[Pause],
) -> Result<u64, StoreError> {
    let submit = || depths.iter().filter(|depth| depth.queue.class().is_some());
    if submit().any(|depth| depth.leased > 0) || submit().all(|depth| depth.due == 0) {
        return Ok(0);
    }
    let of = |pause: &Pause| match &pause.scope {
        PauseScope::Tenant(tenant) => Some(tenant.clone()),
        PauseScope::Submit | PauseScope::Model(_) | PauseScope::Poll | PauseScope::Download => None,
    };
    store.due_at_rest(&pauses.iter().filter_map(of).collect()).await
}

/// Of each role, how long ago the last of its processes told that it lives.
fn heard(live: &[LiveProcess]) -> BTreeMap<String, Duration> {
    let mut roles = BTreeMap::new();
    for LiveProcess { about, silent_for, .. } in live {
        let Some(about) = about else { continue };
        let least = roles.entry(about.role.clone()).or_insert(*silent_for);
        *least = (*least).min(*silent_for);
    }
    roles
}

/// In percent, where new jobs are refused for it.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "shares of about one, in percent"
)]
pub(super) fn past(ratio: f64, stop: f64) -> Option<(u64, u64)> {
    (ratio >= stop).then_some(((ratio * 100.0) as u64, (stop * 100.0) as u64))
}

async fn silent(
    store: &Store,
    pool: &PoolSettings,
    settings: &LimitsSettings,
) -> Result<Vec<String>, StoreError> {
    let Some(patience) = settings.callbacks else { return Ok(Vec::new()) };
    let now = store.now().await?;
    let judged = try_join_all(pool.accounts.keys().map(async |account| {
        let (ends, _) = store.ends(account).await?;
        Ok::<_, StoreError>(are_silent(&ends, now, patience).then(|| account.clone()))
    }));
    Ok(judged.await?.into_iter().flatten().collect())
}
