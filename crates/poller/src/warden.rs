//! The pool's warden: ends a quarantine by program where the second fence allows it, and compares the
//! provider's list with our records from time to time. One process of a pool does each, by a lock in
//! Redis; what they do is harmless when done twice.

use reconcile::quarantine::{self, Ended};
use reconcile::{Ground, Report, Settings, sweep};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::{Freeze, FreezeKind};

/// The chores' names among the fleet's locks.
const QUARANTINE: &str = "quarantine";
const SWEEP: &str = "sweep";
/// How long a silent process keeps a quarantine to itself, and how often a live one says so.
const LOCK_LIFE: Duration = Duration::from_secs(15);
const LOCK_RENEW: Duration = Duration::from_secs(4);
/// How often a freeze that only a person can end is told again.
const TELL_EVERY: Duration = Duration::from_secs(300);
/// How often ended jobs are looked at as well: it reads the record of each.
const ENDED_EVERY: Duration = Duration::from_secs(24 * 3_600);
/// Longest pause before a process's first sweep.
const FIRST_SWEEP: Duration = Duration::from_secs(60);
/// Unowned tasks remembered as unexplained.
const UNEXPLAINED_MAX: usize = 10_000;

/// Watches for a freeze, for ever.
pub(crate) async fn watch(ground: Arc<Ground>, settings: Settings) {
    let mut every = tokio::time::interval(settings.watch_every);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut told: Option<(Freeze, Instant)> = None;
    loop {
        every.tick().await;
        // An outage is told by those who work.
        let Ok(watch) = ground.store.watch().await else { continue };
        let Some(freeze) = watch.frozen else { continue };
        if told.as_ref().is_some_and(|(old, at)| *old == freeze && at.elapsed() < TELL_EVERY) {
            continue;
        }
        let pool = ground.store.pool();
        match freeze.kind {
            // Whoever asked for it knows.
            FreezeKind::Asked => {}
            FreezeKind::Rollback if ground.intents.is_none() => {
                tracing::error!(
                    pool, since = %freeze.since.rfc3339(),
                    "creates stay frozen: Redis lost data and no second fence remembers; run \
                     `seedfleet reconcile --after-restore`"
                );
                told = Some((freeze, Instant::now()));
            }
            FreezeKind::Rollback => {
                if let Ok(true) = ground.store.lock(QUARANTINE, LOCK_LIFE).await
                    && end(&ground, &freeze, &settings).await
                {
                    told = Some((freeze, Instant::now()));
                }
            }
        }
    }
}

/// Runs the quarantine under its lock. `true`: only a person can end this freeze.
async fn end(ground: &Ground, freeze: &Freeze, settings: &Settings) -> bool {
    let pool = ground.store.pool();
    let horizon = ground.horizon();
    tracing::warn!(pool, ?horizon, since = %freeze.since.rfc3339(), "the quarantine begins");
    let run = quarantine::run(ground, freeze);
    tokio::pin!(run);
    let ended = loop {
        tokio::select! {
            ended = &mut run => break ended,
            () = tokio::time::sleep(LOCK_RENEW) => {
                // Not held any more: another process runs it beside us, which harms nobody.
                drop(ground.store.lock(QUARANTINE, LOCK_LIFE).await);
            }
        }
    };
    drop(ground.store.unlock(QUARANTINE).await);
    match ended {
        Ok((Ended::Thawed | Ended::ThawedElsewhere, report)) => {
            tracing::warn!(pool, recovered = ?report.recovered, "the quarantine has ended; creates go on");
            report.page();
            look(ground, settings, false, BTreeSet::new()).await;
            false
        }
        Ok((Ended::NeedsPerson, report)) => {
            report.page();
            tracing::error!(pool, "creates stay frozen for a person: not everything can be read");
            true
        }
        Err(error) => {
            tracing::warn!(pool, %error, "the quarantine is interrupted and begins again");
            false
        }
    }
}

/// Compares the list with our records, for ever.
pub(crate) async fn sweep(ground: Arc<Ground>, settings: Settings) {
    let every = settings.sweep_every;
    let mut unexplained = BTreeSet::new();
    let mut ended_at: Option<Instant> = None;
    tokio::time::sleep((every / 2).min(FIRST_SWEEP)).await;
    loop {
        // Nobody lets this lock go: while it lives, somebody has swept lately. It lapses before the
        // holder's own next turn.
        if let Ok(true) = ground.store.lock(SWEEP, every.mul_f64(0.9)).await {
            let ended = ended_at.is_none_or(|at| at.elapsed() >= ENDED_EVERY);
            if let Some(report) = look(&ground, &settings, ended, unexplained.clone()).await {
                let told = report.findings.iter().filter_map(|finding| finding.task.clone());
                unexplained = told.take(UNEXPLAINED_MAX).collect();
                ended_at = if ended { Some(Instant::now()) } else { ended_at };
            }
        }
        tokio::time::sleep(every).await;
    }
}

/// One sweep; none while what is unowned is a quarantine's business, or Redis is away.
async fn look(
    ground: &Ground,
    settings: &Settings,
    ended: bool,
    unexplained: BTreeSet<job::TaskId>,
) -> Option<Report> {
    if ground.store.watch().await.ok()?.frozen.is_some() {
        return None;
    }
    let options = sweep::Options {
        back: settings.sweep_back,
        dry_run: false,
        cancel_queued: false,
        ended,
        unexplained,
    };
    match sweep::run(ground, &options).await {
        Ok(report) => {
            report.page();
            Some(report)
        }
        Err(error) => {
            tracing::warn!(pool = ground.store.pool(), %error, "the list was not compared");
            None
        }
    }
}
