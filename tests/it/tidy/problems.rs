//! The table of problem codes in `docs/api.md` names every code the API can answer, with its status, and no other.

use super::none;
use super::source::root;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Where a problem is made: the code is the first text after it, the status the constant before that.
const MADE: [&str; 2] = ["Problem::new(", "Self::new("];

/// Codes and the names of their statuses in one file of the gateway.
fn said(source: &str) -> Vec<(String, String)> {
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    let after = MADE.iter().flat_map(|made| code.match_indices(made)).map(|(at, _)| &code[at..]);
    let found = after.filter_map(|text| {
        let call: String = text.chars().take(CALL_CHARS).take_while(|c| *c != ';').collect();
        let code = call.split('"').nth(1)?;
        let status = call.split("StatusCode::").nth(1).unwrap_or_default();
        let status = status.split(|c: char| !c.is_ascii_uppercase() && c != '_').next()?;
        let plain = |c: char| c.is_ascii_lowercase() || c == '-';
        (code.chars().all(plain) && code.contains('-') || SHORT.contains(&code))
            .then(|| (code.to_owned(), status.to_owned()))
    });
    found.collect()
}

/// A call that makes a problem is no longer than this up to its code.
const CALL_CHARS: usize = 200;
/// Codes of one word.
const SHORT: [&str; 4] = ["conflict", "forbidden", "internal", "unavailable"];
/// Said where no call names a status and a code together: by status, by a refusal of the door, by a key's absence.
const OTHERS: [&str; 14] = [
    "backlog-full",
    "bad-request",
    "body-too-large",
    "budget-exhausted",
    "idempotency-key-reused",
    "intake-paused",
    "intake-unavailable",
    "invalid-request",
    "media-exhausted",
    "not-found",
    "price-unknown",
    "too-slow",
    "unauthorized",
    "internal",
];

fn files(dir: &Path, into: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).expect("a folder").flatten() {
        let path = entry.path();
        // Pages are for people: they say their problems in words.
        if path.is_dir() && !path.ends_with("pages") {
            files(&path, into);
        } else if path.extension().is_some_and(|end| end == "rs") {
            into.push(std::fs::read_to_string(&path).expect("a source file"));
        }
    }
}

/// The rows of the table: code and statuses.
fn table(page: &str) -> BTreeMap<String, String> {
    let rows = page.lines().filter_map(|line| {
        let mut cells = line.trim_matches('|').split('|').map(str::trim);
        let code = cells.next()?.strip_prefix('`')?.strip_suffix('`')?;
        let status = cells.next()?;
        status
            .starts_with(|c: char| c.is_ascii_digit())
            .then(|| (code.to_owned(), status.to_owned()))
    });
    rows.collect()
}

fn complaints(said: &BTreeSet<String>, told: &BTreeMap<String, String>) -> Vec<String> {
    let missing = said.iter().filter(|code| !told.contains_key(*code));
    let missing = missing.map(|code| format!("docs/api.md does not tell the problem {code}"));
    let idle = told.keys().filter(|code| !said.contains(*code));
    missing.chain(idle.map(|code| format!("docs/api.md tells {code}, which nobody says"))).collect()
}

#[test]
fn every_problem_is_told() {
    let mut sources = Vec::new();
    files(&root().join("crates/gateway/src"), &mut sources);
    let mut codes: BTreeSet<String> = OTHERS.into_iter().map(str::to_owned).collect();
    codes.extend(sources.iter().flat_map(|source| said(source)).map(|(code, _)| code));
    let page = std::fs::read_to_string(root().join("docs/api.md")).expect("the page");
    none("problems", &complaints(&codes, &table(&page)));
}

#[test]
fn a_code_that_is_not_told_and_one_that_nobody_says_are_seen() {
    let source = "Problem::new(StatusCode::NOT_FOUND, \"no-such\", title);\n#[cfg(test)] Problem::new(x, \"not-it\");";
    assert_eq!(said(source), [("no-such".to_owned(), "NOT_FOUND".to_owned())]);
    let told =
        table("| Code | Status | Means |\n| `no-such-thing` | 404 | … |\n| `other` | word | … |");
    let said = BTreeSet::from(["no-such".to_owned()]);
    assert_eq!(complaints(&said, &told).len(), 2);
}
