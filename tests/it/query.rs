//! What is asked about jobs: lists by filter, failures, usage, batches and their results; batches that are
//! paused, and operations that outlive the gateway that began them.

use e2e::kit::{ALICE, BOB, Fleet, Options, text};
use job::{JobId, StateWord};
use reqwest::Method;
use sandbox::ports;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Jobs of one batch of tenant `default`, as an import takes them in.
fn batch(fleet: &Fleet, name: &str, jobs: usize) -> Vec<JobId> {
    let rows: String = (0..jobs)
        .map(|n| {
            let mut row = Value::from(text(&format!("{name} {n}")));
            row["custom_id"] = json!(format!("row-{n}"));
            format!("{row}\n")
        })
        .collect();
    let file = fleet.path(&format!("{name}.jsonl"));
    std::fs::write(&file, rows).expect("the folder is ours");
    let ended = fleet.cli(&["import", file.to_str().expect("a path"), "--batch", name]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let listed = fleet.cli(&["-o", "json", "jobs", "list", "--limit", "0", "--batch", name]);
    let rows = listed.json();
    let ids = rows.as_array().expect("rows").iter();
    ids.map(|row| JobId::parse(row["job"].as_str().unwrap_or_default()).expect("an id")).collect()
}

fn post(fleet: &Fleet, path: &str, body: &Value) -> e2e::kit::Reply {
    let request = fleet.ask(fleet.gateway_port(), Method::POST, path, ALICE);
    fleet.send(request.json(body))
}

fn counts(fleet: &Fleet, word: StateWord) -> u64 {
    let counts = fleet.run(fleet.store().counts()).expect("Redis answers");
    counts.get(&word).copied().unwrap_or(0)
}

#[test]
fn lists_and_totals_tell_what_became_of_the_jobs() {
    let fleet = Fleet::start(Options::with_gateway());
    let ids = batch(&fleet, "spring", 5);
    fleet.wait_stored(&ids);

    let page = fleet.get("/v1/jobs?where=batch%3Dspring%20state%3Dsucceeded&limit=3", ALICE);
    assert_eq!(page.status, 200, "{}", page.body);
    let next = page.body["next"].as_str().expect("a second page").to_owned();
    let second = format!("/v1/jobs?where=batch%3Dspring%20state%3Dsucceeded&limit=3&cursor={next}");
    let second = fleet.get(&second, ALICE);
    let listed = |body: &Value| -> Vec<String> {
        let items = body["items"].as_array().expect("items").iter();
        items.map(|item| item["id"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let all: BTreeSet<String> =
        listed(&page.body).into_iter().chain(listed(&second.body)).collect();
    assert_eq!(all, ids.iter().map(JobId::to_string).collect());
    assert_eq!(second.body["next"], Value::Null);
    let of_another = fleet.get(&format!("/v1/jobs?cursor={next}"), ALICE);
    assert_eq!((of_another.status, &of_another.body["code"]), (400, &json!("bad-cursor")));
    let slip = fleet.get("/v1/jobs?where=stat%3Dfailed", ALICE);
    assert_eq!((slip.status, &slip.body["code"]), (400, &json!("bad-filter")));
    assert!(slip.body["detail"].as_str().is_some_and(|text| text.contains("did you mean state")));
    assert_eq!(listed(&fleet.get("/v1/jobs?where=batch%3Dspring", BOB).body), Vec::<String>::new());

    let job = fleet.get(&format!("/v1/jobs/{}?include=timeline,attempts", ids[0]), ALICE);
    assert!(job.body["timeline"].as_array().is_some_and(|lines| lines.len() >= 4), "{}", job.body);
    assert_eq!(job.body["attempts_made"][0]["outcome"], "accepted", "{}", job.body);

    let usage = fleet.get("/v1/usage?group_by=model", ALICE).body;
    assert_eq!(usage["items"][0]["succeeded"], 5, "{usage}");
    assert!(usage["items"][0]["tokens"].as_u64() > Some(0), "{usage}");
    assert_eq!(fleet.get("/v1/usage?group_by=day", BOB).body["items"], json!([]));
    let failures = fleet.get("/v1/failures?batch=spring", ALICE);
    assert_eq!((failures.status, &failures.body["items"]), (200, &json!([])));
    let limits = fleet.get("/v1/limits", ALICE).body;
    assert!(limits["limited_by"].as_str().is_some_and(|s| s.starts_with("Nothing")), "{limits}");
    assert_eq!(limits["counts"]["succeeded"], 5);

    let shown = fleet.get("/v1/batches/spring", ALICE).body;
    assert_eq!((&shown["state"], &shown["jobs"]), (&json!("completed"), &json!(5)), "{shown}");
    assert_eq!(fleet.get("/v1/batches/spring", BOB).status, 404);
    assert_eq!(fleet.get("/v1/batches", ALICE).body["items"][0]["id"], "spring");
    let results = fleet.ask(
        fleet.gateway_port(),
        Method::GET,
        "/v1/batches/spring/results?format=csv",
        ALICE,
    );
    let text = fleet.run(async { results.send().await.expect("answers").text().await });
    let text = text.expect("a whole stream");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 6, "{text}");
    assert!(lines[0].starts_with("custom_id,job_id,state,video"), "{text}");
    assert!(lines[1].starts_with("row-") && lines[1].contains(",succeeded,"), "{text}");
    fleet.audit(&ids);
}

/// `group: [jobs, succeeded]` of an answer's groups; every group has tokens and a cost.
fn groups(items: &Value) -> Value {
    let rows = items.as_array().unwrap_or_else(|| panic!("{items}"));
    let row = |row: &Value| {
        assert!(row["tokens"].as_u64() > Some(0), "{row}");
        let cost = row["cost"]["usd"].as_str().and_then(|cost| cost.parse::<f64>().ok());
        assert!(cost.is_some_and(|cost| cost > 0.0), "{row}");
        let group = row["group"].as_str().unwrap_or_default().to_owned();
        (group, json!([row["jobs"], row["succeeded"]]))
    };
    rows.iter().map(row).collect::<serde_json::Map<_, _>>().into()
}

#[test]
fn usage_is_added_up_by_tenant_and_by_batch() {
    let fleet = Fleet::start(Options::with_gateway());
    let mut ids = batch(&fleet, "spring", 3);
    ids.extend(batch(&fleet, "autumn", 2));
    let request = fleet.ask(fleet.gateway_port(), Method::POST, "/v1/jobs", BOB);
    let reply = fleet.send(request.json(&Value::from(text("of another tenant"))));
    ids.push(JobId::parse(reply.body["id"].as_str().unwrap_or_default()).expect("an id"));
    fleet.wait_stored(&ids);

    let usage = |args: &[&str]| {
        let ended = fleet.cli(&[&["-o", "json", "usage", "--by"], args].concat());
        assert_eq!(ended.code, 0, "{ended:?}");
        groups(&ended.json())
    };
    assert_eq!(usage(&["tenant"]), json!({"bob": [1, 1], "default": [5, 5]}));
    assert_eq!(usage(&["tenant", "--tenant", "bob"]), json!({"bob": [1, 1]}));
    let batches = json!({"default/autumn": [2, 2], "default/spring": [3, 3]});
    assert_eq!(usage(&["batch"]), batches);

    let asked = |by: &str, key: &str| {
        groups(&fleet.get(&format!("/v1/usage?group_by={by}"), key).body["items"])
    };
    assert_eq!(asked("tenant", ALICE), json!({"default": [5, 5]}));
    assert_eq!(asked("tenant", BOB), json!({"bob": [1, 1]}), "nobody else's");
    assert_eq!(asked("batch", ALICE), json!({"autumn": [2, 2], "spring": [3, 3]}));
    assert_eq!(asked("batch", BOB), json!({}));
    fleet.audit(&ids);
}

#[test]
fn a_paused_batch_submits_nothing_until_it_is_resumed() {
    let options = Options { roles: vec!["gateway"], ..Options::default() };
    let fleet = Fleet::start(options);
    let ids = batch(&fleet, "later", 6);
    let other = fleet.admit(Value::from(text("not of the batch")));
    let paused = post(&fleet, "/v1/batches/later:pause", &json!({"reason": "look first"}));
    assert_eq!(paused.status, 202, "{}", paused.body);
    assert_eq!(paused.body["batch"]["state"], "paused");
    fleet.until("every job of the batch waits", || {
        (counts(&fleet, StateWord::Held) == 6).then_some(())
    });
    // One that comes later waits too.
    let late =
        batch(&fleet, "later", 7).into_iter().find(|id| !ids.contains(id)).expect("one more");
    for role in ["submitter", "poller", "downloader"] {
        fleet.start_role(role);
    }
    fleet.wait(&other, "succeeded");
    fleet.wait(&late, "held");
    assert_eq!(fleet.ledger().events("create_seen").count(), 1);
    assert_eq!(fleet.get("/v1/batches/later", ALICE).body["paused"]["reason"], "look first");

    let resumed = fleet.cli(&["batch", "resume", "later", "--reason", "seen", "--yes"]);
    assert_eq!(resumed.code, 0, "{resumed:?}");
    let all = [ids, vec![late, other]].concat();
    fleet.wait_stored(&all);
    assert_eq!(fleet.get("/v1/batches/later", ALICE).body["paused"], Value::Null);
    fleet.audit(&all);
}

#[test]
fn an_operation_goes_on_at_another_gateway_when_its_own_is_killed() {
    let options = Options { roles: vec!["gateway"], ..Options::default() };
    let fleet = Fleet::start(options);
    let ids = batch(&fleet, "many", 900);
    let wish = json!({"verb": "cancel", "where": "batch=many", "reason": "wrong prompts"});
    let mut dry = wish.clone();
    dry["dry_run"] = json!(true);
    let counted = post(&fleet, "/v1/operations", &dry);
    assert_eq!((counted.status, &counted.body["matched"]), (200, &json!(900)), "{}", counted.body);
    let nothing = post(&fleet, "/v1/operations", &json!({"verb": "cancel", "where": "batch=many"}));
    assert_eq!(nothing.status, 422, "a reason is needed: {}", nothing.body);

    let keyed = || {
        let request = fleet.ask(fleet.gateway_port(), Method::POST, "/v1/operations", ALICE);
        fleet.send(request.header("idempotency-key", "cancel-many").json(&wish))
    };
    let begun = keyed();
    assert_eq!(begun.status, 202, "{}", begun.body);
    let id = begun.body["id"].as_str().expect("an id").to_owned();
    assert_eq!((keyed().status, keyed().body["id"].as_str()), (200, Some(id.as_str())));
    fleet.until("it is under way", || (counts(&fleet, StateWord::Cancelled) > 0).then_some(()));
    fleet.role("gateway").kill9();
    let left = counts(&fleet, StateWord::Queued);
    let second = ports::free();
    fleet.start_gateway_as("gateway-2", second);
    let path = format!("/v1/operations/{id}");
    let done = fleet.until("another gateway ends it", || {
        let told = fleet.send(fleet.ask(second, Method::GET, &path, ALICE)).body;
        (told["state"] == "done").then_some(told)
    });
    assert_eq!(counts(&fleet, StateWord::Cancelled), 900, "{left} were left at the kill");
    // What was done before the kill is counted once, whether its page was noted or not.
    assert_eq!(done["jobs"]["changed"], 900, "{done}");
    let request = fleet.ask(second, Method::GET, &path, BOB);
    assert_eq!(fleet.send(request).status, 404);
    assert_eq!(ids.len(), 900);
}
