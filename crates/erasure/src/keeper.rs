//! The keeper: works wishes off, and looks for what has been kept for long enough.

use crate::{Eraser, Settings};
use std::time::{Duration, Instant};

/// Between two looks for a wish whose turn has come.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The lock of the one process that looks for what is old.
const LOCK: &str = "retain";
/// How long it outlives a process that died.
const LOCK_TTL: Duration = Duration::from_secs(300);

/// Keeps until the process ends. Several may: each wish, and the sweep of a pool, is one process's.
pub async fn keep(erasers: Vec<Eraser>, settings: Settings) {
    let mut every = tokio::time::interval(LOOK_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut swept: Option<Instant> = None;
    loop {
        every.tick().await;
        let sweeps = swept.is_none_or(|at| at.elapsed() >= settings.retention.sweep_every);
        for eraser in &erasers {
            // An outage is told by those who work; the wishes wait in Redis.
            if let Err(error) = eraser.work_due().await {
                tracing::debug!(%error, "erasures wait");
            }
            if sweeps && let Err(error) = sweep(eraser, &settings).await {
                tracing::warn!(%error, "a sweep of what has been kept for long enough broke off");
            }
        }
        if sweeps {
            swept = Some(Instant::now());
        }
    }
}

async fn sweep(eraser: &Eraser, settings: &Settings) -> Result<(), crate::EraseError> {
    if !eraser.store.lock(LOCK, LOCK_TTL).await? {
        return Ok(());
    }
    let jobs = eraser.retain(settings).await?;
    if jobs > 0 {
        tracing::info!(pool = eraser.store.pool(), jobs, "erased what was kept for long enough");
    }
    eraser.store.unlock(LOCK).await?;
    Ok(())
}
