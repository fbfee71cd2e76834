//! What jobs come to: failures by code, usage by day, batches, and operations on many of them.

use crate::ground::{self, Ground, SUBMIT, failed, record_of, stored, succeeded};
use job::filter::Filter;
use job::{By, Event, HeldWhy, Priority, State, StateWord, Ticket, Timestamp};
use store::{
    Begun, ListQuery, NewOperation, Opened, OperationVerb, OperationWish, Progress, Scope, Writer,
};

fn wish(verb: OperationVerb, id: &str) -> OperationWish {
    OperationWish {
        id: id.into(),
        verb,
        filter: Filter::all(),
        tenant: None,
        by: "ann".into(),
        reason: "look first".into(),
        limit: None,
    }
}

#[tokio::test]
async fn failures_usage_and_batches_add_up() {
    let ground = Ground::new().await;
    for (n, tenant) in ["a", "a", "b"].into_iter().enumerate() {
        let name = format!("cgt-{n}");
        let batch = (tenant == "a").then_some("x");
        let (record, _) =
            ground.generating(record_of(tenant, Priority::Normal, batch), &name).await;
        let code = if n == 0 { "One:1" } else { "Two" };
        ground.report(&record.id, Writer::Outside, &failed(&name, code)).await;
    }
    let mut good = record_of("a", Priority::Normal, Some("x"));
    // A day on which the price list has a price.
    good.created_at = Timestamp::from_unix_ms(1_795_000_000_000);
    let (good, _) = ground.generating(good, "cgt-9").await;
    ground.report(&good.id, Writer::Outside, &succeeded("cgt-9")).await;
    ground.report(&good.id, Writer::Outside, &stored("cgt-9")).await;

    let store = &ground.store;
    let groups = store.failures(Scope::Pool).await.expect("answers");
    let told: Vec<(&str, u64)> = groups.iter().map(|g| (g.code.as_str(), g.jobs)).collect();
    assert_eq!(told, [("Two", 2), ("One:1", 1)]);
    assert_eq!(groups[0].class.as_deref(), Some("output"));
    assert!(groups[0].first <= groups[0].last && groups[0].sample.is_some());
    assert_eq!(store.failures(Scope::Tenant("b")).await.expect("answers").len(), 1);
    assert_eq!(store.failures(Scope::Batch("a", "x")).await.expect("answers").len(), 2);
    assert_eq!(store.failures(Scope::Batch("a", "y")).await.expect("answers"), []);

    let now = store.now().await.expect("answers");
    let usage = store.spent(now, now, Some("a")).await.expect("answers");
    assert_eq!(usage.len(), 1, "{usage:?}");
    assert_eq!(usage[0].jobs[&StateWord::Succeeded], 1);
    assert_eq!(usage[0].jobs[&StateWord::Failed], 2);
    assert_eq!(usage[0].spent.tokens, 108_900);
    assert!(usage[0].spent.micros["usd"] > 0);
    assert_eq!(store.spent(now, now, None).await.expect("answers").len(), 2);

    let batch = store.batch("a", "x").await.expect("answers").expect("jobs named it");
    assert_eq!((batch.word(), batch.jobs(), batch.finished()), ("completed_with_failures", 3, 3));
    assert_eq!(batch.spent, usage[0].spent);
    assert_eq!((batch.tenant.as_str(), batch.ended.is_some()), ("a", true));
    let listed = store.batches(Some("a"), 0, 10).await.expect("answers");
    assert_eq!(listed, [batch]);
    assert_eq!(store.batches(Some("b"), 0, 10).await.expect("answers"), []);
    assert_eq!(store.batches(None, 0, 10).await.expect("answers").len(), 1);
    assert_eq!(store.tenant_counts("a").await.expect("answers")[&StateWord::Failed], 2);
    ground.sound().await;
}

#[tokio::test]
async fn dismissed_failures_stand_as_they_ended_and_are_counted_apart() {
    let ground = Ground::new().await;
    let mut ids = Vec::new();
    for name in ["cgt-0", "cgt-1"] {
        let record = record_of("a", Priority::Normal, Some("x"));
        let (record, _) = ground.generating(record, name).await;
        ground.report(&record.id, Writer::Outside, &failed(name, "One")).await;
        ids.push(record.id);
    }
    let store = &ground.store;
    let filter = OperationVerb::Dismiss.changeable(Filter::all());
    let found = async || store.list(&ListQuery::of(filter.clone())).await.expect("answers").items;
    assert_eq!(found().await.len(), 2);
    let before = ground.load(&ids[0]).await.record;
    let event = Event::Dismissed { by: By::named("ann"), reason: "a known prompt".into() };
    let told = ground.report(&ids[0], Writer::Outside, &event).await;
    assert!(matches!(told, store::Reported::Written { .. }), "{told:?}");
    let twice = ground.report(&ids[0], Writer::Outside, &event).await;
    assert!(matches!(twice, store::Reported::Ignored { .. }), "{twice:?}");

    let after = ground.load(&ids[0]).await.record;
    assert_eq!((&after.life.state, after.life.dismissed), (&before.life.state, true));
    let line = store.timeline(&ids[0]).await.expect("answers").remove(0);
    assert_eq!(line.what, "dismissed by ann: a known prompt");
    for scope in [Scope::Pool, Scope::Tenant("a"), Scope::Batch("a", "x")] {
        let groups = store.failures(scope).await.expect("answers");
        let told: Vec<_> = groups.iter().map(|g| (g.jobs, g.open, g.dismissed)).collect();
        assert_eq!(told, [(2, 1, 1)], "{scope:?}");
    }
    let left: Vec<_> = found().await.into_iter().map(|stored| stored.record.id).collect();
    assert_eq!(left, [ids[1].clone()]);
    ground.sound().await;
}

#[tokio::test]
async fn batches_of_one_name_are_their_tenants_own() {
    let ground = Ground::new().await;
    let store = &ground.store;
    for (n, tenant) in ["a:1", "b", "b"].into_iter().enumerate() {
        let name = format!("cgt-{n}");
        let record = record_of(tenant, Priority::Normal, Some("x"));
        let (record, _) = ground.generating(record, &name).await;
        ground.report(&record.id, Writer::Outside, &failed(&name, "No")).await;
    }
    let jobs = async |tenant: &str| {
        let batch = store.batch(tenant, "x").await.expect("answers");
        batch.map(|batch| (batch.tenant.clone(), batch.jobs(), batch.finished()))
    };
    assert_eq!(jobs("a:1").await, Some(("a:1".to_owned(), 1, 1)));
    assert_eq!(jobs("b").await, Some(("b".to_owned(), 2, 2)));
    assert_eq!(jobs("c").await, None);
    assert_eq!(store.batch_owners("x").await.expect("answers"), ["a:1", "b"]);
    assert_eq!(store.batches(None, 0, 10).await.expect("answers").len(), 2);
    for (tenant, n) in [("a:1", 1), ("b", 2)] {
        let groups = store.failures(Scope::Batch(tenant, "x")).await.expect("answers");
        assert_eq!(groups[0].jobs, n, "{tenant}");
        let filter = Filter::all().batch("x").tenant(tenant);
        let page = store.list(&ListQuery::of(filter)).await.expect("answers");
        assert_eq!(page.items.len() as u64, n, "{tenant}");
    }
    // Whoever sees every tenant finds the jobs of all batches of the name.
    let of = async |filter: Filter| {
        store.list(&ListQuery::of(filter)).await.expect("answers").items.len()
    };
    assert_eq!(of(Filter::all().batch("x")).await, 3);
    assert_eq!(of(Filter::all().batch("y")).await, 0);
    store.turn_batch("b", "x", wish(OperationVerb::Pause, "op_1")).await.expect("answers");
    let paused = async |tenant: &str| {
        let batch = store.batch(tenant, "x").await.expect("answers").expect("there");
        batch.paused.is_some()
    };
    assert!(paused("b").await && !paused("a:1").await);
    ground.sound().await;
}

#[tokio::test]
async fn a_job_of_a_paused_batch_leaves_the_queue_when_its_turn_comes() {
    let ground = Ground::new().await;
    let job = ground.admit(record_of("a", Priority::Normal, Some("x"))).await;
    let held = ground.claim(SUBMIT, 1).await.remove(0);
    ground.store.turn_batch("a", "x", wish(OperationVerb::Pause, "op_1")).await.expect("answers");
    let batch = ground.store.batch("a", "x").await.expect("answers").expect("there");
    assert_eq!(
        (batch.word(), batch.paused.map(|p| p.reason)),
        ("paused", Some("look first".into()))
    );

    let begun = ground.begin(&held, &ground::attempt(&job, 172_800), &ground::FREE).await;
    assert_eq!(begun, Begun::Lost);
    let record = ground.load(&job.id).await.record;
    assert_eq!(record.life.state, State::Held { why: HeldWhy::Paused { tries: 0 } });
    assert_eq!(ground.claim_once(SUBMIT, 5, ground::LEASE).await.items, []);
    ground.sound().await;

    ground.store.turn_batch("a", "x", wish(OperationVerb::Resume, "op_2")).await.expect("answers");
    let resumed = Event::ResumeAsked { by: By::named("ann") };
    ground.report(&job.id, Writer::Outside, &resumed).await;
    let held = ground.claim(SUBMIT, 1).await.remove(0);
    let begun = ground.begin(&held, &ground::attempt(&job, 172_801), &ground::FREE).await;
    assert!(matches!(begun, Begun::Granted { .. }), "{begun:?}");
    ground.sound().await;
}

#[tokio::test]
async fn an_operation_is_one_by_its_id_and_writes_only_while_it_is_open() {
    let ground = Ground::new().await;
    let store = &ground.store;
    let job = ground.admit(record_of("a", Priority::Normal, None)).await;
    let opened = store.open_operation(wish(OperationVerb::Pause, "op_1")).await.expect("answers");
    let Opened::New(operation) = opened else { panic!("{opened:?}") };
    let NewOperation { filter, .. } = &operation.asked;
    let filter = Filter::parse(filter).expect("a filter");
    let now = store.now().await.expect("answers");
    assert!(filter.fits(&job, now), "{filter}");
    let again = store.open_operation(wish(OperationVerb::Pause, "op_1")).await.expect("answers");
    assert_eq!(again, Opened::Known(operation.clone()));
    let other = store.open_operation(wish(OperationVerb::Cancel, "op_1")).await.expect("answers");
    assert_eq!(other, Opened::Other(operation.clone()));
    assert_eq!(store.next_operation().await.expect("answers"), Some(*operation));

    let cursor = Some("n.1".to_owned());
    let progress = Progress { changed: 1, left: 2, cursor };
    let pause = Event::PauseAsked { by: By::named("ann"), reason: "look first".into() };
    let report = async |id: &job::JobId| {
        store.report_while_open(id, &pause, &ground.policy, "op_1").await.expect("answers")
    };
    let second = ground.admit(record_of("a", Priority::Normal, None)).await;
    for _ in 0..2 {
        report(&second.id).await;
    }
    store.note_operation("op_1", &progress, None).await.expect("answers");
    let standing = store.operation("op_1").await.expect("answers").expect("there");
    assert_eq!(standing.progress, progress);
    store.close_operation("op_1", now, None).await.expect("answers");
    assert!(matches!(report(&job.id).await, store::Reported::Ignored { .. }));
    assert_eq!(ground.load(&job.id).await.record.life.state.word(), StateWord::Queued);
    assert_eq!(store.next_operation().await.expect("answers"), None);
    assert_eq!(store.operations(10).await.expect("answers").len(), 1);
    let audit = store.audit(1).await.expect("answers");
    assert_eq!((audit[0].alarm.as_str(), audit[0].by.as_deref()), ("operation", Some("ann")));
    ground.sound().await;
}

#[test]
fn a_resumed_job_stands_where_it_stood() {
    let policy = ground::policy(job::DoubtPolicy::Strict);
    let mut record = ground::record();
    record.life.state = State::Held { why: HeldWhy::Paused { tries: 2 } };
    let event = Event::ResumeAsked { by: By::named("ann") };
    let later = Timestamp::from_unix_ms(record.created_at.unix_ms() + 5_000);
    let verdict = job::transition(&record, &event, later, &policy).expect("no contradiction");
    let job::Verdict::Write { life, ticket, .. } = verdict else { panic!("{verdict:?}") };
    assert_eq!(life.state, State::Queued { tries: 2 });
    assert_eq!(ticket, Ticket::Due(job::Step::Submit, record.created_at));
}
