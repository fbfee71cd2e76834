//! `docs/simulator.md` names everything there is to switch, and nothing else answers.

use serde_json::json;
use simulator::{Doubts, Limits};

use crate::bench::Bench;

fn manual() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/simulator.md");
    std::fs::read_to_string(path).unwrap()
}

#[tokio::test]
async fn every_kind_of_fault_is_in_the_manual() {
    let bench = Bench::start().await;
    let manual = manual();
    for group in ["connect", "create", "retrieve", "list", "delete", "task", "callback", "media"] {
        assert!(manual.contains(&format!("`{group}`")), "{group}");
        // The refusal of an unknown kind lists the known ones.
        let answer = bench.control("faults", json!({ group: [{"kind": "unheard-of"}] })).await;
        let error = answer.body["error"].as_str().unwrap();
        let kinds: Vec<&str> = error.split('`').skip(3).step_by(2).collect();
        assert!(kinds.len() >= 4, "{error}");
        for kind in kinds {
            assert!(manual.contains(&format!("`{kind}`")), "{group}: {kind} is not in the manual");
        }
    }
}

#[tokio::test]
async fn every_doubt_and_answer_is_in_the_manual() {
    let bench = Bench::start().await;
    let manual = manual();
    let doubts = serde_json::to_value(Doubts::default()).unwrap();
    for (name, answer) in doubts.as_object().unwrap() {
        let row = manual.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
        let row = row.unwrap_or_else(|| panic!("{name} is not in the manual"));
        if answer.is_number() {
            assert!(row.contains(&answer.to_string()), "{name}: {answer}");
            continue;
        }
        // The refusal of an unknown answer lists the known ones.
        let told = bench.control("doubts", json!({ name: "unheard-of" })).await;
        let error = told.body["error"].as_str().unwrap();
        let answers: Vec<&str> = error.split('`').skip(3).step_by(2).collect();
        assert!(answers.len() >= 2, "{error}");
        for answer in answers {
            assert!(row.contains(&format!("`{answer}`")), "{name}: {answer} is not in the manual");
        }
    }
}

#[tokio::test]
async fn every_limit_and_flag_is_in_the_manual() {
    let manual = manual();
    let limits = serde_json::to_value(Limits::enterprise()).unwrap();
    for name in limits.as_object().unwrap().keys() {
        assert!(manual.contains(&format!("`{name}`")), "{name}");
    }
    let help = std::process::Command::new(env!("CARGO_BIN_EXE_simulator")).arg("--help").output();
    let help = String::from_utf8(help.unwrap().stdout).unwrap();
    let flags = help.split_whitespace().filter(|word| word.starts_with("--") && word.len() > 2);
    let mut count = 0;
    for flag in flags.filter(|flag| !["--help", "--version"].contains(flag)) {
        count += 1;
        assert!(manual.contains(&format!("`{flag}")), "{flag} is not in the manual");
    }
    assert!(count >= 15, "{help}");
}
