//! What callbacks bring.

use crate::ground::{
    FREE, Ground, LEASE, SUBMIT, accepted, attempt, record, running, stored, succeeded, task,
    unclear,
};
use std::time::Duration;
use store::{Begun, HintOutcome, Queue};

#[tokio::test]
async fn a_hint_makes_the_poll_ticket_due_now() {
    let ground = Ground::new().await;
    let (job, open) = ground.generating(record(), "cgt-1").await;
    let held = ground.claim(Queue::Poll, 1).await.remove(0);
    ground.store.release(&held.claim, Duration::from_secs(3_600)).await.expect("answers");
    let keys = ground.store.keys();
    ground.redis.command(&["DEL", &keys.wake(Queue::Poll)]).expect("answers");
    assert_eq!(ground.claim_once(Queue::Poll, 1, LEASE).await.items, []);
    for _ in 0..50 {
        let hinted = ground.store.hint(&open.id, Some(&task("cgt-1"))).await.expect("answers");
        assert_eq!(hinted, HintOutcome::Noted(job.id.clone()));
    }
    let tokens = ground.redis.command(&["LLEN", &keys.wake(Queue::Poll)]).expect("answers");
    assert_eq!(tokens, "1");
    let held = ground.claim(Queue::Poll, 1).await.remove(0);
    assert_eq!(held.stored.hint, Some(task("cgt-1")));
    // A hint for a ticket in work brings it back once.
    ground.store.hint(&open.id, None).await.expect("answers");
    ground.store.release(&held.claim, Duration::from_secs(3_600)).await.expect("answers");
    let again = ground.claim(Queue::Poll, 1).await.remove(0);
    ground.work(&again, &running("cgt-1")).await;
    ground.sound().await;
}

#[tokio::test]
async fn a_hint_before_the_answer_reaches_the_settler() {
    let ground = Ground::new().await;
    let job = ground.admit(record()).await;
    let held = ground.claim(SUBMIT, 1).await.remove(0);
    let open = attempt(&job, 172_800);
    assert!(matches!(ground.begin(&held, &open, &FREE).await, Begun::Granted { .. }));
    let hinted = ground.store.hint(&open.id, Some(&task("cgt-1"))).await.expect("answers");
    assert_eq!(hinted, HintOutcome::Noted(job.id.clone()));
    ground.work(&held, &unclear(&open)).await;
    let settle = ground.claim(Queue::Settle, 1).await.remove(0);
    assert_eq!(settle.stored.hint, Some(task("cgt-1")));
    ground.report(&job.id, store::Writer::Outside, &accepted(&open, "cgt-1")).await;
    assert_eq!(ground.load(&job.id).await.hint, None, "spoken of an attempt that is closed");
    ground.sound().await;
}

#[tokio::test]
async fn unknown_and_finished_jobs_are_told_and_not_touched() {
    let ground = Ground::new().await;
    let (job, open) = ground.generating(record(), "cgt-1").await;
    let stranger = attempt(&job, 1).id;
    assert_eq!(ground.store.hint(&stranger, None).await.expect("answers"), HintOutcome::Unknown);
    assert_eq!(ground.store.job_of_attempt(&open.id).await.expect("answers"), Some(job.id.clone()));
    let poll = ground.claim(Queue::Poll, 1).await.remove(0);
    ground.work(&poll, &succeeded("cgt-1")).await;
    let download = ground.claim(Queue::Download, 1).await.remove(0);
    ground.work(&download, &stored("cgt-1")).await;
    let before = ground.load(&job.id).await;
    let hinted = ground.store.hint(&open.id, None).await.expect("answers");
    assert_eq!(hinted, HintOutcome::Finished(job.id.clone()));
    let after = ground.load(&job.id).await;
    assert_eq!((after.record, after.revision), (before.record, before.revision));
    ground.sound().await;
}

/// Two empty scans said that nothing was bought; a callback that comes before the second send knows
/// better, and whoever is about to send must see it.
#[tokio::test]
async fn a_hint_for_a_job_that_waits_to_be_sent_again_reaches_the_submitter() {
    let ground = Ground::new().await;
    let (job, open) = ground.doubtful().await;
    for _ in 0..2 {
        let settle = ground.claim(Queue::Settle, 1).await.remove(0);
        let look = job::Look::Nothing {
            scan_began_at: settle.stored.now,
            leave: job::ResendLeave::Granted,
        };
        let looked = job::Event::Looked { attempt: open.id.clone(), look };
        ground.work(&settle, &looked).await;
    }
    let hinted = ground.store.hint(&open.id, Some(&task("cgt-1"))).await.expect("answers");
    assert_eq!(hinted, HintOutcome::Noted(job.id.clone()));
    let again = ground.claim(SUBMIT, 1).await.remove(0);
    assert_eq!(again.stored.hint, Some(task("cgt-1")));
    let via = job::FoundVia::Callback;
    let found =
        job::Event::TaskFound { attempt: open.id.clone(), task: task("cgt-1"), via, said: None };
    let taken_in = ground.work(&again, &found).await;
    assert_eq!(taken_in.record.life.state.word(), job::StateWord::Running);
    assert_eq!(ground.claim_once(SUBMIT, 1, LEASE).await.items, [], "nothing is sent again");
    ground.sound().await;
}

/// A job that a person gave up, and its attempt.
pub async fn given_up(ground: &Ground) -> (job::Record, job::OpenAttempt) {
    let (job, open) = ground.doubtful().await;
    let by = job::By::named("ann");
    let event = job::Event::GaveUp { by, reason: "not wanted".to_owned() };
    ground.report(&job.id, store::Writer::Outside, &event).await;
    (job, open)
}

#[tokio::test]
async fn a_late_hint_gives_an_ended_job_one_look_and_no_second_ticket() {
    let ground = Ground::new().await;
    let (job, open) = given_up(&ground).await;
    let word = job::StateWord::GivenUp;
    let plain = ground.store.hint(&open.id, Some(&task("cgt-1"))).await.expect("answers");
    assert_eq!(plain, HintOutcome::Finished(job.id.clone()), "an ordinary one changes nothing");
    let moved = job::StateWord::Parked;
    let stale = ground.store.late_hint(&open.id, &task("cgt-1"), moved).await.expect("answers");
    assert_eq!(stale, HintOutcome::Finished(job.id.clone()), "the caller saw another state");
    for _ in 0..2 {
        let late = ground.store.late_hint(&open.id, &task("cgt-1"), word).await.expect("answers");
        assert_eq!(late, HintOutcome::Noted(job.id.clone()));
    }
    ground.sound().await;
    let held = ground.claim(Queue::Settle, 1).await.remove(0);
    assert_eq!(held.stored.hint, Some(task("cgt-1")));
    let (attempt, task) = (open.id.clone(), task("cgt-1"));
    let via = job::FoundVia::Callback;
    ground.work(&held, &job::Event::TaskFound { attempt, task, via, said: None }).await;
    assert_eq!(ground.load(&job.id).await.record.life.state.word(), job::StateWord::Running);
    ground.sound().await;
}

#[tokio::test]
async fn a_late_hint_that_was_wrong_leaves_the_ended_job_as_it_was() {
    let ground = Ground::new().await;
    let (job, open) = given_up(&ground).await;
    let word = job::StateWord::GivenUp;
    ground.store.late_hint(&open.id, &task("cgt-1"), word).await.expect("answers");
    let held = ground.claim(Queue::Settle, 1).await.remove(0);
    let before = ground.load(&job.id).await;
    ground.report(&job.id, store::Writer::Worker(&held.claim), &job::Event::StepLeft).await;
    assert_eq!(ground.load(&job.id).await.revision, before.revision);
    assert_eq!(ground.claim_once(Queue::Settle, 1, LEASE).await.items, [], "one look is enough");
    ground.sound().await;
}

/// Two callbacks for a job that was given up, the second while the first is read up on: the one may name a
/// stranger's task and the other the job's own.
#[tokio::test]
async fn a_late_hint_that_comes_during_a_late_look_gets_a_look_of_its_own() {
    let ground = Ground::new().await;
    let (job, open) = given_up(&ground).await;
    let word = job::StateWord::GivenUp;
    ground.store.late_hint(&open.id, &task("cgt-strange"), word).await.expect("answers");
    let first = ground.claim(Queue::Settle, 1).await.remove(0);
    let late = ground.store.late_hint(&open.id, &task("cgt-own"), word).await.expect("answers");
    assert_eq!(late, HintOutcome::Noted(job.id.clone()));
    ground.report(&job.id, store::Writer::Worker(&first.claim), &job::Event::StepLeft).await;
    let second = ground.claim(Queue::Settle, 1).await.remove(0);
    assert_eq!(second.stored.hint, Some(task("cgt-own")));
    ground.report(&job.id, store::Writer::Worker(&second.claim), &job::Event::StepLeft).await;
    assert_eq!(ground.claim_once(Queue::Settle, 1, LEASE).await.items, [], "nobody asked again");
    ground.sound().await;
}

/// The last scan is under way, and the callback names what the list does not show.
#[tokio::test]
async fn a_hint_that_comes_during_the_last_scan_is_there_before_anything_is_sent_again() {
    let ground = Ground::new().await;
    let (job, open) = ground.doubtful().await;
    let balanced = crate::ground::policy(job::DoubtPolicy::Balanced);
    let settle = ground.claim(Queue::Settle, 1).await.remove(0);
    for seconds in [3_600, 7_200] {
        ground.store.hint(&open.id, Some(&task("cgt-1"))).await.expect("answers");
        let scan_began_at = open.send_by + Duration::from_secs(seconds);
        let leave = job::ResendLeave::Granted;
        let look = job::Look::Nothing { scan_began_at, leave };
        let event = job::Event::Looked { attempt: open.id.clone(), look };
        let told = ground.store.report(&job.id, store::Writer::Outside, &event, &balanced).await;
        assert!(matches!(told, Ok(store::Reported::Written { .. })), "{told:?}");
    }
    drop(settle);
    let stored = ground.load(&job.id).await;
    assert_eq!(stored.record.life.state.word(), job::StateWord::Queued, "proven absent");
    assert_eq!(stored.hint, Some(task("cgt-1")), "and named all the same");
    ground.sound().await;
}

#[tokio::test]
async fn a_hint_for_one_revision_does_nothing_to_another() {
    let ground = Ground::new().await;
    let (job, open) = ground.generating(record(), "cgt-1").await;
    let seen = ground.load(&job.id).await.revision;
    let hint = async |revision| {
        ground.store.hint_at(&open.id, Some(&task("cgt-1")), revision).await.expect("answers")
    };
    assert_eq!(hint(seen - 1).await, HintOutcome::Moved(job.id.clone()));
    assert_eq!(ground.load(&job.id).await.hint, None);
    assert_eq!(hint(seen).await, HintOutcome::Noted(job.id.clone()));
    assert_eq!(ground.load(&job.id).await.hint, Some(task("cgt-1")));
}
