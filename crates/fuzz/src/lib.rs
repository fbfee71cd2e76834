//! Feeds what strangers may send to the code that reads it first.
//!
//! A target is a test in the room that owns the reading function, so nothing has to become public for
//! it: it calls [`run`] with its name and a check. The check panics when the reading breaks its word,
//! and otherwise tells in a few words how the input was taken. Every input that is taken in a way not
//! seen before is kept and changed further, which leads past the first `if` without compiler support:
//! stable Rust is enough.
//!
//! The corpus in `corpus/<target>/` is replayed first, whole. Then come [`CASES`] changed inputs, the
//! same ones on every machine. [`FOR_ENV`] turns that into a long run with a seed of its own; what it
//! finds goes into the corpus, where it stays a regression test.
//!
//! Standard library only, and it knows none of the targets but the names that have a corpus.
#![forbid(unsafe_code)]

mod change;
mod dice;

use change::Changer;
use dice::Dice;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Changed inputs of a short run.
pub const CASES: u64 = 2_000;
/// Environment: seconds of a long run, in place of [`CASES`].
pub const FOR_ENV: &str = "SEEDFLEET_FUZZ_FOR_S";
/// Environment: the seed, a whole number; a short run has the same one each time.
pub const SEED_ENV: &str = "SEEDFLEET_FUZZ_SEED";

/// Inputs grow no longer than this.
const LENGTH_MAX: usize = 16 << 10;
/// Inputs kept in memory for further changes.
const KEPT_MAX: usize = 4_096;
/// Calls spent on making a failing input shorter.
const SHORTEN_MAX: u32 = 2_000;

/// What a run did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ran {
    /// Inputs of the corpus.
    pub corpus: usize,
    /// Changed inputs.
    pub cases: u64,
    /// Ways in which inputs were taken.
    pub ways: usize,
}

/// How long to go on.
#[derive(Debug, Clone, Copy)]
enum Until {
    Cases(u64),
    Instant(Instant),
}

/// Replays a target's corpus, then feeds it changed inputs.
///
/// `check` tells how it took an input: a handful of words at most, such as the code of a refusal.
///
/// # Panics
///
/// With the check's own panic, after the input, made as short as could be, was told. Also when the
/// target has no corpus.
pub fn run(target: &str, words: &[&str], check: impl Fn(&[u8]) -> String) -> Ran {
    run_cases(target, words, CASES, check)
}

/// As [`run`], for a check that takes its time: so many changed inputs in a short run.
///
/// # Panics
///
/// As [`run`].
pub fn run_cases(target: &str, words: &[&str], cases: u64, check: impl Fn(&[u8]) -> String) -> Ran {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let until = number(FOR_ENV).map(|s| Until::Instant(Instant::now() + Duration::from_secs(s)));
    let seed = number(SEED_ENV).unwrap_or(1);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let corpus = read(&folder);
    assert!(!corpus.is_empty(), "{} holds no input", folder.display());
    let keep = until.is_some().then_some(folder.as_path());
    let ran = go(corpus, words, seed, until.unwrap_or(Until::Cases(cases)), &check, keep);
    #[allow(clippy::print_stderr, reason = "the test runner shows what a long run did")]
    {
        eprintln!("{target}: seed {seed}, {ran:?}");
    }
    ran
}

fn go(
    corpus: Vec<Vec<u8>>,
    words: &[&str],
    seed: u64,
    until: Until,
    check: &dyn Fn(&[u8]) -> String,
    keep: Option<&Path>,
) -> Ran {
    let mut ways = BTreeSet::new();
    for input in &corpus {
        ways.insert(judge(input, check, keep));
    }
    let mut ran = Ran { corpus: corpus.len(), cases: 0, ways: 0 };
    let mut pool = corpus;
    let mut changer = Changer::new(Dice::new(seed), words, LENGTH_MAX);
    while match until {
        Until::Cases(cases) => ran.cases < cases,
        Until::Instant(end) => Instant::now() < end,
    } {
        let input = changer.change(&pool);
        ran.cases += 1;
        let is_new = ways.insert(judge(&input, check, keep));
        if is_new && pool.len() < KEPT_MAX {
            pool.push(input);
        }
    }
    Ran { ways: ways.len(), ..ran }
}

/// Runs the check; a failing input is made shorter and told before the panic goes on.
fn judge(input: &[u8], check: &dyn Fn(&[u8]) -> String, keep: Option<&Path>) -> String {
    let attempt = |bytes: &[u8]| catch_unwind(AssertUnwindSafe(|| check(bytes)));
    let panic = match attempt(input) {
        Ok(way) => return way,
        Err(panic) => panic,
    };
    // Each failing call would print a message of its own.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let short = shorten(input, |bytes| attempt(bytes).is_err());
    std::panic::set_hook(hook);
    let kept = keep.map(|folder| folder.join(format!("found-{:016x}", dice::digest(&short))));
    let kept = kept.filter(|path| std::fs::write(path, &short).is_ok());
    #[allow(clippy::print_stderr, reason = "the test runner shows what a failed test printed")]
    {
        eprintln!("the input that failed: b\"{}\"", short.escape_ascii());
        if let Some(path) = kept {
            eprintln!("kept in {}", path.display());
        }
    }
    resume_unwind(panic)
}

/// Takes pieces out, large ones first, for as long as the input fails.
fn shorten(input: &[u8], fails: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut short = input.to_vec();
    let (mut piece, mut calls) = (short.len() / 2, 0);
    while piece > 0 {
        let mut at = 0;
        while at < short.len() && calls < SHORTEN_MAX {
            let end = (at + piece).min(short.len());
            let rest = [&short[..at], &short[end..]].concat();
            calls += 1;
            if fails(&rest) {
                short = rest;
            } else {
                at = end;
            }
        }
        piece /= 2;
    }
    short
}

/// A target's corpus in the order of its names; empty if it has none.
fn read(folder: &Path) -> Vec<Vec<u8>> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths.iter().filter_map(|path| std::fs::read(path).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader with a fault that four right bytes in a row lead to.
    fn reader(input: &[u8]) -> String {
        let depth = input.iter().zip(b"film").take_while(|(a, b)| a == b).count();
        assert!(depth < 4, "all four");
        depth.to_string()
    }

    #[test]
    fn news_leads_deeper_and_a_fault_is_found() {
        let hunt = || go(vec![b"x".to_vec()], &[], 1, Until::Cases(200_000), &reader, None);
        assert!(catch_unwind(hunt).is_err(), "never got to the fourth byte");
        let short = shorten(b"film and much more", |bytes| bytes.starts_with(b"film"));
        assert_eq!(short, b"film");
    }

    #[test]
    fn a_run_can_be_repeated() {
        let seen = std::cell::RefCell::new(Vec::new());
        let note = |input: &[u8]| {
            seen.borrow_mut().push(input.to_vec());
            (input.len() % 7).to_string()
        };
        let mut runs = Vec::new();
        for _ in 0..2 {
            let ran = go(vec![b"{\"a\":1}".to_vec()], &["null"], 7, Until::Cases(500), &note, None);
            assert_eq!((ran.cases, ran.corpus, ran.ways), (500, 1, 7));
            runs.push(seen.take());
        }
        assert_eq!(runs[0], runs[1]);
        assert!(runs[0].iter().all(|input| input.len() <= LENGTH_MAX));
    }

    #[test]
    fn each_folder_of_the_corpus_holds_inputs() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
        let targets = std::fs::read_dir(corpus).expect("the corpus is part of the clone");
        for target in targets.flatten() {
            assert!(!read(&target.path()).is_empty(), "{}", target.path().display());
        }
    }
}
