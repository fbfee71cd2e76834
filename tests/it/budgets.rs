//! Caps of spending: what would pass one waits, and is bought once when there is room.

use e2e::kit::{ALICE, Fleet, Options, Reply, text};
use job::JobId;
use reqwest::Method;
use serde_json::{Value, json};

fn send(fleet: &Fleet, path: &str, body: Value) -> Reply {
    fleet.send(fleet.ask(fleet.gateway_port(), Method::POST, path, ALICE).json(&body))
}

/// A film like the others, and what one is reckoned to cost, in millionths.
fn priced(fleet: &Fleet) -> (JobId, u64) {
    let weighed = fleet.post_job(text("what does it cost"));
    assert_eq!(weighed.status, 202, "{}", weighed.body);
    let cost = weighed.body["estimate"]["cost"].as_str().expect("it has a price").to_owned();
    let id = JobId::parse(weighed.body["id"].as_str().unwrap()).unwrap();
    (id, seedance::micros(&cost).expect("an amount"))
}

fn amount(micros: u64) -> String {
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

fn upload(fleet: &Fleet, path: &str, jobs: usize) {
    let rows: String =
        (0..jobs).map(|n| format!("{}\n", Value::from(text(&format!("film {n}"))))).collect();
    let request = fleet.ask(fleet.gateway_port(), Method::POST, path, ALICE);
    let taken = fleet.send(request.header("content-type", "application/jsonl").body(rows));
    assert_eq!(taken.status, 202, "{}", taken.body);
}

fn ids(fleet: &Fleet, filter: &str) -> Vec<JobId> {
    let page = fleet.get(&format!("/v1/jobs?where={filter}"), ALICE).body;
    let items = page["items"].as_array().unwrap_or_else(|| panic!("{page}")).clone();
    items.iter().map(|item| JobId::parse(item["id"].as_str().unwrap()).unwrap()).collect()
}

fn until_counts(fleet: &Fleet, batch: &str, counts: &Value) -> Value {
    let path = format!("/v1/batches/{batch}");
    fleet.until("the batch stands so", || {
        let shown = fleet.get(&path, ALICE).body;
        (shown["counts"] == *counts).then_some(shown)
    })
}

#[test]
fn a_batch_is_bought_as_far_as_its_cap_goes_and_to_its_end_when_that_is_raised() {
    let fleet = Fleet::start(Options::with_gateway());
    let (first, each) = priced(&fleet);
    let most = amount(each * 5 / 2);
    upload(&fleet, &format!("/v1/batches?batch=ads&buy_total_max={most}"), 6);
    let shown = until_counts(&fleet, "ads", &json!({"succeeded": 2, "held": 4}));
    assert_eq!(shown["budget"]["total"]["max"], json!(most));
    assert_eq!(shown["budget"]["held"], json!(4));
    let all = ids(&fleet, "batch%3Dads");
    let waiting = ids(&fleet, "batch%3Dads%20state%3Dheld");
    let held = fleet.get(&format!("/v1/jobs/{}", waiting[0]), ALICE).body["held"].clone();
    assert_eq!(
        (&held["reason"], &held["cap"], &held["span"]),
        (&json!("budget"), &json!("batch"), &json!("total"))
    );
    assert_eq!(held["max"], json!(most));
    assert_eq!(held["resets_at"], Value::Null, "it does not begin anew by itself");
    let shown = fleet.cli(&["-o", "json", "jobs", "show", waiting[0].as_str()]).json();
    assert_eq!(shown["held"]["cap"], json!("batch"), "{shown}");
    let limits = fleet.cli(&["-o", "json", "limits", "show"]).json();
    let said = limits["limited_by"].as_str().unwrap_or_default();
    assert!(said.starts_with("Budget: 4 jobs are held; batch ads has spent USD "), "{said}");
    let page = fleet.logged_in(ALICE).get("/ui/batches/ads").text;
    assert!(page.contains("4 jobs wait for more"), "{page}");
    fleet.until("the submitter tells of them", || {
        let line = "seedfleet_budget_held{pool=\"sim\",scope=\"batch\"} 4";
        fleet.metrics("submitter").contains(line).then_some(())
    });

    let wrong =
        send(&fleet, "/v1/batches/ads:budget", json!({"buy_total_max": "1,5", "reason": "x"}));
    assert_eq!(wrong.status, 422, "{}", wrong.body);
    // One more is paid for by the command line, and the rest by the API.
    let guard = ["batch", "budget", "ads", "--buy-total-max", &amount(each * 7 / 2)];
    assert_eq!(fleet.cli(&guard).code, 9, "without --yes nothing is done");
    let yes = [&guard[..], &["--reason", "one more", "--by", "ann", "--yes"]].concat();
    assert_eq!(fleet.cli(&yes).code, 0);
    until_counts(&fleet, "ads", &json!({"succeeded": 3, "held": 3}));
    let raised = send(
        &fleet,
        "/v1/batches/ads:budget",
        json!({"buy_total_max": "0", "reason": "it goes well"}),
    );
    assert_eq!(raised.status, 200, "{}", raised.body);
    until_counts(&fleet, "ads", &json!({"succeeded": 6}));
    let told = fleet.cli(&["audit", "--alarms"]).stdout;
    assert!(told.contains("one more") && told.contains("it goes well"), "{told}");
    let all = [all, vec![first]].concat();
    fleet.wait_stored(&all);
    fleet.audit(&all);
    assert!(fleet.run(fleet.store().recount()).unwrap().drifts.is_empty());
}

#[test]
fn what_failed_tasks_give_back_buys_the_jobs_that_were_held_for_want_of_it() {
    let fleet = Fleet::start(Options::with_gateway());
    let (first, each) = priced(&fleet);
    // Of another batch: no failure is meant for it.
    fleet.wait(&first, "succeeded");
    let mut failure = json!({"kind": "failed", "code": "InternalServiceError", "times": 2});
    failure["message"] = json!("not today");
    fleet.faults(&json!({"task": [failure]}));
    let most = amount(each * 5 / 2);
    upload(&fleet, &format!("/v1/batches?batch=ads&buy_total_max={most}"), 5);
    // Two were bought and failed, two more with their money, and for the last there is none left.
    let shown = until_counts(&fleet, "ads", &json!({"failed": 2, "succeeded": 2, "held": 1}));
    assert_eq!(shown["budget"]["held"], json!(1), "{shown}");
    let all = ids(&fleet, "batch%3Dads");
    let purse = store::Purse::Batch("default".into(), "ads".into());
    let spent = fleet.run(fleet.store().purses(&[purse])).unwrap().remove(0).total.spent_micros;
    let charged = |id: &JobId| {
        let record = fleet.record(id);
        record.spec.charge_micros(&record.life)
    };
    let waits = ids(&fleet, "batch%3Dads%20state%3Dheld");
    let bought = all.iter().filter(|id| !waits.contains(id)).map(charged);
    assert_eq!(spent, bought.sum::<u64>(), "the bills, and nothing for what failed");
    let stopped = send(&fleet, &format!("/v1/jobs/{}:cancel", waits[0]), json!({}));
    assert!(stopped.status < 300, "{stopped:?}");
    fleet.audit(&[all, vec![first]].concat());
    assert!(fleet.run(fleet.store().recount()).unwrap().drifts.is_empty());
}

#[test]
fn what_a_tenants_day_and_a_pools_have_no_room_for_is_bought_when_they_have() {
    let caps = "[pools.sim]\nbuy_day_max = 1000\n[tenants.default]\nbuy_day_max = 100\n";
    let fleet = Fleet::start(Options::with_gateway().config(caps));
    let now = fleet.run(fleet.store().now()).unwrap();
    let (today, tomorrow) =
        (now.unix_ms().div_euclid(86_400_000), now.unix_ms().div_euclid(86_400_000) + 1);
    // What others have bought until now; the day after, that is another day's.
    let spend = |purse: &store::Purse, micros: &str| {
        let key = fleet.store().keys().bought(purse);
        for day in [today, tomorrow] {
            fleet.redis().command(&["HINCRBY", &key, &day.to_string(), micros]).unwrap();
        }
    };
    let (pool, tenant) = (store::Purse::Pool, store::Purse::Tenant("default".into()));
    spend(&tenant, "100000000");
    let films = fleet.admit_many((0..4).map(|n| text(&format!("later {n}")).into()));
    for id in &films {
        fleet.wait(id, "held");
    }
    let held = fleet.get(&format!("/v1/jobs/{}", films[0]), ALICE).body["held"].clone();
    assert_eq!((&held["cap"], &held["span"]), (&json!("tenant"), &json!("day")), "{held}");
    assert!(
        held["resets_at"]
            .as_str()
            .is_some_and(|at| at.ends_with("T00:00:00.000Z") || at.ends_with("T00:00:00Z")),
        "{held}"
    );
    let limits = fleet.get("/v1/limits", ALICE).body;
    assert_eq!(limits["yours"]["budget"]["held"], json!(4), "{limits}");
    // The tenant has room again, and the pool has none: they wait for that.
    spend(&pool, "1000000000");
    spend(&tenant, "-100000000");
    fleet.until("the pool's cap holds them", || {
        let seen = fleet.run(fleet.store().purses(std::slice::from_ref(&pool))).unwrap().remove(0);
        (seen.held == 4).then_some(())
    });
    let held = fleet.get(&format!("/v1/jobs/{}", films[0]), ALICE).body["held"].clone();
    assert_eq!(
        (&held["cap"], &held["max"]),
        (&json!("pool"), &Value::Null),
        "no tenant's business"
    );
    assert_eq!(fleet.ledger().events("create_seen").count(), 0, "nothing was bought");
    spend(&pool, "-1000000000");
    fleet.wait_stored(&films);
    fleet.audit(&films);
    assert!(fleet.run(fleet.store().recount()).unwrap().drifts.is_empty());
}

#[test]
fn a_table_of_prices_of_ones_own_is_reckoned_with_or_refused_by_row_and_field() {
    let fleet = Fleet::start(Options { roles: vec![], ..Options::default() });
    let table = fleet.path("prices.toml");
    let shipped = include_str!("../../config/pricing.toml");
    let config = format!("[pricing]\ntable = \"{}\"\n", table.display());
    fleet.reconfigure(&config);
    std::fs::write(&table, shipped.replace("\"7.0\"", "\"seven\"")).unwrap();
    let told = fleet.cli(&["config", "check"]);
    assert_eq!(told.code, 3, "{told:?}");
    assert!(told.stderr.contains("prices.toml"), "{told:?}");
    assert!(
        told.stderr.contains("row 1") && told.stderr.contains("per_million_tokens"),
        "{told:?}"
    );
    let later = "[[price]]\neffective_from = \"2030-01-01\"\nroute = \"byteplus\"\ncurrency = \"USD\"\n\
                 model = \"2.0\"\nresolutions = [\"480p\", \"720p\"]\nper_million_tokens = \"14.0\"\n";
    std::fs::write(&table, format!("{shipped}\n{later}")).unwrap();
    let row = fleet.path("row.json");
    std::fs::write(&row, Value::from(text("priced")).to_string()).unwrap();
    let cost = |day: &str| {
        let row = row.to_str().unwrap();
        let told = fleet.cli(&["-o", "json", "cost", "estimate", row, "--on", day]);
        assert_eq!(told.code, 0, "{told:?}");
        told.stdout
    };
    assert_ne!(cost("2029-12-31"), cost("2030-01-01"), "a price counts from its day on");
    assert_eq!(
        fleet.cli(&["cost", "estimate", row.to_str().unwrap(), "--on", "2020-01-01"]).code,
        3,
        "before the first row no price is known, and none is guessed"
    );
}
