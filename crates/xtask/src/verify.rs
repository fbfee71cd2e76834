//! `cargo xtask verify`: the suites that need tools from outside, one script each.
//!
//! A script runs at the top of the clone and finds in its environment `SEEDFLEET_BIN_DIR` (the built
//! programs), `SEEDFLEET_STATE_DIR` (an ignored folder for what it installs) and
//! `SEEDFLEET_REDIS_SERVER`. Exit code 0 is the only success: a tool it lacks is a failure.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::run::{self, Failure};
use crate::workspace;

const SUITES: &str = "tests/verify";

pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let suites = chosen(args)?;
    let server = workspace::redis()?;
    workspace::build()?;
    let program = workspace::program("seedfleet")?;
    let bin_dir = program.parent().unwrap_or(Path::new("."));
    let mut verdicts = Vec::new();
    for suite in &suites {
        let name = suite.file_name().unwrap_or_default().to_string_lossy();
        run::say(&format!("verify {name}"));
        let mut command = Command::new(interpreter(suite)?);
        command
            .arg(suite)
            .current_dir(workspace::root())
            .env("SEEDFLEET_BIN_DIR", bin_dir)
            .env("SEEDFLEET_STATE_DIR", workspace::state_dir())
            .env(sandbox::redis::SERVER_ENV, &server);
        // A suite may call cargo.
        workspace::forget_cargo(&mut command);
        let started = Instant::now();
        let done = run::run(&mut command);
        verdicts.push((name.into_owned(), done.is_ok(), started.elapsed().as_secs()));
    }
    for (name, passed, elapsed_s) in &verdicts {
        run::say(&format!("{} {name} ({elapsed_s} s)", if *passed { "pass" } else { "FAIL" }));
    }
    let failed = verdicts.iter().filter(|(_, passed, _)| !passed).count();
    match failed {
        0 => Ok(()),
        _ => Err(Failure::new(format!("{failed} of {} suites failed", verdicts.len()))),
    }
}

/// All suites in the order of their names, or those whose file stem is named; never the ones named behind
/// `--without`.
fn chosen(args: &[String]) -> Result<Vec<PathBuf>, Failure> {
    let mut parts = args.splitn(2, |arg| arg == "--without");
    let (names, left_out) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let dir = workspace::root().join(SUITES);
    let entries =
        std::fs::read_dir(&dir).map_err(|error| Failure::new(format!("{SUITES}: {error}")))?;
    let mut suites: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| interpreter(path).is_ok())
        .collect();
    suites.sort();
    let stem = |path: &PathBuf| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let is_known = |name: &&String| suites.iter().any(|path| stem(path) == **name);
    if let Some(unknown) = names.iter().chain(left_out).find(|name| !is_known(name)) {
        let known: Vec<String> = suites.iter().map(stem).collect();
        return Err(Failure::usage(format!(
            "no suite {unknown:?}; there are: {}",
            known.join(", ")
        )));
    }
    suites.retain(|path| names.is_empty() || names.contains(&stem(path)));
    suites.retain(|path| !left_out.contains(&stem(path)));
    if suites.is_empty() {
        return Err(Failure::new(format!("{SUITES} holds no suite, so nothing was verified")));
    }
    Ok(suites)
}

fn interpreter(suite: &Path) -> Result<&'static str, Failure> {
    match suite.extension().and_then(|end| end.to_str()) {
        Some("py") => Ok("python3"),
        Some("sh") => Ok("bash"),
        _ => Err(Failure::new(format!("{} is neither .py nor .sh", suite.display()))),
    }
}
