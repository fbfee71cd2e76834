//! Permits against a real Redis, from several holders at once.

use job::{AccountSettings, LimitSettings, PoolSettings};
use limiter::{Limiter, Settings};
use sandbox::{Options, Redis};
use seedance::{Call, Route, Tier};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use store::Store;

const SECOND: Duration = Duration::from_secs(1);

fn pool(retrieve_qps: u32) -> PoolSettings {
    let account = AccountSettings {
        api_key_file: "unused".into(),
        tier: Tier::Individual,
        limits: LimitSettings { retrieve_qps: Some(retrieve_qps), ..LimitSettings::default() },
    };
    PoolSettings {
        route: Route::Byteplus,
        base_url: None,
        simulated: true,
        policy: None,
        output_origins: Vec::new(),
        accounts: BTreeMap::from([("a".to_owned(), account)]),
    }
}

async fn limiter(redis: &Redis, pool: &PoolSettings) -> Limiter {
    let settings = store::Settings { url: redis.url(), ..store::Settings::default() };
    let store = Store::connect(&settings, "main").await.expect("a private Redis answers");
    Limiter::new(store, pool, &Settings::default())
}

/// Calls in the fullest window of one second.
fn fullest(mut at: Vec<Instant>) -> usize {
    at.sort();
    at.iter()
        .enumerate()
        .map(|(i, start)| at[i..].iter().take_while(|t| **t < *start + SECOND).count())
        .max()
        .unwrap_or(0)
}

// covers: M28
#[tokio::test(flavor = "multi_thread")]
async fn several_holders_together_never_pass_the_limit() {
    let redis = Redis::start(Options::default()).expect("a private Redis starts");
    let (limit, calls) = (20_u32, 50_usize);
    let pool = pool(limit);
    let mut holders = Vec::new();
    for _ in 0..4 {
        let limiter = limiter(&redis, &pool).await;
        for _ in 0..2 {
            let limiter = limiter.clone();
            holders.push(tokio::spawn(async move {
                let mut at = Vec::new();
                for _ in 0..calls / 8 + 1 {
                    let permit = limiter.permit("a", Call::Retrieve).await.expect("configured");
                    at.push(Instant::now());
                    drop(permit);
                }
                at
            }));
        }
    }
    let mut at = Vec::new();
    for holder in holders {
        at.extend(holder.await.expect("no holder panics"));
    }
    assert!(at.len() >= calls);
    assert!(fullest(at.clone()) <= limit as usize, "{} in one second", fullest(at));
}

#[tokio::test]
async fn an_account_that_is_not_configured_gets_no_permit() {
    let redis = Redis::start(Options::default()).expect("a private Redis starts");
    let limiter = limiter(&redis, &pool(20)).await;
    assert!(limiter.permit("b", Call::Retrieve).await.is_none());
    assert!(limiter.permit("a", Call::Create).await.is_none(), "creates get theirs inside Begin");
}

#[tokio::test]
async fn nobody_gets_a_permit_while_redis_does_not_answer() {
    let redis = Redis::start(Options::default()).expect("a private Redis starts");
    let limiter = limiter(&redis, &pool(1_000)).await;
    assert!(limiter.permit("a", Call::Retrieve).await.is_some());
    redis.kill9();
    let waits = limiter.permit("a", Call::Retrieve);
    assert!(tokio::time::timeout(SECOND, waits).await.is_err(), "a permit without Redis");
    redis.restart().expect("restarted");
    let again = tokio::time::timeout(30 * SECOND, limiter.permit("a", Call::Retrieve)).await;
    assert!(again.expect("permits come back with Redis").is_some());
}
