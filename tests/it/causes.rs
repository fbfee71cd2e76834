//! Whatever limits the fleet, one command names it, and what to do about it: `seedfleet limits show`.
//!
//! The faults are brought in from the weakest to the strongest and mostly left in place, so that each is also told
//! before all that came earlier.

use e2e::kit::{ALICE, Fleet, Options, text};
use reqwest::Method;
use sandbox::ports;
use serde_json::{Value, json};
use store::Pulse;

/// The page with the table of these faults.
const PAGE: &str = include_str!("../../docs/operating.md");
/// By which deliveries are signed.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=";

/// A fault, how the line about it begins, and where it leads.
struct Fault {
    what: &'static str,
    line: &'static str,
    next: &'static str,
    page: &'static str,
}

const fn fault(
    what: &'static str,
    line: &'static str,
    next: &'static str,
    page: &'static str,
) -> Fault {
    Fault { what, line, next, page }
}

const SILENT: Fault = fault(
    "callbacks do not come",
    "Callbacks are silent: ",
    "doctor",
    "runbooks/callbacks-silent.md",
);
const HOOK: Fault = fault(
    "a customer's webhook receiver is down",
    "Webhooks: endpoint ",
    "webhooks list",
    "runbooks/webhooks-failing.md",
);
const BUDGET: Fault = fault(
    "a cap of spending is reached",
    "Budget: ",
    "jobs list --state held",
    "runbooks/jobs-held-for-budget.md",
);
const SLOTS: Fault = fault(
    "all slots of the account are in use",
    "The provider's concurrency limits: ",
    "workers",
    "scaling.md",
);
const DOUBTS: Fault =
    fault("doubts grow", "12 jobs are in doubt: ", "doubt list", "runbooks/in-doubt-growing.md");
const THROTTLED: Fault = fault(
    "the provider refuses creates for their rate (429)",
    "The provider refuses creates of 2.0 for their rate or number ",
    "limits set",
    "runbooks/provider-throttles.md",
);
const FAILS: Fault = fault(
    "the provider answers with 5xx",
    "The provider fails: creates end without an answer that counts (http-500)",
    "doctor",
    "runbooks/provider-failing.md",
);
const AWAY: Fault = fault(
    "the provider is down or cannot be reached",
    "The provider cannot be reached ",
    "doctor",
    "runbooks/provider-failing.md",
);
const OVERDUE: Fault = fault(
    "the balance of the account is used up, or it is in arrears",
    "The provider refuses account a for its balance or its rights ",
    "doctor",
    "runbooks/provider-refuses-account.md",
);
const KEY: Fault = fault(
    "the key of the account is refused",
    "The provider refuses the key of account a ",
    "doctor",
    "runbooks/provider-refuses-account.md",
);
const BUCKET: Fault = fault(
    "the bucket is down or refuses",
    "The bucket fails the ",
    "doctor",
    "runbooks/downloads-failing.md",
);
const NO_DOWNLOADER: Fault = fault(
    "no downloader runs",
    "No downloader runs: ",
    "schema status",
    "runbooks/role-missing.md",
);
const NO_POLLER: Fault =
    fault("no poller runs", "No poller runs: ", "schema status", "runbooks/role-missing.md");
const NO_SUBMITTER: Fault =
    fault("no submitter runs", "No submitter runs: ", "schema status", "runbooks/role-missing.md");
const MEMORY: Fault = fault(
    "the memory of Redis is nearly used up",
    "Redis's memory: ",
    "doctor",
    "runbooks/redis-memory-high.md",
);
const PAUSED: Fault = fault(
    "somebody paused everything",
    "Nothing is bought: paused all creates by ann ",
    "queue status",
    "runbooks/paused-for-long.md",
);
const FROZEN: Fault = fault(
    "Redis lost data, and creates are frozen",
    "Nothing is bought: the pool is frozen ",
    "reconcile --dry-run",
    "runbooks/creates-frozen-after-loss.md",
);

/// Waits until the command names the fault first, with its next command and its page, and finds it on the page of
/// operators in the same words.
fn named(fleet: &Fleet, fault: &Fault) {
    named_while(fleet, fault, || {});
}

/// The same, with something done before each look that keeps the fault in place.
fn named_while(fleet: &Fleet, fault: &Fault, keep: impl Fn()) {
    let Fault { what, line, next, page } = fault;
    let wanted = format!("\n\n{line}");
    let then = format!("  next: seedfleet {next} (docs/{page})\n");
    let mut last = String::new();
    let found = sandbox::wait::until(what, e2e::kit::BOUND, || {
        keep();
        let told = fleet.cli(&["-q", "limits", "show"]);
        last = format!("{}{}", told.stdout, told.stderr);
        let behind = told.stdout.split_once(&wanted).map(|(_, behind)| behind)?;
        let behind = behind.split_once('\n').map(|(_, behind)| behind)?;
        behind.starts_with(&then).then_some(())
    });
    found.unwrap_or_else(|missed| panic!("{missed}; it says:\n{last}"));
    let file = page.rsplit('/').next().unwrap_or(page).trim_end_matches(".md");
    let line = line.trim_end();
    let row = format!("| {what} | {line} … | `seedfleet {next}` | [{file}]({page}) |");
    assert!(PAGE.contains(&row), "docs/operating.md lacks the row:\n{row}");
}

fn admit(fleet: &Fleet, what: &str, jobs: usize) {
    fleet.admit_many((0..jobs).map(|n| text(&format!("{what} {n}")).into()));
}

fn send(fleet: &Fleet, path: &str, body: reqwest::Body, kind: &str) -> Value {
    let request = fleet.ask(fleet.gateway_port(), Method::POST, path, ALICE);
    let reply = fleet.send(request.header("content-type", kind).body(body));
    assert!(reply.status < 300, "{path}: {}", reply.body);
    reply.body
}

/// What does not stop creates: callbacks, webhooks, money, slots.
fn weak_ones(fleet: &Fleet, receiver: &str) {
    fleet.until("a fleet that nothing limits", || {
        let told = fleet.cli(&["limits", "show"]);
        told.stdout.contains("\n\nNothing limits: ").then_some(())
    });
    fleet.faults(&json!({"callback": [{"kind": "lose"}]}));
    admit(fleet, "nobody calls back", 3);
    named(fleet, &SILENT);

    let endpoint = json!({"url": receiver, "types": ["*"], "secret": SECRET}).to_string();
    send(fleet, "/v1/webhook-endpoints", endpoint.into(), "application/json");
    admit(fleet, "nobody listens", 1);
    named(fleet, &HOOK);

    let row = format!("{}\n", Value::from(text("too dear")));
    let path = "/v1/batches?batch=ads&buy_total_max=0.000001";
    send(fleet, path, row.into(), "application/jsonl");
    named(fleet, &BUDGET);

    fleet.faults(&json!({"task": [{"kind": "stuck", "match": {"text": "stays"}}]}));
    let model = "seedance-2.0-mini";
    let stays = |n| text(&format!("stays {n}")).with("model", model).into();
    fleet.admit_many((0..6).map(stays));
    named(fleet, &SLOTS);
}

/// What the provider can do to creates.
fn of_the_provider(fleet: &Fleet) {
    let drops = json!([{"kind": "drop_after_read", "times": 12}]);
    fleet.faults(&json!({"create": drops}));
    admit(fleet, "unheard", 12);
    fleet.until("doubts", || {
        let counts = fleet.run(fleet.store().counts()).ok()?;
        (counts.get(&job::StateWord::InDoubt) == Some(&12)).then_some(())
    });
    // One that is answered: the provider is well, and the doubts are still there.
    admit(fleet, "heard", 1);
    named(fleet, &DOUBTS);

    let failing = json!([{"kind": "500_without_create"}]);
    fleet.faults(&json!({"create": failing}));
    admit(fleet, "fails", 3);
    named(fleet, &FAILS);

    let rate = json!([{"kind": "answer", "code": "AccountRateLimitExceeded"}]);
    fleet.faults(&json!({"create": rate}));
    admit(fleet, "too many", 1);
    named(fleet, &THROTTLED);

    admit(fleet, "not reached", 6);
    // The port comes back by itself: it is closed anew before that, with each look of the command line.
    let closed = json!({"connect": [{"kind": "refuse", "ms": 5_000}]});
    named_while(fleet, &AWAY, || fleet.faults(&closed));

    let overdue = json!([{"kind": "answer", "code": "AccountOverdueError"}]);
    fleet.faults(&json!({"create": overdue}));
    named(fleet, &OVERDUE);

    fleet.faults(&json!({}));
    fleet.provider_keys(&["another-key"]);
    named(fleet, &KEY);
}

/// Bucket and roles.
fn of_our_own(fleet: &Fleet) {
    let (bucket, away) = (fleet.path("bucket"), fleet.path("bucket-away"));
    std::fs::rename(&bucket, &away).unwrap();
    // A folder that is none takes nothing, whoever asks.
    std::fs::write(&bucket, "no folder").unwrap();
    let key = std::fs::read_to_string(fleet.path("provider.key")).unwrap();
    fleet.provider_keys(&[key.trim()]);
    named(fleet, &BUCKET);

    // What is made now waits for its copy.
    let _ = fleet.role("downloader").stop();
    std::fs::remove_file(&bucket).unwrap();
    std::fs::rename(&away, &bucket).unwrap();
    admit(fleet, "not fetched", 1);
    named(fleet, &NO_DOWNLOADER);
    let _ = fleet.role("poller").stop();
    named(fleet, &NO_POLLER);
    let _ = fleet.role("submitter").stop();
    admit(fleet, "not bought", 1);
    named(fleet, &NO_SUBMITTER);
}

/// Redis, and people.
fn of_everything(fleet: &Fleet) {
    let redis = |args: &[&str]| fleet.redis().command(args).expect("Redis answers");
    let Pulse { used_bytes, .. } = fleet.run(fleet.store().pulse()).expect("Redis answers");
    redis(&["CONFIG", "SET", "maxmemory", &(used_bytes * 10 / 9).to_string()]);
    named(fleet, &MEMORY);
    redis(&["CONFIG", "SET", "maxmemory", "0"]);

    let pause = ["queue", "pause", "--reason", "a look", "--by", "ann", "--yes"];
    let paused = fleet.cli(&[&pause[..], &["--until-resumed"]].concat());
    assert_eq!(paused.code, 0, "{paused:?}");
    named(fleet, &PAUSED);

    // Older data: it counts fewer commits than it has acknowledged to us.
    redis(&["SET", &fleet.store().keys().lsn(), "1"]);
    let watch = fleet.run(fleet.store().watch()).expect("Redis answers");
    assert!(watch.frozen.is_some(), "{watch:?}");
    named(fleet, &FROZEN);

    fleet.redis().kill9();
    let away = fleet.cli(&["limits", "show"]);
    assert_eq!(away.code, 75, "{away:?}");
    for words in ["Redis", "hint: nothing is lost; start it or correct redis.url"] {
        assert!(away.stderr.contains(words), "{away:?}");
    }
    let row = "| Redis is down | error: Redis … (exit code 75) | `seedfleet doctor` | [redis](redis.md) |";
    assert!(PAGE.contains(row), "docs/operating.md lacks the row:\n{row}");
}

#[test]
fn one_command_names_what_limits_and_what_to_do() {
    let receiver = format!("http://127.0.0.1:{}", ports::free());
    let mut options = Options::with_gateway();
    options.roles.push("notifier");
    let options = options.config(&format!(
        "[webhooks]\nallow_origins = [\"{receiver}\"]\nschedule = [\"1m\", \"1m\"]\n\
         [poll]\ncallback_grace = \"300ms\"\n\
         [settle]\nfront_door_max = \"1m\"\n\
         [pools.sim.accounts.a.limits.classes]\n\
         \"2.0-mini\" = {{ create_rpm = 6000, running = 2 }}\n"
    ));
    let fleet = Fleet::start(options);
    weak_ones(&fleet, &format!("{receiver}/hooks"));
    of_the_provider(&fleet);
    of_our_own(&fleet);
    of_everything(&fleet);
}
