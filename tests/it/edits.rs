//! Jobs of a batch that wait get another order, or another end of their use.

use e2e::kit::{ALICE, Fleet, Options, text};
use reqwest::Method;
use serde_json::{Value, json};

#[test]
fn waiting_jobs_of_a_batch_are_changed_and_those_that_have_begun_are_counted() {
    let fleet = Fleet::start(Options { roles: vec!["gateway"], ..Options::default() });
    let row = |n: usize| {
        let body = text(&format!("row {n}")).with("custom_id", format!("row-{n}"));
        format!("{}\n", Value::from(body.with("resolution", if n < 2 { "480p" } else { "720p" })))
    };
    std::fs::write(fleet.path("ads.jsonl"), (0..6).map(row).collect::<String>()).unwrap();
    let file = fleet.path("ads.jsonl").display().to_string();
    assert_eq!(fleet.cli(&["import", &file]).code, 0);
    let priorities = || {
        let jobs = fleet.cli(&[
            "-o",
            "json",
            "jobs",
            "list",
            "--batch",
            "ads",
            "--where",
            "priority=high",
        ]);
        jobs.json().as_array().map_or(0, Vec::len)
    };
    let high = ["-o", "json", "batch", "edit", "ads", "--set", "priority=high"];
    let some = [&high[..], &["--where", "resolution=480p"]].concat();
    let asked = fleet.cli(&some);
    assert_eq!(asked.code, 9, "{asked:?}");
    assert!(asked.stderr.contains("2 waiting jobs of ads would be changed"), "{asked:?}");
    assert_eq!(priorities(), 0, "it was only counted");
    let why = ["--reason", "they are late", "--by", "ann", "--yes"];
    let done = fleet.cli(&[&some[..], &why].concat());
    assert_eq!(done.code, 0, "{done:?}");
    let told = |told: &Value| ["changed", "unchanged", "begun"].map(|field| told[field].clone());
    assert_eq!(told(&done.json()), [json!(2), json!(0), json!(0)]);
    let whole = fleet.cli(
        &[&high[..], &["--set", "useful_until=2100-01-01", "--set", "budget=90"], &why].concat(),
    );
    assert_eq!(told(&whole.json()), [json!(6), json!(0), json!(0)], "{whole:?}");
    assert_eq!(priorities(), 6);
    let shown = fleet.cli(&["-o", "json", "batch", "show", "ads"]).json();
    assert_eq!(shown["budget"]["total"]["max"], "90.000000", "{shown}");
    let audit = fleet.cli(&["audit", "--alarms"]).stdout;
    assert!(audit.contains("edited") && audit.contains("they are late"), "{audit}");
    for (wrong, word) in [
        (vec!["--set", "model=x"], "useful_until"),
        (vec!["--set", "useful_until=2001-01-01"], "has passed"),
        (vec!["--set", "priority=low", "--set", "priority=high"], "twice"),
        (vec!["--set", "budget=1", "--where", "resolution=480p"], "leave --where out"),
    ] {
        let refused = fleet.cli(&[&["batch", "edit", "ads"], &wrong[..], &why].concat());
        assert_eq!(refused.code, 2, "{wrong:?}: {refused:?}");
        assert!(refused.stderr.contains(word), "{wrong:?}: {refused:?}");
    }

    edges(&fleet);
    for role in ["submitter", "poller", "downloader"] {
        fleet.start_role(role);
    }
    fleet.until("all are bought", || {
        let shown = fleet.cli(&["-o", "json", "batch", "show", "ads"]).json();
        (shown["counts"] == json!({"succeeded": 6})).then_some(())
    });
    let late = fleet.cli(
        &[&["-o", "json", "batch", "edit", "ads", "--set", "priority=low"], &why[..]].concat(),
    );
    assert_eq!(told(&late.json()), [json!(0), json!(0), json!(6)], "{late:?}");
    assert!(fleet.run(fleet.store().recount()).unwrap().drifts.is_empty());
}

/// The API's own: nothing to change, no reason, a cursor of nobody.
fn edges(fleet: &Fleet) {
    for (body, status) in [
        (json!({"dry_run": true}), 422),
        (json!({"priority": "low"}), 422),
        (json!({"priority": "low", "dry_run": true, "cursor": "x"}), 400),
    ] {
        let path = "/v1/batches/ads:edit";
        let request = fleet.ask(fleet.gateway_port(), Method::POST, path, ALICE);
        assert_eq!(fleet.send(request.json(&body)).status, status, "{body}");
    }
}
