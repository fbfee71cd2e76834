//! What the provider does but never promised in writing, measured on our own tasks: whether it echoes
//! our mark, and how late its list is.
//!
//! Settling a doubt by the list rests on both, so what is seen here is evidence for
//! `settle.evidence_…` (`crate::leave`). It costs no call of its own for the echo, and for the lag at
//! most one short look at the list per account and `settle.lag_sample_every`, never while jobs in
//! doubt need the list.

use crate::context::Context;
use job::{Record, State, StateWord, TaskRef, Timestamp};
use provider::{ListQuery, Listed, Site};
use seedance::{Call, Route, Task, TaskPage};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use store::{Store, StoreError};

/// Between two looks, at the jobs or at the list.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a process that does not lead waits before it asks again.
const FOLLOW_EVERY: Duration = Duration::from_secs(5);
/// A task known for longer than this is no good sample: its list entry may be old as well.
const FRESH: Duration = Duration::from_secs(2);
/// Nor is one whose create took longer than this: nobody knows when in between the task was made.
const CREATE_MAX: Duration = Duration::from_secs(3);
/// How long a permit to list may take; past it the list is busy and nothing is gained by pressing on.
const PERMIT_MAX: Duration = Duration::from_secs(3);
/// Two looks farther apart than this leave open when the task appeared in between.
const GAP_MAX: Duration = Duration::from_secs(6);
/// Jobs looked through for a fresh task.
const JOBS_MAX: usize = 50;
/// Rows of a page; one page costs the same whatever its size (`docs/provider.md` §3.1).
const PAGE_ROWS: u32 = 500;
/// How often a missing echo is shouted; every one is counted.
const SHOUT_EVERY: Duration = Duration::from_secs(60);
/// The chore's name among the fleet's locks.
const LOCK: &str = "list-lag";
/// Good echoes of an account are written together, this often.
const GOOD_EVERY: Duration = Duration::from_secs(1);

/// What the measuring reads of section `settle`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) struct Settings {
    #[serde(with = "humantime_serde")]
    lag_sample_every: Duration,
    #[serde(with = "humantime_serde")]
    list_lag_max: Duration,
}

/// Looks at the echo of every task, once.
pub(crate) struct Echo {
    route: Route,
    /// A simulator's answers are its operator's choice.
    simulated: bool,
    shouted: Mutex<Option<Instant>>,
    good: Good,
}

/// Good echoes of each account that are not written down yet, and when some last were. Losing the last second's with
/// the process costs nothing: they only ever add to what speaks for the match.
type Good = Arc<Mutex<BTreeMap<String, Waiting>>>;

struct Waiting {
    count: u64,
    written: Instant,
}

/// What is to be done about one more.
#[derive(Debug, PartialEq, Eq)]
enum Write {
    Now,
    /// With those that come until then.
    After(Duration),
    /// Somebody writes it with others.
    Never,
}

fn one_more(good: &mut BTreeMap<String, Waiting>, account: &str, now: Instant) -> Write {
    let Some(waiting) = good.get_mut(account) else {
        good.insert(account.to_owned(), Waiting { count: 0, written: now });
        return Write::Now;
    };
    let left = GOOD_EVERY.saturating_sub(now.duration_since(waiting.written));
    if waiting.count == 0 && left.is_zero() {
        waiting.written = now;
        return Write::Now;
    }
    waiting.count += 1;
    if waiting.count == 1 { Write::After(left) } else { Write::Never }
}

async fn write_after(store: Store, good: Good, account: String, wait: Duration) {
    tokio::time::sleep(wait).await;
    let count = {
        let mut good = good.lock().unwrap_or_else(PoisonError::into_inner);
        good.get_mut(&account).map_or(0, |waiting| {
            waiting.written = Instant::now();
            std::mem::take(&mut waiting.count)
        })
    };
    write(&store, &account, true, count).await;
}

async fn write(store: &Store, account: &str, ok: bool, count: u64) {
    if let Err(error) = store.note_echoes(account, ok, count).await {
        tracing::debug!(%error, count, "echoes are not noted");
    }
}

impl Echo {
    pub(crate) fn new(route: Route, simulated: bool) -> Self {
        Self { route, simulated, shouted: Mutex::default(), good: Good::default() }
    }

    /// Notes whether a task shows our mark, at its first read.
    pub(crate) async fn note(&self, context: &Context, record: &Record, task: &Task) {
        let Some((owned, sent_s)) = first_read(record) else { return };
        let ok = task.execution_expires_after_s == Some(sent_s);
        let account = &owned.facts.account;
        let result = if ok { "ok" } else { "bad" };
        telemetry::metrics().nonce_echo.add(1, [result, self.route.word()]);
        if !ok && self.may_shout() {
            let shown = task.execution_expires_after_s;
            match self.simulated {
                true => tracing::warn!(account, sent_s, shown, "the simulator hides our mark"),
                false => tracing::error!(
                    account, sent_s, shown, task.id = %owned.id,
                    "THE PROVIDER DOES NOT ECHO OUR MARK (execution_expires_after): no create in doubt can be told from \
                     others by itself. Such jobs are parked for a person, and nothing is sent again"
                ),
            }
        }
        // A bad one is written at once: one is enough to distrust the match.
        let when = if ok { self.one_more(account) } else { Write::Now };
        match when {
            Write::Now => write(&context.store, account, ok, 1).await,
            Write::After(wait) => {
                let (store, good) = (context.store.clone(), Arc::clone(&self.good));
                tokio::spawn(write_after(store, good, account.clone(), wait));
            }
            Write::Never => {}
        }
    }

    fn one_more(&self, account: &str) -> Write {
        let mut good = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        one_more(&mut good, account, Instant::now())
    }

    fn may_shout(&self) -> bool {
        let mut shouted = self.shouted.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let quiet = shouted.is_none_or(|at| now.duration_since(at) >= SHOUT_EVERY);
        if quiet {
            *shouted = Some(now);
        }
        quiet
    }
}

/// The task and the mark it was sent with, if nobody has read it yet.
fn first_read(record: &Record) -> Option<(&TaskRef, u32)> {
    let State::Generating { task, seen, .. } = &record.life.state else { return None };
    let attempt = record.life.attempt(&task.attempt)?;
    seen.is_empty().then_some((task, attempt.nonce_s))
}

/// Measures the lag of the list, for ever: one process of the pool does it for all.
pub(crate) async fn sample_lags(context: Arc<Context>, settings: Settings, route: Route) {
    if settings.lag_sample_every.is_zero() {
        return;
    }
    // Longer than the longest sample, so that a leader at work stays the only one.
    let lead = settings.list_lag_max + FOLLOW_EVERY + LOOK_EVERY;
    let mut next: BTreeMap<String, Instant> = BTreeMap::new();
    loop {
        match context.store.lock(LOCK, lead).await {
            Ok(true) => tokio::time::sleep(LOOK_EVERY).await,
            Ok(false) | Err(_) => {
                tokio::time::sleep(FOLLOW_EVERY).await;
                continue;
            }
        }
        let now = Instant::now();
        next.retain(|_, due| *due > now);
        // An outage is told by those who work; a sample less is no loss.
        let Ok(Some((task, begun_at))) = fresh_task(&context, &next).await else { continue };
        next.insert(task.facts.account.clone(), now + settings.lag_sample_every);
        let lag = sample(&context, &task, begun_at, settings.list_lag_max).await;
        let Some(lag) = lag else { continue };
        telemetry::metrics().list_lag.record(lag, [route.word()]);
        if let Err(error) = context.store.note_lag(&task.facts.account, lag).await {
            tracing::debug!(%error, "a lag is not noted");
        }
    }
}

/// A task the fleet has heard of just now, on an account that is not `resting`, and when its create
/// began: it cannot have been made earlier.
async fn fresh_task(
    context: &Context,
    resting: &BTreeMap<String, Instant>,
) -> Result<Option<(TaskRef, Timestamp)>, StoreError> {
    if needed_elsewhere(context).await? {
        return Ok(None);
    }
    let running = job::filter::Filter::all().state(StateWord::Running);
    let query = store::ListQuery { limit: JOBS_MAX, ..store::ListQuery::of(running) };
    let page = context.store.list(&query).await?;
    Ok(page
        .items
        .into_iter()
        .filter_map(|stored| {
            let life = &stored.record.life;
            let task = life.state.task()?;
            let begun_at = life.attempt(&task.attempt)?.begun_at;
            let is_fresh = stored.now.since(task.known_at) <= FRESH
                && task.known_at.since(begun_at) <= CREATE_MAX;
            is_fresh.then(|| (task.clone(), begun_at))
        })
        .find(|(task, _)| !resting.contains_key(&task.facts.account)))
}

/// Jobs in doubt have the list to themselves.
async fn needed_elsewhere(context: &Context) -> Result<bool, StoreError> {
    let counts = context.store.counts().await?;
    Ok(counts.get(&StateWord::InDoubt).is_some_and(|n| *n > 0))
}

/// Looks once a second until the list shows the task. `None`: nothing can be said.
async fn sample(
    context: &Context,
    task: &TaskRef,
    begun_at: Timestamp,
    most: Duration,
) -> Option<Duration> {
    let site = Site::for_reads(&task.facts);
    let mut lag = Lag::default();
    for _ in 0..=most.as_secs() {
        let began = Instant::now();
        let permit = context.limiter.permit(&site.account, Call::List);
        let permit = tokio::time::timeout(PERMIT_MAX, permit).await.ok()?.ok()?;
        let (before, asked) = (Instant::now(), context.store.now().await.ok()?.since(begun_at));
        let query = ListQuery::page(1, PAGE_ROWS).of_model(&task.facts.model_id);
        let Listed::Page { page, .. } = context.client.list(permit, &site, &query).await else {
            return lag.proven();
        };
        // Too late by the time the clock took: the bound stays an upper one.
        let answered = asked + before.elapsed();
        let shown = page.items.iter().any(|row| row.id == task.id.as_str());
        if let Some(end) = lag.look(asked, answered, shown) {
            return end;
        }
        if hides_the_newest(&page) {
            return None;
        }
        if needed_elsewhere(context).await.ok()? {
            return lag.proven();
        }
        tokio::time::sleep(LOOK_EVERY.saturating_sub(began.elapsed())).await;
    }
    lag.proven()
}

/// A full page that does not begin with the newest: a task that is not on it may be on another.
fn hides_the_newest(page: &TaskPage) -> bool {
    let made = |task: Option<&Task>| task.and_then(|task| task.created_at_s);
    let is_full = page.items.len() >= PAGE_ROWS as usize;
    is_full && made(page.items.first()) <= made(page.items.last())
}

/// What the looks so far say, counted from before the task can have been made.
#[derive(Debug, Default)]
struct Lag {
    /// The last look that did not show it had begun then.
    absent_at: Option<Duration>,
}

impl Lag {
    /// `Some` when the sample is over: an upper bound, if there is one worth telling.
    fn look(
        &mut self,
        asked: Duration,
        answered: Duration,
        shown: bool,
    ) -> Option<Option<Duration>> {
        if !shown {
            self.absent_at = Some(asked);
            return None;
        }
        let since = self.absent_at.unwrap_or_default();
        let is_narrow = answered.saturating_sub(since) <= GAP_MAX;
        Some(if is_narrow { Some(answered) } else { self.proven() })
    }

    /// It was absent so long at least.
    fn proven(&self) -> Option<Duration> {
        self.absent_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn good_echoes_are_written_once_a_second_and_none_waits_longer() {
        let (mut good, start) = (BTreeMap::new(), Instant::now());
        let mut add = |at| one_more(&mut good, "a", start + ms(at));
        assert_eq!(add(0), Write::Now);
        assert_eq!(add(400), Write::After(ms(600)));
        assert_eq!(add(500), Write::Never);
        // Whoever waits has not written yet.
        assert_eq!(add(1_500), Write::Never);
        good.get_mut("a").expect("it waits").count = 0;
        let mut add = |at| one_more(&mut good, "a", start + ms(at));
        assert_eq!(add(1_600), Write::Now);
        assert_eq!(add(1_601), Write::After(ms(999)));
        assert_eq!(one_more(&mut good, "b", start), Write::Now);
    }

    #[test]
    fn a_task_shown_at_once_has_the_look_as_its_bound() {
        assert_eq!(Lag::default().look(ms(300), ms(420), true), Some(Some(ms(420))));
    }

    #[test]
    fn the_bound_is_the_first_look_that_shows_it() {
        let mut lag = Lag::default();
        assert_eq!(lag.look(ms(200), ms(300), false), None);
        assert_eq!(lag.look(ms(1_200), ms(1_300), false), None);
        assert_eq!(lag.look(ms(2_200), ms(2_350), true), Some(Some(ms(2_350))));
    }

    #[test]
    fn only_a_full_page_in_another_order_hides_a_new_task() {
        let page = |made: &mut dyn Iterator<Item = i64>| {
            let items: Vec<_> = made
                .map(|at| serde_json::json!({"id": "cgt-1", "status": "running", "created_at": at}))
                .collect();
            TaskPage::parse(serde_json::json!({"items": items}).to_string().as_bytes()).unwrap()
        };
        assert!(hides_the_newest(&page(&mut (0..500))));
        assert!(!hides_the_newest(&page(&mut (0..500).rev())));
        assert!(!hides_the_newest(&page(&mut (0..499))));
    }

    #[test]
    fn a_look_that_came_late_says_nothing_and_a_gap_only_what_is_proven() {
        assert_eq!(Lag::default().look(ms(9_000), ms(9_100), true), Some(None));
        let mut lag = Lag::default();
        lag.look(ms(500), ms(600), false);
        assert_eq!(lag.look(ms(9_000), ms(9_100), true), Some(Some(ms(500))));
        assert_eq!(lag.proven(), Some(ms(500)));
    }
}
