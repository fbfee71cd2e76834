//! Redis stalls, dies and comes back under a worker that runs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use job::StateWord;

use crate::house::{House, until};
use crate::toys::Cancel;

const JOBS: usize = 1_000;

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("no panic")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stall_of_800_ms_changes_nothing() {
    let house = House::new().await.with("poll.concurrency", "64");
    let ids = house.watched(JOBS).await;
    let step = Cancel::at_once();
    let fleet = house.work(step.clone(), Duration::from_secs(20)).await;
    house.until_count(StateWord::Cancelled, JOBS / 10).await;
    house.redis.pause().expect("a signal");
    let paused = Instant::now();
    until("800 ms of silence", async || paused.elapsed() > Duration::from_millis(800)).await;
    house.redis.resume().expect("a signal");
    house.until_count(StateWord::Cancelled, JOBS).await;
    assert_eq!(fleet.fleet.health().stuck(), None);
    fleet.stop().await;
    house.assert_each_cancelled_once(&ids).await;
    assert!(step.seen.runs().values().all(|runs| *runs == 1), "no run was repeated");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_redis_loses_nothing_and_ends_nothing() {
    let house = House::new().await.with("poll.concurrency", "64");
    let house = house.with("poll.lease", "2s").with("poll.renew", "500ms");
    let ids = house.watched(JOBS).await;
    let step = Cancel::at_once();
    let fleet = house.work(step.clone(), Duration::from_secs(20)).await;
    for part in [5, 2] {
        house.until_count(StateWord::Cancelled, JOBS / part).await;
        let redis = Arc::clone(&house.redis);
        blocking(move || {
            redis.kill9();
            redis.restart().expect("it starts again");
        })
        .await;
    }
    house.until_count(StateWord::Cancelled, JOBS).await;
    fleet.stop().await;
    house.assert_each_cancelled_once(&ids).await;
}

/// Runs that wait on the world while Redis is away go on and are committed afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn running_steps_survive_an_outage_and_are_committed() {
    let house = House::new().await.with("poll.lease", "1s").with("poll.renew", "300ms");
    let ids = house.watched(40).await;
    let step = Cancel::behind_a_gate();
    let fleet = house.work(step.clone(), Duration::from_secs(20)).await;
    until("forty runs", async || step.seen.now() == 40).await;
    let redis = Arc::clone(&house.redis);
    blocking(move || redis.kill9()).await;
    let killed = Instant::now();
    // Longer than the leases: a claim before a renewal would hand out our own running work.
    until("an outage longer than a lease", async || {
        killed.elapsed() > Duration::from_millis(1_500)
    })
    .await;
    let redis = Arc::clone(&house.redis);
    blocking(move || redis.restart().expect("it starts again")).await;
    step.gate.open();
    house.until_count(StateWord::Cancelled, 40).await;
    fleet.stop().await;
    house.assert_each_cancelled_once(&ids).await;
    assert!(step.seen.runs().values().all(|runs| *runs == 1), "{:?}", step.seen.runs());
}
