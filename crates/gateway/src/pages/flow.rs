//! What came in, went out and moved of late, by tenant and minute, for the charts.

use dashboard::{Backlog, Stage, Throughput};
use job::{StateWord, Timestamp};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use store::{CHANGES_MAX, Change, Mark, Store};

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

#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Minute {
    accepted: u64,
    finished: u64,
    /// By how much each stage grew.
    grown: [i64; Stage::ALL.len()],
}

fn minute(at: Timestamp) -> i64 {
    at.unix_ms().div_euclid(60_000)
}

fn place(stage: Stage) -> usize {
    Stage::ALL.iter().position(|each| *each == stage).unwrap_or_default()
}

impl Minute {
    fn add(&mut self, from: Option<StateWord>, to: StateWord) {
        self.accepted += u64::from(from.is_none());
        let over = StateWord::is_finished;
        self.finished += u64::from(over(to) && !from.is_some_and(over));
        if let Some(stage) = from.and_then(Stage::of) {
            self.grown[place(stage)] -= 1;
        }
        if let Some(stage) = Stage::of(to) {
            self.grown[place(stage)] += 1;
        }
    }
}

impl Counts {
    fn add(&mut self, tenant: &str, at: Timestamp, from: Option<StateWord>, to: StateWord) {
        let full = self.0.len() > TENANTS_MAX;
        for name in ["", tenant] {
            if full && !self.0.contains_key(name) {
                continue;
            }
            // Looked for before it is named: it is there for all but the first.
            let minutes = match self.0.get_mut(name) {
                Some(minutes) => minutes,
                None => self.0.entry(name.to_owned()).or_default(),
            };
            minutes.entry(minute(at)).or_default().add(from, to);
            while minutes.len() > STEPS + 1 {
                minutes.pop_first();
            }
        }
    }

    /// The minutes of the chart and where it begins.
    fn last(&self, tenant: Option<&str>, now: Timestamp) -> (Timestamp, Vec<Minute>) {
        let minutes = self.0.get(tenant.unwrap_or(""));
        let steps = i64::try_from(STEPS).unwrap_or(i64::MAX);
        let first = minute(now) - steps + 1;
        let of = |at: i64| minutes.and_then(|minutes| minutes.get(&at)).cloned();
        let each = (first..first + steps).map(|at| of(at).unwrap_or_default());
        (Timestamp::from_unix_s(first * 60), each.collect())
    }

    fn throughput(&self, tenant: Option<&str>, now: Timestamp) -> Throughput {
        let (from, minutes) = self.last(tenant, now);
        let (accepted, finished) = minutes.iter().map(|m| (m.accepted, m.finished)).unzip();
        Throughput { from, step: STEP, accepted, finished }
    }

    /// What stands now, and before that what it was before it grew to it.
    fn backlog(
        &self,
        tenant: Option<&str>,
        now: Timestamp,
        counts: &[(StateWord, u64)],
    ) -> Backlog {
        let (from, minutes) = self.last(tenant, now);
        let mut stages: [Vec<u64>; Stage::ALL.len()] = std::array::from_fn(|_| vec![0; STEPS]);
        for (stage, series) in Stage::ALL.iter().zip(&mut stages) {
            let of_stage = counts.iter().filter(|(word, _)| Stage::of(*word) == Some(*stage));
            let now: u64 = of_stage.map(|(_, n)| n).sum();
            let mut standing = i64::try_from(now).unwrap_or(i64::MAX);
            for (n, minute) in series.iter_mut().zip(&minutes).rev() {
                *n = u64::try_from(standing).unwrap_or(0);
                standing -= minute.grown[place(*stage)];
            }
        }
        Backlog { from, step: STEP, stages }
    }
}

impl Flow {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last minutes of a tenant, or of all.
    pub(super) fn throughput(&self, tenant: Option<&str>, now: Timestamp) -> Throughput {
        self.counts().throughput(tenant, now)
    }

    /// Unfinished jobs over the last minutes, of a tenant or of all, by how many there are now.
    pub(super) fn backlog(
        &self,
        tenant: Option<&str>,
        now: Timestamp,
        counts: &[(StateWord, u64)],
    ) -> Backlog {
        self.counts().backlog(tenant, now, counts)
    }
}

/// After a failed read.
const PAUSE: Duration = Duration::from_secs(1);

impl Flow {
    /// Counts what a pool's followers have just read.
    pub(crate) fn hear(&self, changes: &[Change]) {
        let mut counts = self.counts();
        for change in changes {
            counts.add(&change.tenant, change.mark.at(), change.from, change.to);
        }
    }

    /// Counts what a pool's last minutes brought up to this mark, which is where its followers begin.
    pub(crate) async fn recall(self, store: Store, until: Mark) {
        let kept = STEP * u32::try_from(STEPS).unwrap_or(u32::MAX);
        let mut after = Mark::before(until.at() - kept);
        while after < until {
            match store.changes_after(after, CHANGES_MAX).await {
                Ok(mut changes) => {
                    changes.retain(|change| change.mark <= until);
                    let Some(last) = changes.last() else { return };
                    after = last.mark;
                    self.hear(&changes);
                }
                // It goes on where it stood: the chart is late, and misses nothing.
                Err(error) => {
                    tracing::debug!(pool = store.pool(), %error, "the chart cannot look back; trying again");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_unix_s(60 * minute)
    }

    #[test]
    fn minutes_are_counted_for_all_and_for_each_tenant_and_old_ones_go() {
        use StateWord::{Queued, Succeeded};
        let mut counts = Counts::default();
        counts.add("a", at(100), None, Queued);
        counts.add("a", at(100), None, Queued);
        counts.add("b", at(101), None, Queued);
        counts.add("b", at(101), Some(Queued), Succeeded);
        let last =
            |told: Throughput| (told.accepted[STEPS - 2..].to_vec(), told.finished[STEPS - 1]);
        assert_eq!(last(counts.throughput(None, at(101))), (vec![2, 1], 1));
        assert_eq!(last(counts.throughput(Some("a"), at(101))), (vec![2, 0], 0));
        assert_eq!(counts.throughput(Some("nobody"), at(101)).accepted, [0; STEPS]);
        for minute in 102..300 {
            counts.add("a", at(minute), None, Queued);
        }
        assert!(counts.0.values().all(|minutes| minutes.len() <= STEPS + 1));
    }

    #[test]
    fn what_stood_before_is_what_stands_now_without_what_came_since() {
        use StateWord::{Downloading, Queued, Running, Succeeded};
        let mut counts = Counts::default();
        for (minute, from, to) in [
            (98, None, Queued),
            (98, None, Queued),
            (99, Some(Queued), Running),
            (100, Some(Running), Downloading),
            (101, Some(Downloading), Succeeded),
        ] {
            counts.add("a", at(minute), from, to);
        }
        let told = counts.backlog(None, at(101), &[(Queued, 1), (Succeeded, 1)]);
        let of = |stage: Stage| told.stages[place(stage)][STEPS - 5..].to_vec();
        assert_eq!(of(Stage::Waiting), [0, 2, 1, 1, 1]);
        assert_eq!(of(Stage::Provider), [0, 0, 1, 0, 0]);
        assert_eq!(of(Stage::Download), [0, 0, 0, 1, 0]);
        // More went than is counted: nothing is told as less than nothing.
        assert_eq!(counts.backlog(None, at(101), &[]).stages[place(Stage::Waiting)][STEPS - 4], 1);
    }
}
