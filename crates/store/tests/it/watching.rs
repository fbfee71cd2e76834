//! What is learned by watching tasks, and looks that are brought forward.

use crate::ground::{Ground, LEASE, cancel, record, running, task};
use job::rounds::Ended;
use job::{Timestamp, rounds};
use std::time::Duration;
use store::{Queue, Reported, Writer};

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

#[tokio::test]
async fn looks_without_news_that_come_together_are_put_off_together() {
    let mut ground = Ground::new().await;
    let tasks = ["cgt-1", "cgt-2", "cgt-3", "cgt-4"];
    let mut first = Vec::new();
    for task in tasks {
        ground.generating(record(), task).await;
        first.push(ground.claim(Queue::Poll, 1).await.remove(0));
    }
    let hour = Duration::from_secs(3_600);
    (ground.policy.poll.first, ground.policy.poll.steady) = (hour, hour);
    ground.policy.poll.max = hour;
    let mut jobs = Vec::new();
    for (held, task) in first.iter().zip(tasks) {
        jobs.push(ground.work(held, &running(task)).await);
    }
    let now = ground.store.now().await.expect("answers");
    let dues: Vec<_> = jobs.iter().map(|job| (job.record.id.clone(), now)).collect();
    ground.store.hasten_looks(&dues).await.expect("answers");
    let mut helds = ground.claim(Queue::Poll, tasks.len()).await;
    helds.sort_by_key(|held| jobs.iter().position(|job| job.record.id == held.claim.id));
    // One was asked for meanwhile, and one has gone to another worker.
    ground.report(&helds[1].claim.id, Writer::Outside, &cancel()).await;
    helds[2].claim.fence += 1;

    let calls = |ground: &Ground| -> u64 {
        let told = ground.redis.command(&["INFO", "commandstats"]).expect("it tells");
        let calls = told.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls="));
        calls.and_then(|calls| calls.split(',').next()?.parse().ok()).expect("a count")
    };
    let before = calls(&ground);
    let (store, policy) = (&ground.store, &ground.policy);
    let look = async |n: usize| {
        let (seen, claim) = (helds[n].stored.clone(), &helds[n].claim);
        store.report_seen(seen, claim, &running(tasks[n]), policy).await.expect("answers")
    };
    let told = tokio::join!(look(0), look(1), look(2), look(3));
    let calls = calls(&ground) - before;
    assert!(calls <= 2, "the first one, and the others together: {calls}");
    for (n, told) in [told.0, told.1, told.2, told.3].into_iter().enumerate() {
        match n {
            2 => assert_eq!(told, Reported::Fenced),
            _ => assert!(matches!(told, Reported::Written { .. }), "{n}: {told:?}"),
        }
    }
    let later = store.looks_after(store.now().await.expect("answers"), 10).await.expect("answers");
    let ids =
        |which: &[usize]| which.iter().map(|n| helds[*n].claim.id.clone()).collect::<Vec<_>>();
    assert_eq!(later.len(), 2);
    assert!(ids(&[0, 3]).iter().all(|id| later.contains(id)), "{later:?}");
    let again = ground.claim_once(Queue::Poll, 4, LEASE).await.items;
    assert_eq!(again.iter().map(|held| held.claim.id.clone()).collect::<Vec<_>>(), ids(&[1]));
    ground.store.release(&again[0].claim, Duration::ZERO).await.expect("answers");
    helds[2].claim.fence -= 1;
    ground.store.release(&helds[2].claim, Duration::ZERO).await.expect("answers");
    ground.sound().await;
}
