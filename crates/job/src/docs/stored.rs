//! Records as earlier versions of the program stored them, and what becomes of them today.
//!
//! `crates/job/tests/fixtures/records-v<N>.jsonl` holds a record in every state in the form of version N. Of the
//! version that is written now, `cargo xtask fixtures` writes it anew, which adds lines for new samples; a line that
//! changes means that the form did, and that programs of before may misread it. Files of older versions are never
//! touched again.

use super::{events, instants, policy, records};
use crate::{DoubtPolicy, JobId, Record, SCHEMA_VERSION, Verdict, transition};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The variable with which `cargo xtask fixtures` asks for the file to be written.
const WRITE_ENV: &str = "SEEDFLEET_TEST_WRITE_FIXTURES";

/// One line of a file.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Line {
    /// Which sample: its state, and which one of that state.
    name: String,
    id: JobId,
    spec: String,
    life: String,
}

fn file(version: u32) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    folder.join(format!("records-v{version}.jsonl"))
}

fn lines(version: u32) -> Vec<Line> {
    let file = file(version);
    let text = std::fs::read_to_string(&file)
        .unwrap_or_else(|error| panic!("{}: {error}; `cargo xtask fixtures`", file.display()));
    text.lines().map(|line| serde_json::from_str(line).expect("a line of ours")).collect()
}

/// Today's samples, each with its name.
fn samples() -> BTreeMap<String, Record> {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut samples = BTreeMap::new();
    for record in records() {
        let word = record.life.state.word().as_str();
        let n = seen.entry(word).or_default();
        *n += 1;
        samples.insert(format!("{word} {n}"), record);
    }
    samples
}

fn line(name: &str, record: &Record) -> Line {
    let (spec, life) = record.to_parts_as(SCHEMA_VERSION).expect("plain data");
    Line { name: name.to_owned(), id: record.id.clone(), spec, life }
}

/// Where every event leads from this record: state and ticket.
fn ways(record: &Record) -> Vec<String> {
    let mut ways = Vec::new();
    for event in events() {
        for doubt in [DoubtPolicy::Strict, DoubtPolicy::Balanced] {
            for now in instants() {
                let way = match transition(record, &event, now, &policy(doubt)) {
                    Ok(Verdict::Write { life, ticket, .. }) => {
                        format!("{} {ticket:?}", life.state.word().as_str())
                    }
                    Ok(Verdict::Ignore { .. }) => "ignored".to_owned(),
                    Err(_) => "contradiction".to_owned(),
                };
                ways.push(format!("{} {doubt:?}: {way}", event.name()));
            }
        }
    }
    ways
}

/// Not a test: writes the file of this version when `cargo xtask fixtures` asks for it.
#[test]
fn writes_the_fixtures_of_this_version_when_asked() {
    if std::env::var_os(WRITE_ENV).is_none() {
        return;
    }
    let samples = samples();
    let lines = samples.iter().map(|(name, record)| {
        serde_json::to_string(&line(name, record)).expect("plain data") + "\n"
    });
    std::fs::write(file(SCHEMA_VERSION), lines.collect::<String>()).expect("the folder is ours");
}

#[test]
fn records_of_every_version_are_read_and_go_the_ways_of_todays() {
    let samples = samples();
    for version in 1..=SCHEMA_VERSION {
        let lines = lines(version);
        assert!(lines.len() >= 25, "version {version}: a record in every state");
        for Line { name, id, spec, life } in &lines {
            let record = Record::from_parts(id.clone(), spec, life)
                .unwrap_or_else(|error| panic!("version {version}, {name}: {error}"));
            assert_eq!(record.schema, version, "{name}");
            let today = samples.get(name).unwrap_or_else(|| panic!("{name} has no sample"));
            assert_eq!(ways(&record), ways(today), "version {version}, {name}");
        }
    }
}

#[test]
fn the_form_of_this_version_has_not_changed() {
    let lines = lines(SCHEMA_VERSION);
    let samples = samples();
    for old in &lines {
        let today = samples.get(&old.name).map(|record| line(&old.name, record));
        assert_eq!(
            Some(old),
            today.as_ref(),
            "what is stored has changed: if a program before this one would misread it, raise SCHEMA_VERSION, else \
             write the fixtures anew (`cargo xtask fixtures`)"
        );
    }
    let known: Vec<&String> = lines.iter().map(|line| &line.name).collect();
    let missing: Vec<&String> = samples.keys().filter(|name| !known.contains(name)).collect();
    assert!(missing.is_empty(), "no line yet, `cargo xtask fixtures`: {missing:?}");
}
