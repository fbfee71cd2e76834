//! Far more due work than a script may unpack, and work that comes to an idle worker.

use std::time::Duration;

use job::StateWord;

use crate::house::House;
use crate::toys::Cancel;

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_beyond_what_lua_unpacks_drains_in_bounded_batches() {
    // Lua refuses to unpack 8,000 values or more.
    const JOBS: usize = 9_000;
    let house = House::new().await.with("poll.concurrency", "200").with("poll.lease", "30s");
    let ids = house.watched(JOBS).await;
    assert_eq!(house.depth(store::Queue::Poll).await.due, JOBS as u64);

    let step = Cancel::at_once();
    let fleet = house.work(step.clone(), Duration::from_secs(20)).await;
    house.until_count(StateWord::Cancelled, JOBS).await;
    fleet.stop().await;

    house.assert_each_cancelled_once(&ids).await;
    let runs = step.seen.runs();
    assert_eq!(runs.len(), JOBS);
    assert!(runs.values().all(|runs| *runs == 1), "with long leases every job is worked once");
    assert!(step.seen.most() <= 200, "{} at a time", step.seen.most());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_worker_takes_what_becomes_due() {
    let house = House::new().await;
    let step = Cancel::at_once();
    let fleet = house.work(step.clone(), Duration::from_secs(20)).await;
    let mut all = Vec::new();
    for round in 1..=5 {
        all.extend(house.watched(1).await);
        house.until_count(StateWord::Cancelled, round).await;
    }
    fleet.stop().await;
    house.assert_each_cancelled_once(&all).await;
}
