//! Ended jobs leave Redis, and everything that names them goes on working.

use e2e::kit::{ALICE, BOUND, Fleet, Options, Prompt, Reply, text};
use job::JobId;
use reqwest::Method;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use worker::fault::{self, KILL_ENV};

/// What has ended leaves at once.
const AT_ONCE: &str = "[retention]\nredis_after = \"1s\"\nsweep_every = \"1s\"\n\
    [gateway.keys.alice]\nscopes = [\"jobs:write\", \"jobs:read\", \"admin\"]\n";

fn id(body: &Value) -> JobId {
    JobId::parse(body["id"].as_str().unwrap_or_default()).unwrap_or_else(|_| panic!("{body}"))
}

/// Every file below a folder, relative to it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut open) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(at) = open.pop() {
        for entry in std::fs::read_dir(&at).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.push(path.strip_prefix(folder).unwrap().to_owned());
            }
        }
    }
    found
}

/// Files of the bucket below `records/` whose path holds this.
fn records(fleet: &Fleet, holds: &str) -> Vec<String> {
    let found = files(&fleet.path("bucket"));
    let paths = found.iter().map(|path| path.display().to_string());
    paths.filter(|path| path.starts_with("records/") && path.contains(holds)).collect()
}

fn wait_left(fleet: &Fleet, id: &JobId) {
    let key = fleet.store().keys().job(id);
    fleet.until("the record has left Redis", || {
        let there = fleet.redis().command(&["EXISTS", &key]).ok()? == "1";
        let ended = fleet.run(fleet.store().load(id)).ok()??.record.life.state.word();
        (!there && ended.is_finished()).then_some(())
    });
}

fn send(fleet: &Fleet, method: Method, path: &str, body: Option<Value>) -> Reply {
    let request = fleet.ask(fleet.gateway_port(), method, path, ALICE);
    fleet.send(match body {
        Some(body) => request.json(&body),
        None => request,
    })
}

fn post(fleet: &Fleet, key: &str, body: &Value) -> Reply {
    let asked = fleet.ask(fleet.gateway_port(), Method::POST, "/v1/jobs", ALICE);
    fleet.send(asked.header("Idempotency-Key", key).json(body))
}

fn asked_for(words: &str) -> Prompt {
    text(&format!("canary-erase {words}")).with("end_user", "canary-erase-user")
}

/// Where the canary still is, in Redis or in the bucket.
fn sightings(fleet: &Fleet) -> Vec<String> {
    let mut seen = Vec::new();
    for key in fleet.redis().command(&["KEYS", "*"]).unwrap().lines() {
        let read = |words: &[&str]| fleet.redis().command(words).unwrap();
        let value = match read(&["TYPE", key]).as_str() {
            "string" => read(&["GET", key]),
            "hash" => read(&["HGETALL", key]),
            "list" => read(&["LRANGE", key, "0", "-1"]),
            "zset" => read(&["ZRANGE", key, "0", "-1"]),
            "stream" => read(&["XRANGE", key, "-", "+"]),
            _ => String::new(),
        };
        seen.extend(value.contains("canary-erase").then(|| key.to_owned()));
    }
    for file in files(&fleet.path("bucket")) {
        // What goes between the two looks is seen nowhere.
        let Ok(bytes) = std::fs::read(fleet.path("bucket").join(&file)) else { continue };
        let shows = String::from_utf8_lossy(&bytes).contains("canary-erase");
        seen.extend(shows.then(|| file.display().to_string()));
    }
    seen
}

#[test]
fn a_job_that_has_left_redis_answers_as_before() {
    let fleet = Fleet::start(Options::with_gateway().config(AT_ONCE));
    let body = Value::from(asked_for("lighthouse"));
    let made = post(&fleet, "key-1", &body);
    assert_eq!(made.status, 202, "{}", made.body);
    let job = id(&made.body);
    let path = format!("/v1/jobs/{job}");
    let all = format!("{path}?include=timeline,attempts");
    let before = fleet.until("it succeeds", || {
        let told = fleet.get(&all, ALICE).body;
        (told["state"] == "succeeded").then_some(told)
    });
    wait_left(&fleet, &job);
    assert_eq!(fleet.get(&all, ALICE).body, before);
    let film = fleet.get(&format!("{path}/output"), ALICE);
    assert!(matches!(film.status, 200 | 302 | 303 | 307), "{film:?}");
    let shown = fleet.cli(&["jobs", "show", job.as_str(), "--output", "json"]);
    assert_eq!((shown.code, &shown.json()["state"]), (0, &json!("succeeded")), "{shown:?}");

    // Nothing is bought again.
    let again = post(&fleet, "key-1", &body);
    assert_eq!((again.status, id(&again.body)), (200, job.clone()), "{}", again.body);
    let again = fleet.post_job(body.clone());
    assert_eq!((again.status, id(&again.body)), (200, job.clone()), "{}", again.body);
    let reused = post(&fleet, "key-1", &text("another").into());
    assert_eq!((reused.status, &reused.body["code"]), (422, &json!("idempotency-key-reused")));
    let cancel = send(&fleet, Method::POST, &format!("{path}:cancel"), None);
    assert_eq!((cancel.status, &cancel.body["outcome"]), (409, &json!("already_terminal")));

    // Lists show it no more; the export does.
    let listed = fleet.get("/v1/jobs?where=state%3Dsucceeded", ALICE).body;
    assert_eq!(listed["items"], json!([]), "{listed}");
    let exported = fleet.cli(&["export", "--output", "ndjson"]);
    assert!(exported.code == 0 && exported.stdout.contains(job.as_str()), "{exported:?}");
    assert!(fleet.run(fleet.store().recount()).unwrap().drifts.is_empty());

    // Content goes from where it is.
    assert!(!sightings(&fleet).is_empty(), "there is something to erase");
    let gone = send(&fleet, Method::DELETE, &path, None);
    assert_eq!((gone.status, &gone.body["progress"]), (200, &json!("done")), "{gone:?}");
    assert_eq!(sightings(&fleet), Vec::<String>::new());
    wait_left(&fleet, &job);
    assert_eq!((records(&fleet, "/kept/").len(), records(&fleet, "/bare/").len()), (0, 1));
    let told = fleet.get(&path, ALICE).body;
    assert!(told["erased"]["at"].is_string() && told["state"] == "succeeded", "{told}");
    assert_eq!(id(&post(&fleet, "key-1", &body).body), job);
    assert!(fleet.run(fleet.store().recount()).unwrap().drifts.is_empty());
}

#[test]
fn a_failed_job_that_has_left_is_made_again_and_a_customers_content_goes_from_the_bucket() {
    let fleet = Fleet::start(Options::with_gateway().config(AT_ONCE));
    let mut failure = json!({"kind": "failed", "match": {"text": "broken"}});
    failure["code"] = json!("InternalServiceError");
    failure["message"] = json!("again, please");
    fleet.faults(&json!({"task": [failure]}));
    let jobs = ["broken", "whole"].map(|words| id(&fleet.post_job(asked_for(words)).body));
    jobs.iter().for_each(|job| wait_left(&fleet, job));
    fleet.faults(&json!({}));
    let path = format!("/v1/jobs/{}:retry", jobs[0]);
    let again = send(&fleet, Method::POST, &path, Some(json!({"accept_charge": true})));
    assert_eq!(again.status, 202, "{}", again.body);
    let again = id(&again.body);
    wait_left(&fleet, &again);
    assert_eq!(fleet.record(&again).spec.retry_of, Some(jobs[0].clone()));
    assert_eq!(records(&fleet, "/users/").len(), 3);

    let wish = json!({"end_user": "canary-erase-user", "reason": "the customer asked"});
    let asked = send(&fleet, Method::POST, "/v1/erasures", Some(wish));
    assert!(matches!(asked.status, 200 | 202), "{asked:?}");
    let path = format!("/v1/erasures/{}", asked.body["id"].as_str().unwrap());
    let receipt = fleet.until("the receipt", || {
        let told = fleet.get(&path, ALICE);
        (told.body["progress"] == "done").then_some(told.body)
    });
    assert_eq!(receipt["removed"]["jobs"], 3, "{receipt}");
    assert_eq!(sightings(&fleet), Vec::<String>::new());
    assert_eq!(records(&fleet, "/users/"), Vec::<String>::new());
}

#[test]
fn an_archiver_may_die_at_any_moment() {
    let options = Options { roles: vec!["submitter", "poller"], ..Options::default() };
    let fleet = Fleet::start(options.config(AT_ONCE));
    let jobs = fleet.admit_many((0..6).map(|n| asked_for(&format!("boat {n}")).into()));
    for point in [fault::ARCHIVE_NOTED, fault::ARCHIVE_WRITTEN, fault::ARCHIVE_LEFT] {
        let name = format!("downloader-{}", point.name());
        fleet.start_as(&name, "downloader", &[(KILL_ENV, &format!("{}:1", point.name()))]);
        fleet.wait_killed(&name, BOUND);
        // The lock of the dead one would be waited for.
        let lock = fleet.store().keys().lock("archive");
        fleet.redis().command(&["DEL", &lock]).unwrap();
        let word = |job: &JobId| fleet.record(job).life.state.word().as_str();
        assert!(jobs.iter().all(|job| word(job) != "output_lost"), "every record is somewhere");
    }
    fleet.start_role("downloader");
    let stored = fleet.wait_stored(&jobs);
    jobs.iter().for_each(|job| wait_left(&fleet, job));
    for (job, before) in jobs.iter().zip(&stored) {
        assert_eq!(&fleet.record(job), before);
    }
    assert_eq!(records(&fleet, "/kept/").len(), jobs.len());
    assert!(fleet.run(fleet.store().recount()).unwrap().drifts.is_empty());
}

#[test]
fn a_batch_keeps_its_sums_and_its_results() {
    let fleet = Fleet::start(Options::with_gateway().config(AT_ONCE));
    let rows: String =
        (0..3).map(|n| format!("{}\n", Value::from(text(&format!("b {n}"))))).collect();
    let path = "/v1/batches?batch=harbour-1";
    let asked = fleet.ask(fleet.gateway_port(), Method::POST, path, ALICE);
    let taken = fleet.send(asked.header("content-type", "application/jsonl").body(rows));
    assert_eq!(taken.status, 202, "{}", taken.body);
    let left = fleet.store().keys().archived_counts("default", "harbour-1");
    fleet.until("all have left Redis", || {
        (fleet.redis().command(&["HGET", &left, "succeeded"]).ok()? == "3").then_some(())
    });
    let batch = fleet.get("/v1/batches/harbour-1", ALICE).body;
    assert_eq!((&batch["counts"], &batch["finished"]), (&json!({"succeeded": 3}), &json!(3)));
    let results = fleet.get("/v1/batches/harbour-1/results", ALICE).bytes;
    assert_eq!(results.iter().filter(|byte| **byte == b'\n').count(), 3);
    let export = |more: &[&str]| {
        let verb = ["export", "--output", "ndjson", "--batch", "harbour-1"];
        let words: Vec<&str> = verb.iter().chain(more).copied().collect();
        let exported = fleet.cli(&words);
        assert_eq!(exported.code, 0, "{exported:?}");
        exported.stdout.lines().count()
    };
    assert_eq!(export(&[]), 3);
    assert_eq!(export(&["--tenant", "default"]), 3);
    assert_eq!(export(&["--no-archive"]), 0);
    assert_eq!(export(&["--ended-until", "2020-01-01"]), 0);
    let usage = fleet.cli(&["usage", "--output", "json"]).stdout;
    assert!(usage.contains("succeeded") || usage.contains("tokens"), "{usage}");
    assert!(fleet.run(fleet.store().recount()).unwrap().drifts.is_empty());
}
