//! Outgoing webhooks: signed, in order, at least once, and each endpoint for itself.

use e2e::kit::{ALICE, Answer, BOB, BOUND, Fleet, Hook, Options, Receiver, Reply, text};
use job::JobId;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::TcpListener;
use store::{Endpoint, EndpointPut, HookEvent, HookSecret, Mark};
use worker::fault::{self, KILL_ENV};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=";

/// The whole fleet with a notifier that may call this receiver, and tries again soon.
fn options(receiver: &Receiver, more: &str) -> Options {
    let mut options = Options::with_gateway();
    options.roles.push("notifier");
    let origin = receiver.origin();
    options.config(&format!(
        "[webhooks]\nallow_origins = [\"{origin}\"]\nschedule = [\"100ms\", \"100ms\", \"100ms\"]\n{more}"
    ))
}

fn call(fleet: &Fleet, method: Method, path: &str, key: &str, body: Option<Value>) -> Reply {
    let request = fleet.ask(fleet.gateway_port(), method, path, key);
    fleet.send(match body {
        Some(body) => request.json(&body),
        None => request,
    })
}

/// A new endpoint of somebody; returns its id.
fn endpoint(fleet: &Fleet, key: &str, url: &str, types: &[&str]) -> String {
    let body = json!({"url": url, "types": types, "secret": SECRET});
    let made = call(fleet, Method::POST, "/v1/webhook-endpoints", key, Some(body));
    assert_eq!(made.status, 201, "{}", made.body);
    made.body["id"].as_str().expect("an id").to_owned()
}

fn job(fleet: &Fleet, prompt: &str) -> JobId {
    let reply = fleet.post_job(text(prompt));
    JobId::parse(reply.body["id"].as_str().unwrap_or_default())
        .unwrap_or_else(|_| panic!("{reply:?}"))
}

fn signed(hook: &Hook, secret: &str) -> bool {
    let ours = notifier::sign([secret], &hook.id, hook.timestamp_s, &hook.raw).expect("a secret");
    hook.signature.split(' ').any(|signature| signature == ours)
}

/// What arrived, each event once, in the order of its first arrival.
fn once(hooks: &[Hook]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    hooks.iter().filter(|hook| seen.insert(hook.id.clone())).map(|hook| hook.id.clone()).collect()
}

/// What the stream says that a tenant's endpoint is to be told.
fn expected(fleet: &Fleet, tenant: &str) -> Vec<String> {
    let changes =
        fleet.run(fleet.store().changes_after(Mark::START, 1_000)).expect("Redis answers");
    let own = changes.iter().filter(|change| change.tenant == tenant);
    own.map(|change| HookEvent::from(change).id).collect()
}

#[test]
fn an_endpoint_hears_of_its_tenants_jobs_signed_and_in_order() {
    let receiver = Receiver::start();
    let fleet = Fleet::start(options(&receiver, ""));
    let id = endpoint(&fleet, ALICE, &receiver.url("/alice"), &["job.*"]);
    endpoint(&fleet, BOB, &receiver.url("/bob"), &["*"]);
    let canary = "a lighthouse that no webhook tells of";
    let jobs = [job(&fleet, canary), job(&fleet, "a second one")];
    fleet.wait_stored(&jobs);
    let told = expected(&fleet, "default");
    fleet.until("every event", || (once(&receiver.at("/alice")).len() == told.len()).then_some(()));
    let heard = receiver.at("/alice");
    assert_eq!(once(&heard), told, "in the order of the stream");
    assert!(heard.iter().all(|hook| signed(hook, SECRET)), "each is signed");
    assert!(!heard.iter().any(|hook| signed(hook, "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")));
    let last =
        heard.iter().rfind(|hook| hook.body["data"]["id"] == jobs[0].as_str()).expect("some");
    assert_eq!(last.kind(), "job.succeeded");
    for name in ["specversion", "source", "time", "timestamp"] {
        assert!(last.body[name].is_string(), "{name}: {}", last.body);
    }
    assert_eq!(last.body["id"], last.id.as_str());
    let bodies: String = heard.iter().map(|hook| String::from_utf8_lossy(&hook.raw)).collect();
    assert!(!bodies.contains("lighthouse"), "no prompt leaves the house");
    assert_eq!(receiver.at("/bob").len(), 0, "another tenant hears nothing");

    let path = format!("/v1/webhook-endpoints/{id}");
    assert_eq!(call(&fleet, Method::GET, &path, BOB, None).status, 404);
    let rotated = call(&fleet, Method::POST, &format!("{path}:rotate"), ALICE, None);
    let new = rotated.body["secret"].as_str().expect("told once").to_owned();
    let shown = call(&fleet, Method::GET, &path, ALICE, None).body;
    assert!(
        !shown.to_string().contains(&new[6..]) && shown["secrets"].as_array().unwrap().len() == 2
    );
    let tested = call(&fleet, Method::POST, &format!("{path}:test"), ALICE, None);
    assert_eq!(tested.status, 202, "{}", tested.body);
    let test = fleet.until("the test event", || {
        receiver.at("/alice").into_iter().find(|hook| hook.kind() == "webhook.test")
    });
    assert!(signed(&test, &new) && signed(&test, SECRET), "both secrets sign: {}", test.signature);
    let log = call(&fleet, Method::GET, &format!("{path}/deliveries?limit=3"), ALICE, None).body;
    let lines = log["items"].as_array().expect("a list");
    assert_eq!((lines.len(), &lines[0]["result"]), (3, &json!("delivered")), "{log}");
    assert_eq!(lines[0]["status"], 204);
    fleet.audit(&jobs);
}

#[test]
fn a_failing_endpoint_is_tried_again_then_switched_off_and_comes_back() {
    let receiver = Receiver::start();
    let fleet = Fleet::start(options(&receiver, ""));
    let shaky = endpoint(&fleet, ALICE, &receiver.url("/shaky"), &["job.submitted"]);
    let dead = endpoint(&fleet, ALICE, &receiver.url("/dead"), &["job.submitted"]);
    let gone = endpoint(&fleet, ALICE, &receiver.url("/gone"), &["job.submitted"]);
    let moved = endpoint(&fleet, ALICE, &receiver.url("/moved"), &["job.submitted"]);
    endpoint(&fleet, ALICE, &receiver.url("/guard"), &["endpoint.disabled"]);
    receiver.answer("/shaky", [500, 503].map(Answer::Status));
    receiver.answer("/dead", [500; 4].map(Answer::Status));
    receiver.answer("/gone", [Answer::Status(410)]);
    receiver.answer("/moved", [Answer::Redirect(receiver.url("/shaky"))]);
    let first = job(&fleet, "the first");
    let state = |id: &str| {
        call(&fleet, Method::GET, &format!("/v1/webhook-endpoints/{id}"), ALICE, None).body
    };
    for (id, why) in [(&dead, "failing"), (&gone, "gone")] {
        let off =
            fleet.until("it is off", || Some(state(id)).filter(|s| s["status"] == "disabled"));
        assert_eq!(off["disabled"]["why"], why, "{off}");
    }
    assert_eq!(receiver.at("/dead").len(), 4, "one try, then three pauses");
    fleet.until("the third try", || (receiver.at("/shaky").len() == 3).then_some(()));
    let shaky_ids: BTreeSet<String> = receiver.at("/shaky").iter().map(|h| h.id.clone()).collect();
    assert_eq!(shaky_ids.len(), 1, "every try has the same id");
    let log = |id: &str| {
        let path = format!("/v1/webhook-endpoints/{id}/deliveries");
        call(&fleet, Method::GET, &path, ALICE, None).body["items"]
            .as_array()
            .expect("a list")
            .clone()
    };
    fleet.until("the log of three tries", || (log(&shaky).len() == 3).then_some(()));
    let results: Vec<Value> = log(&shaky).iter().map(|line| line["result"].clone()).collect();
    assert_eq!(results, ["delivered", "failed", "failed"], "newest first");
    fleet.until("the second try of the one that moved", || {
        (receiver.at("/moved").len() == 2).then_some(())
    });
    let redirected = log(&moved).into_iter().last().expect("a line");
    assert_eq!((&redirected["result"], &redirected["status"]), (&json!("redirected"), &json!(301)));
    let told = fleet.until("the guard", || Some(receiver.at("/guard")).filter(|h| h.len() == 2));
    let off: BTreeSet<&str> = told.iter().filter_map(|h| h.body["data"]["id"].as_str()).collect();
    assert_eq!(off, BTreeSet::from([dead.as_str(), gone.as_str()]));

    let second = job(&fleet, "the second");
    fleet.until("shaky hears on", || (receiver.at("/shaky").len() == 4).then_some(()));
    assert_eq!(receiver.at("/dead").len(), 4, "nothing is sent to one that is off");
    let path = format!("/v1/webhook-endpoints/{dead}");
    let on = call(&fleet, Method::POST, &format!("{path}:enable"), ALICE, None);
    assert_eq!(on.body["status"], "enabled", "{}", on.body);
    fleet.until("what waited for it", || (receiver.at("/dead").len() == 5).then_some(()));
    let since = json!({"since": "2020-01-01T00:00:00Z", "types": ["job.submitted"]});
    let replay = call(&fleet, Method::POST, &format!("{path}:replay"), ALICE, Some(since));
    assert_eq!((replay.status, &replay.body["events"]), (202, &json!(2)), "{}", replay.body);
    let heard = fleet.until("both again", || Some(receiver.at("/dead")).filter(|h| h.len() == 7));
    let jobs: Vec<&str> = heard[5..].iter().filter_map(|h| h.body["data"]["id"].as_str()).collect();
    assert_eq!(jobs, [first.as_str(), second.as_str()]);
    assert_eq!(heard[5].id, heard[4].id, "a replay has the id of what it repeats");
    let line = log(&shaky)[0]["id"].as_str().expect("an id").to_owned();
    let again = call(&fleet, Method::POST, &format!("/v1/deliveries/{line}:replay"), ALICE, None);
    assert_eq!(again.status, 202, "{}", again.body);
    fleet.until("one delivery again", || (receiver.at("/shaky").len() == 5).then_some(()));
    assert_eq!(
        call(&fleet, Method::POST, &format!("/v1/deliveries/{line}:replay"), BOB, None).status,
        404
    );
}

// covers: M23
#[test]
fn the_command_line_tails_events_and_tells_an_endpoint_again() {
    let receiver = Receiver::start();
    let fleet = Fleet::start(options(&receiver, ""));
    let id = endpoint(&fleet, ALICE, &receiver.url("/hook"), &["job.succeeded"]);
    let made = job(&fleet, "told twice");
    fleet.wait(&made, "succeeded");
    let first = fleet.until("the delivery", || receiver.at("/hook").into_iter().next());

    let tail = ["-o", "ndjson", "events", "tail", "--since", "1h", "--no-follow"];
    let told = fleet.cli(&tail);
    assert_eq!(told.code, 0, "{told:?}");
    let lines: Vec<Value> =
        told.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let kinds: Vec<&str> = lines.iter().filter_map(|line| line["type"].as_str()).collect();
    assert_eq!((kinds.first(), kinds.last()), (Some(&"job.submitted"), Some(&"job.succeeded")));
    assert!(lines.iter().all(|line| line["job"] == made.as_str()), "{lines:?}");
    let last = lines.last().expect("an end");
    assert_eq!(format!("evt_{}", last["id"].as_str().expect("an id")), first.id);
    let few = fleet.cli(&[&tail[..], &["--types", "job.running", "--tenant", "default"]].concat());
    assert_eq!(few.stdout.lines().count(), 1, "{few:?}");
    assert_eq!(fleet.cli(&[&tail[..], &["--tenant", "bob"]].concat()).stdout, "");

    let listed = fleet.cli(&["-o", "json", "webhooks", "list"]).json();
    assert_eq!(listed[0]["id"], id.as_str(), "{listed}");
    let replay = fleet.cli(&["-o", "json", "webhooks", "replay", &id, "--since", "1h"]);
    assert_eq!((replay.code, &replay.json()["events"]), (0, &json!(1)), "{replay:?}");
    let heard =
        fleet.until("it comes again", || Some(receiver.at("/hook")).filter(|h| h.len() == 2));
    assert_eq!(
        (&heard[1].id, heard[1].body["data"]["id"].as_str()),
        (&first.id, Some(made.as_str()))
    );
    assert!(signed(&heard[1], SECRET), "a replay is signed anew");

    let tested = fleet.cli(&["-o", "json", "webhooks", "test", &id]);
    assert_eq!(tested.code, 0, "{tested:?}");
    let heard = fleet.until("the test", || Some(receiver.at("/hook")).filter(|h| h.len() == 3));
    assert_eq!(heard[2].kind(), "webhook.test");
    let nobody = fleet.cli(&["webhooks", "replay", &id, "--since", "1h", "--tenant", "bob"]);
    assert_eq!(nobody.code, 5, "{nobody:?}");
}

fn stored(fleet: &Fleet, tenant: &str, id: &str, url: String) {
    let endpoint = Endpoint {
        id: id.to_owned(),
        tenant: tenant.to_owned(),
        url,
        types: vec!["*".to_owned()],
        description: String::new(),
        secrets: vec![HookSecret { text: SECRET.to_owned(), until: None }],
        secret_ref: None,
        created_by: "test".to_owned(),
        created_at: job::Timestamp::default(),
    };
    let put = fleet.run(fleet.store().put_endpoint(&endpoint, 0)).expect("Redis answers");
    assert_eq!(put, EndpointPut::Done(1));
}

#[test]
fn sixty_endpoints_that_hang_delay_nobody_else() {
    let receiver = Receiver::start();
    // The kernel takes their connections; nobody ever reads.
    let deaf: Vec<TcpListener> =
        (0..60).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let origin = |listener: &TcpListener| format!("http://{}", listener.local_addr().unwrap());
    let mut origins: Vec<String> = deaf.iter().map(origin).collect();
    origins.push(receiver.origin());
    let config = format!("[webhooks]\ntimeout = \"20s\"\nallow_origins = {origins:?}\n");
    let mut options = Options::with_gateway();
    options.roles.push("notifier");
    let fleet = Fleet::start(options.config(&config));
    let at = fleet.run(fleet.store().now()).expect("Redis answers");
    let ids: Vec<String> = (0..60).map(|n| format!("whe_deaf{n}")).collect();
    for (n, (id, listener)) in ids.iter().zip(&deaf).enumerate() {
        stored(&fleet, &format!("deaf{n}"), id, origin(listener) + "/");
        let told = fleet.run(fleet.store().tell_endpoint(id, HookEvent::test(id, at)));
        assert!(told.expect("Redis answers"));
    }
    let hanging = |ids: &[String]| {
        ids.iter().all(|id| fleet.run(fleet.store().deliveries(id, None, 1)).unwrap().is_empty())
    };
    endpoint(&fleet, ALICE, &receiver.url("/well"), &["job.*"]);
    let job = job(&fleet, "while sixty hang");
    fleet.wait(&job, "succeeded");
    let told = expected(&fleet, "default").len();
    fleet.until("every event", || (receiver.at("/well").len() == told).then_some(()));
    assert!(hanging(&ids), "they hang still: nobody waited for them");
    let waiting = fleet.run(fleet.store().endpoints_by_id(&ids)).expect("Redis answers");
    assert!(waiting.iter().flatten().all(|state| state.waiting == 1), "and nothing is lost");
}

#[test]
fn a_notifier_that_dies_at_any_moment_loses_nothing_and_keeps_the_order() {
    let receiver = Receiver::start();
    let mut options = options(&receiver, "timeout = \"2s\"\n");
    options.roles.retain(|role| *role != "notifier");
    let fleet = Fleet::start(options);
    endpoint(&fleet, ALICE, &receiver.url("/ledger"), &["*"]);
    let points = [
        (fault::NOTIFY_READ, 1),
        (fault::NOTIFY_SHARED, 1),
        (fault::NOTIFY_CLAIMED, 1),
        (fault::NOTIFY_SENT, 1),
        (fault::NOTIFY_SENT, 2),
        (fault::NOTIFY_WRITTEN, 2),
    ];
    let mut jobs = Vec::new();
    for (n, (point, pass)) in points.iter().enumerate() {
        let name = format!("notifier-{n}");
        fleet.start_as(&name, "notifier", &[(KILL_ENV, &format!("{}:{pass}", point.name()))]);
        jobs.push(job(&fleet, &format!("job {n}")));
        fleet.wait_killed(&name, BOUND);
    }
    fleet.start_role("notifier");
    fleet.wait_stored(&jobs);
    let told = expected(&fleet, "default");
    fleet
        .until("every event", || (once(&receiver.at("/ledger")).len() >= told.len()).then_some(()));
    let heard = receiver.at("/ledger");
    assert_eq!(once(&heard), told, "none is lost, and the order is the stream's");
    assert!(heard.len() > told.len(), "what was sent and not written down came twice");
    assert!(heard.iter().all(|hook| signed(hook, SECRET)));
    fleet.audit(&jobs);
}

#[test]
fn a_job_brings_its_own_address_and_private_ones_are_refused() {
    let receiver = Receiver::start();
    let fleet = Fleet::start(options(&receiver, ""));
    let id = endpoint(&fleet, ALICE, &receiver.url("/endpoint"), &["batch.completed"]);
    let with = |secret: &str| json!({"url": receiver.url("/own"), "secret_ref": secret});
    let unknown = fleet.post_job(text("nobody's secret").with("webhook", with("whe_nobody")));
    assert_eq!(unknown.status, 422, "{}", unknown.body);
    assert_eq!(unknown.body["errors"][0]["pointer"], "/webhook/secret_ref");
    let made = fleet.post_job(text("with its own address").with("webhook", with(&id)));
    assert_eq!(made.status, 202, "{}", made.body);
    let hook = fleet.until("its end", || receiver.at("/own").into_iter().next());
    assert_eq!((hook.kind(), &hook.body["data"]["id"]), ("job.succeeded", &made.body["id"]));
    assert!(signed(&hook, SECRET));
    // Its log passes with time, as it does itself; that of an endpoint stays.
    let kept = fleet.until("its line in the log", || {
        let logs = fleet.redis().command(&["KEYS", "*hooklog:*"]).expect("Redis answers");
        let log = logs.lines().next()?.to_owned();
        fleet.redis().command(&["PTTL", &log]).expect("Redis answers").parse::<i64>().ok()
    });
    assert!((1..=7 * 86_400_000).contains(&kept), "{kept} ms");

    for url in [
        "http://10.0.0.1/",
        "https://169.254.169.254/x",
        "https://127.0.0.1/",
        "ftp://x.example/",
        "https://u:p@x.example/",
        "https://x.example:8443/",
    ] {
        let body = json!({"url": url});
        let refused = call(&fleet, Method::POST, "/v1/webhook-endpoints", ALICE, Some(body));
        assert_eq!(refused.status, 422, "{url}: {}", refused.body);
    }
    // A name is looked up when something is sent, and its address judged then.
    let inside = endpoint(&fleet, ALICE, "https://localhost/", &["webhook.*"]);
    let path = format!("/v1/webhook-endpoints/{inside}");
    assert_eq!(call(&fleet, Method::POST, &format!("{path}:test"), ALICE, None).status, 202);
    let line = fleet.until("an outcome", || {
        let log = call(&fleet, Method::GET, &format!("{path}/deliveries"), ALICE, None).body;
        log["items"].as_array().and_then(|lines| lines.last().cloned())
    });
    assert_eq!(line["result"], "refused", "{line}");
    let log = fleet.store().keys().hook_log(&inside);
    assert_eq!(fleet.redis().command(&["PTTL", &log]).expect("Redis answers"), "-1");
    fleet.until("the same as a metric", || {
        let metrics = fleet.metrics("notifier");
        metrics.contains("seedfleet_webhook_deliveries_total{result=\"refused\"}").then_some(())
    });
}
