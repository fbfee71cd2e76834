//! Brings jobs back that a cap of spending held: when the day turned, when the cap was raised, or when something
//! reserved was not bought after all.
//!
//! One process does it for a pool. Of each purse the oldest jobs come first, and no more of them wait at once
//! than there is room for: those that are back and not begun yet count as bought.

use job::{CapOf, Event, JobId, Policy, SpendCap, State, StateWord};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use store::{Purse, PurseUse, ReportError, Store, StoreError, Stored, Writer};
use worker::Drain;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a pool's purses stay with a process that falls silent; a look takes a fraction of it.
const LEASE: Duration = Duration::from_secs(15);
/// The lock of the one that looks.
const LOCK: &str = "purses";
/// Jobs of one purse that are looked at in one turn, and that may be back without having begun.
const PAGE: usize = 100;
/// Jobs brought back in one turn of all purses.
const TURN_MAX: usize = 500;

/// Jobs of each purse that are back and had not begun when they were looked at last.
type Back = BTreeMap<Purse, Vec<JobId>>;

/// Looks after one pool until the process is to end.
pub(crate) async fn serve(store: Store, policy: Arc<Policy>, drain: Drain) {
    let mut back = Back::new();
    loop {
        tokio::select! {
            () = drain.wait() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        match turn(&store, &policy, &mut back).await {
            Ok(0) => {}
            Ok(jobs) => tracing::info!(pool = store.pool(), jobs, "the budget has room again"),
            Err(error) => tracing::warn!(pool = store.pool(), %error, "held jobs wait"),
        }
    }
}

async fn turn(store: &Store, policy: &Policy, back: &mut Back) -> Result<usize, StoreError> {
    let purses = store.purses_that_hold().await?;
    tell(store, &purses, store.purses(&[Purse::Pool]).await?.first());
    if purses.is_empty() || !store.lock(LOCK, LEASE).await? {
        back.clear();
        return Ok(0);
    }
    let mut freed = 0;
    for (purse, seen) in &purses {
        let before = back.remove(purse).unwrap_or_default();
        let mut waiting = waiting(store, before).await?;
        let most = (TURN_MAX - freed).min(PAGE.saturating_sub(waiting.len()));
        let reserved = waiting.iter().map(price).fold(0, u64::saturating_add);
        for stored in fitting(&store.held_by(purse, PAGE).await?, seen, reserved, most) {
            if free(store, policy, &stored.record.id).await? {
                freed += 1;
                waiting.push(stored);
            }
        }
        store.purse_seen(purse).await?;
        if !waiting.is_empty() {
            let ids = waiting.into_iter().map(|stored| stored.record.id).collect();
            back.insert(purse.clone(), ids);
        }
    }
    Ok(freed)
}

/// Those of the jobs that are back which have not begun yet.
async fn waiting(store: &Store, ids: Vec<JobId>) -> Result<Vec<Stored>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut waiting = Vec::with_capacity(ids.len());
    for found in store.load_many(&ids).await? {
        waiting
            .extend(found?.filter(|stored| stored.record.life.state.word() == StateWord::Queued));
    }
    Ok(waiting)
}

/// What a job would take.
fn price(stored: &Stored) -> u64 {
    stored.record.spec.estimate_cost.map_or(0, |cost| cost.micros)
}

/// The oldest jobs that there is room for beside what is `reserved`, at most so many; and those that are not
/// worth buying any more, which end unpaid when they are back.
fn fitting(held: &[Stored], seen: &PurseUse, reserved: u64, most: usize) -> Vec<Stored> {
    let mut left = seen.left().map(|left| left.saturating_sub(reserved));
    let fits = |stored: &&Stored| {
        let spec = &stored.record.spec;
        if spec.useful_until.is_some_and(|until| until <= stored.now) {
            return true;
        }
        let Some(room) = left else { return true };
        let rest = room.checked_sub(price(stored));
        left = Some(rest.unwrap_or(room));
        rest.is_some()
    };
    held.iter().filter(fits).take(most).cloned().collect()
}

async fn free(store: &Store, policy: &Policy, id: &JobId) -> Result<bool, StoreError> {
    match store.report(id, Writer::Outside, &Event::BudgetFreed, policy).await {
        Ok(store::Reported::Written { stored, .. }) => {
            Ok(matches!(stored.record.life.state, State::Queued { .. }))
        }
        Ok(
            store::Reported::Ignored { .. }
            | store::Reported::Fenced
            | store::Reported::Gone
            | store::Reported::Owned { .. },
        ) => Ok(false),
        Err(ReportError::Store(error)) => Err(error),
        Err(ReportError::Contradiction(why)) => Err(StoreError::Bug(why.to_string())),
    }
}

/// Jobs that wait for budget, by whose cap holds them; and how much of the pool's is left.
#[allow(clippy::cast_precision_loss)]
fn tell(store: &Store, purses: &[(Purse, PurseUse)], pool: Option<&PurseUse>) {
    let metrics = telemetry::metrics();
    let tightest = pool.and_then(|pool| pool.tightest(CapOf::Pool));
    let share = |cap: SpendCap| {
        cap.max_micros.saturating_sub(cap.spent_micros) as f64 / cap.max_micros as f64
    };
    metrics.budget_remaining.set(tightest.map_or(1.0, share), [store.pool()]);
    for of in CapOf::ALL {
        let held: u64 =
            purses.iter().filter(|(purse, _)| purse.kind() == of).map(|(_, seen)| seen.held).sum();
        metrics.budget_held.set(held as f64, [store.pool(), of.word()]);
    }
}
