//! A batch that stops by itself, seen from outside: whoever dies, it stops once, says why, and goes on when a person
//! says so.

use e2e::kit::{ALICE, Fleet, Options, Receiver, text};
use reqwest::Method;
use serde_json::{Value, json};

const CODE: &str = "InputTextSensitiveContentDetected";

fn rows(name: &str, n: usize) -> String {
    (0..n).map(|n| format!("{}\n", Value::from(text(&format!("{name} {n}"))))).collect()
}

fn shown(fleet: &Fleet) -> Value {
    fleet.cli(&["-o", "json", "batch", "show", "ads"]).json()
}

fn failed(fleet: &Fleet) -> u64 {
    shown(fleet)["counts"]["failed"].as_u64().unwrap_or(0)
}

fn listen(fleet: &Fleet, receiver: &Receiver) {
    let endpoint = json!({"url": receiver.url("/told"), "types": ["batch.paused"]});
    let path = "/v1/webhook-endpoints";
    let asked = fleet.ask(fleet.gateway_port(), Method::POST, path, ALICE);
    let made = fleet.send(asked.json(&endpoint));
    assert_eq!(made.status, 201, "{}", made.body);
}

/// The batch once it is paused and its queue is cleared.
fn stopped(fleet: &Fleet, what: &str) -> Value {
    fleet.until(what, || {
        let shown = shown(fleet);
        let counts = &shown["counts"];
        let cleared = counts["queued"].is_null() && counts["submitting"].is_null();
        (shown["state"] == "paused" && cleared).then_some(shown)
    })
}

#[test]
fn a_batch_stops_once_whoever_dies_and_goes_on_when_it_is_resumed() {
    let receiver = Receiver::start();
    // Ten creates a second: there is time to stop before all is tried.
    let own = format!(
        "[webhooks]\nallow_origins = [\"{}\"]\n\
         [pools.sim.accounts.a.limits.classes]\n\"2.0\" = {{ create_rpm = 600, running = 60 }}\n",
        receiver.origin()
    );
    let roles = vec!["gateway", "notifier", "poller"];
    let fleet = Fleet::start(Options { roles, ..Options::default() }.config(&own));
    fleet.start_as("poller-2", "poller", &[]);
    fleet.faults(&json!({"create": [{"kind": "answer", "code": CODE}]}));
    listen(&fleet, &receiver);

    std::fs::write(fleet.path("ads.jsonl"), rows("no film", 1_000)).unwrap();
    let file = fleet.path("ads.jsonl").display().to_string();
    let wrong = fleet.cli(&["import", &file, "--stop-on", "failed>5%"]);
    assert_eq!(wrong.code, 2, "{wrong:?}");
    assert!(wrong.stderr.contains("such as 5% of 50"), "{wrong:?}");
    let conditions = format!("failed > 90% of 100 | code={CODE} >3");
    let taken = fleet.cli(&["import", &file, "--stop-on", &conditions]);
    assert_eq!(taken.code, 0, "{taken:?}");
    let canonical = format!("failed>90% of 100 | code={CODE}>3");
    assert_eq!(shown(&fleet)["stop_on"], json!(canonical));

    // Whoever looks after it dies; the other one does it then.
    fleet.kill9("poller");
    fleet.start_role("submitter");
    let first = stopped(&fleet, "it stops");
    let reason = first["paused"]["reason"].as_str().unwrap_or_default().to_owned();
    assert!(reason.starts_with(&format!("code={CODE}>3: ")), "{first}");
    assert_eq!(first["paused"]["by"], "stop_on", "{first}");
    let then = failed(&fleet);
    assert!((4..1_000).contains(&then) && first["counts"]["held"].as_u64() > Some(0), "{first}");
    let listed = fleet.cli(&["batch", "list"]).stdout;
    assert!(listed.contains(&reason), "{listed}");
    let queues = fleet.cli(&["queue", "status"]).stdout;
    assert!(queues.contains("Paused: batch ads of tenant default by stop_on"), "{queues}");
    let told = fleet.until("it is told", || receiver.at("/told").into_iter().next());
    assert_eq!(told.kind(), "batch.paused");
    let data = &told.body["data"];
    let said = ["object", "id", "state", "reason"].map(|field| data[field].clone());
    assert_eq!(said, [json!("batch"), json!("ads"), json!("paused"), json!(reason)], "{data}");

    // The notifier, the gateway and both pollers come anew; nothing stops, or is told, a second time.
    for role in ["notifier", "gateway", "poller-2"] {
        fleet.kill9(role);
    }
    fleet.start_gateway();
    fleet.start_role("notifier");
    fleet.start_role("poller");
    let go = ["batch", "resume", "ads", "--reason", "mended", "--by", "ann", "--yes"];
    assert_eq!(fleet.cli(&go).code, 0);
    let second = stopped(&fleet, "it stops again");
    assert!(failed(&fleet) >= then + 4, "four more had to fail: {then} and then {second}");
    let told = fleet.until("both are told", || {
        let told = receiver.at("/told");
        let ids: std::collections::BTreeSet<String> =
            told.iter().map(|hook| hook.id.clone()).collect();
        (ids.len() >= 2).then_some(ids)
    });
    assert_eq!(told.len(), 2, "once for each pause: {told:?}");
    let audit = fleet.cli(&["audit", "--alarms"]).stdout;
    assert_eq!(audit.matches("batch_stopped").count(), 2, "{audit}");
    assert!(fleet.run(fleet.store().recount()).unwrap().drifts.is_empty());
    let_them_fail(&fleet);
}

/// Without conditions it goes on as long as a person lets it.
fn let_them_fail(fleet: &Fleet) {
    let none = ["batch", "stop-on", "ads", "--reason", "let them fail", "--by", "ann"];
    assert_eq!(fleet.cli(&none).code, 9, "without --yes nothing is done");
    assert_eq!(fleet.cli(&[&none[..], &["--yes"]].concat()).code, 0);
    assert_eq!(shown(fleet)["stop_on"], Value::Null);
}

#[test]
fn an_upload_brings_its_conditions_along() {
    let roles = vec!["gateway"];
    let fleet = Fleet::start(Options { roles, ..Options::default() });
    let send = |path: &str| {
        let request = fleet.ask(fleet.gateway_port(), Method::POST, path, ALICE);
        fleet.send(request.header("content-type", "application/jsonl").body(rows("a film", 2)))
    };
    let refused = send("/v1/batches?batch=ads&stop_on=failed%3E5%25");
    assert_eq!(refused.status, 422, "{}", refused.body);
    assert!(refused.body["title"].as_str().is_some_and(|title| title.contains("stop_on")));
    assert_eq!(fleet.get("/v1/batches/ads", ALICE).status, 404, "nothing was taken in");
    let taken = send("/v1/batches?batch=ads&stop_on=in_doubt%3E3%7Cfailed%3E0.5%25%20of%2020");
    assert_eq!(taken.status, 202, "{}", taken.body);
    let shown = fleet.get("/v1/batches/ads", ALICE).body;
    assert_eq!(shown["stop_on"], "in_doubt>3 | failed>0.5% of 20", "{shown}");
    // The same rows without conditions leave them as they are.
    assert_eq!(send("/v1/batches?batch=ads").body["existing"], 2);
    let shown = fleet.get("/v1/batches/ads", ALICE).body;
    assert_eq!(shown["stop_on"], "in_doubt>3 | failed>0.5% of 20", "{shown}");
}
