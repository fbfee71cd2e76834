//! Task objects: key sets per status, tokens, sizes, and how a run repeats by its seed.

use serde_json::{Value, json};
use simulator::{Limits, Options};

use crate::bench::{Bench, MODEL, fixture, keys, request};

const MODELS: [&str; 3] =
    [MODEL, "dreamina-seedance-2-0-fast-260128", "dreamina-seedance-2-0-mini-260615"];

fn check_keys(object: &Value, with_optional: bool) {
    let status = object["status"].as_str().unwrap();
    let set = fixture("key_sets").into_iter().find(|set| set["status"] == status).unwrap();
    let words = |name: &str| -> Vec<String> {
        set[name].as_array().unwrap().iter().map(|key| key.as_str().unwrap().to_owned()).collect()
    };
    let mut expected = words("required");
    if !object["model"].as_str().unwrap().contains("mini") {
        expected.extend(words("not_mini"));
    }
    if with_optional {
        expected.extend(words("optional"));
    }
    expected.sort();
    assert_eq!(keys(object), expected, "{object}");
    assert!(words("never").iter().all(|key| object.get(key).is_none()), "{object}");
}

/// Everything a task could wrongly echo, and everything it rightly does.
fn loud(model: &str) -> Value {
    json!({
        "model": model, "watermark": true, "return_last_frame": true,
        "callback_url": "http://127.0.0.1:9/cb/secret", "safety_identifier": "u-7f31",
        "tools": [{"type": "web_search"}],
    })
}

#[tokio::test]
async fn every_status_has_exactly_its_keys() {
    let bench = Bench::start().await;
    for model in MODELS {
        for (fault, status) in [
            (json!([]), "succeeded"),
            (json!([{"kind": "failed", "code": "OutputVideoSensitiveContentDetected"}]), "failed"),
            (json!([{"kind": "expired"}]), "expired"),
            (json!([{"kind": "cancelled"}]), "cancelled"),
        ] {
            bench.set("faults", json!({"task": fault})).await;
            let (quiet, loud) =
                (bench.make(json!({"model": model})).await, bench.make(loud(model)).await);
            check_keys(&bench.get(&quiet).await.body, false);
            bench.advance(400).await;
            check_keys(&bench.until(&quiet, status).await, false);
            let object = bench.until(&loud, status).await;
            check_keys(&object, true);
            assert!(!object.to_string().contains("secret"), "{object}");
            assert!(!object.to_string().contains("paper boat"), "{object}");
        }
        bench.set("faults", json!({"task": [{"kind": "stuck"}]})).await;
        let id = bench.make(json!({"model": model})).await;
        bench.advance(10).await;
        check_keys(&bench.until(&id, "running").await, false);
    }
}

#[tokio::test]
async fn the_fixtures_task_objects_have_the_keys_the_simulator_uses() {
    for row in fixture("tasks").iter().filter(|row| row["simulated"] == true) {
        let body = &row["body"];
        let has_optional = body.get("safety_identifier").is_some() || body.get("tools").is_some();
        if !has_optional {
            check_keys(body, false);
        }
    }
}

#[tokio::test]
async fn fields_of_the_request_come_back_only_where_the_contract_says() {
    let bench = Bench::start().await;
    let extra = json!({"execution_expires_after": 131_071, "priority": 7, "seed": 42,
        "generate_audio": false, "duration": 9, "ratio": "9:16", "resolution": "1080p"});
    let id = bench.make(extra).await;
    let queued = bench.get(&id).await.body;
    assert_eq!(queued["execution_expires_after"], 131_071);
    assert_eq!((&queued["priority"], &queued["generate_audio"]), (&json!(7), &json!(false)));
    bench.advance(400).await;
    let done = bench.until(&id, "succeeded").await;
    for (key, value) in [
        ("execution_expires_after", json!(131_071)),
        ("seed", json!(42)),
        ("duration", json!(9)),
        ("ratio", json!("9:16")),
        ("resolution", json!("1080p")),
        ("framespersecond", json!(24)),
        ("service_tier", json!("default")),
    ] {
        assert_eq!(done[key], value, "{key}");
    }
    assert!(done["content"].get("last_frame_url").is_none(), "nobody asked for a last frame");
    assert!(done["updated_at"].as_i64() >= done["created_at"].as_i64());
}

#[tokio::test]
async fn tokens_are_billed_to_the_unit() {
    let bench = Bench::start().await;
    let mut waiting = Vec::new();
    for row in fixture("tokens") {
        let mut extra = json!({"resolution": row["resolution"], "ratio": row["ratio"],
            "duration": row["duration_s"]});
        if row["video_input"] == true {
            let video = json!({"url": "https://media.example.com/a.mp4"});
            extra["content"] =
                json!([{"type": "video_url", "video_url": video, "role": "reference_video"}]);
        }
        waiting.push((bench.make(extra).await, row));
    }
    bench.advance(400).await;
    for (id, row) in waiting {
        let usage = bench.until(&id, "succeeded").await["usage"].clone();
        assert_eq!(usage["completion_tokens"], row["tokens"], "{}", row["name"]);
        assert_eq!(usage["total_tokens"], row["tokens"], "{}", row["name"]);
    }
}

#[tokio::test]
async fn what_the_model_chooses_is_told_at_success() {
    let bench = Bench::start().await;
    let done = bench.finished(json!({"duration": -1})).await;
    assert!((4..=15).contains(&done["duration"].as_i64().unwrap()));
    assert_eq!(done["ratio"], "16:9");
    let row = fixture("creates")
        .into_iter()
        .find(|row| row["name"] == "byteplus-first-frame-inline")
        .unwrap();
    let id = bench.create(&row["request"]).await.id();
    bench.advance(400).await;
    assert_eq!(bench.until(&id, "succeeded").await["ratio"], "1:1", "a square picture came along");
}

#[tokio::test]
async fn the_same_seed_gives_the_same_run() {
    let mut runs = Vec::new();
    for seed in [7, 7, 8] {
        let options = Options { seed, limits: Limits::unlimited(), ..Options::default() };
        let bench = Bench::with(options).await;
        let mut run = Vec::new();
        for _ in 0..5 {
            let done = bench.finished(json!({"duration": -1})).await;
            let tail = done["id"].as_str().unwrap().rsplit('-').next().unwrap().to_owned();
            run.push((done["seed"].clone(), done["duration"].clone(), tail));
        }
        runs.push(run);
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
}

#[tokio::test]
async fn work_takes_its_simulated_time() {
    let options = Options {
        limits: Limits::unlimited(),
        queue_ms: (2_000, 6_000),
        run_ms: (30_000, 300_000),
        clock_scale: 1e-6,
        ..Options::default()
    };
    let bench = Bench::with(options).await;
    let id = bench.make(json!({})).await;
    bench.advance(1).await;
    assert_eq!(bench.get(&id).await.body["status"], "queued");
    bench.advance(6).await;
    bench.until(&id, "running").await;
    bench.advance(22).await;
    assert_eq!(bench.get(&id).await.body["status"], "running", "30 s are not over");
    bench.set("clock", json!({"scale": 1e6})).await;
    bench.until(&id, "succeeded").await;
}

#[tokio::test]
async fn a_task_expires_when_its_own_time_is_over() {
    let bench = Bench::start().await;
    bench.set("faults", json!({"task": [{"kind": "stuck"}]})).await;
    let id = bench.make(json!({"execution_expires_after": 3600})).await;
    bench.advance(3_500).await;
    bench.until(&id, "running").await;
    bench.advance(200).await;
    bench.until(&id, "expired").await;
    assert!(bench.events("billed").await.is_empty());
    assert_eq!(bench.events("expired").await.len(), 1);
}

#[tokio::test]
async fn records_are_kept_for_their_documented_time() {
    let bench = Bench::start().await;
    let done = bench.finished(json!({})).await;
    let id = done["id"].as_str().unwrap();
    let queued = bench.make(json!({})).await;
    bench.delete(&queued).await;
    bench.advance(86_400).await;
    crate::bench::wait_for("the cancelled record to vanish", async || {
        (bench.get(&queued).await.status == 404).then_some(())
    })
    .await;
    assert_eq!(bench.get(id).await.status, 200);
    bench.advance(6 * 86_400).await;
    crate::bench::wait_for("the old record to vanish", async || {
        (bench.get(id).await.status == 404).then_some(())
    })
    .await;
    assert_eq!(bench.list("page_num=1").await.body["total"], 0);
}

#[tokio::test]
async fn nulls_count_as_absent_everywhere() {
    let bench = Bench::start().await;
    let nulls = fixture("creates")
        .into_iter()
        .find(|row| row["name"] == "byteplus-text-nulls")
        .unwrap()["request"]
        .clone();
    let id = bench.create(&nulls).await.id();
    bench.advance(400).await;
    let with_nulls = bench.until(&id, "succeeded").await;
    let without = bench.finished(request(json!({}))).await;
    assert_eq!(keys(&with_nulls), keys(&without));
    assert_eq!(with_nulls["usage"], without["usage"]);
}
