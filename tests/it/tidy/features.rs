//! What is built for tests stays out of production: fault points, mutants and versions to come are switched on by
//! rooms apart, never by a room that ships.

use serde_json::Value;

use super::metadata::{array, cargo_metadata, text};
use super::none;

/// Features that no shipped binary may have.
const FOR_TESTS: [&str; 3] = ["fault-points", "mutants", "schema-ahead"];

fn switched_on(metadata: &Value) -> Vec<String> {
    let mut complaints = Vec::new();
    let ships = |package: &&Value| package["metadata"]["seedfleet"]["floor"].is_u64();
    for package in array(&metadata["packages"]).filter(ships) {
        let name = text(&package["name"]);
        let shipped = array(&package["dependencies"]).filter(|dep| dep["kind"] != "dev");
        for dependency in shipped {
            for feature in array(&dependency["features"]).map(text) {
                if FOR_TESTS.contains(&feature.as_str()) {
                    let on = text(&dependency["name"]);
                    complaints.push(format!("{name} switches {on}/{feature} on"));
                }
            }
        }
        let features = package["features"].as_object().into_iter().flatten();
        for (feature, implied) in features.filter(|(name, _)| !FOR_TESTS.contains(&name.as_str())) {
            let implied = array(implied).map(text);
            complaints.extend(
                implied
                    .filter(|on| FOR_TESTS.iter().any(|test| on.ends_with(test)))
                    .map(|on| format!("{name}: feature {feature} switches {on} on")),
            );
        }
    }
    complaints
}

#[test]
fn what_ships_has_no_fault_points_and_no_mutants() {
    none("features for tests", &switched_on(&cargo_metadata(&["--no-deps"])));
}

#[test]
fn a_room_that_ships_them_is_seen() {
    let bad = serde_json::json!({"packages": [
        {"name": "worker", "metadata": {"seedfleet": {"floor": 4}},
         "features": {"default": ["fault-points"], "fault-points": []}, "dependencies": [
            {"name": "job", "kind": null, "features": ["mutants"]},
            {"name": "store", "kind": "dev", "features": ["mutants"]}]},
        {"name": "e2e", "metadata": null, "features": {}, "dependencies": [
            {"name": "job", "kind": null, "features": ["mutants"]}]},
    ]});
    assert_eq!(
        switched_on(&bad),
        ["worker switches job/mutants on", "worker: feature default switches fault-points on"]
    );
}
