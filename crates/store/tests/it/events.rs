//! The stream of events: whole, in order, readable from any place, and short.

use crate::ground::{
    FREE, Ground, SUBMIT, accepted, attempt, record, record_of, running, succeeded,
};
use job::{By, Event, Priority, StateWord, Timestamp, Webhook};
use std::time::Duration;
use store::{Begun, Change, ChangeReader, EventSettings, Mark, NewJob, Queue, Store, Writer};

const DAY: Duration = Duration::from_secs(24 * 3_600);

async fn all(store: &Store) -> Vec<Change> {
    store.changes_after(Mark::START, 1_000).await.expect("Redis answers")
}

#[tokio::test]
async fn every_change_of_a_state_is_told_once_and_in_order() {
    let ground = Ground::new().await;
    let job = record_of("acme", Priority::Normal, Some("spring"));
    let job = ground.admit(job).await;
    let again = NewJob { record: job.clone(), idempotency: None };
    ground.store.admit(&[again]).await.expect("Redis answers");
    let held = ground.claim(SUBMIT, 1).await.remove(0);
    let open = attempt(&job, 172_800);
    assert!(matches!(ground.begin(&held, &open, &FREE).await, Begun::Granted { .. }));
    ground.work(&held, &accepted(&open, "cgt-1")).await;
    for _ in 0..2 {
        let held = ground.claim(Queue::Poll, 1).await.remove(0);
        ground.work(&held, &running("cgt-1")).await;
    }
    let held = ground.claim(Queue::Poll, 1).await.remove(0);
    ground.work(&held, &succeeded("cgt-1")).await;

    let told = all(&ground.store).await;
    let ways: Vec<_> = told.iter().map(|c| (c.from, c.to, c.kind())).collect();
    use StateWord::{Downloading, Queued, Running, Submitting};
    let expected = [
        (None, Queued, "job.submitted"),
        (Some(Queued), Submitting, "job.submitting"),
        (Some(Submitting), Running, "job.running"),
        (Some(Running), Downloading, "job.downloading"),
    ];
    assert_eq!(ways, expected, "looks that change no public state are no news");
    assert!(told.is_sorted_by(|a, b| a.mark < b.mark && a.seq < b.seq), "{told:?}");
    assert!(told.iter().all(|c| c.tenant == "acme" && c.batch.as_deref() == Some("spring")));
    let last = told.last().expect("four");
    assert_eq!(last.seq, ground.load(&job.id).await.revision);
    assert_eq!(ground.store.last_change().await.expect("Redis answers"), last.mark);
    assert_eq!(
        ground.store.changes_after(told[1].mark, 1).await.expect("Redis answers"),
        told[2..3]
    );
    ground.sound().await;
}

#[tokio::test]
async fn a_reader_hears_what_is_committed_from_its_place_on() {
    let ground = Ground::new().await;
    let first = ground.admit(record()).await;
    let mut live = ChangeReader::connect(&ground.store, None).await.expect("Redis answers");
    let mut late = ChangeReader::connect(&ground.store, Some(Mark::START)).await.expect("it does");
    let second = ground.admit(record()).await;
    let jobs = |changes: Vec<Change>| changes.into_iter().map(|c| c.job).collect::<Vec<_>>();
    assert_eq!(jobs(live.next().await.expect("Redis answers")), std::slice::from_ref(&second.id));
    assert_eq!(jobs(late.next().await.expect("Redis answers")), [first.id, second.id.clone()]);
    assert_eq!(live.mark(), late.mark());
    ground.redis.kill9();
    live.next().await.expect_err("Redis is away");
    ground.redis.restart().expect("it starts again");
    let event = Event::CancelAsked { by: By::named("test") };
    let connected = crate::ground::connect(&ground.redis).await;
    connected.report(&second.id, Writer::Outside, &event, &ground.policy).await.expect("it may");
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    let told = loop {
        assert!(std::time::Instant::now() < deadline, "the reader does not come back");
        match live.next().await {
            Ok(told) if !told.is_empty() => break told,
            Ok(_) | Err(_) => {}
        }
    };
    assert_eq!(told[0].kind(), "job.cancelled", "nothing fell into the outage");
}

#[tokio::test]
async fn old_entries_go_but_none_that_has_not_been_shared_out() {
    let ground = Ground::new().await;
    for _ in 0..3 {
        let jobs: Vec<NewJob> =
            std::iter::repeat_with(|| NewJob { record: record(), idempotency: None })
                .take(200)
                .collect();
        ground.store.admit(&jobs).await.expect("Redis answers");
    }
    let length = async || ground.store.pulse().await.expect("Redis answers").events;
    let few = EventSettings { kept: DAY, kept_max: 100 };
    assert_eq!(length().await, 600);
    assert!(ground.store.trim_changes(&few).await.expect("Redis answers") >= 400);
    assert!(length().await < 250, "the server takes away whole nodes of about a hundred");

    let mut hooked = record();
    hooked.spec.webhook = Some(Webhook { url: "https://x.example/".into(), secret_ref: None });
    ground.admit(hooked).await;
    let before = length().await;
    let none = EventSettings { kept: Duration::ZERO, kept_max: 1 };
    assert_eq!(ground.store.trim_changes(&none).await.expect("Redis answers"), 0);
    assert_eq!(length().await, before, "somebody asks for them");
    let oldest = ground.store.first_change().await.expect("Redis answers").expect("one");
    assert!(oldest.at() > Timestamp::from_unix_ms(1_700_000_000_000));
}
