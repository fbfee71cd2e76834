//! A Redis Cluster hands a slot over key by key. What is read is found wherever it lies by then, and what would change
//! something waits, whole, until everything is in one place.

use crate::ground::{LEASE, SUBMIT, record};
use job::Record;
use sandbox::Options;
use sandbox::redis::Cluster;
use std::time::{Duration, Instant};
use store::{Admitted, ChangeReader, NewJob, Settings, Store, StoreError, Topology};

const JOBS: usize = 12;
/// Nobody fails here: it is long enough for a machine that is busy with others.
const NODE_TIMEOUT: Duration = Duration::from_secs(15);
/// Tickets that are due come in one round or two.
const CLAIMED_MAX: Duration = Duration::from_secs(20);

async fn admit(store: &Store, record: &Record) -> Result<Admitted, StoreError> {
    let job = NewJob { record: record.clone(), idempotency: None };
    store.admit(&[job]).await.expect("few enough").remove(0)
}

fn waits<T>(what: &str, answer: Result<T, StoreError>) {
    match answer.map(drop) {
        Err(StoreError::Refused { cause }) => {
            assert!(cause.contains("is being moved"), "{what}: {cause}");
        }
        other => panic!("{what}: {other:?}"),
    }
}

async fn all_are_read(store: &Store, jobs: &[Record], changes: &mut ChangeReader) {
    for record in jobs {
        let found = store.load(&record.id).await.expect("it answers").expect("it is there");
        assert_eq!(found.record.id, record.id);
    }
    let ids: Vec<_> = jobs.iter().map(|record| record.id.clone()).collect();
    let found = store.load_many(&ids).await.expect("it answers");
    assert!(found.into_iter().all(|found| found.is_ok_and(|found| found.is_some())));
    let nobody = record();
    assert!(store.load(&nobody.id).await.expect("it answers").is_none(), "what nobody has");
    changes.next().await.expect("who waits for news waits at the right node");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_on_its_way_is_read_and_never_half_changed() {
    let cluster = Cluster::start(2, NODE_TIMEOUT, &Options::default());
    let cluster = cluster.unwrap_or_else(|error| panic!("{error}"));
    let hosts = cluster.nodes().iter().take(2).map(|node| format!("127.0.0.1:{}", node.port()));
    let url = format!("redis://{}", hosts.collect::<Vec<_>>().join(","));
    let settings = Settings { url, topology: Topology::Cluster, ..Settings::default() };
    let store = Store::connect(&settings, "main").await.expect("connects");
    let jobs: Vec<Record> = std::iter::repeat_with(record).take(JOBS).collect();
    for job in &jobs {
        assert_eq!(admit(&store, job).await.expect("it answers"), Admitted::Created);
    }
    let held = store.claim(&SUBMIT, 1, LEASE).await.expect("it answers").items.remove(0);
    let claims = [held.claim.clone()];
    let mut changes = ChangeReader::connect(&store, None).await.expect("a connection");
    // It asks again only when the pool has moved and others have worked on it there.
    let late = Store::connect(&settings, "main").await.expect("connects");
    let seen = late.watch().await.expect("it answers").lsn;

    let slot = store.keys().slot();
    let moving = cluster.open(slot).expect("two primaries");
    let (all, _) = moving.keys().expect("they answer");
    for left in [all, all / 2, 0] {
        moving.hand_over(left).expect("they answer");
        all_are_read(&store, &jobs, &mut changes).await;
        // Of this one every key is there, so that Redis would begin it before anything is handed over.
        waits("a renewal", store.renew(&claims, LEASE).await);
        waits("a claim", store.claim(&SUBMIT, 1, LEASE).await);
        waits("a new job", admit(&store, &record()).await);
        let watch = store.watch().await.expect("it answers");
        assert_eq!((watch.lsn, watch.frozen), (seen, None));
        let (here, there) = moving.keys().expect("they answer");
        assert_eq!((here, there), (left, all - left), "nothing is written and nothing is lost");
    }
    moving.close().expect("they answer");

    assert_eq!(store.renew(&claims, LEASE).await.expect("it answers"), [], "the lease is kept");
    let (mut rest, deadline) = (0, Instant::now() + CLAIMED_MAX);
    while rest < JOBS - 1 {
        assert!(Instant::now() < deadline, "{rest} tickets have come along");
        rest += store.claim(&SUBMIT, JOBS, LEASE).await.expect("it answers").items.len();
    }
    assert_eq!(admit(&store, &record()).await.expect("it answers"), Admitted::Created);
    assert_eq!(changes.next().await.expect("it answers").len(), 1);
    all_are_read(&store, &jobs, &mut changes).await;
    let watch = late.watch().await.expect("it answers");
    assert!(watch.lsn > seen && watch.frozen.is_none(), "{watch:?}");
    assert_eq!(admit(&late, &record()).await.expect("it answers"), Admitted::Created);
    let watch = late.watch().await.expect("it answers");
    assert_eq!(watch.frozen, None, "what it was told is of the server that counted it");
    let now = cluster.primary_of(slot).expect("somebody serves it");
    let told = now.command(&["CLUSTER", "COUNTKEYSINSLOT", &slot.to_string()]);
    assert!(told.is_ok_and(|told| told != "0"), "it was moved");
}
