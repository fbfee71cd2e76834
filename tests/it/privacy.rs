//! Whose files lie where, and what is left of them when they are to go.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use e2e::kit::{BOB, Fleet, Options, item, text};
use job::JobId;
use reqwest::Method;
use sandbox::TempDir;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// As much of a PNG as it takes to know its size.
fn png() -> String {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
    bytes.extend(640_u32.to_be_bytes());
    bytes.extend(480_u32.to_be_bytes());
    bytes.extend([8, 2, 0, 0, 0, 0, 0, 0, 0]);
    format!("data:image/png;base64,{}", STANDARD.encode(bytes))
}

fn id(body: &Value) -> JobId {
    JobId::parse(body["id"].as_str().unwrap_or_default()).unwrap_or_else(|_| panic!("{body}"))
}

/// Every file below a folder, relative to it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(at) = open.pop() {
        for entry in std::fs::read_dir(&at).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.push(path.strip_prefix(folder).unwrap().to_owned());
            }
        }
    }
    found.sort_unstable();
    found
}

#[test]
fn a_tenant_with_a_bucket_of_its_own_leaves_nothing_in_the_fleets_but_intents() {
    let own = TempDir::new("own-bucket").unwrap();
    let config = format!("[tenants.bob.store]\nurl = \"file://{}\"\n", own.path().display());
    let fleet = Fleet::start(Options::with_gateway().config(&config));
    let body = Value::from(text("bob's").and(item("image_url", &png(), "first_frame")));
    let asked = fleet.ask(fleet.gateway_port(), Method::POST, "/v1/jobs", BOB).json(&body);
    let reply = fleet.send(asked);
    assert_eq!(reply.status, 202, "{}", reply.body);
    let theirs = id(&reply.body);
    let ours = id(&fleet.post_job(body).body);
    let stored = fleet.wait_stored(&[theirs.clone(), ours.clone()]);
    for record in &stored {
        let manifest = fleet.verified_manifest(record);
        assert!(manifest.objects().all(|object| object.path.starts_with(&record.spec.tenant)));
    }

    let starts = |path: &PathBuf, with: &str| path.starts_with(with);
    let (there, here) = (files(own.path()), files(&fleet.path("bucket")));
    assert!(there.iter().any(|path| starts(path, "media/bob")), "{there:?}");
    assert!(there.iter().all(|path| !starts(path, "intents") && !starts(path, "default")));
    assert!(here.iter().any(|path| starts(path, "intents/sim/bob")), "{here:?}");
    assert!(here.iter().all(|path| !starts(path, "bob") && !starts(path, "media/bob")), "{here:?}");
    fleet.audit(&[theirs, ours]);
}
