//! New jobs: once, however often and from however many sides they are sent.

use crate::ground::{Ground, SUBMIT, connect, held_for_review, record, record_of};
use job::{JobId, Priority, StateWord};
use std::collections::BTreeSet;
use store::{Admitted, Idempotency, Match, NewJob};

fn keyed(record: job::Record, key: &str, body: &str) -> NewJob {
    let idempotency = Some(Idempotency { key: key.into(), body_sha256: body.into() });
    NewJob { record, idempotency }
}

async fn admit(ground: &Ground, jobs: &[NewJob]) -> Vec<Admitted> {
    let answers = ground.store.admit(jobs).await.expect("few enough");
    answers.into_iter().map(|answer| answer.expect("Redis answers")).collect()
}

/// The same request under another id.
fn twin(record: &job::Record) -> job::Record {
    let id = JobId::from_ulid(ulid::Ulid::generate());
    job::Record { id, ..record.clone() }
}

#[tokio::test]
async fn every_reply_and_its_repeat() {
    let ground = Ground::new().await;
    let first = record();
    let new = keyed(first.clone(), "k1", "b1");
    assert_eq!(admit(&ground, std::slice::from_ref(&new)).await, [Admitted::Created]);
    // A lost reply looks like this to the server.
    assert_eq!(admit(&ground, std::slice::from_ref(&new)).await, [Admitted::Created]);

    let by = |by| Admitted::Existing { id: first.id.clone(), by };
    let again = keyed(twin(&first), "k1", "b1");
    assert_eq!(admit(&ground, &[again]).await, [by(Match::Key)]);
    let other_key = keyed(twin(&first), "k2", "b1");
    assert_eq!(admit(&ground, std::slice::from_ref(&other_key)).await, [by(Match::Fingerprint)]);
    assert_eq!(admit(&ground, &[other_key]).await, [by(Match::Key)]);
    let other_body = keyed(record(), "k1", "b2");
    let reused = Admitted::KeyReused { id: first.id.clone() };
    for _ in 0..2 {
        let answers = admit(&ground, std::slice::from_ref(&other_body)).await;
        assert_eq!(answers, std::slice::from_ref(&reused));
    }
    assert_eq!(ground.store.load(&other_body.record.id).await.expect("answers"), None);

    let stored = ground.load(&first.id).await;
    assert_eq!((stored.record, stored.revision, stored.hint), (first, 1, None));
    assert_eq!(ground.store.counts().await.expect("answers")[&StateWord::Queued], 1);
    ground.sound().await;
}

#[tokio::test]
async fn one_tenants_keys_and_requests_are_not_anothers() {
    let ground = Ground::new().await;
    let mine = record_of("a", Priority::Normal, None);
    let mut theirs = twin(&mine);
    theirs.spec.tenant = "b".into();
    let jobs = [keyed(mine, "k", "x"), keyed(theirs, "k", "y")];
    assert_eq!(admit(&ground, &jobs).await, [Admitted::Created, Admitted::Created]);
    ground.sound().await;
}

#[tokio::test]
async fn equal_rows_of_one_call_become_one_job() {
    let ground = Ground::new().await;
    let first = record();
    let jobs: Vec<NewJob> = [first.clone(), twin(&first), record()]
        .map(|record| NewJob { record, idempotency: None })
        .into();
    let existing = Admitted::Existing { id: first.id, by: Match::Fingerprint };
    assert_eq!(admit(&ground, &jobs).await, [Admitted::Created, existing, Admitted::Created]);
}

#[tokio::test]
async fn sixty_four_equal_requests_at_once_become_one_job() {
    let ground = Ground::new().await;
    let request = record();
    let mut stores = Vec::new();
    for _ in 0..8 {
        stores.push(connect(&ground.redis).await);
    }
    let calls = (0..64).map(|i| {
        let store = stores[i % 8].clone();
        let job = keyed(twin(&request), "k", "b");
        tokio::spawn(async move {
            let answer = store.admit(std::slice::from_ref(&job)).await.expect("one job").remove(0);
            match answer.expect("Redis answers") {
                Admitted::Created => (true, job.record.id),
                Admitted::Existing { id, .. } => (false, id),
                Admitted::KeyReused { id } => panic!("{id} has the same body"),
                Admitted::Full { .. } | Admitted::Spent { .. } => panic!("nobody is capped"),
            }
        })
    });
    let answers = futures::future::join_all(calls).await;
    let answers: Vec<(bool, JobId)> = answers.into_iter().map(|a| a.expect("no panic")).collect();
    assert_eq!(answers.iter().filter(|(created, _)| *created).count(), 1);
    assert_eq!(answers.iter().map(|(_, id)| id).collect::<BTreeSet<_>>().len(), 1);
    assert_eq!(ground.claim_once(SUBMIT, 64, crate::ground::LEASE).await.items.len(), 1);
    ground.sound().await;
}

#[tokio::test]
async fn a_held_job_has_no_ticket_until_it_is_approved() {
    let ground = Ground::new().await;
    let record = ground.admit(held_for_review(record_of("t", Priority::High, Some("b:1")))).await;
    assert_eq!(ground.claim_once(SUBMIT, 9, crate::ground::LEASE).await.items, []);
    ground.sound().await;
    let approved = job::Event::Approved { by: job::By::named("reviewer") };
    ground.report(&record.id, store::Writer::Outside, &approved).await;
    assert_eq!(ground.claim(SUBMIT, 1).await[0].claim.id, record.id);
    let counts = ground.store.batch_counts("t", "b:1").await.expect("answers");
    assert_eq!(counts.into_iter().collect::<Vec<_>>(), [(StateWord::Queued, 1)]);
    let words: Vec<_> = ground
        .store
        .timeline(&record.id)
        .await
        .expect("answers")
        .into_iter()
        .map(|l| l.to)
        .collect();
    assert_eq!(words, [StateWord::Queued, StateWord::Held]);
    ground.sound().await;
}

#[tokio::test]
async fn too_many_or_an_impossible_start_is_refused_before_anything_is_sent() {
    let ground = Ground::new().await;
    let job = NewJob { record: record(), idempotency: None };
    assert!(ground.store.admit(&vec![job.clone(); store::ADMIT_MAX + 1]).await.is_err());
    let mut born_old = job;
    let state = job::State::Finished {
        end: job::End::NotUseful,
        task: None,
        filing: job::Filing::Nothing,
        at: born_old.record.created_at,
    };
    born_old.record.life = job::Life::begin(state, born_old.record.created_at);
    assert!(ground.store.admit(&[born_old]).await.is_err());
    assert_eq!(ground.store.counts().await.expect("answers").len(), 0);
}
