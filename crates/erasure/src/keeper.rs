//! The keeper: works wishes off, and looks for what has been kept for long enough.

use crate::{EraseError, Eraser, Pass, Settings};
use std::time::{Duration, Instant};

/// Between two looks for a wish whose turn has come.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The lock of the one process that looks for what is old.
const LOCK: &str = "retain";
/// How long it outlives a process that died. Two that both sweep do no harm: a tenant has one erasure by
/// age at a time, and that has a lock of its own.
const LOCK_TTL: Duration = Duration::from_secs(300);

/// Between two walks over all tombstones.
const LAPSE_EVERY: Duration = Duration::from_secs(24 * 3_600);

/// Keeps until the process ends. Several may: each wish, and the sweep of a pool, is one process's. `pass` is called
/// at the moments of an archiver.
pub async fn keep(erasers: Vec<Eraser>, settings: Settings, pass: Pass) {
    tokio::join!(work(&erasers, &settings), archive(&erasers, &settings, pass));
}

async fn archive(erasers: &[Eraser], settings: &Settings, pass: Pass) {
    let retention = settings.retention;
    let mut every = tokio::time::interval(retention.sweep_every);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut walked: Option<Instant> = None;
    loop {
        every.tick().await;
        let walks = walked.is_none_or(|at| at.elapsed() >= LAPSE_EVERY);
        for eraser in erasers {
            let pool = eraser.store.pool();
            match eraser.archive(retention.redis_after, pass).await {
                Ok(0) => {}
                Ok(jobs) => tracing::info!(pool, jobs, "records left Redis for the bucket"),
                Err(error) => tracing::warn!(pool, %error, "records wait to leave Redis"),
            }
            if !walks {
                continue;
            }
            match eraser.lapse(retention.tombstones, LAPSE_EVERY).await {
                Ok(0) => {}
                Ok(jobs) => tracing::info!(pool, jobs, "tombstones were kept for long enough"),
                Err(error) => tracing::warn!(pool, %error, "a walk over tombstones broke off"),
            }
        }
        if walks {
            walked = Some(Instant::now());
        }
    }
}

async fn work(erasers: &[Eraser], settings: &Settings) {
    let mut every = tokio::time::interval(LOOK_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut swept: Option<Instant> = None;
    let mut told = false;
    loop {
        every.tick().await;
        let sweeps = swept.is_none_or(|at| at.elapsed() >= settings.retention.sweep_every);
        let mut away = None;
        for eraser in erasers {
            away = eraser.work_due().await.err().or(away);
            if sweeps && let Err(error) = sweep(eraser, settings).await {
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
