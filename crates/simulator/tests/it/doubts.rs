//! Every answer to every open question of the contract, as a client sees it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use simulator::{Doubts, Limits, Options};

use crate::bench::{Answer, Bench, MODEL, request, wait_for};

const NONCE: i64 = 100_123;

async fn bench(doubts: &[&str]) -> Bench {
    let mut options = Options { limits: Limits::unlimited(), ..Options::default() };
    for words in doubts {
        options.doubts.apply(words).unwrap();
    }
    Bench::with(options).await
}

/// The one row of the list.
async fn row(bench: &Bench) -> Value {
    bench.list("").await.body["items"][0].clone()
}

#[test]
fn unknown_doubts_and_answers_are_refused() {
    let mut doubts = Doubts::default();
    for words in ["nonce", "nonce=perhaps", "weather=fine", "list_lag_ms=soon"] {
        assert!(doubts.apply(words).is_err(), "{words}");
    }
    assert_eq!(doubts, Doubts::default());
    doubts.apply("list_lag_ms=1500").unwrap();
    assert_eq!(doubts.list_lag_ms, 1_500);
}

#[tokio::test]
async fn they_can_be_changed_while_it_runs() {
    let bench = bench(&["seed=refused"]).await;
    assert_eq!(bench.create(&request(json!({"seed": 1}))).await.status, 400);
    bench.set("doubts", json!({"nonce": "absent"})).await;
    assert_eq!(bench.create(&request(json!({"seed": 1}))).await.status, 200, "all are replaced");
    assert_eq!(bench.control("doubts", json!({"nonce": "hm"})).await.status, 400);
}

#[tokio::test]
async fn the_nonce_is_echoed_or_clamped_or_absent() {
    let answers = [("echoed", json!(NONCE)), ("clamped", json!(172_800)), ("absent", Value::Null)];
    for (answer, shown) in answers {
        let bench = bench(&[&format!("nonce={answer}")]).await;
        let id = bench.make(json!({"execution_expires_after": NONCE})).await;
        assert_eq!(bench.get(&id).await.body["execution_expires_after"], shown, "{answer}");
        assert_eq!(row(&bench).await["execution_expires_after"], shown, "{answer}, list");
    }
}

#[tokio::test]
async fn the_identifier_is_shown_where_the_answer_says() {
    let answers = [
        ("always", [true, true, true, true]),
        ("at_success", [false, false, true, true]),
        ("not_in_list", [true, false, true, false]),
        ("never", [false; 4]),
    ];
    for (answer, shown) in answers {
        let bench = bench(&[&format!("identifier={answer}")]).await;
        let id = bench.make(json!({"safety_identifier": "me"})).await;
        let mut seen = vec![bench.get(&id).await.body, row(&bench).await];
        bench.advance(400).await;
        seen.push(bench.until(&id, "succeeded").await);
        seen.push(row(&bench).await);
        let seen: Vec<bool> = seen.iter().map(|task| task["safety_identifier"] == "me").collect();
        assert_eq!(seen, shown, "{answer}");
    }
}

#[tokio::test]
async fn lists_lag_and_have_an_order() {
    let bench = bench(&["list_lag_ms=3000", "list_order=oldest_first"]).await;
    let began = Instant::now();
    let first = bench.make(json!({})).await;
    let second = bench.make(json!({})).await;
    assert_eq!(bench.get(&first).await.status, 200);
    assert_eq!(bench.list("").await.body["total"], 0);
    let items = wait_for("both in the list", || async {
        let page = bench.list("").await.body;
        (page["total"] == 2).then(|| page["items"].clone())
    })
    .await;
    assert!(began.elapsed() >= Duration::from_millis(2_900), "{:?}", began.elapsed());
    assert_eq!([&items[0]["id"], &items[1]["id"]], [first.as_str(), second.as_str()]);
}

#[tokio::test]
async fn a_list_may_want_a_model() {
    for (answer, status) in [("optional", 200), ("missing_parameter", 400), ("denied", 403)] {
        let bench = bench(&[&format!("list_model={answer}")]).await;
        assert_eq!(bench.list("").await.status, status, "{answer}");
        assert_eq!(bench.list(&format!("filter.model={MODEL}")).await.status, 200, "{answer}");
    }
}

#[tokio::test]
async fn seed_and_service_tier_are_taken_or_refused() {
    for (doubt, field, accepted, refused) in [
        ("seed", json!({"seed": 7}), 200, 400),
        ("service_tier", json!({"service_tier": "default"}), 200, 400),
    ] {
        for (answer, status) in [("accepted", accepted), ("refused", refused)] {
            let bench = bench(&[&format!("{doubt}={answer}")]).await;
            let told = bench.create(&request(field.clone())).await;
            assert_eq!(told.status, status, "{doubt}={answer}: {told:?}");
        }
    }
    let bench = bench(&["service_tier=accepted"]).await;
    assert_eq!(bench.create(&request(json!({"service_tier": "flex"}))).await.status, 400);
}

#[tokio::test]
async fn an_unknown_task_is_answered_404_in_one_of_three_shapes() {
    let unknown = "cgt-20200101000000-zzzzz";
    for (answer, code) in
        [("resource_not_found", "ResourceNotFound"), ("not_found", "NotFound.Task"), ("bare", "")]
    {
        let bench = bench(&[&format!("unknown_task={answer}")]).await;
        for told in [bench.get(unknown).await, bench.delete(unknown).await] {
            assert_eq!((told.status, told.code()), (404, code), "{answer}: {told:?}");
        }
    }
}

#[tokio::test]
async fn deleting_a_cancelled_task_ends_in_one_of_three_ways() {
    for (answer, status) in [("conflict", 409), ("not_found", 404), ("done", 200)] {
        let bench = bench(&[&format!("delete_cancelled={answer}")]).await;
        let id = bench.make(json!({})).await;
        assert_eq!(bench.delete(&id).await.status, 200);
        assert_eq!(bench.delete(&id).await.status, status, "{answer}");
        let left = if answer == "done" { 404 } else { 200 };
        assert_eq!(bench.get(&id).await.status, left, "{answer}");
    }
}

#[tokio::test]
async fn expired_is_a_filter_or_is_refused() {
    for (answer, status) in [("works", 200), ("refused", 400)] {
        let bench = bench(&[&format!("expired_filter={answer}")]).await;
        assert_eq!(bench.list("filter.status=expired").await.status, status, "{answer}");
    }
}

#[tokio::test]
async fn a_429_carries_retry_after_or_nothing() {
    let wait = |told: &Answer| told.headers.get("retry-after").is_some();
    for (answer, carries) in [("nothing", false), ("retry_after", true)] {
        let mut options = Options::default();
        options.doubts.apply(&format!("rate_header={answer}")).unwrap();
        options.limits.apply("queued=0").unwrap();
        let bench = Bench::with(options).await;
        bench.list("").await;
        for told in [bench.list("").await, bench.create(&request(json!({}))).await] {
            assert_eq!((told.status, wait(&told)), (429, carries), "{answer}");
        }
    }
}

#[tokio::test]
async fn last_frames_are_png_or_jpeg() {
    for (answer, magic, kind) in
        [("png", &b"\x89PNG"[..], "image/png"), ("jpeg", &b"\xff\xd8\xff"[..], "image/jpeg")]
    {
        let bench = bench(&[&format!("last_frame={answer}")]).await;
        let task = bench.finished(json!({"return_last_frame": true})).await;
        let url = task["content"]["last_frame_url"].as_str().unwrap();
        let file = bench.http.get(url).send().await.unwrap();
        assert_eq!(file.headers()["content-type"], kind);
        assert!(file.bytes().await.unwrap().starts_with(magic), "{answer}");
    }
}

#[tokio::test]
async fn links_are_signed_once_or_for_each_read() {
    for (answer, lives_again) in [("at_success", false), ("each_read", true)] {
        let bench = bench(&[&format!("links={answer}"), "link_life_s=3600"]).await;
        let task = bench.finished(json!({})).await;
        let first = task["content"]["video_url"].as_str().unwrap().to_owned();
        let status = async |link: &str| bench.http.get(link).send().await.unwrap().status();
        assert!(first.contains("X-Tos-Expires=3600"), "{first}");
        assert_eq!(status(&first).await, 200);
        bench.advance(3_601).await;
        assert_eq!(status(&first).await, 403, "{answer}: an hour is over");
        let again = bench.get(task["id"].as_str().unwrap()).await;
        let again = again.body["content"]["video_url"].as_str().unwrap().to_owned();
        assert_eq!(again != first, lives_again, "{answer}");
        assert_eq!(status(&again).await, if lives_again { 200 } else { 403 }, "{answer}");
    }
}

#[tokio::test]
async fn twelve_or_fifteen_references() {
    let item = |kind: &str, role: &str| json!({"type": kind, "role": role, kind: {"url": "https://a.example/m"}});
    let mut content = vec![item("image_url", "reference_image"); 9];
    content.extend(vec![item("video_url", "reference_video"); 3]);
    content.push(item("audio_url", "reference_audio"));
    for (most, status) in [(12, 400), (15, 200)] {
        let bench = bench(&[&format!("references_max={most}")]).await;
        let told = bench.create(&json!({"model": MODEL, "content": content})).await;
        assert_eq!(told.status, status, "{most}: {told:?}");
    }
}

#[tokio::test]
async fn the_bounds_of_images_are_inside_or_outside() {
    // As much of a bitmap as it takes to know its size: 300 by 750, both at a bound.
    let mut bytes = b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".to_vec();
    bytes.extend([300_u32.to_le_bytes(), 750_u32.to_le_bytes()].concat());
    bytes.extend([0; 28]);
    let data = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes);
    let url = format!("data:image/bmp;base64,{data}");
    let content = json!([{"type": "image_url", "image_url": {"url": url}}]);
    for (answer, status) in [("closed", 200), ("open", 400)] {
        let bench = bench(&[&format!("image_bounds={answer}")]).await;
        let told = bench.create(&json!({"model": MODEL, "content": content})).await;
        assert_eq!(told.status, status, "{answer}: {told:?}");
    }
}

#[tokio::test]
async fn a_reference_video_costs_a_minimum_or_its_length() {
    let video = json!({"type": "video_url", "role": "reference_video",
                       "video_url": {"url": "https://a.example/m.mp4"}});
    let extra = json!({"content": [video], "resolution": "720p", "ratio": "16:9"});
    // 9 s of pictures for 5 s of output, or 5 s and the shortest input there is.
    for (answer, tokens) in [("charged", 194_400), ("not_charged", 152_100)] {
        let bench = bench(&[&format!("video_minimum={answer}")]).await;
        bench.make(extra.clone()).await;
        assert_eq!(bench.events("task_made").await[0]["tokens"], tokens, "{answer}");
    }
}
