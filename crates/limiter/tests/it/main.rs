//! Permits against a real Redis, from several holders at once.

use job::{AccountSettings, LimitSettings, PoolSettings};
use limiter::{Limiter, NoPermit, Reserved, Settings, UnderWay};
use sandbox::{Options, Redis};
use seedance::{Brake, Call, Route, SlotClass, Tier};
use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};
use store::{CallRow, Store};

const SECOND: Duration = Duration::from_secs(1);
const UNDER_WAY: UnderWay = UnderWay { read: SECOND, create: SECOND };

fn pool(retrieve_qps: u32) -> PoolSettings {
    let account = AccountSettings {
        api_key_file: "unused".into(),
        tier: Tier::Individual,
        limits: LimitSettings {
            retrieve_qps: Some(retrieve_qps),
            list_qps: Some(20),
            ..LimitSettings::default()
        },
    };
    PoolSettings {
        route: Route::Byteplus,
        base_url: None,
        simulated: true,
        policy: None,
        output_origins: Vec::new(),
        buy_day_max: 0,
        buy_total_max: 0,
        accounts: BTreeMap::from([("a".to_owned(), account)]),
    }
}

async fn store(redis: &Redis) -> Store {
    let settings = store::Settings { url: redis.url(), ..store::Settings::default() };
    Store::connect(&settings, "main").await.expect("a private Redis answers")
}

async fn limiter(redis: &Redis, pool: &PoolSettings) -> Limiter {
    Limiter::new(store(redis).await, pool, &Settings::default(), UNDER_WAY)
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
    assert!(limiter.permit("b", Call::Retrieve).await.is_err());
    assert!(limiter.permit("a", Call::Create).await.is_err(), "creates get theirs inside Begin");
}

/// A reservation that lies now, and can be used for `limits.use_within`.
fn reserved(ago: Duration, missed_by: Duration) -> Reserved {
    let asked = Instant::now() - ago;
    let wall_asked = SystemTime::now() - ago;
    let (usable_in, spacing) = (Duration::ZERO, Duration::from_secs(60));
    Reserved { asked, answered: asked, wall_asked, usable_in, missed_by, spacing }
}

// covers: M28
#[tokio::test]
async fn a_create_has_its_slot_and_no_other() {
    let redis = Redis::start(Options::default()).expect("a private Redis starts");
    let limiter = limiter(&redis, &pool(20)).await;
    let (class, ms) = (SlotClass::V20, Duration::from_millis);
    let create = |of: &Reserved| limiter.create("a", class, of);
    // A slot lasts for a tenth of a second, in which a busy machine may not get round to this test.
    let in_time = |class: SlotClass| {
        let tries = std::iter::repeat_with(|| {
            let slot = reserved(ms(0), ms(0));
            limiter.create("a", class, &slot).ok().map(|permit| (slot, permit))
        });
        tries.take(50).flatten().next().expect("its slot has just begun")
    };
    let (slot, permit) = in_time(class);
    let moment = permit.moment().expect("a create has one");
    assert_eq!((moment.opens, moment.closes), (slot.answered, slot.asked + ms(100)));
    assert!(create(&reserved(ms(200), ms(0))).is_err(), "over");
    assert!(create(&reserved(ms(0), ms(500))).is_err(), "over when the lost reply came again");
    assert!(limiter.create("b", class, &slot).is_err(), "not configured");

    // What no slots can have led to is a mistake of ours, and is not sent.
    let sent = (0..20).filter(|_| moment.last_word()()).count();
    assert!((1..=3).contains(&sent), "{sent} of 20 at once, a minute apart by their row");
    let (_, fast) = in_time(SlotClass::V20Fast);
    assert!(fast.moment().expect("a create has one").last_word()());
}

#[tokio::test]
async fn nobody_gets_a_permit_while_redis_does_not_answer() {
    let redis = Redis::start(Options::default()).expect("a private Redis starts");
    let limiter = limiter(&redis, &pool(1_000)).await;
    assert!(limiter.permit("a", Call::Retrieve).await.is_ok());
    redis.kill9();
    let waits = limiter.permit("a", Call::Retrieve);
    assert!(tokio::time::timeout(SECOND, waits).await.is_err(), "a permit without Redis");
    redis.restart().expect("restarted");
    let again = tokio::time::timeout(30 * SECOND, limiter.permit("a", Call::Retrieve)).await;
    assert!(again.expect("permits come back with Redis").is_ok());
}

// covers: M28
#[tokio::test]
async fn a_refusal_heard_by_one_holds_that_call_for_everybody_until_it_ends_by_itself() {
    let redis = Redis::start(Options::default()).expect("a private Redis starts");
    let pool = pool(1_000);
    let (told, other) = (limiter(&redis, &pool).await, limiter(&redis, &pool).await);
    let permit = told.permit("a", Call::Retrieve).await.expect("configured");
    let heard = Instant::now();
    permit.spend().refused("RateLimitExceeded", Some(4 * SECOND)).await;
    for limiter in [&told, &other] {
        let refused = limiter.permit("a", Call::Retrieve).await.unwrap_err();
        let NoPermit::Held { rest, call: Call::Retrieve, .. } = refused else {
            panic!("{refused}");
        };
        // The server tells whole milliseconds.
        let whole = rest + heard.elapsed() + Duration::from_millis(5);
        assert!(rest <= 4 * SECOND && whole >= 4 * SECOND, "{rest:?}");
        assert!(limiter.permit("a", Call::List).await.is_ok(), "that kind of call only");
    }
    let end = tokio::time::timeout(30 * SECOND, async {
        loop {
            match other.permit("a", Call::Retrieve).await {
                Ok(permit) => break permit,
                Err(NoPermit::Held { .. }) => tokio::task::yield_now().await,
                Err(refused) => panic!("{refused}"),
            }
        }
    });
    end.await.expect("it ends by itself").spend().passed();
    // The server tells whole milliseconds.
    assert!(heard.elapsed() + Duration::from_millis(5) >= 4 * SECOND, "{:?}", heard.elapsed());
}

// covers: M28
#[tokio::test]
async fn a_refused_create_slows_its_class_for_everybody_once_for_those_on_their_way_together() {
    let redis = Redis::start(Options::default()).expect("a private Redis starts");
    let pool = pool(20);
    let (one, other) = (limiter(&redis, &pool).await, limiter(&redis, &pool).await);
    let settings = store::Settings { url: redis.url(), ..store::Settings::default() };
    let store = Store::connect(&settings, "main").await.expect("it answers");
    let names = ["a".to_owned()];
    let sent = |limiter: &Limiter| {
        limiter::Permit::new("a".into(), Call::Create).of_class(SlotClass::V20, limiter).spend()
    };
    let away = async |brake: Brake| {
        let rows = store.lowered(&names).await.expect("answers");
        let now = store.now().await.expect("answers");
        rows.iter().map(|row| (row.row, row.away(brake, now))).collect::<Vec<_>>()
    };
    let v20 = CallRow::Create(SlotClass::V20);
    let together = [sent(&one), sent(&other), sent(&one)];
    for spent in &together {
        spent.slowed(Brake::Rate, "RateLimitExceeded").await;
    }
    assert_eq!(away(Brake::Rate).await, [(v20, 300)]);
    // The server tells whole milliseconds.
    tokio::time::timeout(30 * SECOND, async {
        while away(Brake::Rate).await == [(v20, 300)] {
            sent(&other).slowed(Brake::Rate, "RateLimitExceeded").await;
        }
    })
    .await
    .expect("one that left later counts");
    assert_eq!(away(Brake::Rate).await, [(v20, 510)]);
    sent(&one).slowed(Brake::Depth, "QuotaExceeded").await;
    assert_eq!(away(Brake::Depth).await, [(v20, 0)], "nobody is fed ahead here");
    sent(&one.clone().for_creates(2)).slowed(Brake::Depth, "QuotaExceeded").await;
    assert_eq!(away(Brake::Depth).await, [(v20, 1)]);
}

// covers: M28
#[tokio::test]
async fn a_rare_call_keeps_its_place_until_it_is_answered_or_can_arrive_no_more() {
    let redis = Redis::start(Options::default()).expect("a private Redis starts");
    let mut pool = pool(20);
    let account = pool.accounts.values_mut().next().expect("one");
    account.limits.list_qps = Some(1);
    let (one, other) = (limiter(&redis, &pool).await, limiter(&redis, &pool).await);
    let store = store(&redis).await;
    let key = store.keys().pace("a", "list");
    let out = || redis.command(&["HGET", &key, "out"]).expect("answers");
    let until_free = async || {
        let deadline = Instant::now() + 30 * SECOND;
        while !out().is_empty() {
            assert!(Instant::now() < deadline, "{} is out", out());
            tokio::task::yield_now().await;
        }
    };

    // Nobody says how the first ends: its process is gone.
    let silent = one.permit("a", Call::List).await.expect("configured").spend();
    let instant_of = |out: String| {
        let id = out.split(' ').next().and_then(|id| id.parse::<u64>().ok());
        id.unwrap_or_else(|| panic!("{out:?} names no instant"))
    };
    let first_us = instant_of(out());
    let second = other.permit("a", Call::List).await.expect("configured");
    let (second_us, longest) = (instant_of(out()), 2 * SECOND + UNDER_WAY.read);
    let apart = Duration::from_micros(second_us - first_us);
    assert!(apart >= longest, "it may be out still: {apart:?}");
    drop(silent);

    let spent = second.spend();
    spent.answered().await;
    let (id, till) =
        out().split_once(' ').map(|(id, till)| (id.to_owned(), till.to_owned())).unwrap();
    let [instant, till] = [id, till].map(|us| us.parse::<u64>().expect("µs"));
    let now = store.now().await.expect("answers") + Duration::from_millis(1);
    let now_us = u64::try_from(now.unix_ms()).expect("after 1970") * 1_000;
    assert!(till > instant && till <= now_us + 1_000_000, "a window after the answer");

    // One that is waited with too long is not made, and one that is not made has no place.
    // On a busy machine it may have been waited with already.
    let mut third = one.permit("a", Call::List).await.expect("configured");
    for _ in 0..10 {
        if !third.is_over() {
            break;
        }
        third = one.permit("a", Call::List).await.expect("configured");
    }
    assert!(!third.is_over());
    let deadline = Instant::now() + 30 * SECOND;
    while !third.is_over() {
        assert!(Instant::now() < deadline, "its right ends");
        tokio::task::yield_now().await;
    }
    drop(third);
    until_free().await;
    let fourth = other.permit("a", Call::List).await.expect("configured").spend();
    fourth.never_left().await;
    assert_eq!(out(), "");
}
