//! What cargo knows about the workspace.

use std::process::Command;

use serde_json::Value;

use super::source::root;

/// A package of the workspace.
pub(super) struct Package {
    pub(super) name: String,
    /// Its folder, from the top of the clone.
    pub(super) dir: String,
    pub(super) description: String,
    /// `[package.metadata.seedfleet] floor`; [`None`] for the rooms that stand apart.
    pub(super) floor: Option<u64>,
    /// Names of normal dependencies, as the packages call themselves.
    pub(super) normal: Vec<String>,
    /// Root files of its libraries and programs, from the top of the clone.
    pub(super) roots: Vec<String>,
}

/// `cargo metadata` with more arguments; never from the network.
pub(super) fn cargo_metadata(args: &[&str]) -> Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--offline"])
        .args(args)
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo prints JSON")
}

/// The workspace's own packages.
pub(super) fn packages() -> Vec<Package> {
    let metadata = cargo_metadata(&["--no-deps"]);
    let top = metadata["workspace_root"].as_str().expect("a path").to_owned() + "/";
    let below = |path: &Value| {
        let path = path.as_str().expect("a path");
        path.strip_prefix(&top).expect("members stand below the top").to_owned()
    };
    let package = |value: &Value| Package {
        name: text(&value["name"]),
        dir: below(&value["manifest_path"]).trim_end_matches("/Cargo.toml").to_owned(),
        description: text(&value["description"]),
        floor: value["metadata"]["seedfleet"]["floor"].as_u64(),
        normal: array(&value["dependencies"])
            .filter(|dependency| dependency["kind"].is_null())
            .map(|dependency| text(&dependency["name"]))
            .collect(),
        roots: array(&value["targets"])
            .filter(|target| array(&target["kind"]).any(|kind| kind == "lib" || kind == "bin"))
            .map(|target| below(&target["src_path"]))
            .collect(),
    };
    array(&metadata["packages"]).map(package).collect()
}

pub(super) fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[test]
fn cargo_tells_about_every_room() {
    let packages = packages();
    let find = |name: &str| packages.iter().find(|package| package.name == name).expect("a room");
    assert_eq!(find("job").floor, Some(1));
    assert_eq!(find("sandbox").floor, None);
    assert!(find("job").normal.contains(&"seedance".to_owned()));
    assert_eq!(find("job").roots, ["crates/job/src/lib.rs"]);
}
