//! What is learned by watching tasks, and looks that are brought forward.

use crate::ground::{Ground, LEASE, record, task};
use job::rounds::Ended;
use job::{Timestamp, rounds};
use std::time::Duration;
use store::Queue;

const START_S: i64 = 1_790_000_000;

const fn at(s: i64) -> Timestamp {
    Timestamp::from_unix_s(START_S + s)
}

#[tokio::test]
async fn times_are_counted_by_class_and_the_old_ones_fade() {
    let ground = Ground::new().await;
    let class = rounds::class(&record());
    let times = ground.store.times(&class).await.expect("answers");
    assert_eq!((times.samples(), times.quantile(0.5)), (0, None));
    for _ in 0..999 {
        ground.store.learn(&class, Duration::from_secs(100)).await.expect("answers");
    }
    assert_eq!(ground.store.times(&class).await.expect("answers").samples(), 999);
    ground.store.learn(&class, Duration::from_secs(1)).await.expect("answers");
    let halved = ground.store.times(&class).await.expect("answers");
    assert_eq!(halved.samples(), 499, "999 by half, and one sample that half a one is not");
    for _ in 0..500 {
        ground.store.learn(&class, Duration::from_secs(300)).await.expect("answers");
    }
    let median = ground.store.times(&class).await.expect("answers").quantile(0.75).expect("known");
    assert!(median > Duration::from_secs(250), "{median:?}");
    assert_eq!(ground.store.times("another").await.expect("answers").samples(), 0);
}

#[tokio::test]
async fn the_last_hundred_ends_are_kept_with_what_callbacks_said() {
    let ground = Ground::new().await;
    let store = &ground.store;
    assert_eq!(store.ends("a").await.expect("answers"), (Vec::new(), None));
    for n in 0..120 {
        let id = task(&format!("cgt-{n}"));
        store.note_end("a", &id, at(n)).await.expect("answers");
        if n % 2 == 0 {
            store.note_told("a", &id, at(n + 2)).await.expect("answers");
            // Told again: the first word counts.
            store.note_told("a", &id, at(n + 500)).await.expect("answers");
        }
    }
    let (ends, last) = store.ends("a").await.expect("answers");
    assert_eq!((ends.len(), last), (100, Some(at(120))));
    assert_eq!(ends[0], Ended { at: at(20), told_at: Some(at(22)) });
    assert_eq!(ends[99], Ended { at: at(119), told_at: None });
    assert_eq!(store.ends("b").await.expect("answers").0, []);
}

#[tokio::test]
async fn a_look_is_brought_forward_where_it_waits_and_never_put_off() {
    let ground = Ground::new().await;
    let store = &ground.store;
    let (waiting, _) = ground.generating(record(), "cgt-1").await;
    let (lent, _) = ground.generating(record(), "cgt-2").await;
    let now = store.now().await.expect("answers");
    let mut held = ground.claim(Queue::Poll, 2).await;
    let place = held.iter().position(|held| held.claim.id == waiting.id).expect("both were due");
    let back = held.remove(place);
    store.release(&back.claim, Duration::from_secs(3_600)).await.expect("answers");
    let late = store.looks_after(now + Duration::from_secs(60), 10).await.expect("answers");
    assert_eq!(late, std::slice::from_ref(&waiting.id));
    let dues = [(waiting.id.clone(), now), (lent.id.clone(), now)];
    store.hasten_looks(&dues).await.expect("answers");
    let later = [(waiting.id.clone(), now + Duration::from_secs(7_200))];
    store.hasten_looks(&later).await.expect("answers");
    let again = ground.claim_once(Queue::Poll, 2, LEASE).await.items;
    assert_eq!(again.len(), 1, "the ticket that is lent stays so");
    assert_eq!(again[0].claim.id, waiting.id);
    ground.sound().await;
}
