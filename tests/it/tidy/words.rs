//! Words that may not stand in code, and traces of somebody's machine.

use super::none;
use super::source::{File, files, rust};

/// Never, anywhere. The blanks keep this list from complaining about itself.
const UNFINISHED: [&str; 5] = ["todo!(", "unimplemented!(", "dbg!(", "#[ignore", "// TODO"];

/// A test that must sleep (to play a slow peer, say) tells why on the line above.
const SLEEP_REASON: &str = "// sleeps:";
/// A bounded look-again loop is the last resort: it lives in a function that says so, or checks a
/// deadline in the lines just above.
const WAITERS: [&str; 4] = ["until", "eventually", "wait", "poll_until"];

/// How far above.
const DEADLINE_LINES: usize = 3;

/// Paths that exist on one machine only.
const MACHINE: [&str; 5] = ["/work/", "/root/", "/home/", "bash_jobs", "/Users/"];

fn unfinished(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in files {
        let code = file.code();
        for (number, (line, code)) in file.text.lines().zip(code.lines()).enumerate() {
            let found = UNFINISHED.iter().filter(|word| {
                // The one word that is a comment is looked for where comments are.
                if word.starts_with("//") { line.contains(**word) } else { code.contains(**word) }
            });
            complaints.extend(found.map(|word| format!("{}:{}: {word}", file.path, number + 1)));
        }
    }
    complaints
}

fn sleeps(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in files {
        let (code, tests) = (file.code(), file.test_lines());
        let lines: Vec<&str> = file.text.lines().collect();
        let code_lines: Vec<&str> = code.lines().collect();
        let mut function = "";
        for (number, line) in code_lines.iter().enumerate() {
            if let Some((_, after)) = line.split_once("fn ") {
                function = after;
            }
            let waits = WAITERS.iter().any(|name| function.starts_with(name));
            let above = &code_lines[number.saturating_sub(DEADLINE_LINES)..number];
            let bounded = above.iter().any(|line| line.contains("deadline"));
            let told = number > 0 && lines[number - 1].trim_start().starts_with(SLEEP_REASON);
            if tests[number] && calls_sleep(line) && !(waits || bounded || told) {
                complaints.push(format!(
                    "{}:{}: wait for a fact, not for time",
                    file.path,
                    number + 1
                ));
            }
        }
    }
    complaints
}

fn calls_sleep(line: &str) -> bool {
    let mut calls = line.match_indices("sleep(").map(|(at, _)| line[..at].chars().next_back());
    calls.any(|before| !before.is_some_and(|c| c.is_alphanumeric() || c == '_'))
}

fn machine_paths(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in files {
        for (number, line) in file.text.lines().enumerate() {
            let found = MACHINE.iter().filter(|path| line.contains(**path));
            complaints.extend(found.map(|path| format!("{}:{}: {path}", file.path, number + 1)));
        }
    }
    complaints
}

/// This file spells what it looks for.
fn others(files: Vec<File>) -> Vec<File> {
    files.into_iter().filter(|file| file.path != "tests/it/tidy/words.rs").collect()
}

#[test]
fn nothing_is_left_unfinished_or_ignored() {
    none("unfinished", &unfinished(&others(rust())));
}

#[test]
fn tests_do_not_sleep() {
    none("sleeps in tests", &sleeps(&rust()));
}

#[test]
fn nothing_names_a_developers_machine() {
    none("a path of one machine", &machine_paths(&others(files())));
}

#[test]
fn bad_words_are_seen() {
    let bad = File::sample(
        "tests/it/a.rs",
        "#[ignore = \"slow\"]\nfn a() { todo!() }\n// TODO: later\nlet s = \"todo!()\";\n",
    );
    assert_eq!(unfinished(&[bad]).len(), 3);

    let text = "fn a() {\n    thread::sleep(x);\n}\nfn c() {\n    assert!(now < deadline);\n    thread::sleep(x);\n}\nfn wait_until() {\n    thread::sleep(x);\n}\nfn b() {\n    // sleeps: plays a slow peer\n    tokio::time::sleep(x);\n    // sleep(\n    no_sleep();\n}\n";
    let complaints = sleeps(&[File::sample("crates/x/tests/it/a.rs", text)]);
    assert_eq!(complaints, ["crates/x/tests/it/a.rs:2: wait for a fact, not for time"]);
    assert!(sleeps(&[File::sample("crates/x/src/a.rs", text)]).is_empty());

    let paths = [File::sample("a.md", "see /home/me/x"), File::sample("b.md", "the /homepage")];
    assert_eq!(machine_paths(&paths), ["a.md:1: /home/"]);
}
