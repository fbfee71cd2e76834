//! Batches from outside: two tenants with one name, uploads that last, and jobs that are made again.

use e2e::kit::{ALICE, BOB, Fleet, Options, Receiver, Reply, text};
use job::StateWord;
use reqwest::{Body, Method};
use serde_json::{Value, json};
use std::time::Duration;

/// Nothing moves by itself.
fn still() -> Options {
    Options { roles: vec!["gateway"], ..Options::default() }
}

fn send(fleet: &Fleet, method: Method, path: &str, key: &str, body: Option<Value>) -> Reply {
    let request = fleet.ask(fleet.gateway_port(), method, path, key);
    fleet.send(match body {
        Some(body) => request.json(&body),
        None => request,
    })
}

fn rows(name: &str, jobs: usize) -> String {
    let row = |n| format!("{}\n", Value::from(text(&format!("{name} {n}"))));
    (0..jobs).map(row).collect()
}

fn upload(fleet: &Fleet, batch: &str, key: &str, rows: impl Into<Body>) -> Reply {
    let path = format!("/v1/batches?batch={batch}");
    let request = fleet.ask(fleet.gateway_port(), Method::POST, &path, key);
    // One of them goes on while other things are waited for.
    let request = request.timeout(Duration::from_secs(180));
    let taken = fleet.send(request.header("content-type", "application/jsonl").body(rows));
    assert_eq!(taken.status, 202, "{}", taken.body);
    taken
}

#[test]
fn two_tenants_with_a_batch_of_one_name_see_their_own() {
    let fleet = Fleet::start(still());
    upload(&fleet, "spring", ALICE, rows("of alice", 2));
    upload(&fleet, "spring", BOB, rows("of bob", 3));
    for (key, jobs) in [(ALICE, 2), (BOB, 3)] {
        let shown = fleet.get("/v1/batches/spring", key).body;
        assert_eq!((&shown["jobs"], &shown["counts"]["queued"]), (&json!(jobs), &json!(jobs)));
        let listed = fleet.get("/v1/batches", key).body;
        assert_eq!(listed["items"].as_array().map(Vec::len), Some(1), "{listed}");
        let results = fleet.get("/v1/batches/spring/results", key).bytes;
        assert_eq!(results.iter().filter(|byte| **byte == b'\n').count(), jobs);
        let found = fleet.get("/v1/jobs?where=batch%3Dspring", key).body;
        assert_eq!(found["items"].as_array().map(Vec::len), Some(jobs), "{found}");
    }
    let paused = send(&fleet, Method::POST, "/v1/batches/spring:pause", BOB, None);
    assert_eq!((paused.status, &paused.body["batch"]["state"]), (202, &json!("paused")));
    assert_eq!(fleet.get("/v1/batches/spring", ALICE).body["paused"], Value::Null);
    let cancelled = send(&fleet, Method::POST, "/v1/batches/spring:cancel", BOB, None);
    assert_eq!(cancelled.status, 202, "{}", cancelled.body);
    fleet.until("bob's are cancelled", || {
        let counts = fleet.get("/v1/batches/spring", BOB).body["counts"].clone();
        (counts["cancelled"] == 3).then_some(())
    });
    assert_eq!(fleet.get("/v1/batches/spring", ALICE).body["counts"], json!({"queued": 2}));

    // An operator says whose.
    let whose = fleet.cli(&["batch", "show", "spring"]);
    assert_eq!(whose.code, 2, "{whose:?}");
    assert!(whose.stderr.contains("bob, default") || whose.stderr.contains("default, bob"));
    let shown = fleet.cli(&["-o", "json", "batch", "show", "spring", "--tenant", "bob"]).json();
    assert_eq!((&shown["tenant"], &shown["jobs"]), (&json!("bob"), &json!(3)), "{shown}");
    let all = fleet.cli(&["-o", "json", "jobs", "list", "--batch", "spring"]).json();
    assert_eq!(all.as_array().map(Vec::len), Some(5), "{all}");
    let waited = ["jobs", "wait", "--batch", "spring", "--tenant", "bob", "--timeout", "10s"];
    assert_eq!(fleet.cli(&waited).code, 1, "they ended, and none succeeded");
    // A page shows its visitor's, whatever the address says.
    let page = fleet.logged_in(ALICE).get("/ui/batches/spring?tenant=bob").text;
    assert!(page.contains("of 2 jobs"), "{page}");
    assert!(fleet.run(fleet.store().recount()).unwrap().drifts.is_empty());
}

#[test]
fn a_batch_is_completed_when_its_upload_is() {
    let receiver = Receiver::start();
    let allowed = format!("[webhooks]\nallow_origins = [\"{}\"]\n", receiver.origin());
    let patient = "[gateway]\nbody_idle_max = \"60s\"\n";
    let mut options = still().config(&allowed).config(patient);
    options.roles.push("notifier");
    let fleet = Fleet::start(options);
    let endpoint = json!({"url": receiver.url("/all"), "types": ["batch.completed"]});
    let made = send(&fleet, Method::POST, "/v1/webhook-endpoints", ALICE, Some(endpoint));
    assert_eq!(made.status, 201, "{}", made.body);
    let completed = |batch: &str| {
        let told = receiver.at("/all");
        told.into_iter().filter(|hook| hook.body["data"]["id"] == batch).collect::<Vec<_>>()
    };
    let cancel = |batch: &str, jobs: u64| {
        let path = format!("/v1/batches/{batch}");
        let asked = send(&fleet, Method::POST, &format!("{path}:cancel"), ALICE, None);
        assert_eq!(asked.status, 202, "{}", asked.body);
        fleet.until("all its jobs have ended", || {
            let shown = fleet.get(&path, ALICE).body;
            (shown["finished"] == jobs && shown["jobs"] == jobs).then_some(shown)
        })
    };
    // As many rows as are taken in together, and then the stream goes on.
    let (rest, body) = futures::channel::mpsc::unbounded::<Result<String, std::io::Error>>();
    rest.unbounded_send(Ok(rows("slow", 200))).unwrap();
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| upload(&fleet, "slow", ALICE, Body::wrap_stream(body)));
        fleet.until("the first rows", || {
            (fleet.get("/v1/batches/slow", ALICE).body["jobs"] == 200).then_some(())
        });
        let shown = cancel("slow", 200);
        assert_eq!(shown["state"], "running", "more rows are on their way: {shown}");
        // What is told of a later one shows that the ends of this one have been looked at.
        upload(&fleet, "quick", ALICE, rows("quick", 1));
        cancel("quick", 1);
        fleet.until("the later one", || (!completed("quick").is_empty()).then_some(()));
        assert!(completed("slow").is_empty(), "its upload is under way");
        drop(rest);
        let taken = slow.join().unwrap();
        assert_eq!(taken.body["created"], 200, "{}", taken.body);
    });
    let told = fleet.until("its end", || completed("slow").into_iter().next());
    assert_eq!(told.body["data"]["seq"], 200, "{}", told.body);
    assert_eq!(fleet.get("/v1/batches/slow", ALICE).body["state"], "completed_with_failures");
    // The same rows again add nothing, and nothing is told twice.
    upload(&fleet, "slow", ALICE, rows("slow", 200));
    upload(&fleet, "last", ALICE, rows("last", 1));
    cancel("last", 1);
    fleet.until("the last one", || (!completed("last").is_empty()).then_some(()));
    assert_eq!(completed("slow").len(), 1);
}

#[test]
fn an_upload_of_which_no_row_is_taken_in_is_a_batch_too() {
    let fleet = Fleet::start(still());
    let path = "/v1/batches/none";
    assert_eq!(fleet.get(path, ALICE).status, 404);
    let taken = upload(&fleet, "none", ALICE, "{\"model\":\"no such\"}\nnot a row\n");
    assert_eq!((&taken.body["created"], &taken.body["rejected"]), (&json!(0), &json!(2)));
    let shown = fleet.get(path, ALICE);
    assert_eq!(shown.status, 200, "{}", shown.body);
    let told = ["state", "jobs", "finished", "rejects"].map(|field| shown.body[field].clone());
    assert_eq!(told, [json!("completed_with_failures"), json!(0), json!(0), json!(2)]);
    let rejects = fleet.get(&format!("{path}/rejects"), ALICE).bytes;
    assert_eq!(rejects.iter().filter(|byte| **byte == b'\n').count(), 2);
    let results = fleet.get(&format!("{path}/results"), ALICE);
    assert_eq!((results.status, results.bytes.len()), (200, 0));
    let listed = fleet.get("/v1/batches", ALICE).body;
    assert_eq!(listed["items"][0]["id"], "none", "{listed}");
    for verb in ["pause", "resume", "cancel"] {
        let long = Some(json!({"reason": "0".repeat(501)}));
        let refused = send(&fleet, Method::POST, &format!("{path}:{verb}"), ALICE, long);
        assert_eq!(refused.status, 422, "{verb}: {}", refused.body);
        let turned = send(&fleet, Method::POST, &format!("{path}:{verb}"), ALICE, None);
        assert_eq!(turned.status, 202, "{verb}: {}", turned.body);
        let path = format!("/v1/operations/{}", turned.body["operation"]["id"].as_str().unwrap());
        let done = fleet.until("its end", || {
            let told = fleet.get(&path, ALICE).body;
            (told["state"] == "done").then_some(told)
        });
        assert_eq!(done["jobs"]["changed"], 0, "{verb}: {done}");
    }
    for sub in ["", "/rejects", "/results"] {
        assert_eq!(fleet.get(&format!("{path}{sub}"), BOB).status, 404, "it is another's");
    }
    let page = fleet.logged_in(ALICE).get("/ui/batches/none").text;
    assert!(page.contains("0 of 0 jobs") && page.contains("Rows refused"), "{page}");
    let shown = fleet.cli(&["-o", "json", "batch", "show", "none"]).json();
    assert_eq!(shown["state"], "completed_with_failures", "{shown}");

    // Mended rows under the same name make it an ordinary one; an empty stream has nothing that failed.
    upload(&fleet, "none", ALICE, rows("mended", 2));
    assert_eq!(fleet.get(path, ALICE).body["state"], "running");
    upload(&fleet, "empty", ALICE, "");
    assert_eq!(fleet.get("/v1/batches/empty", ALICE).body["state"], "completed");
    assert!(fleet.run(fleet.store().recount()).unwrap().drifts.is_empty());
}

#[test]
fn jobs_that_ended_badly_are_made_again_by_filter_when_the_charge_is_accepted() {
    let fleet = Fleet::start(still());
    upload(&fleet, "b", ALICE, rows("once more", 5));
    let shown = fleet.get("/v1/jobs?where=batch%3Db", ALICE).body;
    let old: Vec<String> = shown["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["id"].as_str().unwrap().to_owned())
        .collect();
    for id in &old[..4] {
        let path = format!("/v1/jobs/{id}:cancel");
        assert_eq!(send(&fleet, Method::POST, &path, ALICE, None).status, 200);
    }
    let operation = |more: Value| {
        let mut wish = json!({"verb": "retry", "where": "batch=b"});
        wish.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        send(&fleet, Method::POST, "/v1/operations", ALICE, Some(wish))
    };
    let counted = operation(json!({"dry_run": true}));
    assert_eq!(counted.status, 200, "{}", counted.body);
    let told = ["matched", "paid_again", "unpaid_before"].map(|field| counted.body[field].clone());
    assert_eq!(told, [json!(4), json!(0), json!(4)]);
    assert!(counted.body["cost"].as_object().is_some_and(|cost| cost.len() == 1));
    let refused = operation(json!({"reason": "the prompts were right"}));
    assert_eq!((refused.status, &refused.body["code"]), (422, &json!("bad-operation")));
    assert!(refused.body["title"].as_str().unwrap().starts_with("accept_charge"));

    let begun = operation(json!({"accept_charge": true, "reason": "the prompts were right"}));
    assert_eq!(begun.status, 202, "{}", begun.body);
    let path = format!("/v1/operations/{}", begun.body["id"].as_str().unwrap());
    let done = fleet.until("its end", || {
        let told = fleet.get(&path, ALICE).body;
        (told["state"] == "done").then_some(told)
    });
    assert_eq!((&done["jobs"]["changed"], &done["jobs"]["left"]), (&json!(4), &json!(0)), "{done}");
    let counts = || fleet.run(fleet.store().batch_counts("default", "b")).unwrap();
    assert_eq!((counts()[&StateWord::Queued], counts()[&StateWord::Cancelled]), (5, 4));
    let made = fleet.get("/v1/jobs?where=batch%3Db%20state%3Dqueued", ALICE).body;
    let of: Vec<&str> = made["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|item| item["retry_of"].as_str())
        .collect();
    assert_eq!(of.len(), 4);
    assert!(of.iter().all(|id| old[..4].iter().any(|known| known == id)));

    // Once more finds that all is done; the command line counts, asks, and says the same.
    let again = operation(json!({"accept_charge": true, "reason": "twice"}));
    let path = format!("/v1/operations/{}", again.body["id"].as_str().unwrap());
    let done = fleet.until("its end", || {
        let told = fleet.get(&path, ALICE).body;
        (told["state"] == "done").then_some(told)
    });
    assert_eq!((&done["jobs"]["changed"], &done["jobs"]["left"]), (&json!(0), &json!(4)), "{done}");
    let asked = fleet.cli(&["jobs", "retry", "--batch", "b"]);
    assert_eq!(asked.code, 9, "{asked:?}");
    assert!(asked.stderr.contains("4 jobs would be made again"), "{asked:?}");
    assert!(asked.stderr.contains("0 of them may have been paid before, 4 were not"), "{asked:?}");
    let why = ["jobs", "retry", "--batch", "b", "--reason", "by hand", "--yes"];
    let told = fleet.cli(&why);
    assert_eq!(told.code, 6, "all of them were made before: {told:?}");
    assert!(told.stdout.contains("4 matched  0 requeued  4 skipped"), "{told:?}");
    assert_eq!(counts()[&StateWord::Queued], 5);
}

#[test]
fn a_tenant_sees_its_caps_and_what_it_uses_of_them() {
    let own = "[tenants.default]\nqueued_max = 3\nspend_day_max = 50\nrpm = 600\n";
    let fleet = Fleet::start(still().config(own));
    upload(&fleet, "b", ALICE, rows("capped", 2));
    let limits = fleet.get("/v1/limits", ALICE).body;
    let yours = &limits["yours"];
    assert_eq!(yours["queued"], json!({"max": 3, "used": 2}), "{limits}");
    assert_eq!(yours["in_flight"], json!({"max": null, "used": 0}));
    assert_eq!(yours["requests_per_minute_max"], 600);
    assert_eq!(yours["spend_today"]["max"], "50.000000");
    assert_ne!(yours["spend_today"]["used"], "0.000000", "{limits}");
    assert_eq!(fleet.get("/v1/limits", BOB).body["yours"]["queued"]["used"], 0);
    for bad in ["/v1/jobs?limit=0", "/v1/batches?limit=201", "/v1/operations?limit=0"] {
        let refused = fleet.get(bad, ALICE);
        assert_eq!((refused.status, &refused.body["code"]), (400, &json!("bad-query")), "{bad}");
    }
    let refused = fleet.get("/v1/batches?cursor=x", ALICE);
    assert_eq!((refused.status, &refused.body["code"]), (400, &json!("bad-cursor")));
}

#[test]
fn a_file_is_read_as_a_stream_is() {
    let fleet = Fleet::start(still());
    let table = "model,prompt,custom_id\nseedance-2.0,\"a boat, at dawn\",one\nseedance-2.0,x\n";
    std::fs::write(fleet.path("rows.csv"), table).unwrap();
    let file = fleet.path("rows.csv").display().to_string();
    let ended = fleet.cli(&["-o", "json", "import", &file, "--batch", "b"]);
    assert_eq!(ended.code, 3, "one row is refused: {ended:?}");
    let rejects = std::fs::read_to_string(fleet.path("rows.rejects.jsonl")).unwrap();
    assert!(rejects.contains("row-malformed") && rejects.contains("\"line\":3"), "{rejects}");
    let stream = fleet.ask(fleet.gateway_port(), Method::POST, "/v1/batches?batch=b", ALICE);
    let taken = fleet.send(stream.header("content-type", "text/csv").body(table));
    let told = ["rows", "created", "existing", "rejected"].map(|field| taken.body[field].clone());
    assert_eq!(told, [json!(2), json!(0), json!(1), json!(1)], "{}", taken.body);
    // A key that stands twice is no request, through either door.
    let twice = format!("{}\n", r#"{"model":"seedance-2.0","model":"seedance-2.0"}"#);
    std::fs::write(fleet.path("twice.jsonl"), &twice).unwrap();
    let file = fleet.path("twice.jsonl").display().to_string();
    assert_eq!(fleet.cli(&["import", &file]).code, 3);
}
