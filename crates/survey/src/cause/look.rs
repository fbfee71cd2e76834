//! What beside limits, queues and counts the judgement rests on, read at one moment.

use super::LimitsSettings;
use crate::limits::AccountView;
use futures::future::try_join_all;
use job::rounds::are_silent;
use job::{PoolSettings, Timestamp};
use seedance::SlotClass;
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

/// Why no ticket of due jobs may be in hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Unlent {
    /// Due jobs whose tenants may begin nothing now.
    pub(crate) resting: u64,
    /// The first instant at which an account with room may create one of the others.
    pub(crate) next: Option<Timestamp>,
}

/// Looks for it, where none is in hand.
///
/// # Errors
///
/// As every call of the store.
pub(crate) async fn unlent(
    store: &Store,
    accounts: &[AccountView],
    depths: &[Depth],
    pauses: &[Pause],
) -> Result<Unlent, StoreError> {
    let submit = || depths.iter().filter(|depth| depth.queue.class().is_some());
    if submit().any(|depth| depth.leased > 0) || submit().all(|depth| depth.due == 0) {
        return Ok(Unlent::default());
    }
    let of = |pause: &Pause| match &pause.scope {
        PauseScope::Tenant(tenant) => Some(tenant.clone()),
        PauseScope::Submit | PauseScope::Model(_) | PauseScope::Poll | PauseScope::Download => None,
    };
    let resting = store.due_at_rest(&pauses.iter().filter_map(of).collect()).await?;
    let due = submit().filter(|depth| depth.due > 0).filter_map(|depth| depth.queue.class());
    let rows = due.flat_map(|class| with_room(accounts, class).map(move |of| (class, of)));
    let nexts = try_join_all(rows.map(async |(class, (account, rpm))| {
        let interval = Duration::try_from_secs_f64(60.0 / rpm).unwrap_or(Duration::MAX);
        store.next_create(account, class, interval).await
    }));
    Ok(Unlent { resting, next: nexts.await?.into_iter().flatten().min() })
}

/// The accounts that may begin a create of a class, but for its instant, and their creates a minute.
fn with_room(accounts: &[AccountView], class: SlotClass) -> impl Iterator<Item = (&str, f64)> {
    let open = accounts.iter().filter(|account| account.stopped_until.is_none());
    open.flat_map(move |account| {
        let of = account.classes.iter().filter(move |view| view.class == class.word());
        let room = of.filter(|view| view.stopped_until.is_none());
        let room = room.filter(|view| view.slots_used < u64::from(view.slots + view.lookahead));
        let room = room.filter(|view| view.create_rpm > 0.0);
        room.map(|view| (account.account.as_str(), view.create_rpm))
    })
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
