//! Code that panics.

use std::time::Duration;

use job::{JobId, StateWord};
use store::{Held, Queue};
use worker::{Outcome, Step, Turn};

use crate::house::{House, until};
use crate::toys::cancel;

/// Panics for one job and cancels the others.
struct Brittle {
    breaks_at: JobId,
}

#[worker::async_trait]
impl Step for Brittle {
    fn queue(&self) -> Queue {
        Queue::Poll
    }

    async fn run(&self, held: &Held, _: &Turn) -> Outcome {
        assert!(held.claim.id != self.breaks_at, "no such luck");
        Outcome::Report(cancel(held))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_becomes_a_transition_and_ends_nothing() {
    let house = House::new().await;
    let ids = house.watched(20).await;
    let broken = ids[7].clone();
    let step = Brittle { breaks_at: broken.clone() };
    let fleet = house.work(step, Duration::from_secs(20)).await;
    house.until_count(StateWord::Cancelled, 19).await;
    until("the broken step in the timeline", async || {
        let timeline = house.store.timeline(&broken).await.expect("a timeline");
        timeline
            .iter()
            .any(|line| line.what.contains("step poll broke") && line.what.contains("no such luck"))
    })
    .await;
    fleet.stop().await;

    let stored = house.store.load(&broken).await.expect("loads").expect("there");
    assert_eq!(stored.record.life.state.word(), StateWord::Running, "still watched");
    let depth = house.depth(Queue::Poll).await;
    assert_eq!((depth.waiting, depth.due, depth.leased), (1, 0, 0), "its ticket comes back later");
}
