//! Uploads to batches: while one lasts, nobody is told that the batch is completed.

use crate::ground::{Ground, record_of};
use job::{By, Event, Priority, Timestamp};
use store::{
    BatchEnd, Endpoint, HookEvent, HookSecret, Outgoing, Shared, Sharing, Uploaded, Writer,
};

pub fn endpoint(tenant: &str) -> Endpoint {
    Endpoint {
        id: "whe_1".into(),
        tenant: tenant.into(),
        url: "https://x.example/".into(),
        types: vec!["*".into()],
        description: String::new(),
        secrets: vec![HookSecret { text: "whsec_x".into(), until: None }],
        secret_ref: None,
        created_by: "ann".into(),
        created_at: Timestamp::default(),
    }
}

/// What the notifier would tell of a batch with so many jobs.
fn told(jobs: u64, looked: Vec<Uploaded>) -> Sharing {
    let event = HookEvent {
        id: format!("evt_{jobs}"),
        kind: "batch.completed".into(),
        at: Timestamp::from_unix_ms(1_795_000_000_000),
        job: None,
        batch: Some("x".into()),
        from: None,
        state: Some("completed".into()),
        endpoint: None,
        reason: None,
        seq: jobs,
        replayed: false,
    };
    let out = Outgoing { id: "whe_1".into(), events: Vec::new(), fresh: None };
    let (tenant, batch) = ("t:1".to_owned(), "x".to_owned());
    let end = BatchEnd { tenant, batch, jobs, event, outs: vec![0] };
    Sharing { place: None, outs: vec![out], batches: vec![end], looked, ..Sharing::default() }
}

#[tokio::test]
async fn a_batch_is_told_as_completed_when_its_upload_is_over_and_once() {
    let ground = Ground::new().await;
    let store = &ground.store;
    let keys = store.keys();
    store.put_endpoint(&endpoint("t:1"), 0).await.expect("answers");
    let waiting = || {
        let n = ground.redis.command(&["LLEN", &keys.outbox("whe_1")]).expect("answers");
        n.parse::<u64>().expect("a number")
    };
    let mut upload = store.begin_upload("t:1", "x").await.expect("answers");
    let job = ground.admit(record_of("t:1", Priority::Normal, Some("x"))).await;
    let cancel = Event::CancelAsked { by: By::named("ann") };
    ground.report(&job.id, Writer::Outside, &cancel).await;
    let batch = async || store.batch("t:1", "x").await.expect("answers").expect("there");
    assert_eq!((batch().await.finished(), batch().await.word()), (1, "running"));
    store.keep_upload(&mut upload).await.expect("answers");
    assert_eq!(store.due_uploads().await.expect("answers"), []);
    store.share_out(&told(1, Vec::new())).await.expect("answers");
    assert_eq!(waiting(), 0, "more rows are on their way");

    // A second upload of the same batch keeps it open alone.
    let second = store.begin_upload("t:1", "x").await.expect("answers");
    store.end_upload(&upload).await.expect("answers");
    let due = store.due_uploads().await.expect("answers");
    assert_eq!(due.len(), 1, "{due:?}");
    assert_eq!((due[0].tenant.as_str(), due[0].batch.as_str()), ("t:1", "x"));
    store.share_out(&told(1, due)).await.expect("answers");
    assert_eq!(waiting(), 0);
    assert_eq!(store.due_uploads().await.expect("answers"), [], "it is due when that one is over");

    store.end_upload(&second).await.expect("answers");
    assert_eq!(batch().await.word(), "completed_with_failures");
    let due = store.due_uploads().await.expect("answers");
    let shared = store.share_out(&told(1, due.clone())).await.expect("answers");
    assert_eq!((shared, waiting()), (Shared::Done(Vec::new()), 1));
    assert_eq!(store.due_uploads().await.expect("answers"), []);
    store.share_out(&told(1, due)).await.expect("answers");
    assert_eq!(waiting(), 1, "told once for this number of jobs");
}

#[tokio::test]
async fn an_upload_that_died_keeps_its_batch_open_for_a_while_only() {
    let ground = Ground::new().await;
    let store = &ground.store;
    let keys = store.keys();
    store.put_endpoint(&endpoint("t:1"), 0).await.expect("answers");
    let died = store.begin_upload("t:1", "x").await.expect("answers");
    drop(died);
    // Its lease runs out.
    let key = keys.uploads_to("t:1", "x");
    let member = ground.redis.command(&["ZRANGE", &key, "0", "0"]).expect("answers");
    ground.redis.command(&["ZADD", &key, "1", &member]).expect("answers");
    let batch = store::keys::Keys::batch_member("t:1", "x");
    ground.redis.command(&["ZADD", &keys.uploads(), "1", &batch]).expect("answers");
    let due = store.due_uploads().await.expect("answers");
    assert_eq!(due.len(), 1);
    store.share_out(&told(1, due)).await.expect("answers");
    let waiting = ground.redis.command(&["LLEN", &keys.outbox("whe_1")]).expect("answers");
    assert_eq!(waiting, "1");
    assert_eq!(store.due_uploads().await.expect("answers"), []);
}

#[tokio::test]
async fn where_nobody_wants_to_be_told_nothing_is_kept() {
    let ground = Ground::new().await;
    let upload = ground.store.begin_upload("t:1", "x").await.expect("answers");
    ground.store.end_upload(&upload).await.expect("answers");
    let keys = ground.store.keys();
    for key in [keys.uploads(), keys.uploads_to("t:1", "x")] {
        assert_eq!(ground.redis.command(&["EXISTS", &key]).expect("answers"), "0", "{key}");
    }
}
