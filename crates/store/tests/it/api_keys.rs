//! API keys: made once, two of them during a rotation, ended for good.

use crate::ground::until;
use access::{ApiKey, KeySpec, Mode, Scope, Secret};
use job::Timestamp;
use sandbox::{Options, Redis};
use std::time::Duration;
use store::{EndWhy, FleetStore, Minted, Revoked, Settings};

const HOUR: Duration = Duration::from_secs(3_600);
/// Longer than a busy machine keeps a test from looking at both keys.
const OVERLAP: Duration = Duration::from_secs(4);

async fn fleet(redis: &Redis) -> FleetStore {
    let settings = Settings { url: redis.url(), ..Settings::default() };
    FleetStore::connect(&settings).await.expect("the private Redis takes connections")
}

fn key(tenant: &str, rotated_from: Option<&ApiKey>) -> ApiKey {
    let secret = Secret::draw(Mode::Live);
    let spec = KeySpec {
        name: "ci".into(),
        tenant: tenant.into(),
        mode: Mode::Live,
        scopes: vec![Scope::JobsRead],
        sources: Vec::new(),
        created_by: "ops".into(),
    };
    let rotated_from = rotated_from.map(|old| old.id.clone());
    ApiKey { id: secret.id().clone(), sha256: secret.sha256(), spec, rotated_from }
}

#[tokio::test]
async fn a_key_is_made_once_and_listed_with_its_last_use() {
    let redis = Redis::start(Options::default()).expect("a private Redis");
    let fleet = fleet(&redis).await;
    let (first, second) = (key("acme", None), key("bob", None));
    for _ in 0..2 {
        assert!(matches!(fleet.mint(&first, None, HOUR).await, Ok(Minted::Done { .. })));
    }
    fleet.mint(&second, None, HOUR).await.expect("Redis answers");
    let used = Timestamp::from_unix_ms(1_790_000_000_000);
    fleet.note_use(&first.id, used).await.expect("Redis answers");
    let known = fleet.api_keys().await.expect("Redis answers");
    assert_eq!(known.len(), 2);
    let found = known.iter().find(|known| known.key.id == first.id).expect("listed");
    assert_eq!((found.used_at, found.end), (Some(used), None));
    assert!(found.is_live() && found.created_at.is_some() && found.key.sha256.is(&first.sha256));
    assert!(fleet.api_key(&key("acme", None).id).await.expect("Redis answers").is_none());
    for name in [fleet.keys().api_key(first.id.as_str()), fleet.keys().ix_api_keys()] {
        assert!(fleet.keys().documented(&name).is_some(), "{name}");
    }
}

#[tokio::test]
async fn two_keys_live_during_a_rotation_and_the_older_one_ends_by_itself() {
    let redis = Redis::start(Options::default()).expect("a private Redis");
    let fleet = fleet(&redis).await;
    let old = key("acme", None);
    fleet.mint(&old, None, HOUR).await.expect("Redis answers");
    let new = key("acme", Some(&old));
    let Ok(Minted::Done { at, old_ends: Some(ends) }) = fleet.mint(&new, None, OVERLAP).await
    else {
        panic!("a rotation");
    };
    assert_eq!(ends, at + OVERLAP);
    let live = async |key: &ApiKey| {
        fleet.api_key(&key.id).await.expect("Redis answers").expect("known").is_live()
    };
    assert!(live(&old).await && live(&new).await);
    // Nobody lengthens a life by rotating twice, and no third key comes of it.
    let third = key("acme", Some(&old));
    assert_eq!(fleet.mint(&third, None, HOUR).await.expect("answers"), Minted::Ended);
    assert_eq!(
        fleet.mint(&key("a", Some(&third)), None, HOUR).await.expect("answers"),
        Minted::Gone
    );
    until("the older key has ended", async || !live(&old).await).await;
    let ended = fleet.api_key(&old.id).await.expect("answers").expect("still remembered");
    assert_eq!(ended.end.map(|end| end.1), Some(EndWhy::Rotated));
    assert!(live(&new).await);
}

#[tokio::test]
async fn an_end_only_comes_nearer() {
    let redis = Redis::start(Options::default()).expect("a private Redis");
    let fleet = fleet(&redis).await;
    let ends = fleet.now().await.expect("Redis answers") + HOUR;
    let key_ = key("acme", None);
    fleet.mint(&key_, Some(ends), HOUR).await.expect("Redis answers");
    let known = fleet.api_key(&key_.id).await.expect("answers").expect("known");
    assert_eq!(known.end, Some((ends, EndWhy::Expires)));
    let new = key("acme", Some(&key_));
    let rotated = fleet.mint(&new, None, 2 * HOUR).await.expect("Redis answers");
    assert!(
        matches!(rotated, Minted::Done { old_ends: Some(at), .. } if at == ends),
        "{rotated:?}"
    );
    assert_eq!(fleet.revoke(&key_.id).await.expect("answers"), Revoked::Now);
    assert_eq!(fleet.revoke(&key_.id).await.expect("answers"), Revoked::Before);
    assert_eq!(fleet.revoke(&key("a", None).id).await.expect("answers"), Revoked::Gone);
    let known = fleet.api_key(&key_.id).await.expect("answers").expect("known");
    assert!(!known.is_live());
    assert_eq!(known.end.map(|end| end.1), Some(EndWhy::Revoked));
}

#[tokio::test]
async fn requests_of_a_tenant_are_counted_once_for_everybody() {
    let redis = Redis::start(Options::default()).expect("a private Redis");
    let (one, other) = (fleet(&redis).await, fleet(&redis).await);
    let mut passed = 0;
    for turn in 0..30 {
        let fleet = if turn % 2 == 0 { &one } else { &other };
        let rated = fleet.request("acme", 10).await.expect("Redis answers");
        passed += u32::from(rated.passes);
        assert!(rated.wait <= store::RATE_WINDOW && !rated.wait.is_zero());
    }
    // A new minute may begin meanwhile, which adds what has left the window: none within seconds.
    assert!((10..=11).contains(&passed), "{passed}");
    assert!(one.request("bob", 10).await.expect("Redis answers").passes);
}
