//! What is asked about jobs: lists by filter, failures, usage, batches and their results; batches that are
//! paused, and operations that outlive the gateway that began them.

use e2e::kit::{ALICE, BOB, Fleet, Ledger, Options, text};
use job::{JobId, Record, State, StateWord, Timestamp};
use reqwest::Method;
use sandbox::ports;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

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
    // A machine that is busy may limit for a moment.
    let limits = fleet.until("nothing that limits", || {
        let limits = fleet.get("/v1/limits", ALICE).body;
        let nothing = limits["limited_by"].as_str().is_some_and(|s| s.starts_with("Nothing"));
        nothing.then_some(limits)
    });
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

#[test]
fn a_condition_without_an_index_narrows_a_bounded_walk_and_says_where_it_stopped() {
    let mut options = Options::with_gateway();
    options.roles.retain(|role| *role == "gateway");
    let fleet = Fleet::start(options);
    // The one that is looked for is older than all that one page looks at.
    let old = fleet.admit_many([text("the oldest").with("end_user", "eve").into()]);
    let made_at = fleet.record(&old[0]).created_at;
    let now = || fleet.run(fleet.store().now()).expect("Redis answers");
    fleet.until("another instant", || (now() > made_at).then_some(()));
    fleet.admit_many((0..store::LOOKS_MAX).map(|n| Value::from(text(&format!("later {n}")))));

    let path = "/v1/jobs?where=end_user%3Deve";
    let page = fleet.get(path, ALICE);
    assert_eq!((page.status, &page.body["items"]), (200, &json!([])), "{}", page.body);
    let next = page.body["next"].as_str().expect("there is more to look at");
    let rest = fleet.get(&format!("{path}&cursor={next}"), ALICE).body;
    assert_eq!(rest["items"].as_array().map(Vec::len), Some(1), "{rest}");
    assert_eq!(rest["next"], Value::Null);

    let list = ["-q", "-o", "json", "jobs", "list", "--where", "end_user=eve"];
    let page = fleet.cli(&list);
    assert_eq!((page.code, page.json()), (0, json!([])), "{page:?}");
    let (_, behind) = page.stderr.split_once("--cursor ").expect("it says where it stopped");
    let next = behind.split([',', ' ', '\n']).next().unwrap_or_default();
    let rest = fleet.cli(&[&list[..], &["--cursor", next]].concat());
    assert_eq!(rest.json().as_array().map(Vec::len), Some(1), "{rest:?}");
    assert!(!rest.stderr.contains("--cursor"), "{rest:?}");
    let all = fleet.cli(&[&list[..], &["--limit", "0"]].concat());
    assert_eq!(all.json(), rest.json(), "all of them are looked at");
}

/// An answer's rows by their groups.
fn groups(items: &Value) -> Value {
    let rows = items.as_array().unwrap_or_else(|| panic!("{items}")).iter();
    let row = |row: &Value| {
        let mut row = row.as_object().unwrap_or_else(|| panic!("{row}")).clone();
        let group = row.remove("group").unwrap_or_default();
        (group.as_str().unwrap_or_default().to_owned(), Value::Object(row))
    };
    rows.map(row).collect::<serde_json::Map<_, _>>().into()
}

/// What jobs came to by the provider's own ledger, at the prices of `config/pricing.toml`: the rows an answer must have.
fn by_ledger(ledger: &Ledger, records: &[&Record], group: impl Fn(&Record) -> String) -> Value {
    let mut rows: BTreeMap<String, [u64; 4]> = BTreeMap::new();
    for record in records {
        let per_ten = if record.spec.request.model_id.contains("fast") { 56 } else { 70 };
        let [jobs, succeeded, tokens, micros] = rows.entry(group(record)).or_default();
        *jobs += 1;
        for billed in ledger.billed_to(record) {
            *succeeded += 1;
            *tokens += billed.tokens;
            *micros += (billed.tokens * per_ten).div_ceil(10);
        }
    }
    let row = |(group, [jobs, succeeded, tokens, micros]): (String, [u64; 4])| {
        let usd = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
        let cost = if micros == 0 { json!({}) } else { json!({"usd": usd}) };
        let row = json!({"jobs": jobs, "succeeded": succeeded, "tokens": tokens, "cost": cost});
        (group, row)
    };
    rows.into_iter().map(row).collect::<serde_json::Map<_, _>>().into()
}

fn day_of(at: Timestamp) -> String {
    at.rfc3339().chars().take("2026-11-26".len()).collect()
}

/// The UTC day of its end.
fn ended_on(record: &Record) -> String {
    match &record.life.state {
        State::Finished { at, .. } => day_of(*at),
        other => panic!("{} has not ended: {other:?}", record.id),
    }
}

fn usage_by_cli(fleet: &Fleet, args: &[&str]) -> Value {
    let ended = fleet.cli(&[&["-o", "json", "usage"], args].concat());
    assert_eq!(ended.code, 0, "{ended:?}");
    groups(&ended.json())
}

fn usage_by_api(fleet: &Fleet, query: &str, key: &str) -> Value {
    let told = fleet.get(&format!("/v1/usage?{query}"), key);
    assert_eq!(told.status, 200, "{}", told.body);
    groups(&told.body["items"])
}

#[test]
fn usage_is_added_up_by_day_tenant_model_and_batch() {
    let fleet = Fleet::start(Options::with_gateway());
    let mut failure = json!({"kind": "failed", "code": "InternalServiceError"});
    failure["match"] = json!({"text": "broken"});
    failure["message"] = json!("not today");
    fleet.faults(&json!({"task": [failure]}));
    let mut ids = batch(&fleet, "spring", 3);
    ids.extend(batch(&fleet, "autumn", 2));
    let admit = |body: Value, key| {
        let request = fleet.ask(fleet.gateway_port(), Method::POST, "/v1/jobs", key);
        let reply = fleet.send(request.json(&body));
        JobId::parse(reply.body["id"].as_str().unwrap_or_default()).expect("an id")
    };
    ids.push(admit(text("of another tenant").into(), BOB));
    ids.push(admit(text("of another model").with("model", "seedance-2.0-fast").into(), BOB));
    ids.push(admit(text("broken").into(), ALICE));
    let records = fleet.wait_settled(&ids);
    assert_eq!(records[7].life.state.word(), StateWord::Failed);
    let ledger = fleet.ledger();
    let of = |tenant: &str| -> Vec<&Record> {
        records.iter().filter(|record| record.spec.tenant == tenant).collect()
    };
    let (alices, bobs, all) = (of("default"), of("bob"), records.iter().collect::<Vec<_>>());
    let batched: Vec<&Record> =
        all.iter().copied().filter(|record| record.spec.batch.is_some()).collect();
    let by = |records: &[&Record], group: fn(&Record) -> String| by_ledger(&ledger, records, group);
    let tenant: fn(&Record) -> String = |record| record.spec.tenant.clone();
    let model: fn(&Record) -> String = |record| record.spec.request.model.word().to_owned();
    let name: fn(&Record) -> String = |record| record.spec.batch.clone().unwrap_or_default();

    let cli = |args: &[&str]| usage_by_cli(&fleet, args);
    assert_eq!(cli(&["--by", "day"]), by(&all, ended_on));
    assert_eq!(cli(&[]), by(&all, ended_on), "by day, if nothing is said");
    assert_eq!(cli(&["--by", "tenant"]), by(&all, tenant));
    assert_eq!(cli(&["--by", "model"]), by(&all, model));
    let whole = |record: &Record| format!("default/{}", name(record));
    assert_eq!(cli(&["--by", "batch"]), by_ledger(&ledger, &batched, whole));
    for (of, theirs) in [("default", &alices), ("bob", &bobs)] {
        assert_eq!(cli(&["--by", "day", "--tenant", of]), by(theirs, ended_on));
        assert_eq!(cli(&["--by", "model", "--tenant", of]), by(theirs, model));
        assert_eq!(cli(&["--by", "tenant", "--tenant", of]), by(theirs, tenant));
    }
    for (key, theirs) in [(ALICE, &alices), (BOB, &bobs)] {
        let api = |group: &str| usage_by_api(&fleet, &format!("group_by={group}"), key);
        assert_eq!(api("day"), by(theirs, ended_on), "nobody else's");
        assert_eq!(api("model"), by(theirs, model));
        assert_eq!(api("tenant"), by(theirs, tenant));
    }
    assert_eq!(usage_by_api(&fleet, "group_by=batch", ALICE), by(&batched, name));
    assert_eq!(usage_by_api(&fleet, "group_by=batch", BOB), json!({}));
    fleet.audit(&ids);
}

#[test]
fn usage_of_other_days_is_told_apart_and_left_out_when_it_is_not_asked_for() {
    let fleet = Fleet::start(Options::with_gateway());
    let ids = batch(&fleet, "spring", 2);
    let records = fleet.wait_stored(&ids);
    let now = fleet.run(fleet.store().now()).expect("Redis answers");
    // As commits count, of a day that this test has not lived.
    let earlier = day_of(now - Duration::from_secs(3 * 24 * 3_600));
    let key = fleet.store().keys().spent(&earlier);
    for (what, n) in
        [("succeeded", "2"), ("failed", "1"), ("tokens", "300"), ("micros.usd", "2100")]
    {
        let field = format!("default|2.0|{what}");
        fleet.redis().command(&["HINCRBY", &key, &field, n]).expect("Redis answers");
    }
    let today = by_ledger(&fleet.ledger(), &records.iter().collect::<Vec<_>>(), ended_on);
    let then = json!({"jobs": 3, "succeeded": 2, "tokens": 300, "cost": {"usd": "0.002100"}});
    let mut both = today.clone();
    both[&earlier] = then.clone();
    let then = json!({(earlier.as_str()): then});
    let later = day_of(now - Duration::from_secs(24 * 3_600));

    let cli = |args: &[&str]| usage_by_cli(&fleet, args);
    assert_eq!(cli(&["--by", "day"]), both);
    assert_eq!(cli(&["--by", "day", "--to", &earlier, "--from", &earlier]), then);
    assert_eq!(cli(&["--by", "day", "--from", &later]), today);
    let api = |more: &str| usage_by_api(&fleet, &format!("group_by=day{more}"), ALICE);
    assert_eq!(api(""), both);
    let noon = format!("{earlier}T12:00:00Z");
    assert_eq!(api(&format!("&from={noon}&to={noon}")), then);
    assert_eq!(api(&format!("&from={later}T00:00:00Z")), today);
    assert_eq!(usage_by_api(&fleet, "group_by=day", BOB), json!({}));
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
