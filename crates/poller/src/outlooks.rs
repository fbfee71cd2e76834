//! What the fleet has learned of how long tasks take, kept for a while in this process.

use crate::context::Context;
use crate::told::Told;
use job::rounds::{self, Quantiles};
use job::{Outlook, Record, TaskRef, Timestamp};
use seedance::{Task, TaskStatus};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// How old what was learned may be. It changes by the hundred tasks.
const KEPT: Duration = Duration::from_secs(10);
/// Shorter times are not learned: the provider's stamps are whole seconds.
const COARSE: Duration = Duration::from_secs(2);
/// How much longer the provider may say that a task took than we have known it.
const STAMP_SLACK: Duration = Duration::from_secs(5);

/// A pool's outlooks.
#[derive(Default)]
pub(crate) struct Outlooks {
    by_class: Mutex<BTreeMap<String, (Instant, Option<Quantiles>)>>,
    /// Whether callbacks tell the ends of the accounts' tasks.
    pub(crate) told: Told,
}

impl Outlooks {
    /// What is known of tasks like this job's. Nothing, while Redis does not answer.
    pub(crate) async fn of(&self, context: &Context, record: &Record, account: &str) -> Outlook {
        let told = self.told.by_callbacks(account);
        Outlook { times: self.times(context, record).await, told }
    }

    async fn times(&self, context: &Context, record: &Record) -> Option<Quantiles> {
        let class = rounds::class(record);
        let mut known = self.by_class.lock().await;
        if let Some((at, times)) = known.get(&class)
            && at.elapsed() < KEPT
        {
            return *times;
        }
        let times = match context.store.times(&class).await {
            Ok(times) => Quantiles::of(&times),
            Err(_) => known.get(&class).and_then(|(_, times)| *times),
        };
        known.insert(class, (Instant::now(), times));
        times
    }

    /// Notes an end, and learns from a task that ended well: how long it took on the provider's own clock, which does not
    /// depend on when we looked.
    pub(crate) async fn learn(
        &self,
        context: &Context,
        record: &Record,
        owned: &TaskRef,
        task: &Task,
        now: Timestamp,
    ) {
        Told::note_end(context, owned, task, now).await;
        let Some(took) = took(record, owned, task, now) else { return };
        if let Err(error) = context.store.learn(&rounds::class(record), took).await {
            tracing::debug!(%error, "a generation time is not noted");
        }
    }
}

/// Between the provider's two stamps of a task, which are whole seconds.
pub(crate) fn stamped(task: &Task) -> Option<Duration> {
    let seconds = task.updated_at_s?.checked_sub(task.created_at_s?)?;
    u64::try_from(seconds).ok().map(Duration::from_secs)
}

/// From the task's create to its end; none where the provider's stamps cannot be believed.
fn took(record: &Record, owned: &TaskRef, task: &Task, now: Timestamp) -> Option<Duration> {
    if task.status != TaskStatus::Succeeded {
        return None;
    }
    let since = rounds::since(record, owned)?;
    let took = stamped(task)?;
    (took >= COARSE && took <= now.since(since) + STAMP_SLACK).then_some(took)
}
