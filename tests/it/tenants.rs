//! Tenants: what each sees, what each key reaches, what each may take.

use e2e::kit::{ALICE, BOB, Fleet, Options, Reply, text};
use job::JobId;
use reqwest::Method;
use sandbox::ports;
use serde_json::{Value, json};

/// Configured keys of the fleet's operator and of a tenant's admin.
const ADMINS: &str = r#"
[gateway.keys.root]
tenant = "*"
key_sha256 = "6b983e42b147f042ee1d7795d206774db129ba06ae001c20d3daf819f346d90d"
scopes = ["admin"]
"#;
/// The operator's key: its SHA-256 stands above.
const ROOT: &str = "canary-root-key-5a5a5a5a";

fn id(body: &Value) -> JobId {
    JobId::parse(body["id"].as_str().unwrap_or_default()).unwrap_or_else(|_| panic!("{body}"))
}

fn send(fleet: &Fleet, method: Method, path: &str, key: &str, body: Option<Value>) -> Reply {
    let request = fleet.ask(fleet.gateway_port(), method, path, key);
    fleet.send(match body {
        Some(body) => request.json(&body),
        None => request,
    })
}

fn post(fleet: &Fleet, path: &str, key: &str, body: Value) -> Reply {
    send(fleet, Method::POST, path, key, Some(body))
}

/// Makes a key by the command line and returns it whole.
fn made(fleet: &Fleet, args: &[&str]) -> Value {
    let mut all = vec!["keys", "create", "-o", "json", "--name", "test"];
    all.extend(args);
    let ended = fleet.cli(&all);
    assert_eq!(ended.code, 0, "{ended:?}");
    ended.json()
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

fn idle() -> Options {
    Options { roles: vec!["gateway"], ..Options::default() }.config(ADMINS)
}

#[test]
fn two_tenants_neither_see_nor_touch_each_others_jobs_and_keys() {
    let fleet = Fleet::start(idle());
    let scopes = ["--mode", "test", "--scope", "admin"];
    let key = |tenant: &str| {
        let made = made(&fleet, &[&["--tenant", tenant][..], &scopes[..]].concat());
        (word(&made["id"]).to_owned(), word(&made["key"]).to_owned())
    };
    let ((acme_id, acme), (_, umbra)) = (key("acme"), key("umbra"));
    let job = id(&post(&fleet, "/v1/jobs", &acme, text("mine").into()).body);
    let path = format!("/v1/jobs/{job}");
    assert_eq!(fleet.get(&path, &acme).status, 200);
    for (method, path) in [
        (Method::GET, path.clone()),
        (Method::POST, format!("{path}:cancel")),
        (Method::DELETE, format!("/v1/keys/{acme_id}")),
        (Method::POST, format!("/v1/keys/{acme_id}:rotate")),
    ] {
        let reply = send(&fleet, method.clone(), &path, &umbra, None);
        assert_eq!(reply.status, 404, "{method} {path}: {}", reply.body);
    }
    assert_eq!(fleet.get(&path, &acme).body["state"], "queued");
    let own = fleet.get("/v1/keys", &umbra);
    assert_eq!(own.body["items"].as_array().map(Vec::len), Some(1), "{}", own.body);
    let wanted = json!({"name": "x", "tenant": "acme", "mode": "test", "scopes": ["admin"]});
    assert_eq!(post(&fleet, "/v1/keys", &umbra, wanted).status, 403);
    assert_eq!(fleet.get("/v1/keys", ALICE).status, 403, "not an admin");

    // The operator sees all of it, and makes no jobs.
    assert_eq!(fleet.get(&path, ROOT).status, 200);
    assert_eq!(fleet.get("/v1/keys", ROOT).body["items"].as_array().map(Vec::len), Some(2));
    assert_eq!(post(&fleet, "/v1/jobs", ROOT, text("nobody's").into()).status, 403);
}

#[test]
fn a_key_reaches_the_pools_of_its_mode_and_no_others() {
    let fleet = Fleet::start(idle());
    let live = made(&fleet, &["--tenant", "acme", "--mode", "live", "--scope", "jobs:write"]);
    let refused = post(&fleet, "/v1/jobs", word(&live["key"]), text("for money").into());
    assert_eq!((refused.status, word(&refused.body["code"])), (403, "no-pool"), "{}", refused.body);
    let test =
        made(&fleet, &["--tenant", "acme", "--mode", "test", "--scope", "jobs:write,jobs:read"]);
    let test = word(&test["key"]);
    let job = id(&post(&fleet, "/v1/jobs", test, text("for nothing").into()).body);
    // A configured key takes the only pool there is.
    assert_eq!(fleet.post_job(text("as ever")).status, 202);
    let live_reader = made(&fleet, &["--tenant", "acme", "--mode", "live", "--scope", "admin"]);
    let path = format!("/v1/jobs/{job}");
    assert_eq!(fleet.get(&path, word(&live_reader["key"])).status, 404, "it lies in a test pool");
    assert_eq!(fleet.get(&path, test).status, 200);
    // A test key that could make a live one would be a live one.
    let admin = made(&fleet, &["--tenant", "acme", "--mode", "test", "--scope", "admin"]);
    let admin = word(&admin["key"]);
    let wanted = json!({"name": "x", "mode": "live", "scopes": ["jobs:write"]});
    assert_eq!(post(&fleet, "/v1/keys", admin, wanted).status, 403);
    let rotate = format!("/v1/keys/{}:rotate", word(&live["id"]));
    assert_eq!(send(&fleet, Method::POST, &rotate, admin, None).status, 404);
}

#[test]
fn keys_are_made_rotated_revoked_and_never_shown_twice() {
    let fleet = Fleet::start(idle());
    let wanted = json!({"name": "ci", "tenant": "acme", "mode": "test", "scopes": ["jobs:read"]});
    let reply = post(&fleet, "/v1/keys", ROOT, wanted);
    assert_eq!(reply.status, 201, "{}", reply.body);
    let (old_id, old) = (word(&reply.body["id"]), word(&reply.body["key"]));
    let works = |key: &str| fleet.get("/v1/jobs/job_00000000000000000000000000", key).status == 404;
    assert!(works(old));
    let rotate = format!("/v1/keys/{old_id}:rotate");
    // Longer than a busy machine keeps this test from trying both.
    let rotated = post(&fleet, &rotate, ROOT, json!({"overlap_s": 5}));
    assert_eq!(rotated.status, 201, "{}", rotated.body);
    let new = word(&rotated.body["key"]);
    assert!(works(old) && works(new), "both live during the overlap");
    assert_eq!(post(&fleet, &rotate, ROOT, json!({})).status, 409);
    fleet.until("the older key has ended by itself", || (!works(old)).then_some(()));
    assert!(works(new));

    let new_id = word(&rotated.body["id"]);
    let revoked = send(&fleet, Method::DELETE, &format!("/v1/keys/{new_id}"), ROOT, None);
    assert_eq!(revoked.status, 204);
    fleet.until("every gateway has heard of it", || (!works(new)).then_some(()));

    let lifetime =
        ["--tenant", "acme", "--mode", "test", "--scope", "jobs:read", "--expires-in", "1s"];
    let brief = made(&fleet, &lifetime);
    fleet.until("it has expired", || (!works(word(&brief["key"]))).then_some(()));

    let bound =
        ["--tenant", "acme", "--mode", "test", "--scope", "jobs:read", "--source", "10.0.0.0/8"];
    let elsewhere = made(&fleet, &bound);
    let refused = fleet.get("/v1/jobs/x", word(&elsewhere["key"]));
    assert_eq!((refused.status, word(&refused.body["code"])), (403, "source-not-allowed"));

    let listed = fleet.cli(&["keys", "list", "-o", "json"]).stdout
        + &fleet.get("/v1/keys", ROOT).body.to_string();
    let log = fleet.logs();
    for key in [old, new, word(&brief["key"])] {
        let secret = key.rsplit('_').next().unwrap_or_default();
        assert!(!listed.contains(secret) && !log.contains(secret), "shown again");
    }
    assert_eq!(fleet.cli(&["keys", "revoke", "000000000000"]).code, 5);
    let again = fleet.cli(&["keys", "rotate", word(&rotated.body["id"])]);
    assert_eq!(again.code, 6, "{again:?}");
}

#[test]
fn who_guesses_keys_is_not_heard_for_a_while() {
    let fleet = Fleet::start(idle().config("[gateway]\nauth_failures_rpm = 5\n"));
    for _ in 0..5 {
        assert_eq!(fleet.get("/v1/jobs/x", "canary-wrong-key-0000").status, 401);
    }
    let stopped = fleet.get("/v1/jobs/x", ALICE);
    assert_eq!((stopped.status, word(&stopped.body["code"])), (429, "too-many-failures"));
    assert!(stopped.header("retry-after").parse::<u64>().is_ok_and(|s| (1..=60).contains(&s)));
}

#[test]
fn caps_hold_over_two_gateways_and_say_when_to_come_back() {
    let caps = "[tenants.default]\nqueued_max = 5\n[tenants.bob]\nspend_day_max = 2\n\
                [tenants.carol]\nrpm = 4\n";
    let fleet = Fleet::start(idle().config(caps));
    let second = ports::free();
    fleet.start_gateway_as("gateway-2", second);
    let burst = |key: &str, word: &str| {
        let requests = (0..24).map(|n: usize| {
            let port = if n.is_multiple_of(2) { fleet.gateway_port() } else { second };
            let body = Value::from(text(&format!("{word} {n}")));
            fleet.ask(port, Method::POST, "/v1/jobs", key).json(&body)
        });
        fleet.send_all(requests.collect())
    };
    let (taken, refused): (Vec<Reply>, Vec<Reply>) =
        burst(ALICE, "waiting").into_iter().partition(|reply| reply.status == 202);
    assert_eq!(taken.len(), 5);
    for reply in &refused {
        assert_eq!((reply.status, word(&reply.body["code"])), (429, "backlog-full"));
        assert!(reply.header("retry-after").parse::<u64>().is_ok(), "{reply:?}");
    }

    let (taken, refused): (Vec<Reply>, Vec<Reply>) =
        burst(BOB, "spending").into_iter().partition(|reply| reply.status == 202);
    let spent: u64 = fleet
        .run(fleet.store().usage_days("bob"))
        .expect("Redis answers")
        .values()
        .map(|day| day.micros)
        .sum();
    assert!(!taken.is_empty() && spent <= 2_000_000, "{} jobs for {spent}", taken.len());
    let each = spent / taken.len() as u64;
    assert!(spent + each > 2_000_000, "no room was left for another of {each}: {spent}");
    let reply = refused.first().expect("not all fit");
    assert_eq!((reply.status, word(&reply.body["code"])), (403, "budget-exhausted"));
    assert!(
        word(&reply.body["resets_at"]).ends_with("T00:00:00Z")
            || word(&reply.body["resets_at"]).contains("T00:00:00"),
        "{}",
        reply.body
    );
    assert_eq!((&reply.body["retryable"], &reply.body["charged"]), (&json!(true), &json!(false)));

    let carol = made(&fleet, &["--tenant", "carol", "--mode", "test", "--scope", "jobs:read"]);
    let replies: Vec<Reply> =
        (0..8).map(|_| fleet.get("/v1/jobs/x", word(&carol["key"]))).collect();
    let passed = replies.iter().filter(|reply| reply.status == 404).count();
    assert!((4..=5).contains(&passed), "{passed} passed");
    let last = &replies[7];
    assert_eq!((last.status, word(&last.body["code"])), (429, "rate-limited"));
    assert_eq!(last.header("ratelimit-policy"), "\"tenant\";q=4;w=60");
    assert!(last.header("ratelimit").starts_with("\"tenant\";r=0;t="), "{last:?}");

    let shown = fleet.cli(&["tenants", "show", "bob", "-o", "json"]).json();
    assert_eq!(shown["states"]["queued"], json!(taken.len()));
    assert_eq!(fleet.cli(&["tenants", "show", "nobody"]).code, 5);
    let listed = fleet.cli(&["tenants", "list", "-o", "json"]).json();
    let names: Vec<&str> =
        listed.as_array().expect("rows").iter().map(|r| word(&r["tenant"])).collect();
    assert_eq!(names, ["bob", "carol", "default"]);
}

#[test]
fn a_tenant_flies_no_more_than_it_may_and_its_day_is_put_right() {
    let caps = "[tenants.default]\nin_flight_max = 2\nspend_day_max = 1000\n";
    let fleet = Fleet::start(Options::with_gateway().config(caps));
    let jobs: Vec<JobId> =
        (0..8).map(|n| id(&fleet.post_job(text(&format!("flight {n}"))).body)).collect();
    let most = std::cell::Cell::new(0);
    fleet.until("all of them have landed", || {
        let counts = fleet.run(fleet.store().tenant_counts("default")).ok()?;
        let flying = store::IN_FLIGHT.iter().filter_map(|word| counts.get(word)).sum::<u64>();
        most.set(most.get().max(flying));
        (counts.get(&job::StateWord::Succeeded) == Some(&8)).then_some(())
    });
    assert!((1..=2).contains(&most.get()), "{} at once", most.get());
    let records = fleet.wait_stored(&jobs);
    let paid: u64 = records.iter().map(|record| record.spec.charge_micros(&record.life)).sum();
    let day: u64 = fleet
        .run(fleet.store().usage_days("default"))
        .expect("Redis answers")
        .values()
        .map(|day| day.micros)
        .sum();
    assert_eq!(day, paid, "what was reserved became what was used");
    fleet.audit(&jobs);
}
