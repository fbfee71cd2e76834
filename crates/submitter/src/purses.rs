//! Brings jobs back that a cap of spending held: when the day turned, when the cap was raised, or when something
//! reserved was not bought after all.
//!
//! One process does it for a pool. Of each purse the oldest jobs come first, and no more of them wait at once
//! than there is room for: those that are back and not begun yet count as bought.

use job::{CapOf, Event, JobId, Policy, SpendCap, State, StateWord};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::{PURSES_MAX, Purse, PurseUse, ReportError, Store, StoreError, Stored, Writer};
use worker::Drain;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// After this, the jobs of a purse are looked at although nothing has changed: some may be worth buying no more.
const LOOK_ANYWAY: Duration = Duration::from_secs(60);
/// How long a pool's purses stay with a process that falls silent; a look takes a fraction of it.
const LEASE: Duration = Duration::from_secs(15);
/// The lock of the one that looks.
const LOCK: &str = "purses";
/// Jobs of one purse that are looked at in one turn, and that may be back without having begun.
const PAGE: usize = 100;
/// Jobs brought back in one turn of all purses.
const TURN_MAX: usize = 500;
/// Purses that are remembered from turn to turn.
const KNOWN_MAX: usize = 10 * PURSES_MAX;

/// What is remembered of a purse between two looks. Nothing depends on it: a job that comes back too early is held
/// again.
#[derive(Default)]
struct Known {
    /// Jobs that are back and had not begun when they were looked at last.
    back: Vec<JobId>,
    /// How the purse stood, and what was reserved beside, when no held job fitted, and when that was.
    at_rest: Option<(PurseUse, u64, Instant)>,
}

impl Known {
    /// Nothing has changed since no held job fitted.
    fn rests(&self, seen: &PurseUse, reserved: u64) -> bool {
        self.at_rest.is_some_and(|(stood, beside, at)| {
            (stood, beside) == (*seen, reserved) && at.elapsed() < LOOK_ANYWAY
        })
    }
}

/// Looks after one pool until the process is to end.
pub(crate) async fn serve(store: Store, policy: Arc<Policy>, drain: Drain) {
    let mut known = BTreeMap::new();
    loop {
        tokio::select! {
            () = drain.wait() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        match turn(&store, &policy, &mut known).await {
            Ok(0) => {}
            Ok(jobs) => tracing::info!(pool = store.pool(), jobs, "the budget has room again"),
            Err(error) => tracing::warn!(pool = store.pool(), %error, "held jobs wait"),
        }
    }
}

async fn turn(
    store: &Store,
    policy: &Policy,
    known: &mut BTreeMap<Purse, Known>,
) -> Result<usize, StoreError> {
    let purses = store.purses_that_hold().await?;
    tell(store, &purses, store.purses(&[Purse::Pool]).await?.first());
    if purses.is_empty() || !store.lock(LOCK, LEASE).await? {
        known.clear();
        return Ok(0);
    }
    if purses.len() < PURSES_MAX {
        known.retain(|purse, _| purses.iter().any(|(listed, _)| listed == purse));
    } else if known.len() > KNOWN_MAX {
        known.clear();
    }
    let mut freed = 0;
    for (purse, seen) in &purses {
        let before = known.remove(purse).unwrap_or_default();
        let looked = look(store, policy, (purse, seen), before, TURN_MAX - freed).await;
        // Also after a fault: it stands behind the others then, and keeps none of them waiting.
        store.purse_seen(purse).await?;
        let (back, after) = looked?;
        freed += back;
        known.insert(purse.clone(), after);
    }
    Ok(freed)
}

/// Brings back what there is room for of one purse, at most so many; how many they were, and what to remember.
async fn look(
    store: &Store,
    policy: &Policy,
    (purse, seen): (&Purse, &PurseUse),
    before: Known,
    most: usize,
) -> Result<(usize, Known), StoreError> {
    let mut waiting = waiting(store, &before.back).await?;
    let reserved = waiting.iter().map(price).fold(0, u64::saturating_add);
    let most = most.min(PAGE.saturating_sub(waiting.len()));
    let mut after = Known { back: Vec::new(), at_rest: before.at_rest };
    let mut freed = 0;
    if most > 0 && !before.rests(seen, reserved) {
        let found = fitting(&store.held_by(purse, PAGE).await?, seen, reserved, most);
        after.at_rest = found.is_empty().then(|| (*seen, reserved, Instant::now()));
        for stored in found {
            if free(store, policy, &stored.record.id).await? {
                freed += 1;
                waiting.push(stored);
            }
        }
    }
    after.back = waiting.into_iter().map(|stored| stored.record.id).collect();
    Ok((freed, after))
}

/// Those of the jobs that are back which have not begun yet.
async fn waiting(store: &Store, ids: &[JobId]) -> Result<Vec<Stored>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut waiting = Vec::with_capacity(ids.len());
    for found in store.load_many(ids).await? {
        waiting
            .extend(found?.filter(|stored| stored.record.life.state.word() == StateWord::Queued));
    }
    Ok(waiting)
}

/// What a job would take.
fn price(stored: &Stored) -> u64 {
    stored.record.spec.estimate_cost.map_or(0, |cost| cost.micros)
}

/// The oldest jobs that there is room for beside what is `reserved`, at most so many; and those that are not
/// worth buying any more, which end unpaid when they are back.
fn fitting(held: &[Stored], seen: &PurseUse, reserved: u64, most: usize) -> Vec<Stored> {
    let mut left = seen.left().map(|left| left.saturating_sub(reserved));
    let fits = |stored: &&Stored| {
        let spec = &stored.record.spec;
        if spec.useful_until.is_some_and(|until| until <= stored.now) {
            return true;
        }
        let Some(room) = left else { return true };
        let rest = room.checked_sub(price(stored));
        left = Some(rest.unwrap_or(room));
        rest.is_some()
    };
    held.iter().filter(fits).take(most).cloned().collect()
}

async fn free(store: &Store, policy: &Policy, id: &JobId) -> Result<bool, StoreError> {
    match store.report(id, Writer::Outside, &Event::BudgetFreed, policy).await {
        Ok(store::Reported::Written { stored, .. }) => {
            Ok(matches!(stored.record.life.state, State::Queued { .. }))
        }
        Ok(
            store::Reported::Ignored { .. }
            | store::Reported::Fenced
            | store::Reported::Gone
            | store::Reported::Owned { .. },
        ) => Ok(false),
        Err(ReportError::Store(error)) => Err(error),
        Err(ReportError::Contradiction(why)) => Err(StoreError::Bug(why.to_string())),
    }
}

/// Jobs that wait for budget, by whose cap holds them; and how much of the pool's is left.
#[allow(clippy::cast_precision_loss)]
fn tell(store: &Store, purses: &[(Purse, PurseUse)], pool: Option<&PurseUse>) {
    let metrics = telemetry::metrics();
    let tightest = pool.and_then(|pool| pool.tightest(CapOf::Pool));
    let share = |cap: SpendCap| {
        cap.max_micros.saturating_sub(cap.spent_micros) as f64 / cap.max_micros as f64
    };
    metrics.budget_remaining.set(tightest.map_or(1.0, share), [store.pool()]);
    for of in CapOf::ALL {
        let held: u64 =
            purses.iter().filter(|(purse, _)| purse.kind() == of).map(|(_, seen)| seen.held).sum();
        metrics.budget_held.set(held as f64, [store.pool(), of.word()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use job::{BuyCaps, CapSpan, Fingerprint, PoolSettings, Record, Source, Spec, Timestamp};
    use sandbox::{Options, Redis};
    use seedance::{Cost, Currency, Day, Route, Rules};
    use store::{Admitted, CapUse, NewJob};

    const DAY_MS: i64 = 86_400_000;
    const HALF: u64 = 500_000;

    /// A queued job that would take so much; each is another take, or it would be the same request.
    fn queued(take: u32, micros: u64, now: Timestamp) -> Record {
        let body = serde_json::json!({
            "model": "seedance-2.0", "content": [{"type": "text", "text": "a lighthouse"}]
        });
        let read = seedance::validate(Route::Byteplus, &body, &Rules::default()).expect("valid");
        let fingerprint = Fingerprint::of(Route::Byteplus, &read.request, None, take);
        let mut spec = Spec::plain("acme", "main", Source::Cli, fingerprint, read.request);
        let effective_from = Day::from_unix_s(0);
        spec.take = take;
        spec.estimate_cost = Some(Cost { currency: Currency::Usd, micros, effective_from });
        let id = JobId::from_ulid(ulid::Ulid::generate());
        Record::begin(id, spec, State::Queued { tries: 0 }, now)
    }

    fn stored(micros: u64, useful_until_ms: Option<i64>) -> Stored {
        let now = Timestamp::from_unix_ms(DAY_MS);
        let mut record = queued(1, micros, now);
        record.spec.useful_until = useful_until_ms.map(Timestamp::from_unix_ms);
        Stored { record, revision: 1, hint: None, archived: false, now }
    }

    fn seen(max_micros: u64, spent_micros: u64) -> PurseUse {
        PurseUse { day: CapUse { max_micros, spent_micros }, held: 3, ..PurseUse::default() }
    }

    #[test]
    fn the_oldest_that_fit_come_back_and_what_is_worth_nothing_any_more() {
        let prices = |held: &[Stored], seen: &PurseUse, reserved, most| -> Vec<u64> {
            fitting(held, seen, reserved, most).iter().map(price).collect()
        };
        let held = [stored(4, None), stored(9, None), stored(3, None), stored(2, None)];
        assert_eq!(prices(&held, &seen(10, 2), 0, 9), [4, 3], "the dear one keeps nobody waiting");
        assert_eq!(prices(&held, &seen(10, 2), 4, 9), [4], "what is back counts as bought");
        assert_eq!(prices(&held, &seen(0, 2), 0, 3), [4, 9, 3], "no cap any more: page by page");
        assert_eq!(prices(&held, &seen(10, 12), 0, 9), [] as [u64; 0]);
        let late = [stored(9, Some(DAY_MS)), stored(9, Some(DAY_MS + 1))];
        assert_eq!(prices(&late, &seen(10, 10), 0, 9), [9], "it ends unpaid");
    }

    #[test]
    fn a_purse_rests_until_something_changes() {
        let rests = |at: Instant| Known { back: Vec::new(), at_rest: Some((seen(10, 8), 1, at)) };
        let known = rests(Instant::now());
        assert!(known.rests(&seen(10, 8), 1));
        assert!(!known.rests(&seen(10, 7), 1), "something was not bought after all");
        assert!(!known.rests(&seen(11, 8), 1), "the cap was raised");
        assert!(!known.rests(&seen(10, 8), 0), "what was back has begun, or was stopped");
        assert!(!known.rests(&PurseUse { held: 4, ..seen(10, 8) }, 1), "perhaps a smaller one");
        assert!(!Known::default().rests(&seen(10, 8), 1));
        if let Some(before) = Instant::now().checked_sub(LOOK_ANYWAY) {
            assert!(!rests(before).rests(&seen(10, 8), 1));
        }
    }

    /// A pool whose cap of the day is spent, with so many jobs of half a unit that wait for it.
    async fn spent(redis: &Redis, jobs: u32) -> (Store, Policy, Vec<JobId>) {
        let source = settings::Sources::default().set("pools.main.route", "byteplus");
        let loaded = source.set("pools.main.accounts.a.api_key_file", "x").load().expect("loads");
        let pools: BTreeMap<String, PoolSettings> = loaded.section("pools").expect("a section");
        let policy = worker::policy(&loaded, &pools["main"]).expect("a policy");
        let address = store::Settings { url: redis.url(), ..store::Settings::default() };
        let store = Store::connect(&address, "main").await.expect("connects");
        let store = store.with_budget(BuyCaps { day_max: 1, total_max: 0 });
        let now = store.now().await.expect("the clock");
        let day = now.unix_ms().div_euclid(DAY_MS);
        // Also of the day after, should it begin meanwhile.
        for day in [day, day + 1] {
            buy(redis, &store, day, 2 * HALF.cast_signed());
        }
        let (of, span) = (CapOf::Pool, CapSpan::Day);
        let cap = SpendCap { of, span, max_micros: 2 * HALF, spent_micros: 2 * HALF };
        let mut ids = Vec::new();
        for take in 1..=jobs {
            let record = queued(take, HALF, now);
            ids.push(record.id.clone());
            let admitted = store.admit(&[NewJob { record, idempotency: None }]).await;
            assert_eq!(admitted.expect("few")[0].as_ref().expect("answers"), &Admitted::Created);
            let event = Event::BudgetReached { cap };
            let told = store.report(&ids[ids.len() - 1], Writer::Outside, &event, &policy).await;
            assert!(matches!(told, Ok(store::Reported::Written { .. })), "{told:?}");
        }
        (store, policy, ids)
    }

    fn buy(redis: &Redis, store: &Store, day: i64, micros: i64) {
        let key = store.keys().bought(&Purse::Pool);
        let (day, micros) = (day.to_string(), micros.to_string());
        redis.command(&["HINCRBY", &key, &day, &micros]).expect("Redis answers");
    }

    async fn words(store: &Store, ids: &[JobId]) -> Vec<StateWord> {
        let mut words = Vec::new();
        for id in ids {
            let found = store.load(id).await.expect("Redis answers").expect("it is there");
            words.push(found.record.life.state.word());
        }
        words
    }

    #[tokio::test]
    async fn held_jobs_come_back_with_the_day_and_with_a_raised_cap() {
        let redis = Redis::start(Options::default()).expect("a server");
        let (store, policy, ids) = spent(&redis, 4).await;
        let mut known = BTreeMap::new();
        let turn = async |store: &Store, known: &mut BTreeMap<Purse, Known>| {
            turn(store, &policy, known).await.expect("Redis answers")
        };
        for _ in 0..2 {
            assert_eq!(turn(&store, &mut known).await, 0, "the day is spent");
        }
        // The day turns: what was bought stands under an earlier one.
        let day = store.now().await.expect("the clock").unix_ms().div_euclid(DAY_MS);
        for day in [day, day + 1] {
            buy(&redis, &store, day, -2 * HALF.cast_signed());
        }
        buy(&redis, &store, day - 1, 2 * HALF.cast_signed());
        assert_eq!(turn(&store, &mut known).await, 2, "as many as there is room for");
        let [held, queued] = [StateWord::Held, StateWord::Queued];
        assert_eq!(words(&store, &ids).await, [queued, queued, held, held], "the oldest");
        assert_eq!(turn(&store, &mut known).await, 0, "what is back counts as bought");
        // One of them is stopped before it begins.
        let stop = Event::CancelAsked { by: job::By::named("ann") };
        store.report(&ids[0], Writer::Outside, &stop, &policy).await.expect("reported");
        assert_eq!(turn(&store, &mut known).await, 1, "its room is another's");
        let raised = store.clone().with_budget(BuyCaps::default());
        assert_eq!(turn(&raised, &mut known).await, 1, "no cap any more");
        assert_eq!(words(&store, &ids[1..]).await, [queued; 3]);
        assert_eq!(store.purses_that_hold().await.expect("Redis answers"), [], "and none waits");
        assert!(store.recount().await.expect("Redis answers").drifts.is_empty());
    }

    #[tokio::test]
    async fn one_process_brings_back_and_a_second_looks_on() {
        let redis = Redis::start(Options::default()).expect("a server");
        let (store, policy, _) = spent(&redis, 1).await;
        let address = store::Settings { url: redis.url(), ..store::Settings::default() };
        let other = Store::connect(&address, "main").await.expect("connects");
        assert_eq!(turn(&store, &policy, &mut BTreeMap::new()).await.expect("answers"), 0);
        // The other one knows of no cap and would return it; the lock is not its own.
        assert_eq!(turn(&other, &policy, &mut BTreeMap::new()).await.expect("answers"), 0);
        store.unlock(LOCK).await.expect("Redis answers");
        assert_eq!(turn(&other, &policy, &mut BTreeMap::new()).await.expect("answers"), 1);
    }
}
