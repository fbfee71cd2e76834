//! The dashboard over HTTP: who gets in, what they see, and what forms do.

use e2e::kit::{ALICE, BOB, Fleet, Options, text};
use job::filter::Filter;
use job::{JobId, StateWord};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use store::ListQuery;

/// A key that may look and nothing else.
const CAROL: &str = "canary-carol-key-6a1d92";
/// A key that sees every tenant.
const ROOT: &str = "canary-root-key-b81f04";

const SCREENS: [&str; 10] = [
    "fleet", "batches", "jobs", "failures", "doubt", "review", "audit", "webhooks", "workers",
    "limits",
];

fn key(name: &str, tenant: &str, secret: &str, scopes: &str) -> String {
    let digest = Sha256::digest(secret.as_bytes());
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "[gateway.keys.{name}]\ntenant = \"{tenant}\"\nkey_sha256 = \"{hex}\"\nscopes = {scopes}\n"
    )
}

fn options() -> Options {
    let carol = key("carol", "default", CAROL, "[\"jobs:read\"]");
    let root = key("root", "*", ROOT, "[\"jobs:read\", \"jobs:write\"]");
    Options::with_gateway().config(&carol).config(&root)
}

/// Jobs that come together, as an import makes them.
fn batch(fleet: &Fleet, name: &str, prompts: &[&str]) -> Vec<JobId> {
    let rows: String =
        prompts.iter().map(|prompt| format!("{}\n", Value::from(text(prompt)))).collect();
    let file = fleet.path("rows.jsonl");
    std::fs::write(&file, rows).expect("the folder is ours");
    let file = file.display().to_string();
    let ended = fleet.cli(&["import", &file, "--batch", name]);
    let found = fleet.run(fleet.store().list(&ListQuery::of(Filter::all().batch(name))));
    let items = found.expect("Redis answers").items;
    assert_eq!(items.len(), prompts.len(), "{ended:?}");
    items.into_iter().map(|stored| stored.record.id).collect()
}

/// The pages alone: nothing moves by itself.
fn still() -> Options {
    Options { roles: vec!["gateway"], ..options() }
}

#[test]
fn a_key_opens_a_session_and_nothing_else_does() {
    let fleet = Fleet::start(still());
    let visitor = fleet.visitor();
    assert_eq!(visitor.get("/").leads_to(), "/ui/fleet");
    let turned_away = visitor.get("/ui/jobs?where=state%3Dfailed");
    assert_eq!(turned_away.leads_to(), "/ui/login?next=/ui/jobs%3Fwhere%3Dstate%253Dfailed");
    assert_eq!(visitor.log_in("no such key").status, 403);
    let without_token = visitor.post("/ui/login", &[("key", ALICE)]);
    assert_eq!(without_token.status, 403, "{}", without_token.text);

    let door = visitor.get("/ui/login").hidden("csrf");
    let next = "/ui/jobs?where=state%3Dfailed";
    let entered = visitor.post("/ui/login", &[("csrf", &door), ("key", ALICE), ("next", next)]);
    assert_eq!((entered.status, entered.leads_to()), (303, next));
    let cookie = &entered.headers["set-cookie"];
    for word in ["HttpOnly", "SameSite=Strict", "Path=/ui", "Max-Age=43200"] {
        assert!(cookie.contains(word), "{cookie}");
    }
    let page = visitor.get("/ui/fleet");
    assert!(page.text.contains("<b>alice</b>"), "{}", page.text);
    assert!(!fleet.logs().contains(ALICE), "no log names a key");

    let old = visitor.cookie();
    assert_eq!(visitor.post("/ui/logout", &[("csrf", "wrong")]).status, 403);
    assert_eq!(visitor.send("/ui/logout", &[]).leads_to(), "/ui/login");
    let again = fleet.visitor().get_with("/ui/fleet", &[("cookie", &old)]);
    assert_eq!(again.status, 303, "the session is over, whoever holds its cookie");

    let tries: Vec<u16> = (0..12).map(|_| visitor.log_in("guess").status).collect();
    assert!(tries.contains(&429), "{tries:?}");
}

#[test]
fn every_page_keeps_to_the_policy_and_asks_nobody_else() {
    let fleet = Fleet::start(still());
    let root = fleet.logged_in(ROOT);
    for screen in SCREENS {
        let page = root.get(&format!("/ui/{screen}"));
        assert_eq!(page.status, 200, "{screen}: {}", page.text);
        let policy = &page.headers["content-security-policy"];
        assert!(policy.starts_with("default-src 'none'; script-src 'self'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(page.headers["cache-control"], "no-store");
        assert_eq!(page.headers["x-content-type-options"], "nosniff");
        for inline in [" style=", "<style", " onclick=", "javascript:", "http://", "https://"] {
            assert!(!page.text.contains(inline), "{screen}: {inline}");
        }
    }
    let page = root.get("/ui/fleet").text;
    let sheet = page.split("href=\"").find(|part| part.contains("dash.css\"")).expect("a sheet");
    let sheet = root.get(sheet.split('"').next().expect("an address"));
    assert_eq!(sheet.headers["content-type"], "text/css; charset=utf-8");
    assert!(sheet.headers["cache-control"].contains("immutable"));
    assert_eq!(root.get("/ui/static/000000000000/dash.css").status, 404);
    let missing = root.get("/ui/nothing");
    assert_eq!(missing.status, 404);
    assert!(missing.headers.contains_key("content-security-policy"));
}

#[test]
fn who_may_only_look_gets_no_forms_and_no_deeds() {
    let fleet = Fleet::start(still());
    let id = fleet.admit(text("not carol's to stop"));
    let carol = fleet.logged_in(CAROL);
    for path in ["jobs".to_owned(), format!("jobs/{id}"), "review".to_owned()] {
        let page = carol.get(&format!("/ui/{path}")).text;
        assert_eq!(page.matches("method=\"post\"").count(), 1, "only to log out: {page}");
    }
    for (path, fields) in [
        (format!("/ui/jobs/{id}/cancel"), [("reason", "x"), ("verb", "")]),
        ("/ui/jobs/act".to_owned(), [("reason", "x"), ("verb", "cancel")]),
        (format!("/ui/review/{id}"), [("reason", "x"), ("verb", "reject")]),
        (format!("/ui/doubt/{id}/give-up"), [("reason", "x"), ("verb", "")]),
    ] {
        assert_eq!(carol.send(&path, &fields).status, 403, "{path}");
    }
    assert_eq!(fleet.record(&id).life.state.word(), StateWord::Queued);
}

#[test]
fn a_form_needs_the_sessions_token_and_a_page_of_ours() {
    let fleet = Fleet::start(still());
    let id = fleet.admit(text("stays"));
    let path = format!("/ui/jobs/{id}/cancel");
    let alice = fleet.logged_in(ALICE);
    let other = fleet.logged_in(ALICE).token();
    for token in ["", "wrong", &other] {
        assert_eq!(alice.post(&path, &[("csrf", token), ("reason", "x")]).status, 403, "{token}");
    }
    let token = alice.token();
    let elsewhere = [("sec-fetch-site", "cross-site")];
    let fields = [("csrf", token.as_str()), ("reason", "x")];
    assert_eq!(alice.post_with(&path, &elsewhere, &fields).status, 403);
    assert_eq!(fleet.visitor().post(&path, &fields).status, 303, "nobody: to the door");
    assert_eq!(alice.send(&path, &[("reason", " ")]).status, 422, "a reason is needed");
    assert_eq!(fleet.record(&id).life.state.word(), StateWord::Queued);

    let done = alice.send(&path, &[("reason", "ordered twice")]);
    assert_eq!(done.leads_to(), format!("/ui/jobs/{id}?said=cancelled"));
    assert!(alice.get(done.leads_to()).text.contains("Cancelled. Nothing was paid."));
    assert_eq!(fleet.record(&id).life.state.word(), StateWord::Cancelled);
    let audit = alice.get("/ui/audit").text;
    assert!(audit.contains("ordered twice") && audit.contains("alice"), "{audit}");
}

#[test]
fn a_job_is_watched_to_its_end_without_a_script() {
    let fleet = Fleet::start(options());
    let alice = fleet.logged_in(ALICE);
    let id = batch(&fleet, "boats", &["a paper boat"]).remove(0);
    fleet.wait(&id, "succeeded");
    let list = alice.get("/ui/jobs?where=state%3Dsucceeded").text;
    assert!(list.contains(id.as_str()) && list.contains("a paper boat"), "{list}");
    assert!(alice.get("/ui/jobs?where=state%3Dfailed").text.contains("No job fits."));
    let refused = alice.get("/ui/jobs?where=sate%3Dfailed").text;
    assert!(refused.contains("did you mean state"), "{refused}");

    let page = alice.get(&format!("/ui/jobs/{id}")).text;
    for part in ["<video", "Where the time went", "Download", "cgt-", "The provider’s payload"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains("X-Tos-Signature"), "no page shows a link’s signature");

    let video = format!("/ui/jobs/{id}/video");
    let whole = alice.get(&video);
    assert_eq!((whole.status, whole.headers["content-type"].as_str()), (200, "video/mp4"));
    let part = alice.get_with(&video, &[("range", "bytes=4-11")]);
    assert_eq!((part.status, part.bytes), (206, 8));
    assert_eq!(part.headers["content-range"], format!("bytes 4-11/{}", whole.bytes));
    assert!(part.text.starts_with("ftyp"), "{part:?}");
    assert_eq!(alice.get_with(&video, &[("range", "bytes=99999999-")]).status, 416);
    let poster = alice.get(&format!("/ui/jobs/{id}/poster"));
    assert_eq!((poster.status, poster.headers["content-type"].as_str()), (200, "image/png"));

    let batch = alice.get("/ui/batches/boats").text;
    assert!(batch.contains("100.0 %") && batch.contains(&format!("/ui/jobs/{id}/poster")));
    assert!(alice.get("/ui/batches").text.contains("/ui/batches/boats"));
}

#[test]
fn words_from_outside_stay_words() {
    let fleet = Fleet::start(still());
    let prompt =
        "<script>alert(1)</script>\" onmouseover=\"alert(2) '><img src=x onerror=alert(3)>";
    let request = text(prompt).with("metadata", json!({"<i>": "\"><u>"}));
    let id = fleet.admit(request);
    let alice = fleet.logged_in(ALICE);
    let filter = "where=%22%3E%3Cscript%3Ealert(4)%3C%2Fscript%3E";
    for path in [
        "/ui/jobs".to_owned(),
        format!("/ui/jobs/{id}"),
        format!("/ui/jobs?{filter}"),
        "/ui/fleet?said=%3Cscript%3Ealert(5)".to_owned(),
        "/ui/login?next=%22%3E%3Cscript%3Ealert(6)".to_owned(),
    ] {
        let page = alice.get(&path).text;
        for mark in ["<script>alert", "<img src=x", "<u>", "<i>", "\" onmouseover=\""] {
            assert!(!page.contains(mark), "{path}: {mark}\n{page}");
        }
    }
}

#[test]
fn all_that_match_are_cancelled_after_a_count_and_a_reason() {
    let fleet = Fleet::start(still());
    let ids = batch(&fleet, "many", &["of many, one", "of many, two", "of many, three"]);
    let kept = fleet.admit(text("another batch"));
    let alice = fleet.logged_in(ALICE);
    let asked = alice.send("/ui/jobs/act", &[("verb", "cancel"), ("where", "batch=many")]);
    assert_eq!(asked.status, 200);
    assert!(asked.text.contains("3 jobs fit") && asked.text.contains("Cancel 3"), "{}", asked.text);
    assert_eq!(fleet.record(&ids[0]).life.state.word(), StateWord::Queued, "nothing happens yet");
    let fields = [("verb", "cancel"), ("where", "batch=many"), ("confirmed", "3")];
    assert_eq!(alice.send("/ui/jobs/act", &fields).status, 422, "a reason is needed");
    let with_reason = [&fields[..], &[("reason", "the campaign is off")]].concat();
    let done = alice.send("/ui/jobs/act", &with_reason);
    assert_eq!(done.leads_to(), "/ui/jobs?where=batch%3Dmany&said=many&done=3&of=3");
    for id in &ids {
        assert_eq!(fleet.record(id).life.state.word(), StateWord::Cancelled);
    }
    assert_eq!(fleet.record(&kept).life.state.word(), StateWord::Queued);
    let audit = alice.get("/ui/audit").text;
    assert_eq!(audit.matches("the campaign is off").count(), 3, "{audit}");
}

#[test]
fn a_held_job_is_approved_or_rejected_with_a_reason() {
    let fleet = Fleet::start(options().config("[review]\nrequire = \"always\"\n"));
    let first = fleet.admit(text("to be approved").with("consent_ref", "consent-77"));
    let second = fleet.admit(text("to be rejected"));
    let alice = fleet.logged_in(ALICE);
    let page = alice.get("/ui/review").text;
    for part in ["to be approved", "consent-77", "to be rejected", "2 jobs are held"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let approve = format!("/ui/review/{first}");
    let refused = alice.send(&approve, &[("verb", "approve"), ("reason", "")]);
    assert_eq!(refused.status, 422, "{}", refused.text);
    let done = alice.send(&approve, &[("verb", "approve"), ("reason", "consent is on file")]);
    assert_eq!(done.leads_to(), "/ui/review?said=approved");
    let rejected = [("verb", "reject"), ("reason", "no consent")];
    let done = alice.send(&format!("/ui/review/{second}"), &rejected);
    assert_eq!(done.leads_to(), "/ui/review?said=rejected");
    assert_eq!(alice.send(&format!("/ui/review/{second}"), &rejected).status, 422, "it is over");
    fleet.wait(&first, "succeeded");
    fleet.wait(&second, "rejected");
    let audit = alice.get("/ui/audit").text;
    assert!(audit.contains("consent is on file") && audit.contains("no consent"), "{audit}");
}

#[test]
fn a_doubt_is_decided_on_the_evidence_that_was_shown() {
    let strict = "[pools.sim]\npolicy = \"strict\"\n[settle]\nparked_look = \"90s\"\n";
    let fleet = Fleet::start(options().config(strict));
    fleet.faults(&json!({
        "create": [{"kind": "accept_then_drop", "times": 1}],
        "callback": [{"kind": "lose"}],
        "list": [{"kind": "lag", "ms": 3_600_000}],
    }));
    let id = fleet.admit(text("nobody knows"));
    let record = fleet.wait(&id, "parked");
    let task = fleet.ledger().tasks_of(&record).remove(0);
    let alice = fleet.logged_in(ALICE);
    assert!(alice.get("/ui/doubt").text.contains("1 job waits for a person"));
    let path = format!("/ui/doubt/{id}");
    let page = alice.get(&path);
    assert!(page.text.contains("policy is strict"), "{}", page.text);
    let grounds = page.hidden("grounds");
    let adopt = format!("{path}/adopt");
    let fields = |task: &'static str, grounds: &'static str| {
        [("task", task), ("reason", "seen in the console"), ("grounds", grounds)]
    };
    let stale = alice.send(&adopt, &fields("cgt-20200101000000-abcde", "other"));
    assert_eq!(stale.status, 422);
    assert!(stale.text.contains("The evidence has changed"), "{}", stale.text);
    let right = [("task", task.as_str()), ("reason", "seen"), ("grounds", grounds.as_str())];
    let unknown = [("task", "cgt-20200101000000-abcde"), right[1], right[2]];
    let refused = alice.send(&adopt, &unknown);
    assert!(refused.text.contains("the provider knows no task"), "{}", refused.text);
    let done = alice.send(&adopt, &right);
    assert_eq!(done.leads_to(), format!("/ui/jobs/{id}?said=adopted"), "{}", done.text);
    let record = fleet.wait(&id, "succeeded");
    assert_eq!(fleet.ledger().creates_of(&record), 1);
}

#[test]
fn a_tenant_sees_its_own_and_who_runs_the_fleet_sees_all() {
    let fleet = Fleet::start(still());
    let id = fleet.admit(text("for the default tenant only"));
    let (bob, root) = (fleet.logged_in(BOB), fleet.logged_in(ROOT));
    let job = format!("/ui/jobs/{id}");
    for path in [job.clone(), format!("{job}/video"), format!("/ui/doubt/{id}")] {
        assert_eq!(bob.get(&path).status, 404, "{path}");
    }
    assert_eq!(bob.send(&format!("{job}/cancel"), &[("reason", "x")]).status, 404);
    assert!(bob.get("/ui/jobs").text.contains("No job fits."));
    let widened = "/ui/jobs?where=tenant%3Ddefault";
    assert!(bob.get(widened).text.contains("No job fits."), "a filter narrows, never widens");
    assert_eq!(bob.get("/ui/limits").status, 403);
    assert!(root.get("/ui/jobs").text.contains(id.as_str()));
    assert_eq!(root.get(&job).status, 200);
    let whole = root.get("/ui/fleet").text;
    assert!(whole.contains("What limits us now"), "{whole}");
}

#[test]
fn a_gateway_without_a_dashboard_has_no_such_pages() {
    let fleet = Fleet::start(still().config("[gateway]\ndashboard = false\n"));
    assert_eq!(fleet.visitor().get("/ui/login").status, 404);
    assert_eq!(fleet.visitor().get("/").status, 404);
}
