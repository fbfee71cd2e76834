//! The engine without a runtime around it.

use std::sync::Arc;
use std::time::Duration;

use store::engine::{Engine, EngineSettings, Picked, Settled};
use store::{Queue, Reported};
use tokio::sync::mpsc;

use crate::house::{BOUND, House, WATCHED_REVISION, until};
use crate::toys::cancel;

async fn engine(
    house: &House,
    concurrency: usize,
    lease: Duration,
    renew: Duration,
) -> (Engine, mpsc::Receiver<Picked>) {
    let settings = EngineSettings { queue: Queue::Poll, concurrency, lease, renew };
    Engine::start(house.store.clone(), settings, Arc::new(house.policy())).await.expect("starts")
}

async fn next(picked: &mut mpsc::Receiver<Picked>) -> Picked {
    tokio::time::timeout(BOUND, picked.recv()).await.expect("in time").expect("a ticket")
}

#[tokio::test]
async fn a_commit_after_a_lost_lease_is_refused_and_the_work_dropped() {
    let house = House::new().await;
    let ids = house.watched(1).await;
    let (s, ms) = (Duration::from_secs, Duration::from_millis);
    // The late one renews only when it is too late.
    let (late, mut late_picked) = engine(&house, 1, ms(200), s(2)).await;
    let lost = next(&mut late_picked).await;
    assert!(!lost.held().reclaimed);

    let (other, mut other_picked) = engine(&house, 1, s(30), s(10)).await;
    let taken = next(&mut other_picked).await;
    assert!(taken.held().reclaimed, "the second holder knows that it is not the first");
    assert!(taken.claim().fence > lost.claim().fence);

    tokio::time::timeout(BOUND, lost.lost()).await.expect("a renewal finds out");
    let refused = late.commit(&lost, cancel(lost.held())).await;
    assert!(matches!(refused, Settled::Reported(Reported::Fenced)), "{refused:?}");
    assert_eq!(house.records_of(&ids).await[0].revision, WATCHED_REVISION, "nothing was written");

    let written = other.commit(&taken, cancel(taken.held())).await;
    assert!(matches!(written, Settled::Reported(Reported::Written { .. })), "{written:?}");
    let looks = (late.snapshot(), other.snapshot());
    assert_eq!((looks.0.fenced, looks.0.leases_lost, looks.1.reclaimed), (1, 1, 1));
    drop((lost, taken));
    late.close(BOUND, false).await;
    other.close(BOUND, false).await;
    house.assert_each_cancelled_once(&ids).await;
}

#[tokio::test]
async fn it_holds_no_more_than_it_can_start_and_gives_everything_back() {
    let house = House::new().await;
    house.watched(50).await;
    let s = Duration::from_secs;
    let (engine, picked) = engine(&house, 8, s(600), s(60)).await;
    until("eight claims", async || engine.snapshot().in_flight == 8).await;
    let depth = house.depth(Queue::Poll).await;
    assert_eq!((depth.due, depth.leased), (42, 8));
    until("the claimer waits for a slot", async || engine.snapshot().full).await;

    engine.close(BOUND, true).await;
    let depth = house.depth(Queue::Poll).await;
    assert_eq!((depth.due, depth.leased), (50, 0), "unstarted claims do not wait for their leases");
    drop(picked);
}

#[tokio::test]
async fn the_channel_ends_after_the_drain_and_late_commits_are_abandoned() {
    let house = House::new().await;
    house.watched(3).await;
    let s = Duration::from_secs;
    let (engine, mut picked) = engine(&house, 8, s(600), s(60)).await;
    let first = next(&mut picked).await;
    engine.stop_claiming();
    let mut rest = 0;
    while tokio::time::timeout(BOUND, picked.recv()).await.expect("it ends").is_some() {
        rest += 1;
    }
    assert!(rest <= 2);
    engine.close(BOUND, false).await;
    let settled = engine.commit(&first, cancel(first.held())).await;
    assert!(matches!(settled, Settled::Abandoned), "{settled:?}");
}

/// After an outage, or after this process stood still, its own leases may have run out: they are
/// renewed before the next claim, so that it never hands itself its own running work again.
#[tokio::test]
async fn a_claim_never_takes_what_this_process_still_runs() {
    let house = House::new().await;
    let ids = house.watched(1).await;
    let (s, ms) = (Duration::from_secs, Duration::from_millis);
    let (engine, mut picked) = engine(&house, 4, ms(200), s(3_600)).await;
    let running = next(&mut picked).await;
    let begun = house.store.now().await.expect("the clock");
    until("several leases and claims to pass", async || {
        let now = house.store.now().await.expect("the clock");
        now.since(begun) > ms(2_500) && engine.snapshot().since_pass < ms(500)
    })
    .await;
    assert!(picked.try_recv().is_err(), "the ticket was handed out twice");
    assert_eq!(engine.snapshot().claimed, 1);
    let written = engine.commit(&running, cancel(running.held())).await;
    assert!(matches!(written, Settled::Reported(Reported::Written { .. })), "{written:?}");
    drop(running);
    engine.close(BOUND, false).await;
    house.assert_each_cancelled_once(&ids).await;
}

/// A renewal that crosses a commit finds the ticket gone; that is not a lost lease.
#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_that_crosses_a_commit_raises_no_alarm() {
    const JOBS: usize = 500;
    let house = House::new().await;
    let ids = house.watched(JOBS).await;
    let (s, ms) = (Duration::from_secs, Duration::from_millis);
    let (engine, mut picked) = engine(&house, 64, s(30), ms(1)).await;
    let mut commits = tokio::task::JoinSet::new();
    for _ in 0..JOBS {
        let (engine, picked) = (engine.clone(), next(&mut picked).await);
        commits.spawn(async move { engine.commit(&picked, cancel(picked.held())).await });
    }
    while let Some(settled) = commits.join_next().await {
        let settled = settled.expect("no panic");
        assert!(matches!(settled, Settled::Reported(Reported::Written { .. })), "{settled:?}");
    }
    assert_eq!(engine.snapshot().leases_lost, 0);
    assert_eq!(engine.snapshot().committed, JOBS as u64);
    engine.close(BOUND, false).await;
    house.assert_each_cancelled_once(&ids).await;
}
