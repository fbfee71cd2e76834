//! Caps of tenants: what may wait, fly and cost.

use crate::ground::{
    FREE, Ground, LEASE, SUBMIT, accepted, attempt, connect, record_of, rooms, until,
};
use job::{By, Event, JobId, Priority, Record, StateWord, Timestamp};
use seedance::{Cost, Currency, Day};
use std::collections::BTreeMap;
use store::{Admitted, Begun, Caps, DayUsage, NewJob, Store, TenantCaps, Writer};

fn capped(caps: Caps) -> TenantCaps {
    TenantCaps { all: caps, own: BTreeMap::new() }
}

fn of(tenant: &str) -> Record {
    record_of(tenant, Priority::Normal, None)
}

/// Costs half a unit and was accepted just now.
fn priced(now: Timestamp) -> Record {
    let mut record = of("acme");
    let effective_from = Day::from_unix_s(0);
    record.created_at = now;
    record.spec.estimate_cost =
        Some(Cost { currency: Currency::Usd, micros: 500_000, effective_from });
    record
}

async fn admit(store: &Store, records: Vec<Record>) -> Vec<Admitted> {
    let job = |record| NewJob { record, idempotency: None };
    let jobs: Vec<NewJob> = records.into_iter().map(job).collect();
    let answers = store.admit(&jobs).await.expect("few enough");
    answers.into_iter().map(|answer| answer.expect("Redis answers")).collect()
}

async fn today(store: &Store) -> DayUsage {
    let days = store.usage_days("acme").await.expect("Redis answers");
    days.into_values().next_back().unwrap_or_default()
}

#[tokio::test]
async fn no_more_wait_than_may_from_however_many_sides() {
    let ground = Ground::new().await;
    let caps = capped(Caps { queued_max: 5, ..Caps::default() });
    let one = ground.store.clone().with_caps(caps.clone());
    let other = connect(&ground.redis).await.with_caps(caps);
    let jobs = || (0..10).map(|_| of("acme")).collect::<Vec<_>>();
    let (a, b) = tokio::join!(admit(&one, jobs()), admit(&other, jobs()));
    let all: Vec<Admitted> = a.into_iter().chain(b).collect();
    assert_eq!(all.iter().filter(|a| **a == Admitted::Created).count(), 5, "{all:?}");
    assert_eq!(all.iter().filter(|a| **a == Admitted::Full { waiting: 5 }).count(), 15);
    assert_eq!(admit(&one, vec![of("bob")]).await, [Admitted::Created], "others have their own");
    let counts = one.tenant_counts("acme").await.expect("Redis answers");
    assert_eq!(counts, BTreeMap::from([(StateWord::Queued, 5)]));
    let tenants = one.tenants().await.expect("Redis answers");
    assert_eq!(tenants.keys().collect::<Vec<_>>(), ["acme", "bob"]);
    ground.sound().await;
}

#[tokio::test]
async fn a_day_never_takes_more_than_its_budget_and_an_unpaid_end_gives_back() {
    let ground = Ground::new().await;
    let caps = capped(Caps { spend_day_max: 2, ..Caps::default() });
    let one = ground.store.clone().with_caps(caps.clone());
    let other = connect(&ground.redis).await.with_caps(caps);
    let now = one.now().await.expect("Redis answers");
    let jobs = || (0..6).map(|_| priced(now)).collect::<Vec<_>>();
    let (mine, theirs) = (jobs(), jobs());
    let all: Vec<JobId> = mine.iter().chain(&theirs).map(|record| record.id.clone()).collect();
    let (a, b) = tokio::join!(admit(&one, mine), admit(&other, theirs));
    let answers: Vec<Admitted> = a.into_iter().chain(b).collect();
    assert_eq!(answers.iter().filter(|a| **a == Admitted::Created).count(), 4, "{answers:?}");
    let refused = answers.iter().find(|a| **a != Admitted::Created).expect("some do not fit");
    let Admitted::Spent { micros, resets_at } = refused else { panic!("{refused:?}") };
    assert_eq!(*micros, 2_000_000);
    assert!(*resets_at > now && resets_at.unix_ms() % 86_400_000 == 0);
    assert_eq!(today(&one).await.micros, 2_000_000);

    let made = all.iter().zip(&answers).find(|(_, a)| **a == Admitted::Created);
    let (id, _) = made.expect("four were made");
    let stop = Event::CancelAsked { by: By::named("anna") };
    ground.report(id, Writer::Outside, &stop).await;
    assert_eq!(today(&one).await.micros, 1_500_000, "a cancelled job costs nothing");
    assert_eq!(admit(&one, vec![priced(now)]).await, [Admitted::Created]);
    ground.sound().await;
}

#[tokio::test]
async fn a_tenant_at_its_cap_is_passed_over_and_holds_nobody_up() {
    let mut ground = Ground::new().await;
    let caps = capped(Caps { in_flight_max: 2, ..Caps::default() });
    ground.store = ground.store.clone().with_caps(caps).with_rooms(rooms(&[("main", 100, 0)]));
    for _ in 0..6 {
        ground.admit(of("acme")).await;
    }
    let first = ground.claim_once(SUBMIT, 10, LEASE).await;
    assert_eq!(first.items.len(), 2, "what may fly, although nothing flies yet");
    assert_eq!(first.next_due, None, "the others wait for one to land");
    // Another process claims before these two have begun: it is told so when it begins.
    let second = ground.claim_once(SUBMIT, 10, LEASE).await;
    let mut begun = Vec::new();
    for (n, held) in first.items.iter().chain(&second.items).enumerate() {
        let attempt = attempt(&held.stored.record, 170_000 + u32::try_from(n).expect("few"));
        match ground.begin(held, &attempt, &FREE).await {
            Begun::Granted { .. } => begun.push((held.clone(), attempt)),
            Begun::Capped => drop(ground.store.release(&held.claim, LEASE).await.expect("ours")),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(begun.len(), 2);
    let bobs = ground.admit(of("bob")).await;
    let claimed = ground.claim_once(SUBMIT, 10, LEASE).await;
    let ids: Vec<&JobId> = claimed.items.iter().map(|held| &held.claim.id).collect();
    assert_eq!(ids, [&bobs.id], "a tenant at its cap holds nobody up");

    let (held, attempt) = &begun[0];
    ground.work(held, &accepted(attempt, "cgt-1")).await;
    assert_eq!(ground.claim_once(SUBMIT, 10, LEASE).await.items.len(), 0, "it still flies");
    ground.sound().await;
}

#[tokio::test]
async fn waiting_at_the_cap_earns_no_credit() {
    let mut ground = Ground::new().await;
    let caps = capped(Caps { in_flight_max: 1, ..Caps::default() });
    ground.store = ground.store.clone().with_caps(caps);
    ground.admit(of("acme")).await;
    ground.admit(of("acme")).await;
    let held = ground.claim(SUBMIT, 1).await.remove(0);
    let open = attempt(&held.stored.record, 172_000);
    assert!(matches!(ground.begin(&held, &open, &FREE).await, Begun::Granted { .. }));
    // Its second job waits while others are served: its place in line moves with them.
    for n in 0..3 {
        let tenant = format!("t{n}");
        ground.admit(of(&tenant)).await;
        let held = ground.claim(SUBMIT, 1).await.remove(0);
        assert_eq!(held.stored.record.spec.tenant, tenant);
        let open = attempt(&held.stored.record, 171_000 + n);
        assert!(matches!(ground.begin(&held, &open, &FREE).await, Begun::Granted { .. }));
    }
    ground.sound().await;
}

#[tokio::test]
async fn a_job_that_lands_wakes_what_waits_for_it() {
    let mut ground = Ground::new().await;
    let caps = capped(Caps { in_flight_max: 1, ..Caps::default() });
    ground.store = ground.store.clone().with_caps(caps);
    let first = ground.admit(of("acme")).await;
    let second = ground.admit(of("acme")).await;
    let held = ground.claim(SUBMIT, 1).await.remove(0);
    let open = attempt(&held.stored.record, 172_000);
    assert!(matches!(ground.begin(&held, &open, &FREE).await, Begun::Granted { .. }));
    assert_eq!(held.claim.id, first.id);
    assert_eq!(ground.claim_once(SUBMIT, 5, LEASE).await.items.len(), 0);
    let event = Event::AttemptRefused {
        attempt: open.id.clone(),
        refusal: job::Refusal {
            class: seedance::Class::Content,
            code: "SomethingSaidNo".into(),
            message: "no".into(),
            not_before: None,
            stops_in_row: 0,
        },
    };
    ground.work(&held, &event).await;
    until("the second one is due", async || {
        let claimed = ground.claim_once(SUBMIT, 5, LEASE).await;
        claimed.items.iter().any(|held| held.claim.id == second.id)
    })
    .await;
    ground.sound().await;
}

#[tokio::test]
async fn inline_media_have_their_day_too() {
    let ground = Ground::new().await;
    let caps = capped(Caps { media_bytes_day_max: 100, ..Caps::default() });
    let store = ground.store.clone().with_caps(caps);
    let taken = async |n| store.allot_media("acme", n).await.expect("Redis answers");
    assert_eq!(taken(60).await, store::Media::Taken);
    assert!(matches!(taken(41).await, store::Media::Spent { .. }));
    assert_eq!(taken(40).await, store::Media::Taken);
    assert_eq!(today(&store).await.media_bytes, 100);
    assert_eq!(ground.store.allot_media("acme", 500).await.expect("no cap"), store::Media::Taken);
}

#[tokio::test]
async fn due_jobs_whose_tenant_may_begin_nothing_are_counted() {
    let mut ground = Ground::new().await;
    let caps = capped(Caps { in_flight_max: 1, ..Caps::default() });
    ground.store = ground.store.clone().with_caps(caps);
    let first = ground.admit(of("acme")).await;
    for tenant in ["acme", "acme", "bob"] {
        ground.admit(of(tenant)).await;
    }
    let resting = async |paused: &[&str]| {
        let paused = paused.iter().map(|tenant| (*tenant).to_owned()).collect();
        ground.store.due_at_rest(&paused).await.expect("Redis answers")
    };
    assert_eq!(resting(&[]).await, 0, "nothing flies");
    assert_eq!(resting(&["bob", "nobody"]).await, 1);
    let held = ground.claim(SUBMIT, 1).await.remove(0);
    assert_eq!(held.claim.id, first.id);
    let open = attempt(&held.stored.record, 172_000);
    assert!(matches!(ground.begin(&held, &open, &FREE).await, Begun::Granted { .. }));
    assert_eq!(resting(&[]).await, 2, "the tenant's others wait for it");
    assert_eq!(resting(&["acme", "bob"]).await, 3, "none counts twice");
    ground.sound().await;
}
