//! Redis is put back to an older file under a fleet that runs.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use job::{Event, StateWord};
use store::{BeginGuard, Begun, FreezeKind, Pace, Queue};

use crate::house::{House, until};
use crate::toys::Cancel;

/// From the server's first answer to the freeze.
const NOTICED_WITHIN: Duration = Duration::from_secs(2);
/// Between two looks at the clock.
const LOOK: Duration = Duration::from_millis(5);

/// How long this process has waited for a processor in all: whoever works in it has as well.
#[derive(Default)]
struct Stalls {
    us: AtomicU64,
    over: AtomicBool,
}

impl Stalls {
    fn watch() -> Arc<Self> {
        let stalls = Arc::<Self>::default();
        let watched = Arc::clone(&stalls);
        std::thread::spawn(move || {
            while !watched.over.load(Ordering::Relaxed) {
                let began = Instant::now();
                // sleeps: what comes on top of it is what is measured.
                std::thread::sleep(LOOK);
                let late = began.elapsed().saturating_sub(LOOK).as_micros();
                watched.us.fetch_add(u64::try_from(late).unwrap_or(0), Ordering::Relaxed);
            }
        });
        stalls
    }

    fn end(&self) -> Duration {
        self.over.store(true, Ordering::Relaxed);
        Duration::from_micros(self.us.load(Ordering::Relaxed))
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("readable") {
        let entry = entry.expect("readable");
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("copies");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_under_a_rolled_back_redis_freezes_by_itself_and_works_on() {
    let house = House::new().await;
    let early = house.watched(20).await;
    let waiting = house.queued(1).await.remove(0);
    let aside = sandbox::TempDir::new("older").expect("a folder");
    copy(&house.redis.dir().join("appendonlydir"), aside.path());
    // The commits of this crew are what the older file does not know.
    let crew = house.work(Cancel::at_once(), Duration::from_secs(20)).await;
    house.until_count(StateWord::Cancelled, 20).await;

    let (redis, older) = (Arc::clone(&house.redis), aside.path().to_owned());
    let answered = tokio::task::spawn_blocking(move || {
        redis.kill9();
        let live = redis.dir().join("appendonlydir");
        std::fs::remove_dir_all(&live).expect("removes");
        copy(&older, &live);
        redis.restart().expect("it starts on the older files");
        Instant::now()
    })
    .await
    .expect("no panic");
    let stalls = Stalls::watch();
    let key = house.store.keys().freeze();
    let redis = Arc::clone(&house.redis);
    until("the freeze", async || redis.command(&["EXISTS", &key]).is_ok_and(|n| n == "1")).await;
    let (noticed, stalled) = (answered.elapsed(), stalls.end());
    assert!(noticed < NOTICED_WITHIN + stalled, "noticed after {noticed:?}, {stalled:?} stalled");

    // Nothing begins. (This connection knows nothing of the past: the hash alone must do.)
    let settings = store::Settings { url: house.redis.url(), ..store::Settings::default() };
    let fresh = store::Store::connect(&settings, "main").await.expect("connects");
    let queue = Queue::Submit(seedance::SlotClass::V20);
    let held = fresh.claim(&queue, 1, Duration::from_secs(60)).await.expect("answers").items;
    assert_eq!(held[0].claim.id, waiting);
    let pace = Pace::NONE;
    let guard = BeginGuard { running: 9, lookahead: 0, pace, probe: Duration::from_secs(1) };
    let event = Event::SubmitBegan { attempt: crate::house::attempt() };
    let policy = house.policy();
    let begin = async || fresh.begin(&held[0], &event, &policy, &guard).await.expect("answers");
    assert!(matches!(begin().await, Begun::Frozen { .. }));

    // The rest goes on: the crew does its forgotten work once more.
    house.until_count(StateWord::Cancelled, 20).await;
    until("the process tells it", async || !crew.fleet.health().frozen().is_empty()).await;
    assert_eq!(crew.fleet.health().not_ready(), None, "a frozen pool still takes jobs and news");
    assert_eq!(early.len(), 20);

    let freeze = fresh.watch().await.expect("answers").frozen.expect("frozen");
    assert_eq!(freeze.kind, FreezeKind::Rollback);
    assert!(fresh.thaw_only(&freeze, "test", "walked").await.expect("answers"));
    until("the process tells it", async || crew.fleet.health().frozen().is_empty()).await;
    assert!(matches!(begin().await, Begun::Granted { .. }));
    assert_eq!(house.store.watch().await.expect("answers").frozen, None);
    crew.stop().await;
}
