//! What beside limits, queues and counts the judgement rests on, read at one moment.

use super::LimitsSettings;
use futures::future::try_join_all;
use job::PoolSettings;
use job::rounds::are_silent;
use std::collections::BTreeSet;
use store::{Ill, Store, StoreError};

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
    /// Roles of which a process lives.
    pub(crate) roles: BTreeSet<String>,
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
    let ill = live.iter().flat_map(store::LiveProcess::ill).filter(|ill| ill.pool == store.pool());
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
        roles: live.into_iter().filter_map(|process| Some(process.about?.role)).collect(),
        memory_past: past(pulse.memory_ratio(), settings.intake_stop_ratio),
        hooks: hooks.filter(own).collect(),
        silent,
    })
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
