//! Rates, slots and queue caps, and the counters that prove them.

use reqwest::Method;
use serde_json::json;
use simulator::{Key, Limits, Options};

use crate::bench::{Answer, Bench, request};

async fn limited(limits: Limits) -> Bench {
    Bench::with(Options { limits, ..Options::default() }).await
}

#[tokio::test]
async fn the_defaults_are_the_real_quotas() {
    let bench = limited(Limits::enterprise()).await;
    let response = bench.http.get(bench.sim.control_url("limits")).send().await.unwrap();
    let plan = Answer::read(response).await.body;
    assert_eq!(
        plan["default"],
        json!({"create_rpm": 600, "create_rpm_4k": 15, "running": 10, "running_4k": 1,
            "queued": 120, "retrieve_qps": 20, "list_qps": 1, "delete_qps": 20, "downloads": 100})
    );
    let individual = Limits::individual();
    assert_eq!((individual.create_rpm, individual.running), (Some(180), Some(3)));
}

#[tokio::test]
async fn creates_are_counted_per_model_and_minute() {
    let limits = Limits { create_rpm: Some(3), create_rpm_4k: Some(1), ..Limits::unlimited() };
    let bench = limited(limits).await;
    for (extra, allowed) in [
        (json!({}), 3),
        (json!({"model": "dreamina-seedance-2-0-fast-260128"}), 3),
        (json!({"resolution": "4k"}), 1),
    ] {
        for _ in 0..allowed {
            assert_eq!(bench.create(&request(extra.clone())).await.status, 200);
        }
        let answer = bench.create(&request(extra.clone())).await;
        assert_eq!(answer.status, 429, "{extra}");
        assert_eq!(answer.code(), "ModelAccountRpmRateLimitExceeded");
        assert_eq!(answer.body["error"]["type"], "TooManyRequests");
    }
    let windows = bench.stats().await["windows"]["create_rpm"].clone();
    assert_eq!(
        windows["main/2.0"],
        json!({"limit": 3, "arrived_max": 4, "came_max": 4, "admitted_max": 3, "over_limit": 1})
    );
    assert_eq!(windows["main/2.0/4k"]["admitted_max"], 1);
}

#[tokio::test]
async fn reads_have_rates_of_their_own_and_windows_slide() {
    let limits = Limits { list_qps: Some(1), retrieve_qps: Some(2), ..Limits::unlimited() };
    let bench = limited(limits).await;
    assert_eq!(bench.list("").await.status, 200);
    // On a busy machine a second may lie between two of them.
    let over = crate::bench::wait_for("two in one second", async || {
        Some(bench.list("").await).filter(|answer| answer.status != 200)
    })
    .await;
    assert_eq!((over.status, over.code()), (429, "AccountRateLimitExceeded"));
    assert_eq!(bench.get("cgt-a").await.status, 404);
    let over = crate::bench::wait_for("three in one second", async || {
        Some(bench.get("cgt-a").await).filter(|answer| answer.status != 404)
    })
    .await;
    assert_eq!(over.status, 429, "a lookup that finds nothing counts too");
    crate::bench::wait_for("the window to slide", async || {
        (bench.list("").await.status == 200).then_some(())
    })
    .await;
    let windows = bench.stats().await["windows"].clone();
    assert_eq!(windows["list_qps"]["main"]["admitted_max"], 1);
    assert_eq!(windows["retrieve_qps"]["main"]["admitted_max"], 2);
    assert!(windows["list_qps"]["main"]["over_limit"].as_u64() >= Some(1));
}

#[tokio::test]
async fn keys_of_one_account_share_its_limits() {
    let options = Options {
        keys: ["a=one", "b=one/other", "c=two"].map(Key::parse).to_vec(),
        limits: Limits { list_qps: Some(1), ..Limits::unlimited() },
        ..Options::default()
    };
    let bench = Bench::with(options).await;
    let list = async |key| bench.send(Method::GET, "", None, key).await.unwrap().status().as_u16();
    // On a busy machine a second may lie between two of them.
    crate::bench::wait_for("a list by each in one second", async || {
        (list("a").await == 200 && list("b").await == 429).then_some(())
    })
    .await;
    assert_eq!(list("c").await, 200);
}

#[tokio::test]
async fn tasks_over_the_running_cap_wait_and_priority_decides() {
    let limits = Limits { running: Some(2), running_4k: Some(1), ..Limits::unlimited() };
    let bench = limited(limits).await;
    bench.set("faults", json!({"task": [{"kind": "stuck"}]})).await;
    let mut made = Vec::new();
    for n in 0..5 {
        made.push(bench.make(json!({"priority": if n == 4 { 9 } else { 0 }})).await);
    }
    let large = bench.make(json!({"resolution": "4k"})).await;
    bench.advance(10).await;
    bench.until(&large, "running").await;
    let running = crate::bench::wait_for("two tasks to run", async || {
        let page = bench.list("filter.status=running").await.body;
        (page["total"] == 3).then_some(page)
    })
    .await;
    assert_eq!(running["total"], 3, "two below 4k and one at 4k");
    let stats = bench.stats().await;
    assert_eq!(stats["running"]["main/2.0"]["max"], 2);
    assert_eq!(stats["running"]["main/2.0/4k"]["max"], 1);
    bench
        .set("limits", json!({"default": {"running": 3, "list_qps": null, "retrieve_qps": null}}))
        .await;
    bench.until(&made[4], "running").await;
    let waiting = bench.list("filter.status=queued").await;
    assert_eq!(waiting.body["total"], 2, "the larger priority went first: {}", waiting.text);
}

#[tokio::test]
async fn slots_are_handed_on_as_tasks_end() {
    let limits = Limits { running: Some(2), ..Limits::unlimited() };
    let bench = limited(limits).await;
    let mut made = Vec::new();
    for _ in 0..6 {
        made.push(bench.make(json!({})).await);
    }
    bench.advance(1_000).await;
    for id in &made {
        bench.until(id, "succeeded").await;
    }
    assert_eq!(bench.stats().await["running"]["main/2.0"]["max"], 2);
    let mut running = 0;
    for line in bench.ledger().await {
        match line["event"].as_str().unwrap() {
            "running" => running += 1,
            "billed" => running -= 1,
            _ => {}
        }
        assert!(running <= 2, "{line}");
    }
}

#[tokio::test]
async fn a_full_queue_refuses_with_quota_exceeded() {
    let bench = limited(Limits { queued: Some(2), ..Limits::unlimited() }).await;
    let first = bench.make(json!({})).await;
    bench.make(json!({"model": "dreamina-seedance-2-0-fast-260128"})).await;
    let answer = bench.create(&request(json!({}))).await;
    assert_eq!((answer.status, answer.code()), (429, "QuotaExceeded"));
    assert!(answer.text.contains("exceeded the quota"), "{}", answer.text);
    assert!(!answer.text.contains("reset at") && !answer.text.contains("free trial"));
    bench.delete(&first).await;
    assert_eq!(bench.create(&request(json!({}))).await.status, 200, "a place became free");
    assert_eq!(bench.stats().await["queued"]["main"], json!({"now": 2, "max": 2}));
}

#[tokio::test]
async fn words_of_the_command_line_set_limits() {
    let mut limits = Limits::enterprise();
    limits.apply("individual").unwrap();
    limits.apply("list_qps=5").unwrap();
    limits.apply("queued=none").unwrap();
    assert_eq!(limits, Limits { list_qps: Some(5), queued: None, ..Limits::individual() });
    for wrong in ["gold", "list_qps=many", "speed=1"] {
        assert!(limits.apply(wrong).unwrap_err().contains(wrong.split('=').next().unwrap()));
    }
}
