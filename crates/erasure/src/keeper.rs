//! The keeper: works wishes off, and looks for what has been kept for long enough.

use crate::{EraseError, Eraser, Settings};
use std::time::{Duration, Instant};

/// Between two looks for a wish whose turn has come.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The lock of the one process that looks for what is old.
const LOCK: &str = "retain";
/// How long it outlives a process that died. Two that both sweep do no harm: a tenant has one erasure by
/// age at a time, and that has a lock of its own.
const LOCK_TTL: Duration = Duration::from_secs(300);

/// Keeps until the process ends. Several may: each wish, and the sweep of a pool, is one process's.
pub async fn keep(erasers: Vec<Eraser>, settings: Settings) {
    let mut every = tokio::time::interval(LOOK_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut swept: Option<Instant> = None;
    let mut told = false;
    loop {
        every.tick().await;
        let sweeps = swept.is_none_or(|at| at.elapsed() >= settings.retention.sweep_every);
        let mut away = None;
        for eraser in &erasers {
            away = eraser.work_due().await.err().or(away);
            if sweeps && let Err(error) = sweep(eraser, &settings).await {
                tracing::warn!(%error, "a sweep of what has been kept for long enough broke off");
            }
        }
        if let Some(error) = &away
            && !told
        {
            tracing::warn!(%error, "erasures wait for Redis");
        }
        told = away.is_some();
        if sweeps {
            swept = Some(Instant::now());
        }
    }
}

async fn sweep(eraser: &Eraser, settings: &Settings) -> Result<(), EraseError> {
    if !eraser.store.lock(LOCK, LOCK_TTL).await? {
        return Ok(());
    }
    let swept = eraser.retain(settings).await;
    eraser.store.unlock(LOCK).await?;
    let jobs = swept?;
    if jobs > 0 {
        tracing::info!(pool = eraser.store.pool(), jobs, "erased what was kept for long enough");
    }
    Ok(())
}
