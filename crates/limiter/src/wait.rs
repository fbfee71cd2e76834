//! Waiting for permits of the read calls. Creates get theirs inside Begin.

use crate::gate::Gate;
use crate::permit::Permit;
use crate::settings::{Settings, pace};
use job::PoolSettings;
use seedance::Call;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::{Grant, Pace, Store};

/// Pause after Redis did not answer; permits fail closed meanwhile.
const REDIS_PAUSE: Duration = Duration::from_millis(200);
/// Longest sleep before the fleet's slots are asked about again.
const WAIT_MAX: Duration = Duration::from_secs(1);
/// Least sleep, so that a busy limit is not asked in a spin.
const WAIT_MIN: Duration = Duration::from_millis(2);

struct Line {
    pace: Pace,
    gate: Gate,
}

/// Permits for one pool. Cheap to clone.
#[derive(Clone)]
pub struct Limiter {
    store: Store,
    use_within: Duration,
    route: &'static str,
    lines: Arc<BTreeMap<(String, &'static str), Line>>,
}

impl Limiter {
    /// A limiter for the accounts of one pool.
    #[must_use]
    pub fn new(store: Store, pool: &PoolSettings, settings: &Settings) -> Self {
        let second = Duration::from_secs(1);
        let mut lines = BTreeMap::new();
        for (name, account) in &pool.accounts {
            let limits = [
                (Call::Retrieve, account.retrieve_qps()),
                (Call::List, account.list_qps()),
                (Call::Delete, account.delete_qps()),
            ];
            for (call, qps) in limits {
                let pace = pace(second, qps, settings);
                let gate = Gate::new(Duration::from_micros(pace.interval_us));
                lines.insert((name.clone(), call.word()), Line { pace, gate });
            }
        }
        let route = pool.route.word();
        Self { store, use_within: settings.use_within, route, lines: Arc::new(lines) }
    }

    /// Waits for the right to one call. `None` when the account or the call kind has no line here: the
    /// account is not in this process's configuration, or the call is a create.
    ///
    /// Bounded by the caller: drop the future to stop waiting.
    pub async fn permit(&self, account: &str, call: Call) -> Option<Permit> {
        let line = self.lines.get(&(account.to_owned(), call.word()))?;
        let began = Instant::now();
        loop {
            line.gate.pass().await;
            let asked = Instant::now();
            match self.store.grant(account, call.word(), 1, line.pace).await {
                Ok(Grant::Granted { first_in, .. }) => {
                    let answered = Instant::now();
                    let within = self.use_within;
                    match Permit::at_slot(account, call, asked, answered, first_in, within).await {
                        Ok(permit) => {
                            telemetry::metrics().limiter_wait.record(began.elapsed(), [self.route]);
                            return Some(permit);
                        }
                        Err(stale) => tracing::debug!(%stale, account, call = call.word()),
                    }
                }
                Ok(Grant::Wait { after }) => {
                    tokio::time::sleep(after.clamp(WAIT_MIN, WAIT_MAX)).await;
                }
                Err(error) => {
                    tracing::warn!(%error, account, "no permits while Redis does not answer");
                    tokio::time::sleep(REDIS_PAUSE).await;
                }
            }
        }
    }
}
