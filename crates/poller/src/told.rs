//! Whether callbacks tell the ends of each account's tasks, judged every few seconds. When they stop, the
//! tasks that nobody meant to look at for long are looked at as if there had never been any.

use crate::context::Context;
use crate::outlooks::stamped;
use job::rounds::{self, Patience, Quantiles};
use job::{Outlook, PollPolicy, State, TaskRef, Timestamp};
use seedance::{Task, TaskStatus};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::{StoreError, Stored};

/// How often the accounts are judged.
const JUDGE_EVERY: Duration = Duration::from_secs(5);
/// Tickets that are brought forward at a time.
const RECALLED_MAX: usize = 20_000;
/// Records read at a time.
const CHUNK: usize = 500;

/// What was found of each account; none before the first look.
#[derive(Clone, Default)]
pub(crate) struct Told(Arc<Mutex<BTreeMap<String, bool>>>);

impl Told {
    /// Callbacks tell the ends of this account's tasks.
    pub(crate) fn by_callbacks(&self, account: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(account).copied().unwrap_or(false)
    }

    fn set(&self, account: &str, told: bool) -> Option<bool> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(account.to_owned(), told)
    }

    /// Notes that a task has ended, for whoever compares that with the callbacks.
    pub(crate) async fn note_end(context: &Context, owned: &TaskRef, task: &Task, now: Timestamp) {
        // Whether a task that expired or was withdrawn is told is not known.
        if !matches!(task.status, TaskStatus::Succeeded | TaskStatus::Failed) {
            return;
        }
        // The end lies between our knowing of the task and this look.
        let at = stamped(task).map_or(now, |took| (owned.known_at + took).min(now));
        if let Err(error) = context.store.note_end(&owned.facts.account, &owned.id, at).await {
            tracing::debug!(%error, "an end is not noted");
        }
    }
}

/// What a judgement brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// As before.
    NoNews,
    /// From now on callbacks tell the ends.
    Told,
    /// They do not, and looks may have been put off.
    Untold,
}

/// What judging needs.
pub(crate) struct Judge {
    pub(crate) context: Arc<Context>,
    pub(crate) told: Told,
    pub(crate) patience: Patience,
    pub(crate) poll: PollPolicy,
    pub(crate) accounts: Vec<String>,
}

impl Judge {
    /// Judges all accounts, for ever.
    pub(crate) async fn watch(self) {
        let mut every = tokio::time::interval(JUDGE_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            let mut untold = BTreeSet::new();
            for account in &self.accounts {
                // An outage is told by those who work; what was found last holds on.
                match self.judge(account).await {
                    Ok(Found::Untold) => {
                        untold.insert(account.as_str());
                    }
                    Ok(Found::NoNews | Found::Told) => {}
                    Err(error) => tracing::debug!(%error, account, "callbacks are not judged"),
                }
            }
            if !untold.is_empty()
                && let Err(error) = self.recall(&untold).await
            {
                tracing::warn!(%error, "looks that were put off come late, as they were planned");
            }
        }
    }

    async fn judge(&self, account: &str) -> Result<Found, StoreError> {
        let store = &self.context.store;
        let (ends, last) = store.ends(account).await?;
        let told = rounds::tell_ends(&ends, last, store.now().await?, self.patience);
        Ok(match (self.told.set(account, told), told) {
            (Some(true), true) | (Some(false), false) => Found::NoNews,
            (Some(false) | None, true) => {
                tracing::info!(account, "callbacks tell how tasks end: looks become rare");
                Found::Told
            }
            (Some(true), false) => {
                tracing::warn!(account, "callbacks do not tell how tasks end: looks are as usual");
                Found::Untold
            }
            // A process that begins does not know what one before it has put off.
            (None, false) => Found::Untold,
        })
    }

    /// Brings forward the looks that were put off because a callback was expected.
    async fn recall(&self, accounts: &BTreeSet<&str>) -> Result<(), StoreError> {
        let store = &self.context.store;
        let soon = store.now().await? + self.poll.steady;
        let ids = store.looks_after(soon, RECALLED_MAX).await?;
        let mut times: BTreeMap<String, Option<Quantiles>> = BTreeMap::new();
        for ids in ids.chunks(CHUNK) {
            let mut dues = Vec::new();
            for stored in store.load_many(ids).await?.into_iter().flatten().flatten() {
                let class = rounds::class(&stored.record);
                if !times.contains_key(&class) {
                    times.insert(class.clone(), Quantiles::of(&store.times(&class).await?));
                }
                let outlook = Outlook { times: times[&class], told: false };
                let due = self.due(&stored, accounts, &outlook);
                dues.extend(due.map(|due| (stored.record.id.clone(), due)));
            }
            store.hasten_looks(&dues).await?;
        }
        Ok(())
    }

    /// When a job of these accounts would be looked at without callbacks; none if it is not one that was put off.
    fn due(
        &self,
        stored: &Stored,
        accounts: &BTreeSet<&str>,
        outlook: &Outlook,
    ) -> Option<Timestamp> {
        let State::Generating { task, troubles: 0, .. } = &stored.record.life.state else {
            return None;
        };
        let account = task.facts.account.as_str();
        let since = rounds::since(&stored.record, task).filter(|_| accounts.contains(account))?;
        outlook.next_look(account, &self.poll, since, stored.now)
    }
}
