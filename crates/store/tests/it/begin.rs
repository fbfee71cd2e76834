//! Begin: no slot too many, no nonce twice, no create while stopped or out of step.

use crate::ground::{
    CLASS, FREE, Ground, LEASE, SUBMIT, accepted, attempt, attempt_on, record, succeeded, task,
    until,
};
use job::{Event, Refusal, StateWord};
use seedance::{Class, Resolution, SlotClass};
use std::time::{Duration, Instant};
use store::{BeginGuard, Begun, Held, Pace, Queue, Writer};

async fn queued(ground: &Ground, n: usize) -> Vec<Held> {
    for _ in 0..n {
        ground.admit(record()).await;
    }
    ground.claim(SUBMIT, n).await
}

fn granted(begun: &Begun) -> bool {
    matches!(begun, Begun::Granted { .. })
}

#[tokio::test]
async fn slots_are_never_exceeded_by_many_at_once() {
    let ground = Ground::new().await;
    let held = queued(&ground, 24).await;
    let guard = BeginGuard { running: 5, ..FREE };
    let attempts: Vec<_> =
        (0..).zip(&held).map(|(n, h)| attempt(&h.stored.record, 172_800 + n)).collect();
    let calls = held.iter().zip(&attempts).map(|(h, a)| ground.begin(h, a, &guard));
    let begun = futures::future::join_all(calls).await;
    assert_eq!(begun.iter().filter(|b| granted(b)).count(), 5);
    assert_eq!(begun.iter().filter(|b| **b == Begun::NoSlot).count(), 19);
    let slots = ground.store.slots().await.expect("answers");
    assert_eq!(slots.values().copied().collect::<Vec<_>>(), [5]);
    ground.sound().await;

    // A slot comes back with the terminal read, and only then.
    let winner = begun.iter().position(granted).expect("five won");
    let loser = begun.iter().position(|b| *b == Begun::NoSlot).expect("nineteen lost");
    ground.work(&held[winner], &accepted(&attempts[winner], "cgt-1")).await;
    assert_eq!(ground.begin(&held[loser], &attempts[loser], &guard).await, Begun::NoSlot);
    let poll = ground.claim(Queue::Poll, 1).await.remove(0);
    ground.work(&poll, &succeeded("cgt-1")).await;
    assert!(granted(&ground.begin(&held[loser], &attempts[loser], &guard).await));
    ground.sound().await;
}

#[tokio::test]
async fn a_repeated_begin_is_granted_once_more_to_its_holder_only() {
    let ground = Ground::new().await;
    ground.admit(record()).await;
    let held = ground.claim_once(SUBMIT, 1, Duration::ZERO).await.items.remove(0);
    let open = attempt(&held.stored.record, 172_800);
    let Begun::Granted { stored, .. } = ground.begin(&held, &open, &FREE).await else { panic!() };
    let Begun::Granted { stored: again, missed_by, .. } = ground.begin(&held, &open, &FREE).await
    else {
        panic!()
    };
    assert_eq!((again.record, again.revision), (stored.record, stored.revision));
    assert!(missed_by > Duration::ZERO, "its instant was then, not now");
    let slots = ground.store.slots().await.expect("answers");
    assert_eq!(slots.values().copied().collect::<Vec<_>>(), [1], "one slot for both");
    // Somebody else holds the ticket now: the attempt is no longer ours to send.
    let other = ground.claim(SUBMIT, 1).await.remove(0);
    assert!(other.reclaimed);
    assert_eq!(ground.begin(&held, &open, &FREE).await, Begun::Lost);
    let second = attempt(&held.stored.record, 172_801);
    assert_eq!(ground.begin(&held, &second, &FREE).await, Begun::Lost);
    assert_eq!(ground.begin(&other, &second, &FREE).await, Begun::Lost, "one attempt is open");
    ground.sound().await;
}

#[tokio::test]
async fn a_nonce_is_one_open_attempts_per_account() {
    let ground = Ground::new().await;
    let held = queued(&ground, 3).await;
    let open = attempt(&held[0].stored.record, 172_800);
    assert!(granted(&ground.begin(&held[0], &open, &FREE).await));
    let same = attempt(&held[1].stored.record, 172_800);
    assert_eq!(ground.begin(&held[1], &same, &FREE).await, Begun::NonceTaken);
    let elsewhere = attempt_on("second", &held[1].stored.record, 172_800);
    assert!(granted(&ground.begin(&held[1], &elsewhere, &FREE).await));
    ground.sound().await;
    ground.work(&held[0], &accepted(&open, "cgt-1")).await;
    let freed = attempt(&held[2].stored.record, 172_800);
    assert!(granted(&ground.begin(&held[2], &freed, &FREE).await), "closed, so free again");
    ground.sound().await;
}

fn refused(open: &job::OpenAttempt, class: Class, in_row: u32, after: job::Timestamp) -> Event {
    Event::AttemptRefused {
        attempt: open.id.clone(),
        refusal: Refusal {
            class,
            code: "SomethingSaidNo".into(),
            message: "no".into(),
            not_before: Some(after),
            stops_in_row: in_row,
        },
    }
}

#[tokio::test]
async fn a_stopped_account_waits_then_sends_one_probe() {
    let ground = Ground::new().await;
    let held = queued(&ground, 4).await;
    let open = attempt(&held[0].stored.record, 172_800);
    assert!(granted(&ground.begin(&held[0], &open, &FREE).await));
    // Longer than a busy machine keeps this test from its next question.
    let pause = Duration::from_secs(3);
    let until = ground.store.now().await.expect("answers") + pause;
    ground.work(&held[0], &refused(&open, Class::Rate, 0, until)).await;

    let next = attempt(&held[1].stored.record, 172_801);
    let Begun::Stopped { after, code, in_row, .. } = ground.begin(&held[1], &next, &FREE).await
    else {
        panic!("the account is stopped")
    };
    assert!(after <= pause && !after.is_zero(), "{after:?}");
    assert_eq!((code.as_str(), in_row), ("SomethingSaidNo", 1));
    let elsewhere = attempt_on("second", &held[2].stored.record, 172_802);
    assert!(granted(&ground.begin(&held[2], &elsewhere, &FREE).await), "that account only");

    let deadline = Instant::now() + Duration::from_secs(20);
    while !granted(&ground.begin(&held[1], &next, &FREE).await) {
        assert!(Instant::now() < deadline, "a stop ends by itself");
    }
    // The probe is under way: nobody else goes before its answer.
    let third = attempt(&held[3].stored.record, 172_803);
    assert!(matches!(ground.begin(&held[3], &third, &FREE).await, Begun::Stopped { .. }));
    let stops = ground.store.stops().await.expect("answers");
    assert_eq!(stops[0].probe, Some(next.id.clone()));
    ground.work(&held[1], &accepted(&next, "cgt-1")).await;
    assert!(granted(&ground.begin(&held[3], &third, &FREE).await), "the probe came back well");
    assert_eq!(ground.store.stops().await.expect("answers"), []);
    ground.sound().await;
}

#[tokio::test]
async fn a_probe_that_fails_ends_its_own_wait() {
    let ground = Ground::new().await;
    let held = queued(&ground, 2).await;
    let now = ground.store.now().await.expect("answers");
    let first = attempt(&held[0].stored.record, 172_800);
    assert!(granted(&ground.begin(&held[0], &first, &FREE).await));
    ground.work(&held[0], &refused(&first, Class::Auth, 0, now)).await;
    let probe = attempt(&held[1].stored.record, 172_801);
    let hour = BeginGuard { probe: Duration::from_secs(3_600), ..FREE };
    let deadline = Instant::now() + Duration::from_secs(20);
    while !granted(&ground.begin(&held[1], &probe, &hour).await) {
        assert!(Instant::now() < deadline, "a stop ends by itself");
    }
    // Its answer says when to ask again; the hour was only for the case of no answer.
    ground.work(&held[1], &refused(&probe, Class::Auth, 1, now)).await;
    let stop = ground.store.stops().await.expect("answers").remove(0);
    assert_eq!((stop.in_row, stop.class.as_str()), (2, "auth"));
    assert!(stop.until.since(now) < Duration::from_secs(60), "{stop:?}");
}

#[tokio::test]
async fn a_shorter_stop_learned_later_does_not_end_a_longer_one() {
    let ground = Ground::new().await;
    let held = queued(&ground, 3).await;
    let opens: Vec<_> =
        (0..).zip(&held).map(|(n, h)| attempt(&h.stored.record, 172_800 + n)).collect();
    for (held, open) in held.iter().zip(&opens).take(2) {
        assert!(granted(&ground.begin(held, open, &FREE).await));
    }
    let now = ground.store.now().await.expect("answers");
    let hour = now + Duration::from_secs(3_600);
    ground.work(&held[0], &refused(&opens[0], Class::Pause, 0, hour)).await;
    ground.work(&held[1], &refused(&opens[1], Class::Pause, 1, now)).await;
    let Begun::Stopped { after, in_row, .. } = ground.begin(&held[2], &opens[2], &FREE).await
    else {
        panic!("the provider asked for a pause")
    };
    assert!(after > Duration::from_secs(3_000), "{after:?}");
    assert_eq!(in_row, 2);
}

#[tokio::test]
async fn a_success_that_began_before_the_stop_does_not_end_it() {
    let ground = Ground::new().await;
    let held = queued(&ground, 3).await;
    let opens: Vec<_> =
        (0..).zip(&held).map(|(n, h)| attempt(&h.stored.record, 172_800 + n)).collect();
    for (held, open) in held.iter().zip(&opens).take(2) {
        assert!(granted(&ground.begin(held, open, &FREE).await));
    }
    let hour = ground.store.now().await.expect("answers") + Duration::from_secs(3_600);
    ground.work(&held[0], &refused(&opens[0], Class::Rate, 4, hour)).await;
    ground.work(&held[1], &accepted(&opens[1], "cgt-1")).await;
    let Begun::Stopped { after, in_row, .. } = ground.begin(&held[2], &opens[2], &FREE).await
    else {
        panic!("the provider asked for a pause")
    };
    assert!(after > Duration::from_secs(3_000), "{after:?}");
    assert_eq!(in_row, 0, "but the row has ended");
    ground.sound().await;
}

/// The provider counts calls and tasks for each model: a class that is told off leaves the others alone, and its
/// account answered well.
#[tokio::test]
async fn a_stop_for_a_rate_is_the_classs_own() {
    let ground = Ground::new().await;
    let held = queued(&ground, 3).await;
    let now = ground.store.now().await.expect("answers");
    let hour = now + Duration::from_secs(3_600);
    let first = attempt(&held[0].stored.record, 172_800);
    assert!(granted(&ground.begin(&held[0], &first, &FREE).await));
    ground.work(&held[0], &refused(&first, Class::Auth, 0, now)).await;
    // The account's own probe is told off for its rate: the account lives, and the class waits.
    let probe = attempt(&held[1].stored.record, 172_801);
    let far = BeginGuard { probe: Duration::from_secs(3_600), ..FREE };
    let deadline = Instant::now() + Duration::from_secs(20);
    while !granted(&ground.begin(&held[1], &probe, &far).await) {
        assert!(Instant::now() < deadline, "a stop ends by itself");
    }
    ground.work(&held[1], &refused(&probe, Class::Capacity, 0, hour)).await;
    let [stop] = &ground.store.stops().await.expect("answers")[..] else { panic!("one stop") };
    assert_eq!((stop.only, stop.until, stop.in_row), (Some(CLASS), hour, 1));
    let open = attempt(&held[2].stored.record, 172_802);
    assert!(matches!(ground.begin(&held[2], &open, &FREE).await, Begun::Stopped { .. }));
    let mut large = record();
    large.spec.request.resolution = Resolution::P4k;
    ground.admit(large).await;
    let large = ground.claim(Queue::Submit(SlotClass::V20At4k), 1).await.remove(0);
    let open = attempt(&large.stored.record, 172_803);
    assert!(granted(&ground.begin(&large, &open, &FREE).await), "another class goes on");
    ground.work(&large, &accepted(&open, "cgt-1")).await;
    let stops = ground.store.stops().await.expect("answers");
    assert_eq!(stops.len(), 1, "and its success ends no stop of the other: {stops:?}");
    ground.sound().await;
}

#[tokio::test]
async fn creates_are_paced_and_never_burst() {
    let ground = Ground::new().await;
    let held = queued(&ground, 12).await;
    let (interval_us, horizon_us) = (40_000, 100_000);
    let guard = BeginGuard { pace: Pace { interval_us, horizon_us, ..Pace::NONE }, ..FREE };
    let mut waiting: Vec<_> =
        (0..).zip(&held).map(|(n, h)| (h, attempt(&h.stored.record, 172_800 + n))).collect();
    let mut instants_us = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(30);
    let start = Instant::now();
    let mut waits = 0;
    while !waiting.is_empty() {
        assert!(Instant::now() < deadline, "{} were never paced in", waiting.len());
        let calls = waiting.iter().map(|(h, open)| ground.begin(h, open, &guard));
        let answers = futures::future::join_all(calls).await;
        let mut left = Vec::new();
        for (job, begun) in waiting.into_iter().zip(answers) {
            match begun {
                Begun::Granted { usable_in, .. } => {
                    assert!(usable_in <= Duration::from_micros(horizon_us));
                    let stored = ground.redis.command(&[
                        "HGET",
                        &ground.store.keys().job(&job.0.claim.id),
                        "usable",
                    ]);
                    instants_us.push(stored.expect("answers").parse::<u64>().expect("µs"));
                }
                Begun::Wait { after } => {
                    assert!(!after.is_zero());
                    waits += 1;
                    left.push(job);
                }
                other => panic!("{other:?}"),
            }
        }
        waiting = left;
    }
    instants_us.sort_unstable();
    for pair in instants_us.windows(2) {
        assert!(pair[1] - pair[0] >= interval_us, "{instants_us:?}");
    }
    // So any window of four intervals holds at most four of them.
    assert!(waits > 0, "twelve at once do not fit into the horizon");
    assert!(start.elapsed() >= Duration::from_micros(interval_us * 9 - horizon_us));
    ground.sound().await;
}

/// What a row had given away may lie as far ahead as the longest lead that anybody uses, and whoever asks next
/// need not have one: nothing of after the loss may come before it.
// covers: M28
#[tokio::test]
async fn a_row_that_is_lost_waits_for_the_longest_lead_whoever_asks_next() {
    let ground = Ground::new().await;
    let key = ground.store.keys().creates("main", CLASS);
    let near = Pace { interval_us: 50_000, horizon_us: 20_000, lead_max_us: 600_000, ..Pace::NONE };
    let far = Pace { lead_us: near.lead_max_us, ..near };
    let redis = |command: &[&str]| ground.redis.command(command).expect("the server takes it");
    let lost: [(&str, &[&[&str]]); 2] = [
        ("wiped or evicted", &[&["DEL", &key]]),
        (
            "of another run",
            &[
                &["HSET", &key, "stamp", "1", "run", "another"],
                &["HINCRBY", &key, "tat", "-700000"],
            ],
        ),
    ];
    let mut marks = 172_800..;
    let mut instant = async |pace: Pace| {
        let held = queued(&ground, 1).await.remove(0);
        let open = attempt(&held.stored.record, marks.next().expect("there are more"));
        let guard = BeginGuard { pace, ..FREE };
        until("an instant", async || granted(&ground.begin(&held, &open, &guard).await)).await;
        let usable = redis(&["HGET", &ground.store.keys().job(&held.claim.id), "usable"]);
        usable.parse::<u64>().expect("µs")
    };
    for (how, commands) in lost {
        // The first row of all is one that nobody has, too.
        let before = instant(far).await;
        commands.iter().for_each(|command| drop(redis(command)));
        let after = instant(near).await;
        assert!(after >= before + near.interval_us, "{how}: {before}, then {after}");
        let next = instant(near).await;
        assert!(next >= after + near.interval_us, "{how}: {after}, then {next}");
    }
    ground.sound().await;
}

#[tokio::test]
async fn a_job_cancelled_meanwhile_is_not_begun() {
    let ground = Ground::new().await;
    let held = queued(&ground, 1).await.remove(0);
    ground.report(&held.claim.id, Writer::Outside, &crate::ground::cancel()).await;
    let open = attempt(&held.stored.record, 172_800);
    assert_eq!(ground.begin(&held, &open, &FREE).await, Begun::Lost);
    let stored = ground.load(&held.claim.id).await;
    assert_eq!(stored.record.life.state.word(), StateWord::Cancelled);
    assert_eq!(ground.claim_once(SUBMIT, 1, LEASE).await.items, []);
    ground.sound().await;
}

/// A callback names the task of an attempt that was held for absent, while the next one is prepared.
#[tokio::test]
async fn nothing_is_begun_past_a_hint_that_the_submitter_has_not_seen() {
    let ground = Ground::new().await;
    let job = ground.admit(record()).await;
    let held = ground.claim(SUBMIT, 1).await.remove(0);
    let first = attempt(&job, 172_800);
    assert!(matches!(ground.begin(&held, &first, &FREE).await, Begun::Granted { .. }));
    let reason = "the gate was closed".to_owned();
    let (attempt_id, unreachable) = (first.id.clone(), false);
    let unsent =
        job::Event::AttemptNotSent { attempt: attempt_id, reason, unreachable, stops_in_row: 0 };
    ground.work(&held, &unsent).await;

    let held = ground.claim(SUBMIT, 1).await.remove(0);
    ground.store.hint(&first.id, Some(&task("cgt-1"))).await.expect("answers");
    let second = attempt(&job, 172_801);
    assert_eq!(ground.begin(&held, &second, &FREE).await, Begun::Hinted);
    assert_eq!(ground.load(&job.id).await.record.life.state.word(), job::StateWord::Queued);
    ground.store.release(&held.claim, std::time::Duration::ZERO).await.expect("answers");
    // Whoever has read the hint, and found that it means nothing, may go on.
    let held = ground.claim(SUBMIT, 1).await.remove(0);
    assert_eq!(held.stored.hint, Some(task("cgt-1")));
    assert!(matches!(ground.begin(&held, &second, &FREE).await, Begun::Granted { .. }));
    ground.sound().await;
}
