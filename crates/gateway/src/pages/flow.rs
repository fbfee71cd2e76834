//! What came in and went out of late, by tenant and minute, for the chart.

use dashboard::Throughput;
use job::{StateWord, Timestamp};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::{Change, ChangeReader, Mark, Store, StoreError};
use worker::Drain;

/// Length of a step of the chart.
const STEP: Duration = Duration::from_secs(60);
/// Steps kept and drawn.
const STEPS: usize = 45;
/// Tenants counted apart; the rest counts among all.
const TENANTS_MAX: usize = 1_000;

/// The last minutes. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Flow(Arc<Mutex<Counts>>);

/// For all (under the empty name) and for each tenant.
#[derive(Debug, Default)]
struct Counts(BTreeMap<String, BTreeMap<i64, Minute>>);

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Minute {
    accepted: u64,
    finished: u64,
}

fn minute(at: Timestamp) -> i64 {
    at.unix_ms().div_euclid(60_000)
}

impl Counts {
    fn add(&mut self, tenant: &str, at: Timestamp, accepted: u64, finished: u64) {
        let full = self.0.len() > TENANTS_MAX;
        for name in ["", tenant] {
            if full && !self.0.contains_key(name) {
                continue;
            }
            let minutes = self.0.entry(name.to_owned()).or_default();
            let count = minutes.entry(minute(at)).or_default();
            count.accepted += accepted;
            count.finished += finished;
            while minutes.len() > STEPS + 1 {
                minutes.pop_first();
            }
        }
    }

    fn of(&self, tenant: Option<&str>, now: Timestamp) -> Throughput {
        let minutes = self.0.get(tenant.unwrap_or(""));
        let steps = i64::try_from(STEPS).unwrap_or(i64::MAX);
        let first = minute(now) - steps + 1;
        let each = (first..first + steps)
            .map(|at| minutes.and_then(|minutes| minutes.get(&at)).copied().unwrap_or_default());
        let (accepted, finished) = each.map(|count| (count.accepted, count.finished)).unzip();
        let from = Timestamp::from_unix_s(first * 60);
        Throughput { from, step: STEP, accepted, finished }
    }
}

impl Flow {
    /// The last minutes of a tenant, or of all.
    pub(super) fn of(&self, tenant: Option<&str>, now: Timestamp) -> Throughput {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).of(tenant, now)
    }
}

/// After a failed read.
const PAUSE: Duration = Duration::from_secs(1);

impl Flow {
    /// Counts the pools' changes, those of the last minutes first, until the process drains.
    pub(crate) fn follow(stores: Vec<Store>, drain: &Drain) -> Self {
        let flow = Self::default();
        for store in stores {
            let (flow, drain) = (flow.clone(), drain.clone());
            tokio::spawn(async move {
                tokio::select! {
                    () = drain.wait() => {}
                    () = read(&store, &flow) => {}
                }
            });
        }
        flow
    }

    fn hear(&self, change: &Change) {
        let over = |word: StateWord| word.is_finished();
        let accepted = u64::from(change.from.is_none());
        let finished = u64::from(over(change.to) && !change.from.is_some_and(over));
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.add(&change.tenant, change.mark.at(), accepted, finished);
    }
}

async fn read(store: &Store, flow: &Flow) {
    let kept = STEP * u32::try_from(STEPS).unwrap_or(u32::MAX);
    let mut reader = None;
    loop {
        let changes = match &mut reader {
            None => match begin(store, kept).await {
                Ok(begun) => {
                    reader = Some(begun);
                    continue;
                }
                Err(error) => Err(error),
            },
            Some(reader) => ChangeReader::next(reader).await,
        };
        match changes {
            Ok(changes) => changes.iter().for_each(|change| flow.hear(change)),
            // It goes on where it stood: the chart is late, and misses nothing.
            Err(error) => {
                tracing::debug!(pool = store.pool(), %error, "the chart cannot follow; trying again");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn begin(store: &Store, kept: Duration) -> Result<ChangeReader, StoreError> {
    let now = store.now().await?;
    ChangeReader::connect(store, Some(Mark::before(now - kept))).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_are_counted_for_all_and_for_each_tenant_and_old_ones_go() {
        let mut counts = Counts::default();
        let at = |minute: i64| Timestamp::from_unix_s(60 * minute);
        counts.add("a", at(100), 2, 0);
        counts.add("b", at(101), 1, 1);
        let last =
            |told: Throughput| (told.accepted[STEPS - 2..].to_vec(), told.finished[STEPS - 1]);
        assert_eq!(last(counts.of(None, at(101))), (vec![2, 1], 1));
        assert_eq!(last(counts.of(Some("a"), at(101))), (vec![2, 0], 0));
        assert_eq!(counts.of(Some("nobody"), at(101)).accepted, [0; STEPS]);
        for minute in 102..300 {
            counts.add("a", at(minute), 1, 0);
        }
        assert!(counts.0.values().all(|minutes| minutes.len() <= STEPS + 1));
    }
}
