//! Whole processes: killed, signalled, started before their Redis, started on a Redis not to be trusted.

use std::sync::Arc;
use std::time::Duration;

use job::StateWord;
use sandbox::{Options, Redis};
use worker::{Fleet, Role, StartError};

use crate::child;
use crate::house::{BOUND, House, until};

async fn http(url: String) -> (u16, String) {
    match reqwest::get(url).await {
        Ok(answer) => {
            let status = answer.status().as_u16();
            (status, answer.text().await.unwrap_or_default())
        }
        Err(error) => (0, error.to_string()),
    }
}

/// Where a child's admin listener listens, from its log.
fn admin(child: &sandbox::Process) -> String {
    let line = child.wait_for_line("admin listener", BOUND).expect("it tells its address");
    let at = line.find("127.0.0.1:").expect("an address");
    let address: String =
        line[at..].chars().take_while(|c| c.is_ascii_digit() || matches!(c, '.' | ':')).collect();
    format!("http://{address}")
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_workers_lose_nothing_and_repeat_no_transition() {
    const JOBS: usize = 2_000;
    let house = House::new().await.with("poll.concurrency", "32");
    let house = house.with("poll.lease", "1s").with("poll.renew", "300ms");
    let ids = house.watched(JOBS).await;
    let mut workers = [child::spawn(&house, &[]), child::spawn(&house, &[])];
    for kill in 1..=4 {
        house.until_count(StateWord::Cancelled, kill * JOBS / 6).await;
        let victim = &mut workers[kill % 2];
        victim.kill9();
        *victim = child::spawn(&house, &[]);
    }
    house.until_count(StateWord::Cancelled, JOBS).await;
    for worker in &workers {
        let status = worker.stop().expect("it ends");
        assert!(status.success(), "{status}: {}", worker.log_tail(20));
    }
    house.assert_each_cancelled_once(&ids).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_the_process_at_once() {
    let house = House::new().await.with("poll.lease", "1s").with("poll.renew", "300ms");
    house.watched(1).await;
    let child = child::spawn(&house, &[("WORKER_TEST_STUCK", "1")]);
    until("a claim", async || house.depth(store::Queue::Poll).await.leased == 1).await;
    let base = admin(&child);
    assert_eq!(http(format!("{base}/readyz")).await.0, 200);
    child.signal("TERM").expect("a signal");
    until("not ready", async || http(format!("{base}/readyz")).await == (503, "draining\n".into()))
        .await;
    assert_eq!(http(format!("{base}/livez")).await, (200, "alive\n".into()));
    child.signal("TERM").expect("a signal");
    let status = child.wait_bounded(BOUND).expect("it ends");
    assert_eq!(status.code(), Some(143), "{}", child.log_tail(20));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_waits_for_a_redis_that_is_not_there_yet() {
    let house = House::new().await;
    let ids = house.watched(3).await;
    let redis = Arc::clone(&house.redis);
    let stopping = Arc::clone(&redis);
    tokio::task::spawn_blocking(move || stopping.stop()).await.expect("no panic");

    let child = child::spawn(&house, &[]);
    let base = admin(&child);
    child.wait_for_line("no Redis yet", BOUND).expect("it says so");
    assert_eq!(http(format!("{base}/livez")).await.0, 200, "an outage restarts nobody");
    let (status, why) = http(format!("{base}/readyz")).await;
    assert_eq!((status, why.as_str()), (503, "starting: connecting to Redis\n"));

    tokio::task::spawn_blocking(move || redis.restart().expect("it starts"))
        .await
        .expect("no panic");
    until("ready", async || http(format!("{base}/readyz")).await.0 == 200).await;
    house.until_count(StateWord::Cancelled, 3).await;
    let (status, metrics) = http(format!("{base}/metrics")).await;
    assert_eq!(status, 200);
    assert!(metrics.contains("seedfleet_worker_info{"), "{metrics}");
    assert!(child.stop().expect("it ends").success());
    house.assert_each_cancelled_once(&ids).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_refuses_a_redis_that_evicts() {
    let options = Options { maxmemory_policy: "allkeys-lru".into(), ..Options::default() };
    let redis = Redis::start(options).expect("a server");
    let house = House::new().await.with("redis.url", &redis.url());
    let role = Role { name: "poller", grace: Duration::from_secs(1) };
    let Err(refused) = Fleet::start(role, house.loaded()).await else { panic!("it started") };
    assert!(matches!(refused, StartError::Unsafe(_)), "{refused}");
    assert_eq!(refused.exit_code(), 9);
    let told = refused.to_string();
    assert!(
        told.contains("eviction") && told.contains("CONFIG SET maxmemory-policy noeviction"),
        "{told}"
    );

    let house = house.with("redis.allow_unsafe", "[\"eviction\"]");
    Fleet::start(role, house.loaded()).await.map(drop).expect("allowed by name");
}

/// With mutants built in it does not know this one, and without them it takes none.
#[tokio::test(flavor = "multi_thread")]
async fn a_mutant_that_cannot_be_is_refused() {
    let house = House::new().await;
    let child = child::spawn(&house, &[(job::mutant::ENV, "no_lunch")]);
    assert!(!child.wait_bounded(BOUND).expect("it refuses").success());
    assert!(child.log().contains(job::mutant::ENV), "{}", child.log_tail(20));
}

/// One transition is under way when the process dies; the next one finishes it.
#[cfg(feature = "fault-points")]
#[tokio::test(flavor = "multi_thread")]
async fn a_fault_point_kills_where_it_says() {
    use std::os::unix::process::ExitStatusExt;
    let house = House::new().await.with("poll.lease", "1s").with("poll.renew", "300ms");
    let ids = house.watched(20).await;
    let child = child::spawn(&house, &[(worker::fault::KILL_ENV, "worker.before-commit:5")]);
    let status = child.wait_bounded(BOUND).expect("it dies");
    assert_eq!(status.signal(), Some(9), "{}", child.log_tail(20));
    let child = child::spawn(&house, &[]);
    house.until_count(StateWord::Cancelled, 20).await;
    assert!(child.stop().expect("it ends").success());
    house.assert_each_cancelled_once(&ids).await;

    let child = child::spawn(&house, &[(worker::fault::KILL_ENV, "worker.lunch:1")]);
    assert!(!child.wait_bounded(BOUND).expect("it refuses").success());
    assert!(child.log().contains("no fault point `worker.lunch`"), "{}", child.log_tail(20));
}
