//! One file spells Redis keys.

use super::none;
use super::source::{File, root, rust};

const ONE_FILE: &str = "crates/store/src/keys.rs";
/// Its own folder: the fleet's keys, and the tables of keys, which become `docs/keys.md`.
const ITS_FOLDER: &str = "crates/store/src/keys/";
const TABLES: [&str; 5] = [
    "crates/store/src/keys/archive.rs",
    "crates/store/src/keys/fleet.rs",
    "crates/store/src/keys/money.rs",
    "crates/store/src/keys/page.rs",
    "crates/store/src/keys/pauses.rs",
];

/// The first word of every key, read from the table: `key: "due:<step>"`.
fn heads(keys: &str) -> Vec<String> {
    let rows = keys.lines().filter_map(|line| line.trim().strip_prefix("key: \""));
    let heads = rows.filter_map(|row| row.split(['"', ':']).next().map(str::to_owned));
    let mut heads: Vec<String> = heads.collect();
    heads.sort();
    heads.dedup();
    heads
}

/// True for a literal that puts a key together: a head after a hash tag's closing brace, after a
/// placeholder, or at the front with the colon that waits for a prefix.
fn spells_a_key(literal: &str, heads: &[String]) -> bool {
    let front = literal.strip_prefix(':').into_iter();
    let mut tails = front.chain(literal.split("}:").skip(1));
    let prefixed = literal.contains("{prefix}:") || literal.contains("{key_prefix}:");
    prefixed
        || literal.contains("}}}:")
        || tails.any(|tail| {
            let head = tail.split(|c: char| !c.is_ascii_lowercase()).next().unwrap_or_default();
            let ends = matches!(tail[head.len()..].chars().next(), None | Some(':'));
            ends && heads.iter().any(|known| known == head)
        })
}

fn strays(files: &[File], heads: &[String]) -> Vec<String> {
    let others = files
        .iter()
        .filter(|file| file.path != ONE_FILE && !file.path.starts_with(ITS_FOLDER))
        .filter(|file| !file.path.starts_with("tests/it/tidy/"));
    let spelled = others.flat_map(|file| {
        let literals = file.literals().into_iter();
        let strays = literals.filter(|(_, literal)| spells_a_key(literal, heads));
        strays.map(|(line, literal)| format!("{}:{line}: {literal:?}", file.path))
    });
    spelled.collect()
}

#[test]
fn keys_are_spelled_in_one_file() {
    let read = |table: &str| std::fs::read_to_string(root().join(table)).expect("the table");
    let heads = heads(&TABLES.map(read).concat());
    assert!(heads.len() > 5, "the table of keys was found: {heads:?}");
    none("a Redis key outside crates/store/src/keys.rs", &strays(&rust(), &heads));
}

#[test]
fn a_stray_key_is_seen() {
    let heads = heads(
        "    Row {\n        key: \"due:<step>\",\n        key: \"lease:<queue>\",\n        key: \"fence\",\n",
    );
    assert_eq!(heads, ["due", "fence", "lease"]);
    let bad = "let a = format!(\"{{{prefix}:{pool}}}:due\");\nlet b = format!(\"{prefix}:job:{id}\");\nlet c = base + \":lease:poll\";\nlet d = tag + \"{sf:a}:fence\";\n";
    let harmless = "// \":due\"\nlet d = \"note: due\";\nlet e = \"{file}:{line}: due\";\nlet f = \"{id}:dues\";\n";
    let file = |path: &str| File::sample(path, &format!("{bad}{harmless}"));
    let complaints = strays(&[file("crates/limiter/src/lib.rs")], &heads);
    assert_eq!(complaints.len(), 4, "{complaints:?}");
    assert!(strays(&[file(ONE_FILE)], &heads).is_empty());
}
