//! `seedfleet debug bundle`: all that helps, and nothing that is nobody else's business.

use e2e::kit::{ALICE, BOB, Fleet, Options, item, text};
use job::JobId;
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;

const PASSWORD: &str = "canary-redis-password-9e2f";
const TOKEN: &str = "canary-otlp-token-b7d0";
const CALLBACK_KEY: &str = "canary-callback-key";
const PROVIDER_KEY: &str = "canary-provider-key-81c7";

fn post(fleet: &Fleet, body: Value) -> JobId {
    let reply = fleet.post_job(body);
    JobId::parse(reply.body["id"].as_str().unwrap_or_default())
        .unwrap_or_else(|_| panic!("{}", reply.body))
}

/// A request with a canary wherever a caller may write.
fn asked_for(words: &str) -> Value {
    let link = "https://files.example/canary-picture.png?sign=canary-signature";
    let body = text(&format!("canary-prompt {words}")).and(item("image_url", link, "first_frame"));
    let body = body.with("end_user", "canary-end-user").with("custom_id", "canary-custom-id");
    let body = body.with("metadata", json!({"note": "canary-note"})).with("people", true);
    body.with("consent_ref", "canary-consent").into()
}

/// Stored, failed with a message that quotes the prompt and a link, and one that waits for its download.
fn jobs(fleet: &Fleet) -> [JobId; 2] {
    let mut failure = json!({"kind": "failed", "match": {"text": "broken"}});
    failure["code"] = json!("OutputVideoSensitiveContentDetected");
    failure["message"] = json!(
        "canary-message: canary-prompt at https://files.example/v.mp4?X-Tos-Signature=canary"
    );
    fleet.faults(&json!({"task": [failure]}));
    let good = post(fleet, asked_for("that succeeds"));
    let bad = post(fleet, asked_for("that is broken"));
    fleet.wait(&good, "succeeded");
    fleet.wait(&bad, "failed");
    [good, bad]
}

/// The files of an archive by their names in it.
fn files(archive: &[u8]) -> Vec<(String, String)> {
    let mut rest = archive;
    let mut files = Vec::new();
    while rest.len() >= 512 && rest[0] != 0 {
        let field = |from: usize, to: usize| {
            let bytes: Vec<u8> = rest[from..to].iter().copied().take_while(|b| *b != 0).collect();
            String::from_utf8(bytes).expect("a text")
        };
        let bytes = usize::from_str_radix(&field(124, 136), 8).expect("a length");
        let text = String::from_utf8(rest[512..512 + bytes].to_vec()).expect("every file is text");
        files.push((field(0, 100), text));
        rest = &rest[512 + bytes.div_ceil(512) * 512..];
    }
    files
}

fn file<'a>(files: &'a [(String, String)], name: &str) -> &'a str {
    let found = files.iter().find(|(path, _)| path.split_once('/').is_some_and(|(_, p)| p == name));
    found.map(|(_, text)| text.as_str()).unwrap_or_else(|| panic!("{name} is missing: {files:#?}"))
}

/// Secrets where an operator may put them, and in words that a person wrote.
fn plant(fleet: &Fleet) {
    std::fs::write(fleet.path("headers"), format!("Authorization: Bearer {TOKEN}\n")).unwrap();
    // A server without passwords takes any from its default user.
    let url = fleet.redis().url().replace("redis://", &format!("redis://default:{PASSWORD}@"));
    let headers = fleet.path("headers");
    fleet.reconfigure(&format!(
        "[redis]\nurl = \"{url}\"\n[telemetry]\notlp_headers_file = \"{}\"\n",
        headers.display()
    ));
    assert!(url.contains(PASSWORD), "{url}");
    let why =
        format!("the key was {PROVIDER_KEY}, see https://chat.example/?token=canary-signature");
    let paused = fleet.cli(&[
        "queue",
        "pause",
        "--tenant",
        "canary-tenant",
        "--for",
        "1h",
        "--reason",
        &why,
        "--yes",
    ]);
    assert_eq!(paused.code, 0, "{paused:?}");
}

fn holds_no_canary(files: &[(String, String)]) {
    for canary in [
        ALICE,
        BOB,
        PASSWORD,
        TOKEN,
        CALLBACK_KEY,
        PROVIDER_KEY,
        "canary-end-user",
        "canary-custom-id",
        "canary-note",
        "canary-prompt",
        "canary-consent",
        "canary-message",
        "canary-picture",
        "canary-signature",
        "X-Tos-Signature",
    ] {
        for (name, text) in files {
            assert!(!text.contains(canary), "{canary} is in {name}:\n{text}");
        }
    }
}

#[test]
fn a_bundle_tells_what_helps_and_holds_no_canary() {
    let fleet = Fleet::start(Options::with_gateway());
    let [good, bad] = jobs(&fleet);
    plant(&fleet);
    let made = fleet.cli(&["debug", "bundle", "--out", "bundle.tar", "-o", "json"]);
    assert_eq!(made.code, 0, "{made:?}");
    assert_eq!((&made.json()["missing"], &made.json()["files"]), (&json!(""), &json!(11)));
    let path = fleet.path("bundle.tar");
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "for its owner only");
    let archive = std::fs::read(&path).unwrap();
    let files = files(&archive);

    holds_no_canary(&files);
    let about: Value = serde_json::from_str(file(&files, "about.json")).unwrap();
    assert_eq!(about["versions"]["seedfleet"], env!("CARGO_PKG_VERSION"));
    let config = file(&files, "config.toml");
    assert!(
        config.contains("redis.url = \"redis://") && config.contains("own.toml; needs a"),
        "{config}"
    );
    assert!(file(&files, "metrics.md").contains("`seedfleet_transitions_total`"));
    let doctor: Value = serde_json::from_str(file(&files, "doctor.json")).unwrap();
    assert!(doctor.as_array().unwrap().iter().any(|line| line["about"] == "redis"), "{doctor}");
    let failed = file(&files, "pools/sim/failed-jobs.json");
    assert!(failed.contains(bad.as_str()) && !failed.contains(good.as_str()), "{failed}");
    assert!(failed.contains("OutputVideoSensitiveContentDetected"), "{failed}");
    let events = file(&files, "pools/sim/events.json");
    assert!(events.contains(good.as_str()) && events.contains("succeeded"), "{events}");
    assert!(file(&files, "pools/sim/redis-info.txt").contains("redis_version:"));
    for name in ["queue.json", "limits.json", "failures.json"] {
        let text = file(&files, &format!("pools/sim/{name}"));
        assert!(serde_json::from_str::<Value>(text).is_ok(), "{name}: {text}");
    }
    let again = fleet.cli(&["debug", "bundle", "--out", "bundle.tar"]);
    assert_eq!(again.code, 1, "what is there is never written over: {again:?}");
    assert_eq!(std::fs::read(&path).unwrap(), archive);
}

#[test]
fn a_bundle_is_made_while_redis_is_away() {
    let fleet = Fleet::start(Options::empty());
    fleet.reconfigure("[redis]\nurl = \"redis://127.0.0.1:1/0\"\nconnect_timeout = \"200ms\"\n");
    let made = fleet.cli(&["debug", "bundle", "--out", "bundle.tar", "-o", "json"]);
    assert_eq!(made.code, 7, "some of it could not be had: {made:?}");
    let missing = made.json()["missing"].as_str().unwrap_or_default().to_owned();
    assert!(missing.contains("pool sim") && missing.contains("workers.json"), "{missing}");
    let files = files(&std::fs::read(fleet.path("bundle.tar")).unwrap());
    assert!(file(&files, "missing.json").contains("pool sim"));
    let doctor = file(&files, "doctor.json");
    assert!(doctor.contains("\"redis\"") && doctor.contains("fail"), "{doctor}");
    assert!(file(&files, "config.toml").contains("submit.lease"));
}
