//! The form of every answer: named, and honest about what is wrong with a request.

use e2e::kit::{ALICE, Fleet, Options, Reply, text};
use reqwest::Method;
use serde_json::{Value, json};

fn gateway() -> Fleet {
    Fleet::start(Options { roles: vec!["gateway"], ..Options::default() })
}

/// A failure in the one form there is.
fn is_problem(reply: &Reply, status: u16, code: &str) {
    let told = (reply.status, reply.body["code"].as_str().unwrap_or_default());
    assert_eq!(told, (status, code), "{}", reply.body);
    assert_eq!(reply.header("content-type"), "application/problem+json");
    assert_eq!(reply.body["status"], status);
    assert_eq!(reply.body["request_id"], reply.header("x-request-id"), "{}", reply.body);
    assert_eq!(reply.body["charged"], json!(false));
    assert_eq!(reply.body["retryable"] == json!(true), !reply.header("retry-after").is_empty());
}

#[test]
fn every_answer_is_named_and_every_failure_is_a_problem() {
    let fleet = gateway();
    let ask = |method: Method, path: &str| {
        fleet.send(fleet.ask(fleet.gateway_port(), method, path, ALICE))
    };
    let document = ask(Method::GET, "/openapi.json");
    assert_eq!((document.status, &document.body["info"]["title"]), (200, &json!("seedfleet")));
    assert!(document.header("x-request-id").starts_with("req_"));
    is_problem(&ask(Method::GET, "/v1/nothing"), 404, "no-such-route");
    is_problem(&ask(Method::GET, "/v1/jobs/job_x/@cancel"), 404, "no-such-route");
    is_problem(&ask(Method::GET, "/v1/jobs/job_x"), 404, "not-found");
    is_problem(&ask(Method::POST, "/v1/jobs/job_x:cancel"), 404, "not-found");
    is_problem(&ask(Method::POST, "/v1/jobs/job_x%3Acancel"), 404, "not-found");
    is_problem(&ask(Method::GET, "/v1/jobs/%ff"), 400, "bad-path");
    is_problem(
        &ask(Method::GET, &format!("/v1/jobs/{}", "x".repeat(9_000))),
        414,
        "address-too-long",
    );
    let cancel = ask(Method::GET, "/v1/jobs/job_x:cancel");
    is_problem(&cancel, 405, "method-not-allowed");
    assert_eq!(cancel.header("allow"), "POST");
    for method in [Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS, Method::TRACE] {
        let reply = ask(method, "/openapi.json");
        is_problem(&reply, 405, "method-not-allowed");
        assert_eq!(reply.header("allow"), "GET,HEAD");
    }
    is_problem(&fleet.get("/v1/jobs/job_x", ""), 401, "unauthorized");
    let headers = fleet.ask(fleet.gateway_port(), Method::GET, "/v1/jobs/job_x", ALICE);
    let long = headers.header("x-long", "x".repeat(20_000));
    is_problem(&fleet.send(long), 431, "headers-too-large");
}

#[test]
fn an_unknown_parameter_is_told_the_nearest_known_one() {
    let fleet = gateway();
    let post = |query: &str| {
        let path = format!("/v1/jobs{query}");
        let request = fleet.ask(fleet.gateway_port(), Method::POST, &path, ALICE);
        fleet.send(request.json(&Value::from(text("weighed"))))
    };
    let slip = post("?dryrun=true");
    is_problem(&slip, 400, "bad-query");
    assert!(slip.body["title"].as_str().is_some_and(|t| t.contains("dry_run")), "{}", slip.body);
    is_problem(&post("?dry_run=true&dry_run=true"), 400, "bad-query");
    is_problem(&post("?dry_run=%ff"), 400, "bad-query");
    is_problem(&post("?dry_run=perhaps"), 400, "bad-query");

    let weighed = post("?dry_run=true");
    assert_eq!((weighed.status, &weighed.body["object"]), (200, &json!("estimate")));
    assert_eq!(weighed.body["estimate"]["currency"], "USD");
    let counts = fleet.run(fleet.store().counts()).expect("Redis answers");
    assert_eq!(counts.values().sum::<u64>(), 0, "nothing is stored: {counts:?}");
    let made = post("");
    assert_eq!((made.status, &made.body["estimate"]), (202, &weighed.body["estimate"]));
}

#[test]
fn what_the_description_does_not_allow_is_refused_at_every_door() {
    let fleet = gateway();
    let post = |path: &str, body: &Value| {
        fleet.send(fleet.ask(fleet.gateway_port(), Method::POST, path, ALICE).json(body))
    };
    let made = post("/v1/batches?batch=mine", &json!([Value::from(text("one of a batch"))]));
    assert_eq!(made.status, 202, "{}", made.body);
    let endpoint = json!({"url": "https://hooks.example.com/all"});
    let endpoint = post("/v1/webhook-endpoints", &endpoint).body["id"].clone();
    let rotate = format!("/v1/webhook-endpoints/{}:rotate", endpoint.as_str().expect("an id"));
    // A list is no object, though its values might be taken for an object's fields.
    for path in
        ["/v1/batches/mine:pause", "/v1/batches/mine:resume", "/v1/batches/mine:cancel", &rotate]
    {
        is_problem(&post(path, &json!([])), 422, "invalid-request");
        is_problem(&post(path, &json!(["why"])), 422, "invalid-request");
    }
    assert_eq!(fleet.get("/v1/batches/mine", ALICE).body["paused"], Value::Null);

    // A dry run is as strict as what follows it.
    let count = json!({"verb": "pause", "where": "state=queued", "dry_run": true});
    for (key, status) in [("", 400), ("two words", 400), ("mine", 200)] {
        let ask = fleet.ask(fleet.gateway_port(), Method::POST, "/v1/operations", ALICE);
        let reply = fleet.send(ask.header("idempotency-key", key).json(&count));
        assert_eq!(reply.status, status, "{key:?}: {}", reply.body);
    }
}
