//! The doctor in the background: one process per pool counts again and again, a little at a time.

use std::collections::BTreeMap;
use std::time::Duration;

use store::{DriftKind, Recount, Store, StoreError};

/// Between two recounts of a pool.
const EVERY: Duration = Duration::from_secs(60);
/// Between two pages of 250: a thousand looks per second at most.
const PAUSE: Duration = Duration::from_millis(250);
/// The lock of the one process that counts a pool.
const LOCK: &str = "doctor";
/// How long it outlives a process that died.
const LOCK_TTL: Duration = Duration::from_secs(90);
/// How often a living one prolongs it.
const RENEW_EVERY: Duration = Duration::from_secs(30);
/// Differences named in the log by one recount; the metric counts all, `seedfleet doctor` lists them.
const TOLD_MAX: usize = 5;

/// Counts until the process ends. What is found is told and exported, never repaired: that is for a
/// person to ask (`seedfleet doctor --repair`).
pub(crate) fn spawn(stores: Vec<Store>) {
    tokio::spawn(async move {
        let mut found: BTreeMap<String, BTreeMap<DriftKind, u64>> = BTreeMap::new();
        let mut turn = tokio::time::interval(EVERY);
        turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            turn.tick().await;
            for store in &stores {
                // What another process counts is told by that one.
                let kinds = match count(store).await {
                    Ok(Some(recount)) => tell(store, &recount),
                    Ok(None) => BTreeMap::new(),
                    // An outage, which the engines tell; what was found last is still the news.
                    Err(_) => continue,
                };
                found.insert(store.pool().to_owned(), kinds);
                export(&found);
            }
        }
    });
}

async fn count(store: &Store) -> Result<Option<Recount>, StoreError> {
    if !store.lock(LOCK, LOCK_TTL).await? {
        return Ok(None);
    }
    let counting = store.recount_paced(PAUSE);
    tokio::pin!(counting);
    loop {
        tokio::select! {
            counted = &mut counting => return counted.map(Some),
            () = tokio::time::sleep(RENEW_EVERY) => {
                if !store.lock(LOCK, LOCK_TTL).await? {
                    return Ok(None);
                }
            }
        }
    }
}

fn tell(store: &Store, recount: &Recount) -> BTreeMap<DriftKind, u64> {
    let pool = store.pool();
    for drift in recount.drifts.iter().take(TOLD_MAX) {
        tracing::error!(
            pool,
            kind = drift.kind.word(),
            what = drift.what,
            expected = drift.expected,
            found = drift.found,
            "Redis disagrees with a record; see `seedfleet doctor`"
        );
    }
    let (records, unchecked) = (recount.records, recount.unchecked);
    tracing::debug!(pool, records, unchecked, differences = recount.drifts.len(), "recounted");
    recount.by_kind()
}

fn export(found: &BTreeMap<String, BTreeMap<DriftKind, u64>>) {
    let gauge = &telemetry::metrics().doctor_violations;
    for kind in DriftKind::ALL {
        let sum: u64 = found.values().filter_map(|kinds| kinds.get(&kind)).sum();
        gauge.set(f64::from(u32::try_from(sum).unwrap_or(u32::MAX)), [kind.word()]);
    }
}
