//! Stopping: what runs is finished, what has not begun is handed back.

use std::time::Duration;

use job::StateWord;
use store::{Held, Queue};
use worker::{NotReady, Outcome, Step, Turn};

use crate::house::{House, until};
use crate::toys::Cancel;

#[tokio::test(flavor = "multi_thread")]
async fn running_steps_are_finished_and_the_rest_is_left_to_others() {
    let house = House::new().await.with("poll.concurrency", "2");
    let ids = house.watched(7).await;
    let step = Cancel::behind_a_gate();
    let fleet = house.work(step.clone(), Duration::from_secs(60)).await;
    until("two runs", async || step.seen.now() == 2).await;
    assert_eq!(fleet.fleet.health().not_ready(), None);

    fleet.fleet.stop();
    until("not ready", async || fleet.fleet.health().not_ready() == Some(NotReady::Draining)).await;
    step.gate.open();
    fleet.ended().await.expect("drained");

    assert_eq!(step.seen.runs().len(), 2, "nothing was begun after the signal");
    let depth = house.depth(Queue::Poll).await;
    assert_eq!((depth.waiting, depth.due, depth.leased), (5, 5, 0));
    let done = house.records_of(&ids).await;
    let cancelled = |word| word == StateWord::Cancelled;
    assert_eq!(done.iter().filter(|s| cancelled(s.record.life.state.word())).count(), 2);
}

/// Never ends by itself, and hears that a drain began.
struct Endless;

#[worker::async_trait]
impl Step for Endless {
    fn queue(&self) -> Queue {
        Queue::Poll
    }

    async fn run(&self, _: &Held, turn: &Turn) -> Outcome {
        turn.drain().await;
        assert!(turn.drain_began());
        std::future::pending().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_outlasts_the_grace_is_handed_back_at_once() {
    let house = House::new().await.with("poll.lease", "10m").with("poll.renew", "1m");
    let ids = house.watched(3).await;
    let fleet = house.work(Endless, Duration::from_millis(300)).await;
    until("three claims", async || house.depth(Queue::Poll).await.leased == 3).await;
    fleet.stop().await;
    let depth = house.depth(Queue::Poll).await;
    assert_eq!((depth.due, depth.leased), (3, 0), "nobody waits for a lease of ten minutes");
    assert!(
        house.records_of(&ids).await.iter().all(|s| s.revision == crate::house::WATCHED_REVISION)
    );
}

/// Hands back what it is not ready for.
struct NotYet;

#[worker::async_trait]
impl Step for NotYet {
    fn queue(&self) -> Queue {
        Queue::Poll
    }

    async fn run(&self, _: &Held, _: &Turn) -> Outcome {
        Outcome::hand_back(Duration::from_secs(600), "no permit")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_handed_back_is_due_after_its_pause_and_writes_nothing() {
    let house = House::new().await;
    let ids = house.watched(10).await;
    let fleet = house.work(NotYet, Duration::from_secs(20)).await;
    until("all handed back", async || {
        let depth = house.depth(Queue::Poll).await;
        (depth.waiting, depth.due, depth.leased) == (10, 0, 0)
    })
    .await;
    fleet.stop().await;
    assert!(
        house.records_of(&ids).await.iter().all(|s| s.revision == crate::house::WATCHED_REVISION)
    );
}
