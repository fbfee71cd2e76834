//! What a gateway tells an autoscaler: as many as the limits in force can use, why, and nothing that is old.

use e2e::kit::{Fleet, Options, Reply, text};
use reqwest::Method;
use sandbox::TempDir;
use serde_json::{Value, json};

const TOKEN: &str = "canary-scaling-token-3c1d";

/// Sixty slots of six seconds each: ten creates a second, each for a process of its own.
fn options(keys: &TempDir) -> Options {
    let token = keys.path().join("scaling-token");
    std::fs::write(&token, TOKEN).unwrap();
    let scaling = format!(
        "[scaling]\nevery = \"100ms\"\nstale_after = \"2s\"\ntoken_file = \"{}\"\ndrain_within = \"1s\"\n\
         generate = \"6s\"\n[scaling.submitter]\ncreates_per_s = 1\n",
        token.display()
    );
    Options { roles: vec!["gateway"], ..Options::default() }.config(&scaling)
}

/// The first answer that says so of the submitters.
fn until(fleet: &Fleet, desired: u32, bound_by: &str) -> Value {
    fleet.until(&format!("{desired} submitters for {bound_by}"), || {
        let Reply { status, body, .. } = fleet.scaling(TOKEN);
        let told = (&body["submitter"]["desired"], &body["submitter"]["bound_by"]);
        (status == 200 && told == (&json!(desired), &json!(bound_by))).then_some(body)
    })
}

#[test]
fn an_autoscaler_hears_how_many_are_of_use_and_never_old_numbers() {
    let keys = TempDir::new("scaling").unwrap();
    let fleet = Fleet::start(options(&keys));
    let idle = until(&fleet, 2, "nothing_to_do");
    assert_eq!(idle["stale"], false);
    for role in ["submitter", "poller", "downloader", "notifier"] {
        assert_eq!(idle[role]["desired"], 2, "{idle}");
        assert!(idle[role]["reason"].is_string(), "{idle}");
    }
    for token in ["", "canary-scaling-token-3c1e"] {
        assert_eq!(fleet.scaling(token).status, 401);
    }
    let public = fleet.ask(fleet.gateway_port(), Method::GET, "/internal/scaling", TOKEN);
    assert_eq!(fleet.send(public).status, 404, "it is on no public address");

    fleet.admit_many((0..100).map(|n| text(&format!("wanted {n}")).into()));
    let busy = until(&fleet, 10, "concurrency");
    assert_eq!(busy["submitter"]["backlog"], 100, "{busy}");
    let shown = fleet.cli(&["workers", "--output", "json"]);
    let told: Value = serde_json::from_str(&shown.stdout).unwrap();
    for role in ["submitter", "poller", "downloader", "notifier"] {
        assert_eq!(told[role], busy[role], "{shown:?}");
    }
    fleet.until("the same as a metric", || {
        let page = fleet.metrics("gateway");
        page.contains("seedfleet_desired_replicas{role=\"submitter\"} 10").then_some(())
    });

    let lower = ["limits", "set", "--class", "2.0", "--running", "30", "--lookahead", "0"];
    let set = fleet.cli(&[&lower[..], &["--reason", "others use the account"]].concat());
    assert_eq!(set.code, 0, "{set:?}");
    until(&fleet, 5, "concurrency");
    assert_eq!(fleet.cli(&["freeze", "--reason", "maintenance"]).code, 0);
    until(&fleet, 2, "frozen");

    fleet.redis().kill9();
    let stale = fleet.until("an answer that is none", || {
        let reply = fleet.scaling(TOKEN);
        (reply.status == 503).then_some(reply)
    });
    assert_eq!(stale.header("content-type"), "application/problem+json");
    assert!(stale.body["detail"].to_string().contains("the last look was at"), "{}", stale.body);
    fleet.redis().restart().unwrap();
    until(&fleet, 2, "frozen");
}
