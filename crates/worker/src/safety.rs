//! Whether Redis may be trusted with paid work: at the start, and every half minute after it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use store::{Finding, Settings, Severity, Store};

use crate::health::Health;
use crate::signals::Drain;
use crate::start::StartError;

/// Between two checks.
const EVERY: Duration = Duration::from_secs(30);
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
            write!(f, "\n  {}: {} Fix: {}", finding.check, finding.sentence, finding.fix)?;
        }
        f.write_str(
            "\nTo accept a finding all the same, name its check in redis.allow_unsafe, in every process",
        )
    }
}

/// Checks every pool's server and refuses an unsafe one; waits while it does not answer.
pub(crate) async fn at_start(
    stores: &[Store],
    redis: &Settings,
    drain: &Drain,
) -> Result<(), StartError> {
    let mut told = Told::default();
    for store in stores {
        let findings = loop {
            match store.self_check(&redis.allow_unsafe).await {
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
        told.tell(store, &findings);
        let refusing: Vec<Finding> = findings.into_iter().filter(refuses).collect();
        if !refusing.is_empty() {
            return Err(StartError::Unsafe(Unsafe(refusing)));
        }
    }
    Ok(())
}

/// Checks again and again. What is found makes the process not ready and is told; it does not stop the
/// work, because what runs has been paid for and must be brought home.
pub(crate) fn repeat(stores: Vec<Store>, redis: Settings, health: Health) {
    tokio::spawn(async move {
        let mut turn = tokio::time::interval(EVERY);
        turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        turn.tick().await;
        let mut told = Told::default();
        loop {
            turn.tick().await;
            let mut wrong = Vec::new();
            for store in &stores {
                // No answer is an outage, which the engines tell; it says nothing about safety.
                if let Ok(findings) = store.self_check(&redis.allow_unsafe).await {
                    told.tell(store, &findings);
                    wrong.extend(findings.into_iter().filter(refuses).map(|f| f.sentence));
                }
            }
            health.set_checked((!wrong.is_empty()).then(|| wrong.join(" ")));
        }
    });
}

/// The checks that were not passed when a pool's server was last asked.
#[derive(Default)]
struct Told(BTreeMap<String, BTreeSet<&'static str>>);

impl Told {
    /// Tells what is new, and marks every check as passed or not.
    fn tell(&mut self, store: &Store, findings: &[Finding]) {
        let (pool, safe) = (store.pool(), &telemetry::metrics().redis_safe);
        let before = self.0.entry(pool.to_owned()).or_default();
        for Finding { check, severity, sentence, fix } in findings {
            if !before.contains(check) {
                match severity {
                    Severity::Refuse => tracing::error!(pool, check, fix, "{sentence}"),
                    Severity::Warn => tracing::warn!(pool, check, fix, "{sentence}"),
                }
            }
            safe.set(0.0, [check]);
        }
        let now: BTreeSet<&'static str> = findings.iter().map(|finding| finding.check).collect();
        for mended in before.difference(&now) {
            tracing::info!(pool, check = mended, "passed again");
            safe.set(1.0, [mended]);
        }
        *before = now;
        let all = self.0.values().all(BTreeSet::is_empty);
        safe.set(if all { 1.0 } else { 0.0 }, ["all"]);
    }
}

const fn refuses(finding: &Finding) -> bool {
    matches!(finding.severity, Severity::Refuse)
}
