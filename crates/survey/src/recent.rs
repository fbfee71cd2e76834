//! What of a pool moved of late: jobs in and out, creates, failures by code.
//!
//! It is counted from the pool's stream of events, each entry once, in seconds that fall away when they are too old;
//! so a look costs what came since the one before, and the first one what the last quarter of an hour brought.

use job::{JobId, StateWord, Timestamp};
use seedance::SlotClass;
use std::collections::BTreeMap;
use std::time::Duration;
use store::{CHANGES_MAX, Change, LOAD_MAX, Mark, Store, StoreError};

/// Over which time rates are told.
const RATE_OVER: Duration = Duration::from_secs(60);
/// Over which time failures are told.
const FAILED_OVER: Duration = Duration::from_secs(15 * 60);
/// Pages of the stream that one look reads; what lies behind them is for the next one.
const PAGES_MAX: usize = 50;
/// A record that cannot be read any more.
const UNKNOWN: &str = "unknown";

/// Counts of the last minutes, kept between looks.
#[derive(Debug, Clone, Default)]
pub struct Recent {
    /// Where the stream was read to.
    read: Option<Mark>,
    seconds: BTreeMap<i64, Second>,
    behind: bool,
}

#[derive(Debug, Clone, Default)]
struct Second {
    accepted: u64,
    ended: u64,
    creates: BTreeMap<SlotClass, u64>,
    failed: BTreeMap<String, u64>,
}

/// What the counts come to at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Flow {
    /// Jobs taken in a second, over the last minute.
    pub in_per_s: f64,
    /// Jobs that ended a second, over the last minute.
    pub out_per_s: f64,
    /// Creates begun in the last minute.
    pub creates: BTreeMap<SlotClass, u64>,
    /// Jobs that failed in the last quarter of an hour by code, most frequent first.
    pub failed: Vec<(String, u64)>,
    /// More came than was read so far: the numbers are too low, and the next look goes on.
    pub behind: bool,
}

/// What the record of a job tells that its entry in the stream does not.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Told {
    Class(SlotClass),
    Code(String),
}

fn second(at: Timestamp) -> i64 {
    at.unix_ms().div_euclid(1_000)
}

/// Whether a change is one of those whose record is asked for.
fn asks(change: &Change, now: Timestamp) -> bool {
    match change.to {
        StateWord::Submitting => now.since(change.mark.at()) < RATE_OVER,
        StateWord::Failed | StateWord::OutputLost => true,
        StateWord::Held
        | StateWord::Queued
        | StateWord::InDoubt
        | StateWord::Parked
        | StateWord::Running
        | StateWord::Overdue
        | StateWord::Downloading
        | StateWord::Succeeded
        | StateWord::Expired
        | StateWord::Cancelled
        | StateWord::Rejected
        | StateWord::NotUseful
        | StateWord::GivenUp
        | StateWord::TimedOut => false,
    }
}

impl Recent {
    /// Reads what came since the last look; the first one reads the last quarter of an hour.
    ///
    /// # Errors
    ///
    /// As every call of the store; what was read before it counts, and the next look goes on from there.
    pub async fn read(&mut self, store: &Store, now: Timestamp) -> Result<(), StoreError> {
        self.forget(now);
        for _ in 0..PAGES_MAX {
            let after = self.read.unwrap_or(Mark::before(now - FAILED_OVER));
            let changes = store.changes_after(after, CHANGES_MAX).await?;
            self.behind = changes.len() == CHANGES_MAX;
            let Some(last) = changes.last() else { break };
            let told = told(store, &changes, now).await?;
            self.hear(&changes, &told);
            self.read = Some(last.mark);
            if !self.behind {
                break;
            }
        }
        self.forget(now);
        Ok(())
    }

    fn hear(&mut self, changes: &[Change], told: &BTreeMap<(JobId, u64), Told>) {
        for change in changes {
            let second = self.seconds.entry(second(change.mark.at())).or_default();
            second.accepted += u64::from(change.from.is_none());
            let was_over = change.from.is_some_and(StateWord::is_finished);
            second.ended += u64::from(change.to.is_finished() && !was_over);
            match told.get(&(change.job.clone(), change.seq)) {
                Some(Told::Class(class)) => *second.creates.entry(*class).or_default() += 1,
                Some(Told::Code(code)) => *second.failed.entry(code.clone()).or_default() += 1,
                None => {}
            }
        }
    }

    fn forget(&mut self, now: Timestamp) {
        self.seconds = self.seconds.split_off(&second(now - FAILED_OVER));
    }

    /// What the counts come to.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "jobs of a minute are fewer than 2^52")]
    pub fn flow(&self, now: Timestamp) -> Flow {
        let (mut accepted, mut ended) = (0, 0);
        let mut creates = BTreeMap::new();
        for (_, of) in self.seconds.range(second(now - RATE_OVER) + 1..) {
            accepted += of.accepted;
            ended += of.ended;
            for (class, n) in &of.creates {
                *creates.entry(*class).or_default() += n;
            }
        }
        let mut failed: BTreeMap<&str, u64> = BTreeMap::new();
        for (code, n) in self.seconds.values().flat_map(|of| &of.failed) {
            *failed.entry(code).or_default() += n;
        }
        let mut failed: Vec<_> = failed.into_iter().map(|(code, n)| (code.to_owned(), n)).collect();
        failed.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
        let per_s = |n: u64| n as f64 / RATE_OVER.as_secs_f64();
        let (in_per_s, out_per_s) = (per_s(accepted), per_s(ended));
        Flow { in_per_s, out_per_s, creates, failed, behind: self.behind }
    }
}

/// Classes of creates and codes of failures, from the records.
async fn told(
    store: &Store,
    changes: &[Change],
    now: Timestamp,
) -> Result<BTreeMap<(JobId, u64), Told>, StoreError> {
    let asked: Vec<&Change> = changes.iter().filter(|change| asks(change, now)).collect();
    let mut told = BTreeMap::new();
    for some in asked.chunks(LOAD_MAX) {
        let ids: Vec<JobId> = some.iter().map(|change| change.job.clone()).collect();
        for (change, found) in some.iter().zip(store.load_many(&ids).await?) {
            // One that was written by a newer program, or erased, still counts.
            let record = found.ok().flatten().map(|stored| stored.record);
            let answer = if change.to == StateWord::Submitting {
                record.map(|record| Told::Class(record.spec.request.slot_class()))
            } else {
                let code = record.and_then(|r| r.life.state.failure_code().map(str::to_owned));
                Some(Told::Code(code.unwrap_or_else(|| UNKNOWN.to_owned())))
            };
            told.extend(answer.map(|answer| ((change.job.clone(), change.seq), answer)));
        }
    }
    Ok(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_790_000_000_000;

    fn now() -> Timestamp {
        Timestamp::from_unix_ms(NOW_MS)
    }

    /// A change so many seconds ago.
    fn ago(s: u64, n: u64, from: Option<StateWord>, to: StateWord) -> Change {
        let mark = format!("{}-{n}", NOW_MS - i64::try_from(s).unwrap() * 1_000);
        Change {
            mark: mark.parse().unwrap(),
            job: JobId::parse(&format!("job_{n:026}")).unwrap(),
            tenant: "default".into(),
            batch: None,
            from,
            to,
            seq: n,
            hook: false,
        }
    }

    #[test]
    fn rates_are_of_a_minute_and_failures_of_a_quarter_of_an_hour() {
        use StateWord::{Failed, Queued, Running, Submitting, Succeeded};
        let changes = [
            ago(1_000, 1, Some(Running), Failed),
            ago(600, 2, Some(Running), Failed),
            ago(61, 3, None, Queued),
            ago(59, 4, None, Queued),
            ago(30, 5, None, Queued),
            ago(30, 6, Some(Queued), Submitting),
            ago(10, 7, Some(Running), Succeeded),
            ago(5, 8, Some(Running), Failed),
            ago(0, 9, Some(Failed), Failed),
        ];
        let told = changes.iter().filter_map(|change| {
            let told = match change.to {
                Failed => Told::Code(format!("code {}", change.seq % 2)),
                Submitting => Told::Class(SlotClass::V20),
                _ => return None,
            };
            Some(((change.job.clone(), change.seq), told))
        });
        let mut recent = Recent::default();
        recent.hear(&changes, &told.collect());
        recent.forget(now());
        let flow = recent.flow(now());
        assert!((flow.in_per_s - 2.0 / 60.0).abs() < 1e-9, "{flow:?}");
        assert!((flow.out_per_s - 2.0 / 60.0).abs() < 1e-9, "an end is counted once: {flow:?}");
        assert_eq!(flow.creates, BTreeMap::from([(SlotClass::V20, 1)]));
        assert_eq!(flow.failed, [("code 0".to_owned(), 2), ("code 1".to_owned(), 1)]);
        let later = now() + Duration::from_secs(3_600);
        recent.forget(later);
        assert_eq!(recent.flow(later), Flow::default());
        assert!(recent.seconds.is_empty(), "what is old takes no room");
    }

    #[test]
    fn only_what_is_counted_is_looked_up() {
        use StateWord::{Failed, OutputLost, Queued, Running, Submitting, Succeeded};
        let asked = [
            (ago(59, 1, Some(Queued), Submitting), true),
            (ago(61, 2, Some(Queued), Submitting), false),
            (ago(800, 3, Some(Running), Failed), true),
            (ago(800, 4, Some(Running), OutputLost), true),
            (ago(1, 5, Some(Running), Succeeded), false),
            (ago(1, 6, None, Queued), false),
        ];
        for (change, expected) in asked {
            assert_eq!(asks(&change, now()), expected, "{change:?}");
        }
    }
}
