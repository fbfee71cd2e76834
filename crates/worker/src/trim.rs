//! Keeps each pool's stream of events short. Any process does it, one at a time: the stream grows by every
//! commit, whichever programs run.

use std::time::Duration;

use store::{EventSettings, Store};

use crate::reload::Live;

/// Between two trims of a pool.
const EVERY: Duration = Duration::from_secs(10);
/// The lock of the one process that trims.
const LOCK: &str = "trim";
/// Shorter than the pause between two turns: whoever comes first does the next one.
const LOCK_TTL: Duration = Duration::from_secs(9);

/// Trims until the process ends.
pub(crate) fn spawn(stores: Vec<Store>, mut settings: EventSettings, mut live: Live) {
    tokio::spawn(async move {
        let mut turn = tokio::time::interval(EVERY);
        turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            turn.tick().await;
            settings = live.newer("events").unwrap_or(settings);
            for store in &stores {
                // An outage is told by those who work; the next turn takes away what this one left.
                let Ok(true) = store.lock(LOCK, LOCK_TTL).await else { continue };
                match store.trim_changes(&settings).await {
                    Ok(0) | Err(_) => {}
                    Ok(gone) => tracing::debug!(pool = store.pool(), gone, "old events trimmed"),
                }
            }
        }
    });
}
