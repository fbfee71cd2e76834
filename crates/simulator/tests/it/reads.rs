//! Retrieve, list and delete.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};
use simulator::{Key, Limits, Options};

use crate::bench::{Answer, Bench};

fn ids(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().unwrap();
    items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn unknown_tasks_and_paths_are_not_found() {
    let bench = Bench::start().await;
    for method in [Method::GET, Method::DELETE] {
        let answer = bench.call(method, "/cgt-20200101000000-abcde", None).await;
        assert_eq!((answer.status, answer.code()), (404, "ResourceNotFound"));
        assert_eq!(answer.body["error"]["type"], "NotFound");
    }
    let elsewhere = format!("{}/contents/elsewhere", bench.sim.base_url());
    assert_eq!(bench.http.get(elsewhere).send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn delete_follows_the_matrix() {
    let bench = Bench::start().await;
    let queued = bench.make(json!({})).await;
    let answer = bench.delete(&queued).await;
    assert_eq!((answer.status, answer.text.as_str()), (200, "{}"));
    assert_eq!(bench.get(&queued).await.body["status"], "cancelled");
    assert_eq!(bench.delete(&queued).await.status, 409, "a cancelled task cannot be deleted");
    assert_eq!(bench.get(&queued).await.body["status"], "cancelled");

    bench.set("faults", json!({"task": [{"kind": "stuck"}]})).await;
    let running = bench.make(json!({})).await;
    bench.advance(10).await;
    bench.until(&running, "running").await;
    let answer = bench.delete(&running).await;
    assert_eq!((answer.status, answer.code()), (409, "InvalidAction.RunningTaskDeletion"));
    assert_eq!(answer.body["error"]["type"], "Conflict");
    assert_eq!(bench.get(&running).await.body["status"], "running");

    for (fault, status) in [
        (json!([]), "succeeded"),
        (json!([{"kind": "failed"}]), "failed"),
        (json!([{"kind": "expired"}]), "expired"),
    ] {
        bench.set("faults", json!({"task": fault})).await;
        let id = bench.make(json!({})).await;
        bench.advance(400).await;
        let object = bench.until(&id, status).await;
        assert_eq!(bench.delete(&id).await.status, 200, "{status}");
        assert_eq!(bench.get(&id).await.status, 404, "{status}");
        if let Some(url) = object["content"]["video_url"].as_str() {
            let gone = bench.http.get(url).send().await.unwrap().status();
            assert_eq!(gone, 404, "the file goes with the record");
        }
    }
    assert_eq!(bench.events("deleted").await.len(), 3);
    assert_eq!(bench.events("cancelled").await.len(), 1);
}

#[tokio::test]
async fn pages_are_newest_first_and_tile_the_whole() {
    let bench = Bench::start().await;
    let mut made = Vec::new();
    for n in 0..25 {
        let model = match n % 2 {
            0 => "dreamina-seedance-2-0-260128",
            _ => "dreamina-seedance-2-0-fast-260128",
        };
        made.push(bench.make(json!({"model": model})).await);
    }
    made.reverse();
    let mut seen = Vec::new();
    for page in 1..=4 {
        let answer = bench.list(&format!("page_num={page}&page_size=10")).await;
        assert_eq!(answer.body["total"], 25);
        seen.extend(ids(&answer.body));
    }
    assert_eq!(seen, made);
    assert_eq!(ids(&bench.list("").await.body).len(), 20, "20 is the default page size");
    let fast = bench.list("filter.model=dreamina-seedance-2-0-fast-260128&page_size=500").await;
    assert_eq!(fast.body["total"], 12);
    assert!(ids(&fast.body).iter().all(|id| made.iter().rposition(|m| m == id).is_some()));
    assert_eq!(bench.list("filter.model=nothing").await.body["total"], 0);
    assert_eq!(bench.list("filter.service_tier=flex").await.body["total"], 0);
    assert_eq!(bench.list("filter.service_tier=default").await.body["total"], 25);
}

#[tokio::test]
async fn lists_filter_by_status_and_by_repeated_ids() {
    let bench = Bench::start().await;
    bench
        .set(
            "faults",
            json!({"task": [
                {"kind": "failed", "match": {"text": "bad"}},
                {"kind": "stuck_queued", "match": {"text": "slow"}},
            ]}),
        )
        .await;
    let text = |words: &str| json!({"content": [{"type": "text", "text": words}]});
    let (good, bad) = (bench.make(text("good")).await, bench.make(text("bad")).await);
    let slow = bench.make(text("slow")).await;
    bench.advance(400).await;
    bench.until(&good, "succeeded").await;
    bench.until(&bad, "failed").await;
    for (status, id) in [("succeeded", &good), ("failed", &bad), ("queued", &slow)] {
        let page = bench.list(&format!("filter.status={status}")).await.body;
        assert_eq!((ids(&page), &page["total"]), (vec![id.clone()], &json!(1)), "{status}");
    }
    assert_eq!(bench.list("filter.status=running").await.body["total"], 0);
    let two = bench.list(&format!("filter.task_ids={good}&filter.task_ids={slow}")).await.body;
    assert_eq!(ids(&two), [slow.clone(), good.clone()]);
    let both = format!("filter.task_ids={good}&filter.task_ids={slow}&filter.status=queued");
    assert_eq!(ids(&bench.list(&both).await.body), [slow]);
    let unknown = bench.list("filter.task_ids=cgt-20200101000000-abcde").await.body;
    assert_eq!(unknown, json!({"items": [], "total": 0}));
    let item = bench.list(&format!("filter.task_ids={bad}")).await.body["items"][0].clone();
    assert_eq!(item, bench.get(&bad).await.body, "an item is what retrieve answers");
}

#[tokio::test]
async fn list_queries_are_checked() {
    let bench = Bench::start().await;
    for (query, param) in [
        ("page_num=0", "page_num"),
        ("page_num=501", "page_num"),
        ("page_size=0", "page_size"),
        ("page_size=501", "page_size"),
        ("page_size=many", "page_size"),
        ("filter.status=paused", "filter.status"),
        ("filter.service_tier=gold", "filter.service_tier"),
    ] {
        let answer = bench.list(query).await;
        assert_eq!(
            (answer.status, &answer.body["error"]["param"]),
            (400, &json!(param)),
            "{query}"
        );
    }
}

#[tokio::test]
async fn a_key_sees_its_own_project_only() {
    let options = Options {
        keys: ["a=one", "b=one", "c=one/other", "d=two"].map(Key::parse).to_vec(),
        limits: Limits::unlimited(),
        ..Options::default()
    };
    let bench = Bench::with(options).await;
    let body = crate::bench::request(json!({}));
    let made = bench.send(Method::POST, "", Some(&body), "a").await.unwrap();
    let id = Answer::read(made).await.id();
    let mut seeing = BTreeSet::new();
    for key in ["a", "b", "c", "d"] {
        let list = Answer::read(bench.send(Method::GET, "", None, key).await.unwrap()).await.body;
        let path = format!("/{id}");
        let got = bench.send(Method::GET, &path, None, key).await.unwrap().status() == 200;
        assert_eq!(got, list["total"] == 1, "{key}");
        if got {
            seeing.insert(key);
        }
    }
    assert_eq!(seeing, BTreeSet::from(["a", "b"]));
    let path = format!("/{id}");
    let foreign = bench.send(Method::DELETE, &path, None, "c").await.unwrap();
    assert_eq!(foreign.status(), 404);
}

#[tokio::test]
async fn a_lagging_list_shows_a_task_later() {
    let bench = Bench::start().await;
    let lag = json!({"list": [{"kind": "lag", "ms": 3_600_000, "times": 1}]});
    bench.set("faults", lag).await;
    let id = bench.make(json!({})).await;
    assert_eq!(bench.get(&id).await.status, 200);
    assert_eq!(bench.list("").await.body["total"], 0);
    assert_eq!(bench.list(&format!("filter.task_ids={id}")).await.body["total"], 0);
    bench.advance(3_600).await;
    crate::bench::wait_for("the task to be listed", async || {
        (bench.list("").await.body["total"] == 1).then_some(())
    })
    .await;
}
