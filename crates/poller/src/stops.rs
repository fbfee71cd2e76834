//! Batches that stop by themselves: one poller of a pool looks at their counters every second.
//!
//! It is the poller's chore because no job fails, and none falls into doubt for long, where no poller runs: whoever
//! notices what goes wrong also heeds what was said about it. A look that is done twice pauses once.

use std::time::Duration;
use store::{STOP_LOOKS_MAX, Store, StoreError};

/// The chore's name among the fleet's locks.
const LOCK: &str = "stops";
/// How long a silent process keeps the chore to itself.
const LOCK_LIFE: Duration = Duration::from_secs(5);
/// Between two turns.
const TURN_EVERY: Duration = Duration::from_secs(1);

/// Looks, for ever.
pub(crate) async fn watch(store: Store) {
    let mut every = tokio::time::interval(TURN_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut told = false;
    loop {
        every.tick().await;
        match turn(&store).await {
            Ok(()) => told = false,
            Err(error) => {
                if !std::mem::replace(&mut told, true) {
                    let pool = store.pool();
                    tracing::warn!(pool, %error, "nobody looks whether a batch is to stop; trying again");
                }
            }
        }
    }
}

async fn turn(store: &Store) -> Result<(), StoreError> {
    loop {
        if !store.lock(LOCK, LOCK_LIFE).await? {
            return Ok(());
        }
        let due = store.due_stop_looks().await?;
        for (tenant, batch) in &due {
            if let Some(paused) = store.look_for_stop(tenant, batch).await? {
                let (pool, reason) = (store.pool(), paused.reason);
                tracing::warn!(pool, tenant, batch, reason, "a batch has stopped by itself");
            }
        }
        if due.len() < STOP_LOOKS_MAX {
            return Ok(());
        }
    }
}
