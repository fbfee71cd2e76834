//! Whether Redis may be trusted with paid work: at the start, every half minute after it, and every
//! second whether it still knows all that it acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use store::{Finding, Freeze, FreezeKind, Settings, Severity, Store, StoreError, Watch};
use tokio::time::Instant;

use crate::health::Health;
use crate::signals::Drain;
use crate::start::StartError;

/// Between two whole checks.
const EVERY: Duration = Duration::from_secs(30);
/// Between two looks at the count of commits.
const WATCH_EVERY: Duration = Duration::from_secs(1);
/// Between two tries of the first check while Redis does not answer.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What stands against this Redis; at least one finding.
#[derive(Debug)]
pub struct Unsafe(Vec<Finding>);

impl Unsafe {
    /// The findings, each with its fix.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.0
    }
}

impl fmt::Display for Unsafe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this Redis could lose or repeat paid work:")?;
        for finding in &self.0 {
            write!(f, "\n  {}: {}. Fix: {}", finding.check, finding.sentence, finding.fix)?;
        }
        f.write_str(
            "\nTo accept a finding all the same, name its check in redis.allow_unsafe, in every process",
        )
    }
}

/// What a server is measured against.
#[derive(Debug, Clone)]
pub(crate) struct Demands {
    /// Section `redis`.
    pub(crate) redis: Settings,
    /// Intents outside Redis stand behind every create.
    pub(crate) fence: bool,
}

impl Demands {
    async fn check(&self, store: &Store) -> Result<Vec<Finding>, StoreError> {
        store.self_check(&self.redis.allow_unsafe, self.fence).await
    }
}

/// Checks every pool's server and refuses an unsafe one; waits while it does not answer.
pub(crate) async fn at_start(
    stores: &[Store],
    demands: &Demands,
    drain: &Drain,
) -> Result<(), StartError> {
    let board = Arc::new(Board::default());
    for store in stores {
        let findings = loop {
            match demands.check(store).await {
                Ok(findings) => break findings,
                Err(error) => {
                    tracing::warn!(pool = store.pool(), error = %error, "Redis cannot be checked; trying again");
                }
            }
            tokio::select! {
                () = drain.wait() => return Err(StartError::Stopped),
                () = tokio::time::sleep(AGAIN_AFTER) => {}
            }
        };
        Told::new(&board).tell(store, &findings);
        let refusing: Vec<Finding> = findings.into_iter().filter(refuses).collect();
        if !refusing.is_empty() {
            return Err(StartError::Unsafe(Unsafe(refusing)));
        }
    }
    Ok(())
}

/// Watches each pool's count every second and checks its server every half minute and after each
/// reconnect. What is found is told and may make the process not ready; it does not stop the work,
/// because what runs has been paid for and must be brought home. A frozen pool begins nothing new by
/// the store's own rule.
pub(crate) fn repeat(stores: Vec<Store>, demands: Demands, health: Health) {
    let board = Arc::new(Board::default());
    for store in stores {
        let told = Told::new(&board);
        let (demands, health) = (demands.clone(), health.clone());
        tokio::spawn(async move {
            let mut watched = Watched::new(store, told);
            let mut turn = tokio::time::interval(WATCH_EVERY);
            turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                turn.tick().await;
                watched.look(&demands, &health).await;
            }
        });
    }
}

/// What was last known of one pool.
struct Watched {
    store: Store,
    told: Told,
    frozen: Option<Freeze>,
    away: bool,
    check_at: Instant,
}

impl Watched {
    fn new(store: Store, told: Told) -> Self {
        // The server was checked at the start.
        let check_at = Instant::now() + EVERY;
        Self { store, told, frozen: None, away: false, check_at }
    }

    async fn look(&mut self, demands: &Demands, health: &Health) {
        match self.store.watch().await {
            Ok(watch) => {
                if std::mem::take(&mut self.away) {
                    self.check_at = Instant::now();
                }
                self.note(watch, health);
            }
            // No answer is an outage, which the engines tell; it says nothing about safety.
            Err(_) => self.away = true,
        }
        if Instant::now() >= self.check_at
            && let Ok(findings) = demands.check(&self.store).await
        {
            self.check_at = Instant::now() + EVERY;
            self.told.tell(&self.store, &findings);
            let wrong: Vec<String> =
                findings.into_iter().filter(refuses).map(|finding| finding.sentence).collect();
            let wrong = (!wrong.is_empty()).then(|| wrong.join("; "));
            health.set_checked(self.store.pool(), wrong);
        }
    }

    fn note(&mut self, watch: Watch, health: &Health) {
        let (pool, Watch { lsn, seen, frozen }) = (self.store.pool(), watch);
        if frozen == self.frozen {
            return;
        }
        let is = |kind| frozen.as_ref().is_some_and(|freeze| freeze.kind == kind);
        self.told.board.set("rollback", pool, is(FreezeKind::Rollback));
        self.told.board.set("frozen", pool, is(FreezeKind::Asked));
        match &frozen {
            Some(Freeze { since, kind: FreezeKind::Rollback, why, by, .. }) => tracing::error!(
                pool, lsn, seen, since = %since.rfc3339(), by, why,
                "creates are frozen: Redis lost data, and what it forgot may have been bought"
            ),
            Some(Freeze { since, kind: FreezeKind::Asked, why, by, .. }) => tracing::warn!(
                pool, lsn, since = %since.rfc3339(), by, why, "creates are frozen"
            ),
            None => tracing::info!(pool, lsn, "creates are thawed"),
        }
        health.set_frozen(pool, frozen.as_ref().map(|freeze| freeze.why.clone()));
        self.frozen = frozen;
    }
}

/// The pools that do not pass each check: the metric speaks of the process, which may have several.
#[derive(Default)]
struct Board(Mutex<BTreeMap<&'static str, BTreeSet<String>>>);

impl Board {
    fn set(&self, check: &'static str, pool: &str, failed: bool) {
        let mut failing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let pools = failing.entry(check).or_default();
        if failed {
            pools.insert(pool.to_owned());
        } else {
            pools.remove(pool);
        }
        let safe = &telemetry::metrics().redis_safe;
        safe.set(f64::from(u8::from(pools.is_empty())), [check]);
        let all = failing.values().all(BTreeSet::is_empty);
        safe.set(f64::from(u8::from(all)), ["all"]);
    }
}

/// The checks that one pool's server did not pass when it was last asked.
struct Told {
    board: Arc<Board>,
    failed: BTreeSet<&'static str>,
}

impl Told {
    fn new(board: &Arc<Board>) -> Self {
        Self { board: Arc::clone(board), failed: BTreeSet::new() }
    }

    /// Tells what is new, and marks every check as passed or not.
    fn tell(&mut self, store: &Store, findings: &[Finding]) {
        let pool = store.pool();
        for Finding { check, severity, sentence, fix } in findings {
            if !self.failed.contains(check) {
                match severity {
                    Severity::Refuse => tracing::error!(pool, check, fix, "{sentence}"),
                    Severity::Warn => tracing::warn!(pool, check, fix, "{sentence}"),
                }
            }
            self.board.set(check, pool, true);
        }
        let now: BTreeSet<&'static str> = findings.iter().map(|finding| finding.check).collect();
        for mended in self.failed.difference(&now) {
            tracing::info!(pool, check = mended, "passed again");
            self.board.set(mended, pool, false);
        }
        if now.is_empty() {
            self.board.set("all", pool, false);
        }
        self.failed = now;
    }
}

const fn refuses(finding: &Finding) -> bool {
    matches!(finding.severity, Severity::Refuse)
}
