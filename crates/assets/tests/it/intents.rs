//! The second fence on every backend: one winner a number, the last one found, nothing skipped.

use crate::beds::Bed;
use assets::{FenceSettings, IntentError, Intents, Raised, Settings, Walked};
use futures::StreamExt;
use job::{
    AttemptId, Facts, Fingerprint, Intent, JobId, OpenAttempt, Record, Source, Spec, State,
    Timestamp,
};
use seedance::Route;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use ulid::Ulid;

const LONG_AGO: Timestamp = Timestamp::from_unix_s(0);
const POOL: &str = "main";

macro_rules! suite {
    ($($test:ident),* $(,)?) => {
        mod memory { $(#[tokio::test] async fn $test() { super::$test(super::Bed::memory().await).await; })* }
        mod file { $(#[tokio::test] async fn $test() { super::$test(super::Bed::file().await).await; })* }
        mod remote { $(#[tokio::test] async fn $test() { super::$test(super::Bed::remote().await).await; })* }
    };
}

suite![
    of_sixty_four_raises_of_one_number_one_is_first,
    raising_the_same_intent_twice_is_raising_it_once,
    the_last_intent_of_a_request_is_found,
    requests_tenants_and_pools_keep_apart,
    a_walk_meets_the_last_intent_of_every_request,
    a_walk_starts_where_it_is_told,
];

/// As patient as may be: sixty-four at once are much for a small server on a busy machine, and what a silent one
/// costs has a test of its own.
fn fence(settings: &Settings) -> Intents {
    let patient = FenceSettings { timeout: Duration::from_secs(30), ..FenceSettings::default() };
    Intents::open(&patient, settings).unwrap().expect("switched on")
}

fn record(prompt: &str) -> Record {
    let body = serde_json::json!({
        "model": "seedance-2.0",
        "content": [{"type": "text", "text": prompt}],
    });
    let rules = seedance::Rules::default();
    let request = seedance::validate(Route::Byteplus, &body, &rules).unwrap().request;
    let fingerprint = Fingerprint::of(Route::Byteplus, &request, None, 1);
    let spec =
        Spec { estimate_tokens: 1, ..Spec::plain("acme", POOL, Source::Api, fingerprint, request) };
    let created_at = Timestamp::from_unix_s(1_790_000_000);
    Record::begin(JobId::from_ulid(Ulid::generate()), spec, State::Queued { tries: 0 }, created_at)
}

fn intent(record: &Record, number: u32) -> Intent {
    let begun_at = record.created_at;
    let attempt = OpenAttempt {
        id: AttemptId::from_ulid(Ulid::generate()),
        number,
        nonce_s: 172_000,
        begun_at,
        send_by: begun_at + Duration::from_secs(20),
        renderer: 1,
        body_sha256: "00".repeat(32),
        safety_identifier: None,
        intent: Some(number),
        facts: Facts {
            route: Route::Byteplus,
            create_url: "https://example.test/tasks".into(),
            retrieve_url: "https://example.test/tasks".into(),
            model_id: record.spec.request.model_id.clone(),
            account: "a".into(),
            class: record.spec.request.slot_class(),
            price_version: "2026-10-01".into(),
        },
    };
    Intent::of(record, &attempt, number)
}

async fn walk(fence: &Intents, pool: &str, since: Timestamp) -> (Vec<Intent>, Vec<Walked>) {
    let (mut intents, mut others) = (Vec::new(), Vec::new());
    let mut walk = fence.walk(pool, since);
    while let Some(step) = walk.next().await {
        match step {
            Walked::Intent(intent) => intents.push(*intent),
            other => others.push(other),
        }
    }
    intents.sort_by(|a, b| a.attempt.id.cmp(&b.attempt.id));
    (intents, others)
}

async fn of_sixty_four_raises_of_one_number_one_is_first(bed: Bed) {
    let fence = fence(&bed.settings);
    let record = record("a race");
    let raises = (0..64).map(|_| {
        let (fence, intent) = (fence.clone(), intent(&record, 1));
        tokio::spawn(async move { (fence.raise(&intent).await.unwrap(), intent) })
    });
    let (mut winners, mut losers) = (Vec::new(), Vec::new());
    for raised in futures::future::join_all(raises).await {
        match raised.unwrap() {
            (Raised::Mine, intent) => winners.push(intent),
            (Raised::Taken(other), _) => losers.push(*other),
        }
    }
    assert_eq!((winners.len(), losers.len()), (1, 63));
    assert!(losers.iter().all(|met| *met == winners[0]), "all met the winner, whole");
    let last = fence.look(&record.spec).await.unwrap();
    assert_eq!(last, Some((1, winners.remove(0))));
}

async fn raising_the_same_intent_twice_is_raising_it_once(bed: Bed) {
    let fence = fence(&bed.settings);
    let mine = intent(&record("twice"), 1);
    for _ in 0..2 {
        assert_eq!(fence.raise(&mine).await.unwrap(), Raised::Mine);
    }
    let (intents, others) = walk(&fence, POOL, LONG_AGO).await;
    assert_eq!(intents, [mine]);
    assert!(others.is_empty(), "{others:?}");
}

async fn the_last_intent_of_a_request_is_found(bed: Bed) {
    let fence = fence(&bed.settings);
    let record = record("again and again");
    assert_eq!(fence.look(&record.spec).await.unwrap(), None);
    for number in 1..=12 {
        let next = intent(&record, number);
        assert_eq!(fence.raise(&next).await.unwrap(), Raised::Mine);
        assert_eq!(fence.look(&record.spec).await.unwrap(), Some((number, next)));
    }
}

async fn requests_tenants_and_pools_keep_apart(bed: Bed) {
    let fence = fence(&bed.settings);
    let one = record("one");
    assert_eq!(fence.raise(&intent(&one, 1)).await.unwrap(), Raised::Mine);
    let mut others = [record("another"), one.clone(), one];
    others[1].spec.tenant = "acme2".into();
    others[2].spec.pool = "main2".into();
    for other in &others {
        assert_eq!(fence.look(&other.spec).await.unwrap(), None);
        assert_eq!(fence.raise(&intent(other, 1)).await.unwrap(), Raised::Mine);
    }
    let mut climbing = others[0].clone();
    climbing.spec.tenant = "..".into();
    let refused = fence.raise(&intent(&climbing, 1)).await;
    assert!(matches!(refused, Err(IntentError::Unusable(_))), "{refused:?}");
}

async fn a_walk_meets_the_last_intent_of_every_request(bed: Bed) {
    let fence = fence(&bed.settings);
    let mut raised = Vec::new();
    for n in 0..24 {
        let record = record(&format!("number {n}"));
        let sends = 1 + n % 3;
        for number in 1..=sends {
            let intent = intent(&record, number);
            fence.raise(&intent).await.unwrap();
            raised.extend((number == sends).then_some(intent));
        }
    }
    let mut elsewhere = record("elsewhere");
    elsewhere.spec.pool = "main2".into();
    fence.raise(&intent(&elsewhere, 1)).await.unwrap();
    raised.sort_by(|a, b| a.attempt.id.cmp(&b.attempt.id));
    let (intents, others) = walk(&fence, POOL, LONG_AGO).await;
    assert_eq!(intents, raised);
    assert!(others.is_empty(), "{others:?}");
}

async fn a_walk_starts_where_it_is_told(bed: Bed) {
    let fence = fence(&bed.settings);
    fence.raise(&intent(&record("early"), 1)).await.unwrap();
    let late = Timestamp::from_unix_s(4_000_000_000);
    assert!(walk(&fence, POOL, late).await.0.is_empty());
    assert_eq!(walk(&fence, POOL, LONG_AGO).await.0.len(), 1);
}

#[test]
fn a_fence_that_is_off_is_none() {
    let off = FenceSettings { enabled: false, ..FenceSettings::default() };
    assert!(Intents::open(&off, &Settings::default()).unwrap().is_none());
}

#[test]
fn a_fence_of_its_own_names_its_own_key() {
    let own = FenceSettings { url: "ftp://host/x".into(), ..FenceSettings::default() };
    let error = Intents::open(&own, &Settings::default()).unwrap_err().to_string();
    assert!(error.contains("fence.url"), "{error}");
}

#[tokio::test]
async fn a_fence_may_lie_beside_the_bucket() {
    let bed = Bed::memory().await;
    let folder = tempfile::TempDir::new().unwrap();
    let url = format!("file://{}", folder.path().display());
    let own = FenceSettings { url, ..FenceSettings::default() };
    let fence = Intents::open(&own, &bed.settings).unwrap().unwrap();
    fence.check().await.unwrap();
    let record = record("beside");
    fence.raise(&intent(&record, 1)).await.unwrap();
    let file = format!("intents/main/acme/{}/00000001", record.spec.fingerprint.as_str());
    assert!(folder.path().join(file).is_file());
}

#[tokio::test]
async fn an_intent_nobody_can_read_is_told_and_not_skipped() {
    let bed = Bed::file().await;
    let fence = fence(&bed.settings);
    let (whole, torn, newer) = (record("whole"), record("torn"), record("newer"));
    for record in [&whole, &torn, &newer] {
        fence.raise(&intent(record, 1)).await.unwrap();
    }
    let file = |record: &Record| {
        let name = format!("intents/main/acme/{}/00000001", record.spec.fingerprint.as_str());
        bed.files.clone().unwrap().join(name)
    };
    std::fs::write(file(&torn), "{\"schema\":1,\"numb").unwrap();
    std::fs::write(file(&newer), "{\"schema\":99}").unwrap();
    let (intents, others) = walk(&fence, POOL, LONG_AGO).await;
    assert_eq!(intents.len(), 1);
    let unreadable = |step: &Walked| matches!(step, Walked::Unreadable { .. });
    assert_eq!(others.iter().filter(|step| unreadable(step)).count(), 2, "{others:?}");
    for record in [&torn, &newer] {
        let refused = fence.look(&record.spec).await;
        assert!(matches!(refused, Err(IntentError::Unreadable { .. })), "{refused:?}");
        let refused = fence.raise(&intent(record, 1)).await;
        assert!(matches!(refused, Err(IntentError::Unreadable { .. })), "{refused:?}");
    }
}

#[tokio::test]
async fn a_lost_reply_to_a_raise_is_looked_for_and_not_sent_again() {
    let bed = Bed::s3().await;
    let watch = &bed.server.as_ref().unwrap().watch;
    let fence = fence(&bed.settings);
    let mine = intent(&record("lost reply"), 1);
    watch.lose_create_replies.store(1, SeqCst);
    assert_eq!(fence.raise(&mine).await.unwrap(), Raised::Mine);
    assert_eq!(watch.creates_seen.load(SeqCst), 1, "one write, no hidden retry");
}

#[tokio::test]
async fn a_bucket_that_may_not_be_written_is_no_fence() {
    let bed = Bed::s3().await;
    bed.server.as_ref().unwrap().watch.read_only.store(1, SeqCst);
    let refused = fence(&bed.settings).raise(&intent(&record("forbidden"), 1)).await;
    assert!(matches!(refused, Err(IntentError::Unusable(_))), "{refused:?}");
}

#[tokio::test]
async fn a_silent_bucket_costs_the_time_out_and_no_more() {
    let bed = Bed::s3().await;
    // Takes connections and never answers.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut settings = bed.settings.clone();
    settings.s3.endpoint = Some(format!("http://{}", silent.local_addr().unwrap()));
    let bound = Duration::from_millis(400);
    let own = FenceSettings { timeout: bound, ..FenceSettings::default() };
    let fence = Intents::open(&own, &settings).unwrap().unwrap();
    let record = record("silence");
    let began = std::time::Instant::now();
    let looked = fence.look(&record.spec).await;
    assert!(matches!(looked, Err(IntentError::Away(_))), "{looked:?}");
    let raised = fence.raise(&intent(&record, 1)).await;
    assert!(matches!(raised, Err(IntentError::Away(_))), "{raised:?}");
    assert!(began.elapsed() < bound * 8, "{:?}", began.elapsed());
}
