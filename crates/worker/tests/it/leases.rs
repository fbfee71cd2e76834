//! Work that lasts longer than its lease.

use std::time::Duration;

use job::StateWord;

use crate::house::{House, until};
use crate::toys::Cancel;

/// Two healthy processes, more work than both can hold, and runs of several leases' length: the case
/// in which a queue without per-job leases runs everything twice.
#[tokio::test(flavor = "multi_thread")]
async fn slow_runs_are_renewed_and_run_once() {
    let house = House::new().await.with("poll.lease", "1500ms").with("poll.renew", "300ms");
    let house = house.with("poll.concurrency", "2");
    let ids = house.watched(6).await;
    let step = Cancel::behind_a_gate();
    let one = house.work(step.clone(), Duration::from_secs(20)).await;
    let two = house.work(step.clone(), Duration::from_secs(20)).await;
    until("four runs", async || step.seen.now() == 4).await;
    let begun = house.store.now().await.expect("the clock");
    until("three leases to pass", async || {
        let now = house.store.now().await.expect("the clock");
        now.since(begun) > Duration::from_millis(4_500)
    })
    .await;
    assert_eq!(step.seen.runs().len(), 4, "nothing is claimed that cannot be started");
    step.gate.open();
    house.until_count(StateWord::Cancelled, 6).await;
    one.stop().await;
    two.stop().await;
    house.assert_each_cancelled_once(&ids).await;
    assert!(step.seen.runs().values().all(|runs| *runs == 1), "{:?}", step.seen.runs());
}
