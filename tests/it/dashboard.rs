//! The dashboard over HTTP: who gets in, what they see, and what forms do.

mod deeds;

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
/// One that may stop the whole fleet, too.
const CHIEF: &str = "canary-chief-key-09c2d7";
/// A key that approves and rejects, and nothing else.
const REVIEWER: &str = "canary-reviewer-key-5fa110";

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
    let chief = key("chief", "*", CHIEF, "[\"jobs:read\", \"admin\"]");
    let reviewer = key("reviewer", "default", REVIEWER, "[\"jobs:read\", \"review\"]");
    [carol, root, chief, reviewer].iter().fold(Options::with_gateway(), |o, key| o.config(key))
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
fn nobody_does_more_than_their_role_allows() {
    let fleet = Fleet::start(still().config("[review]\nrequire = \"always\"\n"));
    let held = batch(&fleet, "kept", &["not carol's to stop"]).remove(0);
    let deeds = [
        (format!("/ui/jobs/{held}/cancel"), [("reason", "x"), ("verb", "")]),
        (format!("/ui/jobs/{held}/retry"), [("reason", "x"), ("accept_charge", "true")]),
        ("/ui/jobs/act".to_owned(), [("reason", "x"), ("verb", "cancel")]),
        ("/ui/batches/kept/cancel".to_owned(), [("reason", "x"), ("verb", "")]),
        (format!("/ui/doubt/{held}/give-up"), [("reason", "x"), ("verb", "")]),
        ("/ui/webhooks/whe_1/test".to_owned(), [("reason", "x"), ("verb", "")]),
    ];
    let judgment = (format!("/ui/review/{held}"), [("reason", "x"), ("verb", "reject")]);
    let switch = ("/ui/limits/sim/freeze".to_owned(), [("reason", "x"), ("verb", "")]);
    let refused = |key: &str, forms: &[&(String, [(&str, &str); 2])]| {
        let visitor = fleet.logged_in(key);
        for (path, fields) in forms {
            assert_eq!(visitor.send(path, fields).status, 403, "{key}: {path}");
        }
    };
    let deeds: Vec<_> = deeds.iter().collect();
    refused(CAROL, &[&deeds[..], &[&judgment, &switch]].concat());
    refused(REVIEWER, &[&deeds[..], &[&switch]].concat());
    refused(ALICE, &[&switch]);
    refused(ROOT, &[&switch]);
    let carol = fleet.logged_in(CAROL);
    for path in ["jobs?where=state%3Dheld", "review", "batches/kept", "webhooks"] {
        let page = carol.get(&format!("/ui/{path}")).text;
        assert_eq!(page.matches("method=\"post\"").count(), 1, "only to log out: {page}");
    }
    assert_eq!(fleet.record(&held).life.state.word(), StateWord::Held);
    let judged = fleet.logged_in(REVIEWER).send(&judgment.0, &judgment.1);
    assert_eq!(judged.leads_to(), "/ui/review?said=rejected", "{}", judged.text);
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
fn a_page_is_woken_by_what_it_shows() {
    let fleet = Fleet::start(still());
    let (alice, bob) = (fleet.logged_in(ALICE), fleet.logged_in(BOB));
    let id = fleet.admit(text("watched"));
    let job = format!("/ui/live?job={id}");
    assert_eq!(bob.listen(&job).status(), 404);
    let mut streams =
        [alice.listen("/ui/live"), alice.listen(&job), alice.listen("/ui/live?batch=x")];
    for stream in &mut streams {
        assert_eq!(fleet.heard(stream).map(|block| block.comment), Some("follows".to_owned()));
    }
    let [whole, one, other] = &mut streams;
    // A browser passes over an event that has no data.
    let woken = Some(("changed".to_owned(), json!({})));
    fleet.cancel(&id);
    for stream in [whole, one] {
        assert_eq!(fleet.heard(stream).map(|block| (block.event, block.data)), woken);
    }
    let of_batch = batch(&fleet, "x", &["in the batch"]).remove(0);
    assert_eq!(fleet.heard(other).map(|block| (block.event, block.data)), woken);
    assert_eq!(fleet.record(&of_batch).spec.batch.as_deref(), Some("x"));
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
    assert!(bob.get("/ui/jobs").text.contains("No job yet."));
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
