//! `cargo xtask verify`: the suites that need tools from outside, one script each.
//!
//! A script runs at the top of the clone and finds in its environment `SEEDFLEET_BIN_DIR` (the built
//! programs), `SEEDFLEET_STATE_DIR` (an ignored folder for what it installs) and
//! `SEEDFLEET_REDIS_SERVER`. Exit code 0 is the only success: a tool it lacks is a failure.
//!
//! Suites in Python ask a fleet from outside and mostly wait: two of them run at a time, and what each
//! printed comes in one piece when it has ended. Suites in shell put clocks, limits and disks to the test:
//! they have the machine for themselves.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::run::{self, Failure};
use crate::workspace;

const SUITES: &str = "tests/verify";
/// Suites in Python that run at a time.
const AT_ONCE: usize = 2;

/// How a suite ended.
struct Verdict {
    name: String,
    passed: bool,
    elapsed_s: u64,
}

pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let suites = chosen(args)?;
    let server = workspace::redis()?;
    workspace::build()?;
    let program = workspace::program("seedfleet")?;
    let bin_dir = program.parent().unwrap_or(Path::new("."));
    let call = |suite: &Path| -> Result<Command, Failure> {
        let mut command = Command::new(interpreter(suite)?);
        command
            .arg(suite)
            .current_dir(workspace::root())
            .env("SEEDFLEET_BIN_DIR", bin_dir)
            .env("SEEDFLEET_STATE_DIR", workspace::state_dir())
            .env(sandbox::redis::SERVER_ENV, &server);
        // A suite may call cargo.
        workspace::forget_cargo(&mut command);
        Ok(command)
    };
    let (beside, alone): (Vec<&PathBuf>, Vec<&PathBuf>) =
        suites.iter().partition(|suite| suite.extension().is_some_and(|end| end == "py"));
    let mut verdicts = some_at_once(&beside, &call)?;
    for suite in alone {
        say_begun(suite);
        let started = Instant::now();
        let done = run::run(&mut call(suite)?);
        verdicts.push(Verdict::of(suite, done.is_ok(), started));
    }
    for Verdict { name, passed, elapsed_s } in &verdicts {
        run::say(&format!("{} {name} ({elapsed_s} s)", if *passed { "pass" } else { "FAIL" }));
    }
    let failed = verdicts.iter().filter(|verdict| !verdict.passed).count();
    match failed {
        0 => Ok(()),
        _ => Err(Failure::new(format!("{failed} of {} suites failed", verdicts.len()))),
    }
}

/// Runs suites side by side, each with its output kept until its end.
fn some_at_once(
    suites: &[&PathBuf],
    call: &(impl Fn(&Path) -> Result<Command, Failure> + Sync),
) -> Result<Vec<Verdict>, Failure> {
    let state = workspace::state_dir();
    std::fs::create_dir_all(&state)
        .map_err(|error| Failure::new(format!("{}: {error}", state.display())))?;
    let (waiting, verdicts) = (Mutex::new(suites.iter()), Mutex::new(Vec::new()));
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || -> Result<(), Failure> {
        while let Some(suite) = next() {
            say_begun(suite);
            let started = Instant::now();
            let out = state.join(format!("verify-{}.out", name_of(suite)));
            let (done, printed) = collected(call(suite)?, &out)?;
            let verdict = Verdict::of(suite, done.is_ok(), started);
            run::say(&format!("{} printed:\n{}", verdict.name, printed.trim_end()));
            verdicts.lock().unwrap_or_else(PoisonError::into_inner).push(verdict);
        }
        Ok(())
    };
    let ended: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(std::thread::ScopedJoinHandle::join).collect()
    });
    for ended in ended {
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    }
    Ok(verdicts.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Runs to the end; what came on standard output and error, in the order it came.
///
/// Through a file, not a pipe: a program that a suite leaves behind would hold a pipe open.
fn collected(mut command: Command, out: &Path) -> Result<(Result<(), Failure>, String), Failure> {
    let failed = |error: std::io::Error| Failure::new(format!("{}: {error}", out.display()));
    let file = File::create(out).map_err(failed)?;
    command.stdout(file.try_clone().map_err(failed)?).stderr(file);
    let done = run::run(&mut command);
    let printed = std::fs::read(out).map_err(failed)?;
    Ok((done, String::from_utf8_lossy(&printed).into_owned()))
}

fn name_of(suite: &Path) -> String {
    suite.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn say_begun(suite: &Path) {
    run::say(&format!("verify {}", name_of(suite)));
}

impl Verdict {
    fn of(suite: &Path, passed: bool, started: Instant) -> Self {
        Self { name: name_of(suite), passed, elapsed_s: started.elapsed().as_secs() }
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
