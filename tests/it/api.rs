//! The first door: what platforms may ask, and what they are told.

use e2e::kit::{ALICE, BOB, Fleet, Options, text};
use job::JobId;
use reqwest::Method;
use sandbox::ports;
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn id(body: &Value) -> JobId {
    JobId::parse(body["id"].as_str().unwrap_or_default()).unwrap_or_else(|_| panic!("{body}"))
}

// covers: M23
#[test]
fn sixty_four_equal_requests_at_two_gateways_are_one_job_and_one_create() {
    let fleet = Fleet::start(Options::with_gateway());
    let second = ports::free();
    fleet.start_gateway_as("gateway-2", second);
    let post = |n: usize, prompt: &str, key: Option<&str>| {
        let port = if n.is_multiple_of(2) { fleet.gateway_port() } else { second };
        let request = fleet.ask(port, Method::POST, "/v1/jobs", ALICE);
        let request = request.json(&Value::from(text(prompt)));
        match key {
            Some(key) => request.header("idempotency-key", key),
            None => request,
        }
    };
    let keyed = fleet.send_all((0..64).map(|n| post(n, "keyed", Some("order-7"))).collect());
    let alike = fleet.send_all((0..64).map(|n| post(n, "alike", None)).collect());
    let mut jobs = Vec::new();
    for replies in [&keyed, &alike] {
        let made = replies.iter().filter(|reply| reply.status == 202).count();
        let found = replies.iter().filter(|reply| reply.status == 200).count();
        assert_eq!((made, found), (1, 63), "{replies:#?}");
        let ids: BTreeSet<JobId> = replies.iter().map(|reply| id(&reply.body)).collect();
        assert_eq!(ids.len(), 1, "{ids:?}");
        jobs.extend(ids);
    }
    let reused = fleet.send(post(0, "another body", Some("order-7")));
    assert_eq!(reused.status, 422, "{}", reused.body);
    let another = fleet.send(post(1, "alike", Some("order-8")));
    assert_eq!(id(&another.body), jobs[1], "an equal request gets the existing job");

    for record in fleet.wait_stored(&jobs) {
        assert_eq!(fleet.ledger().creates_of(&record), 1);
    }
    fleet.audit(&jobs);
}

// covers: M2, M25
#[test]
fn a_request_with_several_faults_is_told_all_of_them_and_leaves_no_trace() {
    let fleet = Fleet::start(Options::with_gateway());
    let body = json!({
        "model": "seedance-2.0",
        "content": [
            {"type": "text", "text": "a boat --resolution 1080p"},
            {"type": "audio_url", "audio_url": {"url": "https://m.example.com/a.mp3"},
             "role": "reference_audio"},
        ],
        "duration": 99,
        "callback_url": "https://example.com/mine",
        "execution_expires_after": 7200,
        "useful_until": "yesterday",
        "colour": "blue",
    });
    let reply = fleet.post_job(body);
    assert_eq!(reply.status, 422);
    let errors = reply.body["errors"].as_array().expect("a list of faults");
    let pointers: BTreeSet<&str> = errors.iter().filter_map(|e| e["pointer"].as_str()).collect();
    for pointer in ["/content/0/text", "/duration", "/callback_url", "/useful_until"] {
        assert!(pointers.contains(pointer), "{pointer} is not among {pointers:?}");
    }
    assert!(errors.iter().all(|e| e["fix"].as_str().is_some_and(|fix| !fix.is_empty())));
    assert_eq!((&reply.body["charged"], &reply.body["retryable"]), (&json!(false), &json!(false)));
    for broken in ["{", "[]", "\"text\""] {
        let request = fleet.ask(fleet.gateway_port(), Method::POST, "/v1/jobs", ALICE);
        let reply = fleet.send(request.body(broken));
        assert!(matches!(reply.status, 400 | 422), "{broken}: {}", reply.status);
    }

    let sound = id(&fleet.post_job(text("sound")).body);
    fleet.wait(&sound, "succeeded");
    let counts = fleet.run(fleet.store().counts()).expect("Redis answers");
    assert_eq!(counts.values().sum::<u64>(), 1, "{counts:?}");
    assert_eq!(fleet.ledger().events("create_seen").count(), 1);
    fleet.audit(&[sound]);
}

// covers: M7/cancelled
#[test]
fn a_job_is_its_tenants_own() {
    let options = Options { roles: vec!["gateway"], ..Options::default() };
    let fleet = Fleet::start(options);
    let job = id(&fleet.post_job(text("mine")).body);
    let path = format!("/v1/jobs/{job}");
    assert_eq!(fleet.get(&path, ALICE).body["state"], "queued");
    assert_eq!(fleet.get(&path, BOB).status, 404);
    assert_eq!(fleet.get("/v1/jobs/job_00000000000000000000000000", BOB).status, 404);
    assert_eq!(fleet.get(&path, "").status, 401);
    assert_eq!(fleet.get(&path, "canary-nobody-key-000").status, 401);
    let cancel = |key| {
        fleet.send(fleet.ask(fleet.gateway_port(), Method::POST, &format!("{path}:cancel"), key))
    };
    assert_eq!(cancel(BOB).status, 404);
    assert_eq!(fleet.get(&path, ALICE).body["state"], "queued", "nobody else stops it");
    let stopped = cancel(ALICE);
    assert_eq!((stopped.status, &stopped.body["state"]), (200, &json!("cancelled")));
    assert_eq!(cancel(ALICE).status, 409);
    assert_eq!(fleet.ledger().events("create_seen").count(), 0);
    fleet.audit(&[job]);
}
