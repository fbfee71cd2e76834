//! Each Lua script opens with its contract.

use super::none;
use super::source::{File, files};

/// What a caller must be able to read without reading the body.
const PARTS: [&str; 3] = ["KEYS", "ARGV", "Reply"];
/// Shared pieces put in front of scripts: no call of their own, so no keys, arguments or reply.
const SNIPPETS: &str = "/snippet/";
/// Calls whose work grows with the data and not with what was asked for.
const UNBOUNDED: [&str; 3] = ["'KEYS'", "'SMEMBERS'", "'FLUSHALL'"];

fn headless(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in files.iter().filter(|file| file.path.ends_with(".lua")) {
        let path = &file.path;
        let snippet = path.contains(SNIPPETS);
        let name = path.rsplit('/').next().unwrap_or(path);
        let Some((head, body)) =
            file.text.strip_prefix("--[[").and_then(|text| text.split_once("]]"))
        else {
            complaints.push(format!("{path}: does not open with a --[[ … ]] block"));
            continue;
        };
        let called = head.trim_start().trim_start_matches("snippet/");
        if !called.starts_with(name) {
            complaints.push(format!("{path}: its head does not begin with {name}"));
        }
        let missing = PARTS.into_iter().filter(|part| !snippet && !head.contains(part));
        complaints.extend(missing.map(|part| format!("{path}: its head does not tell {part}")));
        let body = body.replace('"', "'").to_uppercase();
        let greedy = UNBOUNDED.into_iter().filter(|call| body.contains(&format!("CALL({call}")));
        complaints.extend(greedy.map(|call| format!("{path}: {call} has no bound")));
    }
    complaints
}

#[test]
fn scripts_open_with_their_contract() {
    none("scripts", &headless(&files()));
}

#[test]
fn a_script_without_its_contract_is_seen() {
    let good = "--[[ claim.lua: takes tickets.\n KEYS 1\n ARGV 1\n Reply x ]]\nreturn 1\n";
    assert!(headless(&[File::sample("crates/store/lua/claim.lua", good)]).is_empty());
    let snippet = "--[[ snippet/pace.lua: a row of instants. ]]\nlocal x = 1\n";
    assert!(headless(&[File::sample("crates/store/lua/snippet/pace.lua", snippet)]).is_empty());
    let bad = [
        File::sample("crates/store/lua/snippet/pace.lua", "local x = 1\n"),
        File::sample("crates/store/lua/a.lua", "return redis.call('GET', KEYS[1])"),
        File::sample("crates/store/lua/b.lua", &good.replace("Reply", "Answer")),
        File::sample(
            "crates/store/lua/claim.lua",
            &good.replace("return 1", "return redis.call(\"smembers\", KEYS[1])"),
        ),
    ];
    let complaints = headless(&bad);
    assert_eq!(complaints.len(), 5, "{complaints:?}");
}
