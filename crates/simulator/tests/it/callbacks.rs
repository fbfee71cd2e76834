//! Callbacks, seen from the receiver.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};
use simulator::{Limits, Options};
use tokio::net::TcpListener;

use crate::bench::{Bench, wait_for};

/// What arrived, in order, and what is answered.
#[derive(Clone, Default)]
struct Receiver {
    seen: Arc<Mutex<Vec<(String, Value)>>>,
    refusals: Arc<Mutex<u32>>,
    /// Of everything that is not refused.
    status: Arc<Mutex<StatusCode>>,
}

impl Receiver {
    /// Serves until the test ends; the base address.
    async fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(receive).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        format!("http://{address}")
    }

    fn statuses(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        seen.iter().map(|(_, body)| body["status"].as_str().unwrap().to_owned()).collect()
    }

    async fn until(&self, count: usize) -> Vec<(String, Value)> {
        wait_for("callbacks", async || {
            let seen = self.seen.lock().unwrap();
            (seen.len() >= count).then(|| seen.clone())
        })
        .await
    }
}

async fn receive(
    State(receiver): State<Receiver>,
    uri: axum::http::Uri,
    body: String,
) -> StatusCode {
    let body = serde_json::from_str(&body).unwrap();
    receiver.seen.lock().unwrap().push((uri.path().to_owned(), body));
    let mut refusals = receiver.refusals.lock().unwrap();
    if *refusals > 0 {
        *refusals -= 1;
        return StatusCode::INTERNAL_SERVER_ERROR;
    }
    *receiver.status.lock().unwrap()
}

async fn bench(retry_ms: u64) -> (Bench, Receiver, String) {
    bench_within(retry_ms, 20_000).await
}

/// The same with a patience that a receiver can wear out.
async fn bench_within(retry_ms: u64, timeout_ms: u64) -> (Bench, Receiver, String) {
    let options = Options {
        limits: Limits::unlimited(),
        callback_retry_ms: retry_ms,
        callback_timeout_ms: timeout_ms,
        ..Options::default()
    };
    let receiver = Receiver::default();
    let base = receiver.start().await;
    (Bench::with(options).await, receiver, format!("{base}/cb/v1/token-1"))
}

#[tokio::test]
async fn each_status_is_told_with_the_retrieve_answer() {
    let (bench, receiver, url) = bench(1).await;
    let id = bench.make(json!({"callback_url": url})).await;
    receiver.until(1).await;
    bench.advance(10).await;
    receiver.until(2).await;
    bench.advance(400).await;
    let seen = receiver.until(3).await;
    assert_eq!(receiver.statuses(), ["queued", "running", "succeeded"]);
    assert!(seen.iter().all(|(path, body)| path == "/cb/v1/token-1" && body["id"] == json!(id)));
    assert_eq!(seen[2].1, bench.get(&id).await.body);
}

#[tokio::test]
async fn cancelled_is_not_told() {
    let (bench, receiver, url) = bench(1).await;
    let id = bench.make(json!({"callback_url": url})).await;
    receiver.until(1).await;
    bench.delete(&id).await;
    let second = bench.make(json!({"callback_url": url})).await;
    let seen = receiver.until(2).await;
    assert_eq!(seen[1].1["id"], json!(second));
    assert_eq!(receiver.statuses(), ["queued", "queued"]);
}

#[tokio::test]
async fn the_first_callback_comes_before_the_reply_or_after_it() {
    for answer in ["before_reply", "after_reply"] {
        let (bench, receiver, url) = bench(1).await;
        bench.set("doubts", json!({"callback_order": answer})).await;
        bench.make(json!({"callback_url": url})).await;
        if answer == "before_reply" {
            assert_eq!(receiver.statuses().len(), 1);
            continue;
        }
        receiver.until(1).await;
        let told = wait_for("the delivery to be noted", async || {
            bench.events("callback").await.into_iter().next()
        })
        .await;
        let replied = bench.events("create_answered").await.remove(0);
        assert!(replied["line"].as_u64() < told["line"].as_u64(), "{replied} {told}");
    }
}

#[tokio::test]
async fn cancelled_may_be_told_and_a_201_may_acknowledge_nothing() {
    let (bench, receiver, url) = bench(1).await;
    let answers = json!({"callback_cancelled": "sent", "callback_retries": 1,
                         "callback_acknowledged": "only200"});
    bench.set("doubts", answers).await;
    let id = bench.make(json!({"callback_url": url})).await;
    receiver.until(1).await;
    bench.delete(&id).await;
    receiver.until(2).await;
    assert_eq!(receiver.statuses(), ["queued", "cancelled"]);
    *receiver.status.lock().unwrap() = StatusCode::CREATED;
    bench.finished(json!({"callback_url": url})).await;
    let told = || receiver.statuses().iter().filter(|status| *status == "succeeded").count();
    wait_for("both deliveries", async || (told() == 2).then_some(())).await;
}

#[tokio::test]
async fn success_is_told_up_to_four_times_until_acknowledged() {
    for (refusals, deliveries) in [(0, 1), (2, 3), (9, 4)] {
        let (bench, receiver, url) = bench(1).await;
        let id = bench.make(json!({"callback_url": url})).await;
        receiver.until(1).await;
        bench.advance(10).await;
        receiver.until(2).await;
        *receiver.refusals.lock().unwrap() = refusals;
        bench.advance(400).await;
        receiver.until(2 + deliveries).await;
        wait_for("the last delivery to be noted", async || {
            let noted = bench.events("callback").await;
            (noted.len() == 2 + deliveries).then_some(())
        })
        .await;
        let told = bench.events("callback").await;
        let last = told.last().unwrap();
        assert_eq!(last["task"], json!(id));
        let is_settled = last["http_status"] == 200 || last["retries_left"] == 0;
        assert!(is_settled, "{last}");
        assert_eq!(receiver.statuses().len(), 2 + deliveries, "refused {refusals} times");
    }
}

#[tokio::test]
async fn running_is_told_once_even_if_refused() {
    let (bench, receiver, url) = bench(1).await;
    *receiver.refusals.lock().unwrap() = 2;
    bench.make(json!({"callback_url": url})).await;
    receiver.until(1).await;
    bench.advance(10).await;
    receiver.until(2).await;
    bench.advance(400).await;
    receiver.until(3).await;
    assert_eq!(receiver.statuses(), ["queued", "running", "succeeded"]);
}

#[tokio::test]
async fn a_receiver_that_never_answers_is_given_up() {
    let (bench, _, _) = bench_within(1, 500).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/cb", silent.local_addr().unwrap());
    bench.make(json!({"callback_url": url})).await;
    let failed = wait_for("the delivery to time out", async || {
        bench.events("callback").await.into_iter().next()
    })
    .await;
    assert_eq!(failed["http_status"], Value::Null);
    assert_eq!(failed["error"], "timed out");
}

#[tokio::test]
async fn callbacks_can_be_doubled_lost_and_forged() {
    let (bench, receiver, url) = bench(1).await;
    bench
        .set(
            "faults",
            json!({"callback": [
                {"kind": "duplicate", "count": 3, "match": {"status": "queued"}},
                {"kind": "lose", "match": {"status": "running"}},
                {"kind": "forge", "match": {"status": "succeeded"}},
            ]}),
        )
        .await;
    let id = bench.make(json!({"callback_url": url})).await;
    receiver.until(4).await;
    bench.advance(400).await;
    let seen = receiver.until(6).await;
    let statuses = receiver.statuses();
    assert_eq!(statuses.iter().filter(|status| *status == "queued").count(), 4);
    assert!(!statuses.contains(&"running".into()));
    let links: Vec<String> = seen
        .iter()
        .filter(|(_, body)| body["status"] == "succeeded")
        .map(|(_, body)| body["content"]["video_url"].to_string())
        .collect();
    assert!(links.iter().any(|link| link.contains("forged.invalid")), "{links:?}");
    assert!(links.iter().any(|link| link.contains("X-Tos-Signature")), "{links:?}");
    assert!(seen.iter().all(|(_, body)| body["id"] == json!(id)));
}

#[tokio::test]
async fn a_forged_path_or_task_differs_from_the_real_one() {
    for (kind, differs) in [("forge_path", "path"), ("forge_foreign", "id")] {
        let (bench, receiver, url) = bench(1).await;
        bench.set("faults", json!({"callback": [{"kind": kind, "times": 1}]})).await;
        let id = bench.make(json!({"callback_url": url})).await;
        let seen = receiver.until(2).await;
        let is_odd = |(path, body): &&(String, Value)| match differs {
            "path" => path != "/cb/v1/token-1",
            _ => body["id"] != json!(id),
        };
        assert_eq!(seen.iter().filter(is_odd).count(), 1, "{kind}");
    }
}

#[tokio::test]
async fn a_delayed_callback_arrives_after_later_news() {
    let (bench, receiver, url) = bench(1).await;
    bench
        .set(
            "faults",
            json!({"callback": [
                {"kind": "delay", "ms": 3_600_000, "match": {"status": "queued"}},
            ]}),
        )
        .await;
    bench.make(json!({"callback_url": url})).await;
    bench.advance(400).await;
    receiver.until(2).await;
    bench.advance(3_600).await;
    receiver.until(3).await;
    assert_eq!(receiver.statuses().last().unwrap(), "queued");
}

#[tokio::test]
async fn a_callback_can_come_before_the_create_reply() {
    let (bench, receiver, url) = bench(1).await;
    bench.set("faults", json!({"create": [{"kind": "callback_before_reply", "ms": 5_000}]})).await;
    let id = bench.make(json!({"callback_url": url})).await;
    let seen = receiver.seen.lock().unwrap().clone();
    assert_eq!(seen.len(), 1, "the receiver knew before the caller did");
    assert_eq!(seen[0].1["id"], json!(id));
}
