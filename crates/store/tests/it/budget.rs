//! Caps of spending: what is reserved, what is released, and that nobody passes one.

use crate::ground::{
    FREE, Ground, LEASE, SUBMIT, accepted, attempt, connect, failed, record_of, running, succeeded,
    task, unclear,
};
use job::{
    BuyCaps, By, CapOf, CapSpan, Event, HeldWhy, JobId, OpenAttempt, Priority, Record, SpendCap,
    State, StateWord, TaskReport, Timestamp,
};
use seedance::{Cost, Currency, Day};
use std::collections::BTreeMap;
use std::time::Duration;
use store::{BatchCaps, Begun, Caps, Held, Purse, Queue, TenantCaps, Writer};

const DAY_MS: i64 = 86_400_000;

/// Costs half a unit.
fn priced(tenant: &str, batch: Option<&str>) -> Record {
    let mut record = record_of(tenant, Priority::Normal, None);
    let effective_from = Day::from_unix_s(0);
    record.spec.batch = batch.map(str::to_owned);
    record.spec.estimate_cost =
        Some(Cost { currency: Currency::Usd, micros: 500_000, effective_from });
    record
}

/// The one moment of a test: what began at midnight would be of two days.
async fn now(ground: &Ground) -> Timestamp {
    ground.store.now().await.expect("Redis answers")
}

fn attempt_at(begun_at: Timestamp, record: &Record, nonce: u32) -> OpenAttempt {
    OpenAttempt { begun_at, ..attempt(record, nonce) }
}

async fn claimed(ground: &Ground, records: Vec<Record>) -> Vec<Held> {
    let n = records.len();
    for record in records {
        ground.admit(record).await;
    }
    ground.claim(SUBMIT, n).await
}

/// Bought or reserved on a day and in all, and jobs held.
async fn seen(ground: &Ground, purse: Purse, at: Timestamp) -> (u64, u64, u64) {
    let (key, day) = (ground.store.keys().bought(&purse), at.unix_ms().div_euclid(DAY_MS));
    let of_day = ground.redis.command(&["HGET", &key, &day.to_string()]).expect("Redis answers");
    let seen = ground.store.purses(&[purse]).await.expect("Redis answers").remove(0);
    (of_day.trim().parse().unwrap_or(0), seen.total.spent_micros, seen.held)
}

async fn cap_of(ground: &Ground, id: &JobId) -> SpendCap {
    match ground.load(id).await.record.life.state {
        State::Held { why: HeldWhy::Budget { cap, .. } } => cap,
        other => panic!("{id} is not held for budget: {other:?}"),
    }
}

#[tokio::test]
async fn sixty_four_at_once_buy_what_there_is_room_for_and_the_others_wait() {
    let mut ground = Ground::new().await;
    let caps = BuyCaps { day_max: 5, total_max: 0 };
    ground.store = ground.store.clone().with_budget(caps);
    let other = connect(&ground.redis).await.with_budget(caps);
    let held = claimed(&ground, (0..64).map(|_| priced("acme", None)).collect()).await;
    let at = now(&ground).await;
    let attempts: Vec<OpenAttempt> = (0..)
        .zip(&held)
        .map(|(n, held)| attempt_at(at, &held.stored.record, 172_800 + n))
        .collect();
    let begins = held.iter().zip(&attempts).enumerate().map(|(n, (held, attempt))| {
        let store = if n % 2 == 0 { &ground.store } else { &other };
        let event = Event::SubmitBegan { attempt: attempt.clone() };
        let policy = &ground.policy;
        async move { store.begin(held, &event, policy, &FREE).await.expect("Redis answers") }
    });
    let begun = futures::future::join_all(begins).await;
    let granted = |begun: &&Begun| matches!(begun, Begun::Granted { .. });
    assert_eq!(begun.iter().filter(granted).count(), 10, "{begun:?}");
    assert_eq!(begun.iter().filter(|begun| **begun == Begun::Lost).count(), 54);
    assert_eq!(seen(&ground, Purse::Pool, at).await, (5_000_000, 5_000_000, 54));
    let tenant = Purse::Tenant("acme".into());
    assert_eq!(seen(&ground, tenant, at).await, (5_000_000, 5_000_000, 0));
    let counts = ground.store.counts().await.expect("Redis answers");
    assert_eq!(counts[&StateWord::Held], 54);
    let loser = begun.iter().position(|begun| *begun == Begun::Lost).expect("most did");
    let cap = cap_of(&ground, &held[loser].claim.id).await;
    assert_eq!((cap.of, cap.span), (CapOf::Pool, CapSpan::Day));
    assert_eq!((cap.max_micros, cap.spent_micros), (5_000_000, 5_000_000));
    assert_eq!(ground.claim_once(SUBMIT, 64, LEASE).await.items.len(), 0, "no ticket is left");
    ground.sound().await;
}

#[tokio::test]
async fn money_is_reserved_at_the_intent_settled_by_the_bill_and_released_by_a_refusal() {
    let ground = Ground::new().await;
    let held = claimed(&ground, (0..3).map(|_| priced("acme", Some("ads"))).collect()).await;
    let batch = || Purse::Batch("acme".into(), "ads".into());
    let (at, mut attempts) = (now(&ground).await, Vec::new());
    for (n, held) in (0..).zip(&held) {
        let attempt = attempt_at(at, &held.stored.record, 172_800 + n);
        assert!(matches!(ground.begin(held, &attempt, &FREE).await, Begun::Granted { .. }));
        attempts.push(attempt);
    }
    assert_eq!(seen(&ground, batch(), at).await, (1_500_000, 1_500_000, 0), "reserved");

    // One is refused: nothing is owed. One is in doubt: it keeps what it reserved.
    let refusal = job::Refusal {
        class: seedance::Class::Content,
        code: "SomethingSaidNo".into(),
        message: "no".into(),
        not_before: None,
        stops_in_row: 0,
    };
    let refused = Event::AttemptRefused { attempt: attempts[0].id.clone(), refusal };
    ground.work(&held[0], &refused).await;
    ground.work(&held[1], &unclear(&attempts[1])).await;
    assert_eq!(seen(&ground, batch(), at).await.0, 1_000_000, "released");

    // One is stored: its bill counts, at the price of the estimate.
    ground.work(&held[2], &accepted(&attempts[2], "cgt-1")).await;
    let poll = ground.claim(Queue::Poll, 1).await.remove(0);
    ground.work(&poll, &succeeded("cgt-1")).await;
    let download = ground.claim(Queue::Download, 1).await.remove(0);
    let estimate = held[2].stored.record.spec.estimate_tokens;
    let mut output = job::StoredOutput::gone(1, Some(estimate / 2));
    output.manifest = "m".into();
    let task = job::TaskId::parse("cgt-1").expect("an id");
    ground.work(&download, &Event::OutputStored { task, output }).await;
    for purse in [batch(), Purse::Tenant("acme".into()), Purse::Pool] {
        let (today, total, _) = seen(&ground, purse, at).await;
        assert_eq!((today, total), (750_000, 750_000), "half the tokens, half the money");
    }
    ground.sound().await;
}

/// A pool, a tenant or a batch that may buy four films of half a unit, and nobody else has a cap.
async fn capped(of: CapOf) -> Ground {
    let mut ground = Ground::new().await;
    match of {
        CapOf::Pool => {
            let caps = BuyCaps { day_max: 2, total_max: 2 };
            ground.store = ground.store.clone().with_budget(caps);
        }
        CapOf::Tenant => {
            let all = Caps { buy_day_max: 2, buy_total_max: 2, ..Caps::default() };
            let caps = TenantCaps { all, own: BTreeMap::new() };
            ground.store = ground.store.clone().with_caps(caps);
        }
        CapOf::Batch => {
            let most = Some(2_000_000);
            let caps = BatchCaps { day_micros: most, total_micros: most };
            let by = By::named("ann");
            ground
                .store
                .set_batch_caps("acme", "ads", caps, &by, "a trial")
                .await
                .expect("answers");
        }
    }
    ground
}

/// The ends of a task that the provider does not bill, and how the job ends then.
fn unpaid(id: &str, nth: usize) -> (Event, StateWord) {
    let payload = || "{}".to_owned();
    let seen = |report| Event::TaskSeen { task: task(id), report };
    match nth {
        0 => (failed(id, "InternalServiceError"), StateWord::Failed),
        1 => (seen(TaskReport::Expired { payload: payload() }), StateWord::Expired),
        _ => (seen(TaskReport::Cancelled { payload: payload() }), StateWord::Cancelled),
    }
}

#[tokio::test]
async fn a_task_that_ends_unpaid_gives_its_money_back_to_every_purse_and_held_jobs_go_on() {
    for of in CapOf::ALL {
        let ground = capped(of).await;
        let purses =
            [Purse::Pool, Purse::Tenant("acme".into()), Purse::Batch("acme".into(), "ads".into())];
        let all = async |at, micros, held| {
            for purse in &purses {
                let held = if purse.kind() == of { held } else { 0 };
                let stands = seen(&ground, purse.clone(), at).await;
                assert_eq!(stands, (micros, micros, held), "{purse:?}, capped: {of:?}");
            }
        };
        let held = claimed(&ground, (0..7).map(|_| priced("acme", Some("ads"))).collect()).await;
        let at = now(&ground).await;
        let begin = async |held: &Held, nonce| {
            let attempt = attempt_at(at, &held.stored.record, nonce);
            (ground.begin(held, &attempt, &FREE).await, attempt)
        };
        for (n, held) in (0..).zip(&held) {
            let (begun, attempt) = begin(held, 172_800 + n).await;
            assert_eq!(matches!(begun, Begun::Granted { .. }), n < 4, "{n}: {begun:?}");
            if n < 4 {
                ground.work(held, &accepted(&attempt, &format!("cgt-{n}"))).await;
            }
        }
        let waiting: Vec<&JobId> = held[4..].iter().map(|held| &held.claim.id).collect();
        for id in &waiting {
            assert_eq!(cap_of(&ground, id).await.of, of);
        }
        all(at, 2_000_000, 3).await;

        // One task goes on; the others were accepted, and ended without being billed.
        let mut polls = ground.claim(Queue::Poll, 4).await;
        polls.sort_by_key(|poll| held.iter().position(|held| held.claim.id == poll.claim.id));
        ground.work(&polls.remove(3), &running("cgt-3")).await;
        for (nth, poll) in polls.iter().enumerate() {
            let (event, word) = unpaid(&format!("cgt-{nth}"), nth);
            let record = ground.work(poll, &event).await.record;
            let charge = record.spec.charge_micros(&record.life);
            assert_eq!((record.life.state.word(), charge), (word, 0));
            all(at, 1_500_000 - 500_000 * nth as u64, 3).await;
        }

        // The money buys those that were held for it, and no more than those.
        for id in waiting {
            ground.report(id, Writer::Outside, &Event::BudgetFreed).await;
        }
        for (n, held) in (0..).zip(&ground.claim(SUBMIT, 3).await) {
            let (begun, _) = begin(held, 172_900 + n).await;
            assert!(matches!(begun, Begun::Granted { .. }), "{begun:?}");
        }
        all(at, 2_000_000, 0).await;
        let late = claimed(&ground, vec![priced("acme", Some("ads"))]).await.remove(0);
        assert_eq!(begin(&late, 172_999).await.0, Begun::Lost);
        all(at, 2_000_000, 1).await;
        ground.sound().await;
    }
}

#[tokio::test]
async fn each_purse_has_its_own_cap_and_the_widest_without_room_is_told() {
    let mut ground = Ground::new().await;
    let all = Caps { buy_total_max: 1, ..Caps::default() };
    let caps = TenantCaps { all, own: BTreeMap::new() };
    ground.store = ground.store.clone().with_caps(caps);
    let by = By::named("ann");
    let none = BatchCaps { day_micros: Some(500_000), total_micros: None };
    ground.store.set_batch_caps("acme", "ads", none, &by, "a trial").await.expect("answers");
    let records = [("acme", Some("ads")), ("acme", Some("ads")), ("acme", None), ("acme", None)];
    let records = records.map(|(tenant, batch)| priced(tenant, batch)).to_vec();
    let ids: Vec<JobId> = records.iter().map(|record| record.id.clone()).collect();
    let at = now(&ground).await;
    let place = |held: &Held| ids.iter().position(|id| *id == held.claim.id).expect("ours");
    let mut claimed = claimed(&ground, records).await;
    claimed.sort_by_key(place);
    for held in claimed {
        let place = place(&held);
        let nonce = 172_800 + u32::try_from(place).expect("few");
        let attempt = attempt_at(at, &held.stored.record, nonce);
        ground.begin(&held, &attempt, &FREE).await;
    }
    let cap = cap_of(&ground, &ids[1]).await;
    assert_eq!((cap.of, cap.span, cap.max_micros), (CapOf::Batch, CapSpan::Day, 500_000));
    let cap = cap_of(&ground, &ids[3]).await;
    assert_eq!((cap.of, cap.span, cap.max_micros), (CapOf::Tenant, CapSpan::Total, 1_000_000));
    let held: Vec<Purse> = ground
        .store
        .purses_that_hold()
        .await
        .expect("answers")
        .into_iter()
        .map(|(purse, _)| purse)
        .collect();
    assert_eq!(held.len(), 2, "{held:?}");

    // The batch's cap is raised: its job comes back, and meets the tenant's.
    let more = BatchCaps { day_micros: Some(0), total_micros: Some(9_000_000) };
    ground.store.set_batch_caps("acme", "ads", more, &by, "it went well").await.expect("answers");
    let audit = ground.store.audit(10).await.expect("answers");
    let line = audit.iter().find(|line| line.alarm == "budget").expect("it is written down");
    assert!(line.reason.as_deref().is_some_and(|why| why.contains("it went well")), "{line:?}");
    ground.report(&ids[1], Writer::Outside, &Event::BudgetFreed).await;
    let held = ground.claim(SUBMIT, 1).await.remove(0);
    assert_eq!(held.claim.id, ids[1]);
    let attempt = attempt_at(at, &held.stored.record, 172_900);
    assert_eq!(ground.begin(&held, &attempt, &FREE).await, Begun::Lost);
    assert_eq!(cap_of(&ground, &ids[1]).await.of, CapOf::Tenant);
    let purse = Purse::Batch("acme".into(), "ads".into());
    ground.store.purse_seen(&purse).await.expect("answers");
    let held: Vec<Purse> = ground
        .store
        .purses_that_hold()
        .await
        .expect("answers")
        .into_iter()
        .map(|(purse, _)| purse)
        .collect();
    assert_eq!(held, [Purse::Tenant("acme".into())], "a purse that holds nothing is not looked at");
    ground.sound().await;
}

#[tokio::test]
async fn a_day_begins_with_nothing_and_a_held_job_may_be_stopped() {
    let mut ground = Ground::new().await;
    ground.store = ground.store.clone().with_budget(BuyCaps { day_max: 1, total_max: 0 });
    let held = claimed(&ground, (0..4).map(|_| priced("acme", None)).collect()).await;
    let today = now(&ground).await;
    let yesterday = today - Duration::from_millis(DAY_MS.unsigned_abs());
    for (n, held) in (0..).zip(&held[..2]) {
        let attempt = attempt_at(yesterday, &held.stored.record, 172_800 + n);
        assert!(matches!(ground.begin(held, &attempt, &FREE).await, Begun::Granted { .. }));
    }
    let third = attempt_at(yesterday, &held[2].stored.record, 172_810);
    assert_eq!(ground.begin(&held[2], &third, &FREE).await, Begun::Lost, "yesterday is spent");
    let fourth = attempt_at(today, &held[3].stored.record, 172_811);
    assert!(matches!(ground.begin(&held[3], &fourth, &FREE).await, Begun::Granted { .. }));
    assert_eq!(seen(&ground, Purse::Pool, yesterday).await, (1_000_000, 1_500_000, 1));
    assert_eq!(seen(&ground, Purse::Pool, today).await, (500_000, 1_500_000, 1));
    let stop = Event::CancelAsked { by: By::named("ann") };
    ground.report(&held[2].claim.id, Writer::Outside, &stop).await;
    assert_eq!(seen(&ground, Purse::Pool, today).await.2, 0);
    assert_eq!(ground.load(&held[2].claim.id).await.record.life.state.word(), StateWord::Cancelled);
    ground.sound().await;
}

#[tokio::test]
async fn days_that_nobody_reads_any_more_go_and_a_lost_sum_is_added_up_anew() {
    let ground = Ground::new().await;
    let held = claimed(&ground, vec![priced("acme", Some("ads"))]).await.remove(0);
    let at = now(&ground).await;
    let today = at.unix_ms().div_euclid(DAY_MS);
    let key = ground.store.keys().bought(&Purse::Pool);
    for day in [today - 400, today - 62, today - 1] {
        ground.redis.command(&["HSET", &key, &day.to_string(), "7"]).expect("Redis answers");
    }
    let attempt = attempt_at(at, &held.stored.record, 172_800);
    assert!(matches!(ground.begin(&held, &attempt, &FREE).await, Begun::Granted { .. }));
    let fields = ground.redis.command(&["HKEYS", &key]).expect("Redis answers");
    let mut fields: Vec<&str> = fields.split_whitespace().collect();
    fields.sort_unstable();
    let days = [today - 1, today].map(|day| day.to_string());
    assert_eq!(fields, [days[0].as_str(), days[1].as_str(), "total"]);

    // As after a loss of data, or for what an older version bought.
    ground.redis.command(&["DEL", &key]).expect("Redis answers");
    let drifts = ground.store.recount().await.expect("Redis answers").drifts;
    assert_eq!(drifts.len(), 2, "of the day and in all: {drifts:?}");
    let mended = ground.store.mend(&drifts, "ann", "a test").await.expect("Redis answers");
    assert_eq!(mended.mended, 2, "{mended:?}");
    assert_eq!(seen(&ground, Purse::Pool, at).await, (500_000, 500_000, 0));
    ground.sound().await;
}
