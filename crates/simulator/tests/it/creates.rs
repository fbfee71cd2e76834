//! Create: every request of the fixtures, authentication, ids.

use reqwest::Method;
use serde_json::{Value, json};
use simulator::{Limits, Options, Route};

use crate::bench::{Answer, Bench, fixture, request};

async fn check_route(word: &str, route: Route) {
    let options = Options { route, limits: Limits::unlimited(), ..Options::default() };
    let bench = Bench::with(options).await;
    let rows: Vec<Value> =
        fixture("creates").into_iter().filter(|row| row["route"] == word).collect();
    assert!(rows.len() > 60, "only {} rows for {word}", rows.len());
    for row in rows {
        let (name, expect) = (&row["name"], &row["expect"]);
        let answer = bench.create(&row["request"]).await;
        assert_eq!(json!(answer.status), expect["http_status"], "{name}: {answer:?}");
        let request_id = answer.request_id.clone().unwrap();
        if answer.status == 200 {
            assert_eq!(answer.body.as_object().unwrap().len(), 1, "{name}");
            assert!(answer.id().starts_with("cgt-"), "{name}");
            continue;
        }
        let error = &answer.body["error"];
        assert_eq!(error["code"], expect["code"], "{name}: {error}");
        assert_eq!(error["param"], expect["param"], "{name}: {error}");
        assert_eq!(error["type"], expect["type"], "{name}: {error}");
        let message = error["message"].as_str().unwrap();
        let part = expect["message_contains"].as_str().unwrap();
        assert!(message.contains(part), "{name}: {message:?} lacks {part:?}");
        assert!(message.ends_with(&format!(" Request id: {request_id}")), "{name}: {message}");
    }
    let made = bench.stats().await["tasks"]["made"].as_u64().unwrap();
    let legal = fixture("creates")
        .iter()
        .filter(|row| row["route"] == word && row["expect"]["http_status"] == 200)
        .count();
    assert_eq!(made, legal as u64, "a refused request made a task");
}

#[tokio::test]
async fn byteplus_judges_every_request_of_the_fixtures() {
    check_route("byteplus", Route::Byteplus).await;
}

#[tokio::test]
async fn volcengine_judges_every_request_of_the_fixtures() {
    check_route("volcengine", Route::Volcengine).await;
}

#[tokio::test]
async fn parameter_faults_have_the_form_seen_live() {
    let bench = Bench::start().await;
    let answer = bench.create(&request(json!({"duration": 3}))).await;
    let message = answer.body["error"]["message"].as_str().unwrap();
    let head = "The parameter `duration` specified in the request is not valid: ";
    assert!(message.starts_with(head), "{message}");
}

#[tokio::test]
async fn only_the_first_of_several_faults_is_told() {
    let bench = Bench::start().await;
    let body = request(json!({"duration": 3, "ratio": "2:1", "priority": 99}));
    let answer = bench.create(&body).await;
    assert_eq!(answer.body["error"]["param"], "ratio");
    assert_eq!(answer.body["error"].as_object().unwrap().len(), 4);
}

#[tokio::test]
async fn a_body_that_is_no_object_is_refused() {
    let bench = Bench::start().await;
    let request = bench.http.post(bench.tasks_url()).bearer_auth("sim-key").body("[1,");
    let answer = Answer::read(request.send().await.unwrap()).await;
    assert_eq!((answer.status, answer.code()), (400, "InvalidParameter"));
}

#[tokio::test]
async fn calls_without_a_known_key_get_401_in_the_documented_shape() {
    let bench = Bench::start().await;
    for method in [Method::POST, Method::GET] {
        let response = bench.send(method, "", Some(&json!({})), "wrong").await.unwrap();
        let answer = Answer::read(response).await;
        assert_eq!((answer.status, answer.code()), (401, "AuthenticationError"));
        assert_eq!(answer.body["error"]["type"], "Unauthorized");
        assert!(answer.headers.contains_key("x-error-code"));
        assert!(answer.request_id.is_some());
    }
    assert_eq!(bench.stats().await["tasks"]["made"], 0);
}

#[tokio::test]
async fn ids_and_request_ids_have_their_documented_forms() {
    let bench = Bench::start().await;
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..50 {
        let answer = bench.create(&request(json!({}))).await;
        let id = answer.id();
        let parts: Vec<&str> = id.split('-').collect();
        assert_eq!(parts.len(), 3, "{id}");
        assert_eq!((parts[0], parts[1].len(), parts[2].len()), ("cgt", 14, 5), "{id}");
        assert!(parts[2].chars().all(|c| c.is_ascii_digit() || c.is_ascii_lowercase()), "{id}");
        let request_id = answer.request_id.clone().unwrap();
        assert!(request_id.starts_with("02") && request_id.len() >= 15 + 16, "{request_id}");
        let created_at = bench.get(&id).await.body["created_at"].as_i64().unwrap();
        let embedded = utc_plus_8(parts[1]);
        assert!((0..=2).contains(&(created_at - embedded)), "{created_at} against {id}");
        assert!(seen.insert(id));
    }
}

/// Unix seconds of `YYYYMMDDHHMMSS` in UTC+8, computed the long way round.
fn utc_plus_8(text: &str) -> i64 {
    let number = |range: std::ops::Range<usize>| text[range].parse::<i64>().unwrap();
    let (year, month, day) = (number(0..4), number(4..6), number(6..8));
    let leap = |year: i64| (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let days_before: i64 = (1970..year).map(|year| 365 + i64::from(leap(year))).sum();
    let lengths = [31, 28 + i64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let in_year: i64 = lengths[..(month - 1) as usize].iter().sum();
    let days = days_before + in_year + day - 1;
    days * 86_400 + number(8..10) * 3600 + number(10..12) * 60 + number(12..14) - 8 * 3600
}

#[tokio::test]
async fn endpoint_ids_create_tasks_of_their_model() {
    let options = Options {
        endpoints: vec![("ep-20260301-abcde".into(), "2.0-fast".into())],
        limits: Limits::unlimited(),
        ..Options::default()
    };
    let bench = Bench::with(options).await;
    let id = bench.make(json!({"model": "ep-20260301-abcde"})).await;
    assert_eq!(bench.get(&id).await.body["model"], "dreamina-seedance-2-0-fast-260128");
    let answer = bench.create(&request(json!({"model": "ep-unknown"}))).await;
    assert_eq!((answer.status, answer.code()), (404, "InvalidEndpointOrModel.NotFound"));
}
