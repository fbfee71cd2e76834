//! Arrows point down, and each outside party has one room that names it.

use super::metadata::{Package, packages};
use super::none;

/// Rooms without a floor. Of the numbered rooms only the CLI may use them, for its `dev` verb.
const APART: [&str; 7] = ["bench", "e2e", "fuzz", "sandbox", "simulator", "submit-model", "xtask"];
const APART_FOR_CLI: [&str; 2] = ["sandbox", "simulator"];

/// Outside packages (a trailing `*` stands for any ending) and the numbered rooms that may name them.
const ONE_ROOM: [(&str, &[&str]); 14] = [
    ("redis", &["store"]),
    ("object_store", &["assets"]),
    ("config", &["settings"]),
    ("reqwest", &["egress"]),
    ("governor", &["limiter"]),
    ("apalis*", &["worker"]),
    // The worker serves its health and metrics on an admin port.
    ("axum*", &["gateway", "worker"]),
    ("utoipa*", &["gateway", "survey"]),
    ("clap*", &["seedfleet"]),
    ("ratatui*", &["seedfleet"]),
    ("maud", &["dashboard"]),
    ("opentelemetry*", &["telemetry"]),
    ("prometheus*", &["telemetry"]),
    ("tracing-subscriber", &["telemetry"]),
];

fn wrong_edges(packages: &[Package]) -> Vec<String> {
    let mut complaints = Vec::new();
    for package in packages {
        let name = &package.name;
        if package.floor.is_none() != APART.contains(&name.as_str()) {
            complaints.push(format!("{name}: a room has a floor or stands apart, never both"));
        }
        let locals = packages.iter().filter(|other| package.normal.contains(&other.name));
        for other in locals {
            let below = &other.name;
            match (package.floor, other.floor) {
                (Some(own), Some(theirs)) if theirs >= own => complaints.push(format!(
                    "{name} (floor {own}) uses {below} (floor {theirs}): only lower floors"
                )),
                (Some(_), None)
                    if !(name == "seedfleet" && APART_FOR_CLI.contains(&below.as_str())) =>
                {
                    complaints.push(format!("{name} uses {below}, which stands apart"));
                }
                (None, Some(_)) if name == "simulator" => complaints.push(format!(
                    "simulator uses {below}: it writes the contract a second time, on its own"
                )),
                _ => {}
            }
        }
    }
    complaints
}

/// `sandbox` and `xtask` build in a second because the standard library is all they use.
fn heavy_chores(packages: &[Package]) -> Vec<String> {
    let light =
        packages.iter().filter(|package| package.name == "sandbox" || package.name == "xtask");
    let extra = light.flat_map(|package| {
        let outside = package.normal.iter().filter(|dependency| *dependency != "sandbox");
        outside.map(|dependency| format!("{} uses {dependency}", package.name))
    });
    extra.collect()
}

fn second_rooms(packages: &[Package]) -> Vec<String> {
    let mut complaints = Vec::new();
    for package in packages.iter().filter(|package| package.floor.is_some()) {
        for (outside, rooms) in ONE_ROOM {
            let names_it =
                package.normal.iter().any(|dependency| match outside.strip_suffix('*') {
                    Some(start) => dependency.starts_with(start),
                    None => dependency == outside,
                });
            if names_it && !rooms.contains(&package.name.as_str()) {
                let rooms = rooms.join(" and ");
                complaints
                    .push(format!("{} names {outside}, which belongs to {rooms}", package.name));
            }
        }
    }
    complaints
}

#[test]
fn arrows_point_down() {
    none("floors", &wrong_edges(&packages()));
}

#[test]
fn chores_stay_light() {
    none("std only", &heavy_chores(&packages()));
}

#[test]
fn each_outside_party_has_one_room() {
    none("one room", &second_rooms(&packages()));
}

#[test]
fn bad_edges_are_seen() {
    let room = |name: &str, floor, normal: &[&str]| Package {
        name: name.to_owned(),
        dir: format!("crates/{name}"),
        description: String::new(),
        floor,
        normal: normal.iter().map(|name| (*name).to_owned()).collect(),
        roots: Vec::new(),
    };
    let bad = [
        room("job", Some(1), &["store", "redis"]),
        room("store", Some(2), &["assets", "redis", "job"]),
        room("assets", Some(2), &["sandbox"]),
        room("seedfleet", Some(6), &["sandbox", "store"]),
        room("simulator", None, &["job"]),
        room("sandbox", None, &["libc"]),
        room("stray", None, &[]),
        room("poller", Some(5), &["apalis-core", "axum-extra"]),
    ];
    let edges = wrong_edges(&bad);
    let starts = ["job (floor 1) uses store", "store (floor 2) uses assets", "assets uses sandbox"];
    for start in starts.into_iter().chain(["simulator uses job", "stray: "]) {
        assert!(edges.iter().any(|complaint| complaint.starts_with(start)), "{start}: {edges:?}");
    }
    assert_eq!(edges.len(), 5, "{edges:?}");
    assert_eq!(heavy_chores(&bad), ["sandbox uses libc"]);
    let rooms = second_rooms(&bad);
    assert_eq!(rooms.len(), 3, "{rooms:?}");
    assert_eq!(rooms[0], "job names redis, which belongs to store");
}
