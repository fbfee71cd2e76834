//! Two archivers at once, late ones, dead ones.

use crate::ground::{Ground, TENANT, go_on};
use erasure::{ArchiveWalk, Eraser, Moment, Progress, Told};
use job::{By, Event, JobId};
use std::pin::Pin;
use std::time::Duration;
use store::Store;
use tokio::sync::Semaphore;

/// Nothing is waited for: what has ended leaves.
const AT_ONCE: Duration = Duration::ZERO;

/// One archiver stands still at a moment until it is let go. Each test has a process of its own, so these are too.
struct Gate {
    reached: Semaphore,
    open: Semaphore,
}

static NOTED: Gate = Gate::shut();
static WRITTEN: Gate = Gate::shut();

impl Gate {
    const fn shut() -> Self {
        Self { reached: Semaphore::const_new(0), open: Semaphore::const_new(0) }
    }

    async fn pass(&'static self) {
        self.reached.add_permits(1);
        self.open.acquire().await.unwrap().forget();
    }

    async fn reached(&'static self) {
        self.reached.acquire().await.unwrap().forget();
    }
}

type Passing = Pin<Box<dyn Future<Output = ()> + Send>>;

fn still_when_noted(moment: Moment) -> Passing {
    Box::pin(async move {
        if moment == Moment::Noted {
            NOTED.pass().await;
        }
    })
}

fn still_when_written(moment: Moment) -> Passing {
    Box::pin(async move {
        if moment == Moment::Written {
            WRITTEN.pass().await;
        }
    })
}

async fn leave(eraser: &Eraser) -> u64 {
    eraser.archive(AT_ONCE, go_on).await.unwrap()
}

async fn places_open(store: &Store) -> usize {
    let later = store.now().await.unwrap() + Duration::from_secs(1);
    store.left_behind(later).await.unwrap().len()
}

/// Brings a job back and lets it leave again, as another text.
async fn come_and_go(ground: &Ground, eraser: &Eraser, id: &JobId) {
    assert!(ground.store.recall(id).await.unwrap());
    assert_eq!(leave(eraser).await, 1);
}

#[tokio::test]
async fn two_archivers_at_once_are_harmless() {
    let ground = Ground::new().await;
    let (one, other) = (ground.eraser().await, ground.eraser().await);
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(ground.ended(None).await);
    }
    let first = tokio::spawn(async move { one.archive(AT_ONCE, still_when_written).await });
    WRITTEN.reached().await;
    ground.unlock();
    assert_eq!(leave(&other).await, 20);
    WRITTEN.open.add_permits(1);
    assert_eq!(first.await.unwrap().unwrap(), 0, "they had left before");
    for id in &ids {
        assert!(ground.load(id).await.archived);
    }
    assert_eq!(ground.objects("/kept/").len(), 20);
    assert_eq!(places_open(&ground.store).await, 0);
    ground.sound().await;
}

#[tokio::test]
async fn a_late_archiver_neither_replaces_a_younger_text_nor_brings_content_back() {
    let ground = Ground::new().await;
    let (slow, other) = (ground.eraser().await, ground.eraser().await);
    let (moved, erased) = (ground.ended(None).await, ground.ended(None).await);
    let late = tokio::spawn(async move { slow.archive(AT_ONCE, still_when_noted).await });
    NOTED.reached().await;
    ground.unlock();
    assert_eq!(leave(&other).await, 2);
    come_and_go(&ground, &other, &moved).await;
    let by = By::named("alice");
    let erasure = Eraser::draw();
    let wish = erasure::Wish {
        tenant: TENANT.into(),
        subject: erasure::Subject::Job { job: erased.clone() },
        by,
        reason: "asked for".into(),
        cancel: false,
    };
    other.ask(erasure.clone(), wish).await.unwrap();
    let told = other.work(&erasure).await.unwrap().expect("it is written down");
    assert_eq!(told.progress, Progress::Done, "{told:?}");
    assert_eq!(leave(&other).await, 1);
    let young = ground.load(&moved).await;
    assert!(young.archived);

    // Only now does the first one write what it read before all that.
    NOTED.open.add_permits(1);
    assert_eq!(late.await.unwrap().unwrap(), 0);
    let after = ground.load(&moved).await;
    assert_eq!((after.revision, &after.record), (young.revision, &young.record));
    let gone = ground.load(&erased).await;
    assert!(gone.archived && gone.record.spec.erased);
    let kept = ground.objects("/kept/");
    let names = |id: &JobId| kept.iter().filter(|path| path.contains(id.as_str())).count();
    assert_eq!(names(&erased), 0, "{kept:?}");
    assert!(kept.iter().any(|path| path.ends_with(&format!("/{}.json", young.revision))));
    ground.sound().await;
}

#[tokio::test]
async fn what_a_dead_archiver_left_is_put_in_order() {
    let ground = Ground::new().await;
    let eraser = ground.eraser().await;
    let (here, left) = (ground.ended(None).await, ground.ended(None).await);
    // It died with both records written and neither out of Redis.
    let dies = ground.eraser().await;
    let dead = tokio::spawn(async move { dies.archive(AT_ONCE, still_when_written).await });
    WRITTEN.reached().await;
    dead.abort();
    assert!(dead.await.unwrap_err().is_cancelled());
    assert_eq!((ground.objects("/kept/").len(), places_open(&ground.store).await), (2, 2));
    for id in [&here, &left] {
        assert!(!ground.load(id).await.archived, "nothing was lost");
    }
    // One of them changes before the next archiver comes.
    let event = Event::EraseAsked { by: By::named("alice"), erasure: Eraser::draw() };
    let policy = crate::ground::policy();
    ground.store.report(&here, store::Writer::Outside, &event, &policy).await.unwrap();
    ground.unlock();
    long_ago(&ground);
    assert_eq!(leave(&eraser).await, 1);
    assert!(ground.load(&left).await.archived && !ground.load(&here).await.archived);
    let kept = ground.objects("/kept/");
    assert!(kept.len() == 1 && kept[0].contains(left.as_str()), "{kept:?}");
    assert_eq!(places_open(&ground.store).await, 0);
}

/// The places that are written down were so an hour ago.
fn long_ago(ground: &Ground) {
    let key = ground.store.keys().leaving();
    let members = ground.redis.command(&["ZRANGE", &key, "0", "-1"]).unwrap();
    for member in members.lines() {
        ground.redis.command(&["ZINCRBY", &key, "-3600000", member]).unwrap();
    }
}

#[tokio::test]
async fn what_a_record_came_back_from_goes_when_it_is_old() {
    let ground = Ground::new().await;
    let eraser = ground.eraser().await;
    let id = ground.ended(Some("harbour/1")).await;
    assert_eq!(leave(&eraser).await, 1);
    come_and_go(&ground, &eraser, &id).await;
    assert_eq!(ground.objects("/kept/").len(), 2, "until the write is on a disk");
    long_ago(&ground);
    assert_eq!(leave(&eraser).await, 0);
    assert_eq!((ground.objects("/kept/").len(), ground.objects("/batches/").len()), (1, 1));
    assert!(ground.load(&id).await.archived);
    ground.sound().await;
}

#[tokio::test]
async fn a_walk_tells_each_job_once_whatever_leaves_or_comes_back_meanwhile() {
    const BATCH: &str = "harbour/1";
    let ground = Ground::new().await;
    let eraser = ground.eraser().await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(ground.ended(Some(BATCH)).await);
    }
    assert_eq!(leave(&eraser).await, 4);
    // One has two texts; of one with two the bucket alone knows; and one is told before it leaves.
    let [_, moved, unknown, back] = ids.as_slice() else { panic!("{ids:?}") };
    come_and_go(&ground, &eraser, moved).await;
    come_and_go(&ground, &eraser, unknown).await;
    let (tomb, archived) = ground.store.archived(unknown).await.unwrap().expect("it has left");
    assert!(ground.store.lapse(&tomb, &archived).await.unwrap());
    let seen = ground.ended(Some(BATCH)).await;
    assert_eq!(leave(&eraser).await, 1);
    assert!(ground.store.recall(back).await.unwrap());
    let told = || {
        let mut told = Told::default();
        assert!(told.tell(&seen) && !told.tell(&seen));
        told
    };
    let (store, buckets) = ground.opened().await;
    let walks = [
        ArchiveWalk::of_batch(store.clone(), buckets.clone(), TENANT, BATCH, told()).await,
        ArchiveWalk::of_days(store, buckets, None, |_| true, told()).await,
    ];
    for walk in walks {
        let (mut walk, mut found) = (walk.unwrap(), Vec::new());
        while let Some(records) = walk.next().await.unwrap() {
            found.extend(records.into_iter().map(|record| record.id));
        }
        found.sort();
        assert_eq!(found, ids);
    }
}

#[tokio::test]
async fn a_server_that_was_set_back_reads_the_text_that_came_after() {
    let ground = Ground::new().await;
    let eraser = ground.eraser().await;
    let id = ground.ended(None).await;
    assert_eq!(leave(&eraser).await, 1);
    let field = id.as_str().strip_prefix("job_").expect("a job's id");
    let shards = ground.redis.command(&["KEYS", "*:tombs:*"]).unwrap();
    let holds = |key: &&str| ground.redis.command(&["HEXISTS", key, field]).unwrap() == "1";
    let shard = shards.lines().find(holds).expect("its tombstone");
    let copy = ground.redis.command(&["HGET", shard, field]).unwrap();
    come_and_go(&ground, &eraser, &id).await;
    long_ago(&ground);
    assert_eq!(leave(&eraser).await, 0);
    assert_eq!(ground.objects("/kept/").len(), 1, "the first text is gone");
    let before = ground.load(&id).await;
    ground.redis.command(&["HSET", shard, field, &copy]).unwrap();
    let after = ground.load(&id).await;
    assert!(after.archived);
    assert_eq!((after.revision, &after.record), (before.revision, &before.record));
    assert!(ground.store.recall(&id).await.unwrap());
    assert!(!ground.load(&id).await.archived);
    ground.sound().await;
}

#[tokio::test]
async fn a_customers_content_goes_from_wherever_it_is() {
    let ground = Ground::new().await;
    let eraser = ground.eraser().await;
    // One has left, one came back, one only the bucket knows, one is in Redis; and a mark without its record.
    let (away, back, unknown) =
        (ground.ended(None).await, ground.ended(None).await, ground.ended(None).await);
    assert_eq!(leave(&eraser).await, 3);
    assert!(ground.store.recall(&back).await.unwrap());
    let (tomb, archived) = ground.store.archived(&unknown).await.unwrap().expect("it has left");
    assert!(ground.store.lapse(&tomb, &archived).await.unwrap());
    let here = ground.ended(None).await;
    let marks = ground.objects("/users/");
    let folder = ground.dir.path().join(&marks[0]);
    let orphan = folder.with_file_name("2026-11-22.job_01JB2AAAAAAAAAAAAAAAAAAAAA.3");
    std::fs::write(orphan, "{}").unwrap();
    assert_eq!(marks.len(), 3);
    assert!(ground.sightings().len() >= 3);

    let told = ground.erase(&eraser).await;
    assert_eq!((told.progress, told.removed.jobs), (Progress::Done, 4), "{told:?}");
    assert_eq!(ground.sightings(), Vec::<String>::new());
    assert_eq!(ground.objects("/users/"), Vec::<String>::new());
    for id in [&away, &back, &here] {
        assert!(ground.load(id).await.record.spec.erased);
    }
    assert_eq!(leave(&eraser).await, 3, "what was erased need not wait again");
    let bare = ground.objects("/bare/");
    assert!(bare.iter().any(|path| path.contains(unknown.as_str())), "{bare:?}");
    assert_eq!(bare.len(), 4);
    ground.sound().await;
}
