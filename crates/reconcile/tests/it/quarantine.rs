//! What the fence holds is known again after one walk, however often and by how many it is made.

use crate::bed::Bed;
use job::{Event, State, StateWord};
use reconcile::quarantine::{self, Ended};
use reconcile::{DeedKind, FindingKind, Recovered};
use std::sync::Arc;
use std::time::Duration;

const BOUND: Duration = Duration::from_secs(60);

/// Five jobs that have sent, of which Redis remembers less and less.
async fn after_a_loss(bed: &Bed) -> [job::Record; 5] {
    // Knows its attempt: settled already in this life.
    let known = bed.queued("known").await;
    let attempt = bed.sent(&known, 1).await.attempt;
    bed.tell(&known.id, &Event::IntentForgotten { attempt, instead_of: None }).await;
    // Was rolled back to before its attempt; it had sent twice.
    let older = bed.queued("rolled back").await;
    bed.sent(&older, 1).await;
    bed.sent(&older, 2).await;
    // Is gone.
    let lost = bed.record("lost").await;
    bed.sent(&lost, 1).await;
    // Is gone, and was asked for again under another id.
    let twice = bed.record("asked for twice").await;
    bed.sent(&twice, 1).await;
    let again = bed.queued("asked for twice").await;
    [known, older, lost, twice, again]
}

#[tokio::test]
async fn what_redis_forgot_is_in_doubt_and_nothing_else_has_changed() {
    let bed = Bed::new().await;
    let [known, older, lost, twice, again] = after_a_loss(&bed).await;
    let bystander = bed.queued("never sent").await;
    let since = bed.ground.store.now().await.unwrap();

    let dry = quarantine::recover(&bed.ground, since, true).await.unwrap();
    let expected =
        Recovered { intents: 4, known: 1, restored: 2, doubted: 1, ..Default::default() };
    assert_eq!(dry.recovered, Some(expected), "a lost job asked for again would be restored");
    assert!(bed.ground.store.load(&lost.id).await.unwrap().is_none(), "a dry run writes nothing");
    assert_eq!(bed.load(&older.id).await.life.state.word(), StateWord::Queued);

    let report = quarantine::recover(&bed.ground, since, false).await.unwrap();
    let expected =
        Recovered { intents: 4, known: 1, restored: 1, doubted: 2, ..Default::default() };
    assert_eq!(report.recovered, Some(expected));
    assert!(report.is_clean(), "{report:?}");
    let restored: Vec<_> =
        report.deeds.iter().filter(|deed| deed.kind == DeedKind::Restored).collect();
    assert_eq!(restored.len(), 1);
    assert_eq!(restored[0].job.as_ref(), Some(&lost.id));
    assert!(bed.ground.store.load(&twice.id).await.unwrap().is_none(), "one job a request");
    for (record, number) in [(&known, 1), (&older, 2), (&lost, 1), (&again, 1)] {
        let State::InDoubt { attempt, .. } = bed.load(&record.id).await.life.state else {
            panic!("{} is not in doubt", record.id);
        };
        assert_eq!(
            attempt.intent,
            Some(number),
            "{}: the last send is the open question",
            record.id
        );
    }
    assert_eq!(bed.load(&bystander.id).await.life.state.word(), StateWord::Queued);
    assert_eq!(bed.load(&lost.id).await.spec, lost.spec);
    assert_eq!(bed.ground.store.recount().await.unwrap().drifts, []);

    let again = quarantine::recover(&bed.ground, since, false).await.unwrap();
    let expected = Recovered { intents: 4, known: 4, ..Default::default() };
    assert_eq!(again.recovered, Some(expected), "a second walk finds everything known");
}

#[tokio::test]
async fn two_quarantines_at_once_are_one() {
    let bed = Bed::new().await;
    let mut lost = Vec::new();
    for n in 0..40 {
        let record = bed.record(&format!("lost {n}")).await;
        bed.sent(&record, 1).await;
        lost.push(record);
    }
    bed.ground.store.freeze("a test", "tester").await.unwrap();
    let freeze = bed.ground.store.watch().await.unwrap().frozen.unwrap();
    let (one, two) =
        tokio::join!(quarantine::run(&bed.ground, &freeze), quarantine::run(&bed.ground, &freeze));
    let (one, two) = (one.unwrap(), two.unwrap());
    let restored = |report: &reconcile::Report| report.recovered.unwrap().restored;
    assert_eq!(restored(&one.1) + restored(&two.1), 40);
    let thaws = [one.0, two.0].iter().filter(|ended| **ended == Ended::Thawed).count();
    assert_eq!(thaws, 1, "{one:?} {two:?}");
    assert!(bed.ground.store.watch().await.unwrap().frozen.is_none());
    for record in &lost {
        assert_eq!(bed.load(&record.id).await.life.state.word(), StateWord::InDoubt);
    }
    assert_eq!(bed.ground.store.recount().await.unwrap().drifts, []);
}

#[tokio::test]
async fn what_cannot_be_read_keeps_the_freeze_for_a_person() {
    let bed = Bed::new().await;
    let (torn, lost) = (bed.record("torn").await, bed.record("lost").await);
    let intent = bed.sent(&torn, 1).await;
    bed.sent(&lost, 1).await;
    std::fs::write(bed.file(&intent), "half an int").unwrap();
    bed.ground.store.freeze("a test", "tester").await.unwrap();
    let freeze = bed.ground.store.watch().await.unwrap().frozen.unwrap();
    let (ended, report) = quarantine::run(&bed.ground, &freeze).await.unwrap();
    assert_eq!(ended, Ended::NeedsPerson);
    assert_eq!(report.findings[0].kind, FindingKind::Unreadable, "{report:?}");
    assert!(bed.ground.store.watch().await.unwrap().frozen.is_some());
    // What could be read came back all the same.
    assert_eq!(bed.load(&lost.id).await.life.state.word(), StateWord::InDoubt);
}

#[tokio::test]
async fn a_job_that_ended_without_knowing_its_attempt_is_told() {
    let bed = Bed::new().await;
    let cancelled = bed.queued("cancelled after the loss").await;
    bed.sent(&cancelled, 1).await;
    bed.tell(&cancelled.id, &Event::CancelAsked { by: job::By::named("caller") }).await;
    let since = bed.ground.store.now().await.unwrap();
    let report = quarantine::recover(&bed.ground, since, false).await.unwrap();
    assert_eq!(report.recovered.unwrap().left, 1);
    assert_eq!(report.findings[0].kind, FindingKind::ForgottenAttempt);
    assert_eq!(report.findings[0].job.as_ref(), Some(&cancelled.id));
}

#[tokio::test]
async fn a_walk_outlasts_a_redis_that_dies_and_comes_back() {
    // On a busy machine the walk may be over before anybody kills: it is made once more.
    for _ in 0..3 {
        if dies_in_the_middle().await {
            return;
        }
    }
    panic!("the walk is always over before the server dies");
}

/// Whether the server died in the middle of the walk; what must hold holds in any case.
async fn dies_in_the_middle() -> bool {
    const JOBS: u64 = 1_500;
    let bed = Arc::new(Bed::new().await);
    for n in 0..JOBS {
        let lost = bed.record(&format!("lost {n}")).await;
        bed.sent(&lost, 1).await;
    }
    let since = bed.ground.store.now().await.unwrap();
    let first = bed.ground.store.lsn_seen();

    let killed = Arc::clone(&bed);
    let killer = tokio::task::spawn_blocking(move || {
        let begun = || (killed.ground.store.lsn_seen() > first).then_some(());
        sandbox::wait::until("the first jobs back", BOUND, begun).unwrap();
        killed.redis.kill9();
        let written = killed.ground.store.lsn_seen() - first;
        killed.redis.restart().unwrap();
        written
    });
    let report = quarantine::recover(&bed.ground, since, false).await.unwrap();
    let written = killer.await.unwrap();

    let recovered = report.recovered.unwrap();
    assert_eq!(recovered.intents, JOBS, "one walk");
    // A batch whose answer was lost with the line is known when it is compared again.
    assert_eq!(recovered.restored + recovered.known, JOBS, "{recovered:?}");
    assert!(recovered.doubted == 0 && recovered.left == 0, "{recovered:?}");
    written < JOBS
}
