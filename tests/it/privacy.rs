//! Whose files lie where, and what is left of them when they are to go.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use e2e::kit::{ALICE, BOB, Billed, Fleet, Options, Receiver, Reply, item, text};
use job::{By, Event, JobId, Record, Source, State};
use reqwest::Method;
use sandbox::TempDir;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use store::Endpoint;

/// As much of a PNG as it takes to know its size.
fn png() -> String {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
    bytes.extend(640_u32.to_be_bytes());
    bytes.extend(480_u32.to_be_bytes());
    bytes.extend([8, 2, 0, 0, 0, 0, 0, 0, 0]);
    format!("data:image/png;base64,{}", STANDARD.encode(bytes))
}

fn id(body: &Value) -> JobId {
    JobId::parse(body["id"].as_str().unwrap_or_default()).unwrap_or_else(|_| panic!("{body}"))
}

/// Every file below a folder, relative to it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
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
    found.sort_unstable();
    found
}

#[test]
fn a_tenant_with_a_bucket_of_its_own_leaves_nothing_in_the_fleets_but_intents() {
    let own = TempDir::new("own-bucket").unwrap();
    let config = format!("[tenants.bob.store]\nurl = \"file://{}\"\n", own.path().display());
    let fleet = Fleet::start(Options::with_gateway().config(&config));
    let body = Value::from(text("bob's").and(item("image_url", &png(), "first_frame")));
    let asked = fleet.ask(fleet.gateway_port(), Method::POST, "/v1/jobs", BOB).json(&body);
    let reply = fleet.send(asked);
    assert_eq!(reply.status, 202, "{}", reply.body);
    let theirs = id(&reply.body);
    let ours = id(&fleet.post_job(body).body);
    let stored = fleet.wait_stored(&[theirs.clone(), ours.clone()]);
    for record in &stored {
        let manifest = fleet.verified_manifest(record);
        assert!(manifest.objects().all(|object| object.path.starts_with(&record.spec.tenant)));
    }

    let starts = |path: &PathBuf, with: &str| path.starts_with(with);
    let (there, here) = (files(own.path()), files(&fleet.path("bucket")));
    assert!(there.iter().any(|path| starts(path, "media/bob")), "{there:?}");
    assert!(there.iter().all(|path| !starts(path, "intents") && !starts(path, "default")));
    assert!(here.iter().any(|path| starts(path, "intents/sim/bob")), "{here:?}");
    assert!(here.iter().all(|path| !starts(path, "bob") && !starts(path, "media/bob")), "{here:?}");
    fleet.audit(&[theirs, ours]);
}

/// Strict, and with keys that may do everything.
const STRICT: &str = "[pools.sim]\npolicy = \"strict\"\n[settle]\nparked_look = \"90s\"\n\
    [gateway.keys.alice]\nscopes = [\"jobs:write\", \"jobs:read\", \"review\", \"admin\"]\n";

fn send(fleet: &Fleet, method: Method, path: &str, key: &str, body: Option<Value>) -> Reply {
    let request = fleet.ask(fleet.gateway_port(), method, path, key);
    fleet.send(match body {
        Some(body) => request.json(&body),
        None => request,
    })
}

/// Everything Redis holds, whatever its type, with the names of the keys.
fn dump(fleet: &Fleet) -> String {
    let redis = |words: &[&str]| fleet.redis().command(words).unwrap();
    let mut all = String::new();
    for key in redis(&["KEYS", "*"]).lines() {
        let value = match redis(&["TYPE", key]).as_str() {
            "string" => redis(&["GET", key]),
            "hash" => redis(&["HGETALL", key]),
            "list" => redis(&["LRANGE", key, "0", "-1"]),
            "zset" => redis(&["ZRANGE", key, "0", "-1", "WITHSCORES"]),
            "set" => redis(&["SMEMBERS", key]),
            "stream" => redis(&["XRANGE", key, "-", "+"]),
            // It went between the two looks.
            "none" => continue,
            other => panic!("{key} is a {other}"),
        };
        all.push_str(&format!("{key}\n{value}\n"));
    }
    all
}

/// Where the canary, or the inline picture, still is.
fn sightings(fleet: &Fleet) -> Vec<String> {
    let picture = &png()[22..];
    let shows = |text: &str| text.contains("canary-erase") || text.contains(picture);
    let mut seen: Vec<String> =
        dump(fleet).lines().filter(|line| shows(line)).map(str::to_owned).collect();
    for file in files(&fleet.path("bucket")) {
        // What goes between the two looks is seen nowhere.
        let Ok(bytes) = std::fs::read(fleet.path("bucket").join(&file)) else { continue };
        let raw = STANDARD.decode(picture).unwrap();
        let holds = shows(&String::from_utf8_lossy(&bytes)) || bytes == raw;
        if holds || file.to_string_lossy().contains("canary-erase") {
            seen.push(file.display().to_string());
        }
    }
    seen.extend(fleet.logs().lines().filter(|line| shows(line)).map(str::to_owned));
    seen
}

fn asked_for(words: &str) -> Value {
    let body = text(&format!("canary-erase {words}")).and(item("image_url", &png(), "first_frame"));
    let body = body.with("end_user", "canary-erase-user").with("custom_id", words);
    let body = body.with("metadata", json!({"note": "canary-erase-note"}));
    let body = body.with("people", true).with("consent_ref", "canary-erase-consent");
    body.with("output", json!({"prefix": "canary-erase-folder/"})).into()
}

/// The same with an address of its own to be told at.
fn heard_at(words: &str, url: &str, secret_ref: &str) -> Value {
    let mut body = asked_for(words);
    body["webhook"] = json!({"url": url, "secret_ref": secret_ref});
    body
}

#[test]
fn what_is_erased_is_nowhere_and_its_bill_stays() {
    let receiver = Receiver::start();
    let origins = format!("[webhooks]\nallow_origins = [\"{}\"]\n", receiver.origin());
    let mut options = Options::with_gateway().config(STRICT).config(&origins);
    options.roles.push("notifier");
    let fleet = Fleet::start(options);
    let endpoint = json!({"url": receiver.url("/all"), "types": ["job.*"]});
    let made = send(&fleet, Method::POST, "/v1/webhook-endpoints", ALICE, Some(endpoint));
    let signer = made.body["id"].as_str().unwrap_or_else(|| panic!("{}", made.body));
    let own = receiver.url("/canary-erase-hook");
    let mut failure = json!({"kind": "failed", "match": {"text": "broken"}});
    failure["code"] = json!("OutputVideoSensitiveContentDetected");
    failure["message"] = json!("canary-erase: your prompt is not allowed");
    fleet.faults(&json!({"task": [failure]}));
    let stored = id(&fleet.post_job(heard_at("stored", &own, signer)).body);
    let failed = id(&fleet.post_job(heard_at("broken", &own, signer)).body);
    fleet.wait(&failed, "failed");
    let before = fleet.wait(&stored, "succeeded");
    let outbox = Endpoint::own_id("default", &own, Some(signer));
    let outbox = fleet.store().keys().outbox(&outbox);
    fleet.until("both ends are told", || {
        let told = receiver.at("/canary-erase-hook").len() >= 2;
        (told && fleet.redis().command(&["LLEN", &outbox]).ok()? == "0").then_some(())
    });
    let billed = fleet.ledger().billed_to(&before);
    fleet.faults(&json!({
        "create": [{"kind": "accept_then_drop", "times": 1}],
        "callback": [{"kind": "lose"}],
        "list": [{"kind": "lag", "ms": 3_600_000}],
    }));
    let parked = id(&fleet.post_job(asked_for("parked")).body);
    let doubt = fleet.wait(&parked, "parked");
    assert!(!sightings(&fleet).is_empty(), "there is something to erase");

    // One job by its address, the others by their customer.
    let path = format!("/v1/jobs/{stored}");
    assert_eq!(send(&fleet, Method::DELETE, &path, BOB, None).status, 404, "nobody else's");
    let receipt = send(&fleet, Method::DELETE, &path, ALICE, None);
    assert_eq!((receipt.status, &receipt.body["progress"]), (200, &json!("done")), "{receipt:?}");
    assert!(receipt.body["removed"]["objects"].as_u64() >= Some(4), "{}", receipt.body);
    assert_eq!(receipt.body["removed"]["media"], 0, "others still need the picture");
    let wish = json!({"end_user": "canary-erase-user", "reason": "the customer asked"});
    let asked = send(&fleet, Method::POST, "/v1/erasures", ALICE, Some(wish));
    assert!(matches!(asked.status, 200 | 202), "{asked:?}");
    let path = format!("/v1/erasures/{}", asked.body["id"].as_str().unwrap());
    let receipt = fleet.until("the receipt", || {
        let told = fleet.get(&path, ALICE);
        (told.body["progress"] == "done").then_some(told.body)
    });
    assert_eq!((&receipt["removed"]["jobs"], &receipt["removed"]["media"]), (&json!(2), &json!(1)));
    assert_eq!(fleet.get(&path, BOB).status, 404);
    assert_eq!(sightings(&fleet), Vec::<String>::new());

    a_bill_is_left(&fleet, &before, &billed[0]);
    let marks = |record: &Record| {
        let open = record.life.state.open_attempt().unwrap();
        (open.id.clone(), open.nonce_s, open.facts.clone())
    };
    assert_eq!(marks(&fleet.record(&parked)), marks(&doubt), "its task may still turn up");
    assert!(fleet.run(fleet.store().recount()).unwrap().drifts.is_empty());
}

/// The bill and the tombstone of an erased job.
fn a_bill_is_left(fleet: &Fleet, before: &Record, billed: &Billed) {
    let after = fleet.record(&before.id);
    let State::Finished { end: job::End::Stored { output }, task: Some(task), .. } =
        &after.life.state
    else {
        panic!("{:?}", after.life.state)
    };
    assert_eq!((output.tokens, task.id.as_str()), (Some(billed.tokens), billed.task.as_str()));
    assert_eq!(after.spec.request.mode(), before.spec.request.mode());
    let again = fleet.post_job(asked_for("stored"));
    assert_eq!((again.status, id(&again.body)), (200, before.id.clone()), "{}", again.body);
    assert!(again.body["erased"]["at"].is_string() && again.body["output"].is_null());
}

#[test]
fn a_late_task_of_an_erased_job_is_billed_and_not_fetched() {
    let fleet = Fleet::start(Options::with_gateway().config(STRICT));
    fleet.faults(&json!({
        "create": [{"kind": "accept_then_drop", "times": 1}],
        "callback": [{"kind": "lose"}],
        "list": [{"kind": "lag", "ms": 3_600_000}],
    }));
    let job = id(&fleet.post_job(asked_for("late")).body);
    let record = fleet.wait(&job, "parked");
    let task = fleet.ledger().tasks_of(&record).remove(0);
    let erased = send(&fleet, Method::DELETE, &format!("/v1/jobs/{job}"), ALICE, None);
    assert_eq!(erased.status, 200, "{}", erased.body);
    fleet.faults(&json!({}));
    let path = fleet.ledger().callback_path(&record).expect("an address was given");
    let told = json!({"id": task, "status": "succeeded", "model": "dreamina-seedance-2-0-260128"});
    assert_eq!(fleet.call_back(&path, &told).status, 200);
    let record = fleet.wait(&job, "succeeded");
    let billed = fleet.ledger().billed_to(&record);
    let State::Finished { end: job::End::Stored { output }, .. } = &record.life.state else {
        panic!("{:?}", record.life.state)
    };
    assert_eq!((output.tokens, output.is_here()), (Some(billed[0].tokens), false));
    assert_eq!(fleet.ledger().creates_of(&record), 1);
    assert_eq!(sightings(&fleet), Vec::<String>::new());
    assert!(files(&fleet.path("bucket")).iter().all(|file| file.starts_with("intents")));
}

#[test]
fn a_job_that_has_not_ended_is_cancelled_first() {
    let options = Options { roles: vec!["gateway"], ..Options::default() };
    let fleet = Fleet::start(options);
    let job = id(&fleet.post_job(asked_for("queued")).body);
    let path = format!("/v1/jobs/{job}");
    let refused = send(&fleet, Method::DELETE, &path, ALICE, None);
    assert_eq!((refused.status, &refused.body["code"]), (409, &json!("not-ended")));
    let gone = send(&fleet, Method::DELETE, &format!("{path}?cancel=true"), ALICE, None);
    assert_eq!((gone.status, &gone.body["removed"]["jobs"]), (200, &json!(1)), "{}", gone.body);
    assert_eq!(fleet.record(&job).life.state.word().as_str(), "cancelled");
    assert!(!dump(&fleet).contains("canary-erase"));
    assert_eq!(files(&fleet.path("bucket")), Vec::<PathBuf>::new());
}

#[test]
fn a_task_bought_elsewhere_is_watched_and_fetched_and_never_bought() {
    let fleet = Fleet::start(Options::with_gateway());
    let bought = id(&fleet.post_job(text("bought here")).body);
    let record = fleet.wait(&bought, "succeeded");
    let owned = record.life.state.task().unwrap().id.clone();
    let adopt = |task: &str| {
        let body = json!({"task_id": task, "custom_id": "from elsewhere"});
        send(&fleet, Method::POST, "/v1/jobs:adopt", ALICE, Some(body))
    };
    let refused = adopt(owned.as_str());
    assert_eq!((refused.status, &refused.body["code"]), (409, &json!("task-owned")));
    // Somebody else's purchase: made at the provider, unknown here.
    let create = json!({"model": "dreamina-seedance-2-0-260128",
        "content": [{"type": "text", "text": "made elsewhere"}]});
    let url = format!("http://{}/api/v3/contents/generations/tasks", fleet.api_address());
    let client = reqwest::Client::new();
    let made: Value = fleet.run(async {
        let request = client.post(url).bearer_auth("canary-provider-key-81c7").json(&create);
        request.send().await.unwrap().json().await.unwrap()
    });
    let task = made["id"].as_str().unwrap_or_else(|| panic!("{made}"));
    let taken = adopt(task);
    assert_eq!(taken.status, 202, "{}", taken.body);
    let job = id(&taken.body);
    let record = fleet.wait(&job, "succeeded");
    assert_eq!(record.spec.source, Source::Adopted);
    assert_eq!(record.life.attempts_begun, 0);
    assert!(fleet.verified_manifest(&record).output().is_some());
    let shown = fleet.get(&format!("/v1/jobs/{job}"), ALICE).body;
    assert_eq!((&shown["model"], &shown["provider"]["task_id"]), (&create["model"], &json!(task)));
    let again = adopt(task);
    assert_eq!((again.status, id(&again.body)), (200, job.clone()));
    let exported = fleet.cli(&["export", "--output", "json"]);
    assert_eq!(exported.code, 0, "{exported:?}");
    let faulty = send(&fleet, Method::POST, "/v1/jobs:adopt", ALICE, Some(json!({"tsk": 1})));
    assert_eq!(faulty.status, 422, "{}", faulty.body);
    // It has no prompt here, and still something to erase.
    let gone = send(&fleet, Method::DELETE, &format!("/v1/jobs/{job}"), ALICE, None);
    assert_eq!((gone.status, &gone.body["removed"]["jobs"]), (200, &json!(1)), "{}", gone.body);
    assert!(gone.body["removed"]["objects"].as_u64() >= Some(3), "{}", gone.body);
}

// covers: M21
#[test]
fn a_held_job_is_decided_by_another_key_than_the_one_that_made_it() {
    let own = "[review]\nrequire = \"always\"\nfour_eyes = true\n[gateway.keys.bob]\n\
        tenant = \"default\"\nscopes = [\"review\", \"jobs:read\"]\n";
    let fleet = Fleet::start(Options::with_gateway().config(STRICT).config(own));
    let body = text("people").with("people", true).with("consent_ref", "folder 7, sheet 3");
    let held = id(&fleet.post_job(body).body);
    let other = id(&fleet.post_job(text("refused")).body);
    let decide = |job: &JobId, verb: &str, key: &str| {
        let body = json!({"reason": "looked at it"});
        send(&fleet, Method::POST, &format!("/v1/jobs/{job}:{verb}"), key, Some(body))
    };
    let shown = fleet.get(&format!("/v1/jobs/{held}"), ALICE).body;
    assert_eq!(
        (&shown["state"], &shown["consent_ref"]),
        (&json!("held"), &json!("folder 7, sheet 3"))
    );
    let own = decide(&held, "approve", ALICE);
    assert_eq!((own.status, &own.body["code"]), (409, &json!("four-eyes")));
    assert_eq!(decide(&held, "approve", BOB).status, 200);
    let rejected = decide(&other, "reject", BOB);
    assert_eq!((rejected.status, &rejected.body["state"]), (200, &json!("rejected")));
    assert_eq!(decide(&other, "approve", BOB).status, 409);
    fleet.wait(&held, "succeeded");
    let lines = fleet.run(fleet.store().decisions(None, 10)).unwrap();
    let told = |verb: &str, job: &JobId| {
        lines
            .iter()
            .any(|l| l.verb == verb && l.job == *job && l.by == "bob" && l.reason == "looked at it")
    };
    assert!(told("review approve", &held) && told("review reject", &other), "{lines:#?}");
}

#[test]
fn what_was_kept_for_long_enough_goes_by_itself() {
    let fleet = Fleet::start(Options::with_gateway());
    let jobs = ["old", "half gone"].map(|words| id(&fleet.post_job(asked_for(words)).body));
    let records = fleet.wait_stored(&jobs);
    let loaded = settings::Sources::default().set("retention.days", "1").load().unwrap();
    let retention = erasure::Settings::from_loaded(&loaded).unwrap();
    assert_eq!(fleet.run(fleet.eraser().retain(&retention)).unwrap(), 0, "it is not old yet");
    // Two days pass for the index by which what is old is found.
    for record in &records {
        let kept = fleet.store().keys().ix_kept(&record.spec.tenant);
        let past = (record.life.updated_at - std::time::Duration::from_secs(2 * 86_400)).unix_ms();
        fleet.redis().command(&["ZADD", &kept, &past.to_string(), record.id.as_str()]).unwrap();
    }
    // A process died between the mark and the rest: the job must still be found.
    let asked = Event::EraseAsked { by: By::named("retention"), erasure: erasure::Eraser::draw() };
    fleet.report(&jobs[1], &asked);
    assert_eq!(fleet.run(fleet.eraser().retain(&retention)).unwrap(), 2);
    assert_eq!(sightings(&fleet), Vec::<String>::new());
    let receipts = dump(&fleet);
    assert!(receipts.contains("\"kind\":\"retention\""), "a receipt tells it");
    assert!(fleet.run(fleet.store().recount()).unwrap().drifts.is_empty());
}

#[test]
fn two_turns_of_one_process_are_one() {
    let fleet = Fleet::start(Options { roles: Vec::new(), ..Options::default() });
    let bodies = (0..300).map(|n| text(&format!("words {n}")).with("end_user", "somebody").into());
    fleet.admit_many(bodies);
    let eraser = fleet.eraser();
    let wish = erasure::Wish {
        tenant: "default".into(),
        subject: erasure::Subject::EndUser { hash: store::keys::user_hash("default", "somebody") },
        by: By::named("alice"),
        reason: "they left".into(),
        cancel: true,
    };
    let id = fleet.run(async {
        let asked = eraser.ask(erasure::Eraser::draw(), wish).await.unwrap();
        let (one, two) = tokio::join!(eraser.work(&asked.id), eraser.work(&asked.id));
        one.unwrap().unwrap();
        two.unwrap().unwrap();
        asked.id
    });
    // A turn ends after a few pages; the rest is for the next.
    let done = fleet.until("the receipt", || {
        fleet.run(eraser.work(&id)).unwrap().filter(|told| told.progress == erasure::Progress::Done)
    });
    assert_eq!((done.removed.jobs, done.interruptions), (300, 0), "nobody broke off: {done:?}");
}

#[test]
fn a_killed_gateway_leaves_its_erasure_to_the_other_one() {
    // On a busy machine a turn may be over before anybody kills: then it is begun anew.
    assert!((0..5).any(|_| killed_in_a_turn()), "no turn lasts until somebody kills");
}

/// Whether the gateway died in the middle of a turn; what must hold then is looked at.
fn killed_in_a_turn() -> bool {
    const JOBS: usize = 900;
    let fleet = Fleet::start(Options { roles: vec!["gateway"], ..Options::default() });
    let other = sandbox::ports::free();
    let bodies = (0..JOBS).map(|n| {
        let body = text(&format!("canary-erase {n}")).with("end_user", "canary-erase-user");
        body.into()
    });
    fleet.admit_many(bodies);
    let wish = json!({"end_user": "canary-erase-user", "cancel": true, "reason": "they left"});
    let request = fleet.ask(fleet.gateway_port(), Method::POST, "/v1/erasures", ALICE).json(&wish);
    let keys = fleet.store().keys();
    let (id, removed) = std::thread::scope(|scope| {
        // Its answer never comes.
        let sent = async { request.send().await.map(|answer| answer.status()) };
        let asked = scope.spawn(|| fleet.run(sent));
        let open = fleet.until("the wish", || {
            let open = fleet.redis().command(&["ZRANGE", &keys.erasures(), "0", "0"]).ok()?;
            (!open.is_empty()).then_some(open)
        });
        let id = job::ErasureId::parse(&open).unwrap();
        let removed = || -> Option<usize> {
            fleet.redis().command(&["HGET", &keys.erased(&id), "jobs"]).ok()?.parse().ok()
        };
        fleet.until("the middle of it", || removed().filter(|n| *n > 20));
        fleet.kill9("gateway");
        let removed = removed().unwrap();
        drop(asked.join());
        (id, removed)
    });
    if removed == JOBS || !dump(&fleet).contains("\"under_way\":true") {
        return false;
    }
    assert!(dump(&fleet).contains("canary-erase"), "there is something left to do");
    fleet.start_gateway_as("other", other);
    let receipt = fleet.until("the receipt", || {
        let path = format!("/v1/erasures/{id}");
        let told = fleet.send(fleet.ask(other, Method::GET, &path, ALICE));
        (told.body["progress"] == "done").then_some(told.body)
    });
    assert_eq!(receipt["removed"]["jobs"], JOBS, "each is counted once: {receipt}");
    assert_eq!((&receipt["jobs_before"], &receipt["jobs_waiting"]), (&json!(0), &json!(0)));
    assert_eq!(receipt["interruptions"], 1, "it says that it broke off: {receipt}");
    assert_eq!(sightings(&fleet), Vec::<String>::new());
    assert!(fleet.run(fleet.store().recount()).unwrap().drifts.is_empty());
    true
}

#[test]
fn a_tenant_goes_whole_with_its_refused_rows_and_what_comes_later_stays() {
    let fleet =
        Fleet::start(Options { roles: vec!["gateway"], ..Options::default() }.config(STRICT));
    let upload = |key: &str| {
        let rows = "{\"canary-erase-key\":1}\n{\"content\":[{\"type\":\"text\",\"text\":\"canary-erase row\"}],\
            \"model\":\"seedance-2.0\"}\n";
        let request = fleet.ask(fleet.gateway_port(), Method::POST, "/v1/batches?batch=b", key);
        let taken = fleet.send(request.header("content-type", "application/jsonl").body(rows));
        assert_eq!((&taken.body["created"], &taken.body["rejected"]), (&json!(1), &json!(1)));
    };
    upload(ALICE);
    let wish = json!({"tenant": "default", "cancel": true, "reason": "the contract ended"});
    let gone = send(&fleet, Method::POST, "/v1/erasures", ALICE, Some(wish.clone()));
    assert_eq!((gone.status, &gone.body["removed"]["jobs"]), (200, &json!(1)), "{}", gone.body);
    assert_eq!(gone.body["removed"]["rejects"], 1);
    assert_eq!(sightings(&fleet), Vec::<String>::new());
    let later = id(&fleet.post_job(text("later")).body);
    let path = format!("/v1/erasures/{}", gone.body["id"].as_str().unwrap());
    assert_eq!(fleet.get(&path, ALICE).body["progress"], "done");
    assert!(fleet.record(&later).life.erased.is_none());
    let refused = send(&fleet, Method::POST, "/v1/erasures", BOB, Some(wish));
    assert_eq!(refused.status, 403, "{}", refused.body);
}
