//! Places: who is refused or handed back waits for a while, and stands where it stood.

use crate::ground::{
    CLASS, FREE, Ground, LEASE, SUBMIT, attempt, cancel, record, record_of, until,
};
use job::{Event, JobId, Priority, Record, Refusal, Timestamp};
use seedance::Class;
use std::time::Duration;
use store::{Begun, Held, NewJob, Writer};

/// A job that came first, and so many behind it.
async fn head_of(ground: &Ground, behind: usize) -> Record {
    let mut head = record();
    head.created_at = Timestamp::from_unix_ms(head.created_at.unix_ms() - 60_000);
    ground.admit(head.clone()).await;
    let jobs: Vec<NewJob> =
        (0..behind).map(|_| NewJob { record: record(), idempotency: None }).collect();
    for jobs in jobs.chunks(store::ADMIT_MAX) {
        for answer in ground.store.admit(jobs).await.expect("few enough") {
            assert_eq!(answer.expect("Redis answers"), store::Admitted::Created);
        }
    }
    head
}

async fn next(ground: &Ground) -> Held {
    ground.claim(SUBMIT, 1).await.remove(0)
}

/// Claims and begins the head, and reports what came of it.
async fn bought_nothing(ground: &Ground, head: &JobId, nonce_s: u32, of: impl Fn(Event) -> Event) {
    let held = next(ground).await;
    assert_eq!(held.claim.id, *head);
    let open = attempt(&held.stored.record, nonce_s);
    assert!(matches!(ground.begin(&held, &open, &FREE).await, Begun::Granted { .. }));
    let reason = "the gate was closed".to_owned();
    let (attempt, unreachable) = (open.id, false);
    let event = Event::AttemptNotSent { attempt, reason, unreachable, stops_in_row: 0 };
    ground.work(&held, &of(event)).await;
}

/// The same attempt, refused for now.
fn refused(event: Event) -> Event {
    let Event::AttemptNotSent { attempt, .. } = event else { panic!("{event:?}") };
    let refusal = Refusal {
        class: Class::Rate,
        code: "SomethingSaidNo".into(),
        message: "no".into(),
        not_before: None,
        stops_in_row: 0,
    };
    Event::AttemptRefused { attempt, refusal }
}

#[tokio::test]
async fn a_head_that_bought_nothing_stays_the_head_in_front_of_a_thousand() {
    let ground = Ground::new().await;
    let head = head_of(&ground, 1_000).await.id;
    bought_nothing(&ground, &head, 172_800, |event| event).await;
    bought_nothing(&ground, &head, 172_799, refused).await;
    let held = next(&ground).await;
    assert_eq!(held.claim.id, head);
    ground.store.release(&held.claim, Duration::ZERO).await.expect("ours");
    assert_eq!(next(&ground).await.claim.id, head);
    ground.sound().await;
}

#[tokio::test]
async fn a_head_that_waits_lets_others_go_and_then_is_the_head_again() {
    let mut ground = Ground::new().await;
    ground.policy.submit.retry_first = Duration::from_millis(300);
    ground.policy.submit.retry_max = Duration::from_millis(300);
    let head = head_of(&ground, 50).await.id;
    bought_nothing(&ground, &head, 172_800, |event| event).await;
    let depth = ground.store.depths().await.expect("answers");
    let depth = depth.iter().find(|depth| depth.queue == SUBMIT).expect("every queue is told");
    assert_eq!(depth.waiting, 51, "one of them not yet");
    assert_ne!(next(&ground).await.claim.id, head, "it waits");
    ground.sound().await;
    let mut claims = 0;
    until("the head comes back", async || {
        let held = next(&ground).await;
        claims += 1;
        ground.store.release(&held.claim, Duration::ZERO).await.expect("ours");
        held.claim.id == head
    })
    .await;
    assert_eq!(next(&ground).await.claim.id, head, "after {claims} claims of others");
    ground.sound().await;
}

#[tokio::test]
async fn an_idle_queue_knows_when_a_ticket_comes_back() {
    let ground = Ground::new().await;
    let only = ground.admit(record_of("t", Priority::Low, None)).await;
    let held = next(&ground).await;
    let pause = Duration::from_secs(40);
    ground.store.release(&held.claim, pause).await.expect("ours");
    let idle = ground.claim_once(SUBMIT, 9, LEASE).await;
    assert_eq!(idle.items, []);
    let wait = idle.next_due.expect("one comes back");
    assert!(wait > Duration::from_secs(30) && wait <= pause, "{wait:?}");
    ground.sound().await;
    // What nobody wants any more leaves no ticket behind.
    ground.report(&only.id, Writer::Outside, &cancel()).await;
    let later = ground.store.keys().later(CLASS, "t");
    assert_eq!(ground.redis.command(&["ZCARD", &later]).expect("answers"), "0");
    ground.sound().await;
}
