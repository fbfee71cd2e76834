//! `cargo xtask campaign`: builds the programs and hands over to the end-to-end package's `campaign`.
//!
//! `--mutants` turns the question round: the same programs with one rule switched off must be caught.
//! `--doubts` plays a short run in each of a few worlds that together give every other answer to the
//! questions the provider's contract leaves open.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::run::{self, Failure};
use crate::workspace;

/// Where runs are written down.
const EVIDENCE: &str = "docs/evidence.md";
/// Mistakes the campaign must catch, each with the weather under which it does harm.
const MUTANTS: &[(&str, &str)] = &[
    ("lease_passed_requeues", "redis.script-flush"),
    ("time_out_means_not_sent", "redis.script-flush"),
    ("ambiguous_is_definite", "redis.script-flush"),
    ("no_quiet_horizon", "redis.script-flush"),
    ("forgotten_intent_ignored", "redis.rollback"),
];
/// A short order: enough doubts for every mistake above to buy something twice.
/// One create in five is held in the front door: who does not wait for it does not see what it bought.
const MUTANT_ORDER: &[&str] =
    &["--jobs", "400", "--kills", "150", "--aimed", "--seed", "7", "--json", "--held", "200"];

/// Worlds beside the likely one, in the simulator's words. A test of the end-to-end package holds them
/// against the simulator's list: no answer may be missing.
const WORLDS: &[&str] = &[
    "identifier=at_success,list_order=oldest_first,seed=refused,service_tier=accepted,unknown_task=not_found,\
     delete_cancelled=not_found,expired_filter=refused,rate_header=retry_after,callback_order=before_reply,\
     callback_retries=0,callback_acknowledged=only200,callback_cancelled=sent,last_frame=jpeg,links=each_read,\
     references_max=12,image_bounds=open,video_minimum=not_charged,list_lag_ms=2000",
    "identifier=not_in_list,unknown_task=bare,delete_cancelled=done,callback_order=after_reply,link_life_s=3600,\
     list_model=missing_parameter",
    "nonce=clamped",
    "nonce=absent,identifier=never,list_model=denied",
];
/// A short order each, with some weather of every sort.
const WORLD_ORDER: &[&str] = &[
    "--jobs",
    "400",
    "--kills",
    "60",
    "--seed",
    "9",
    "--json",
    "--only",
    "redis.kill,redis.rollback,redis.script-flush,line.provider.cut,line.redis.poller.stall,stop.submitter",
];

/// What of the words is ours.
#[derive(Default)]
struct Ours {
    release: bool,
    evidence: bool,
    mutants: bool,
    doubts: bool,
}

pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let mut ours = Ours::default();
    let mut rest: Vec<String> = Vec::new();
    for arg in args {
        match arg.as_str() {
            "--release" => ours.release = true,
            "--write-evidence" => ours.evidence = true,
            "--mutants" => ours.mutants = true,
            "--doubts" => ours.doubts = true,
            _ => rest.push(arg.clone()),
        }
    }
    let mut command = workspace::apart("campaign", ours.release)?;
    let program = PathBuf::from(command.get_program());
    if ours.mutants {
        return mutants(&program, &command, &rest);
    }
    if ours.doubts {
        return worlds(&program, &command, &rest);
    }
    command.args(&rest).args(["--commit", &commit()]);
    let shown = [&["cargo xtask campaign".to_owned()], args].concat().join(" ");
    command.args(["--command", &shown]);
    if ours.evidence {
        command.args(["--evidence", EVIDENCE]);
    }
    run::say("the campaign begins");
    run::run(&mut command)
}

/// What stands in the clone; marked when it is not what was committed.
pub(crate) fn commit() -> String {
    let git = |words: &[&str]| {
        let output =
            Command::new("git").args(words).current_dir(workspace::root()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "HEAD"]) else { return "unknown".to_owned() };
    match git(&["status", "--porcelain", "--untracked-files=no"]) {
        Some(changes) if changes.is_empty() => commit,
        Some(_) | None => format!("{commit} with changes"),
    }
}

/// Plays one order and returns its last line.
fn last_line(
    program: &Path,
    like: &Command,
    order: &[&str],
    rest: &[String],
) -> Result<String, Failure> {
    let mut command = Command::new(program);
    for (name, value) in like.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    command.current_dir(workspace::root()).args(order).args(rest);
    let output = command.stderr(Stdio::null()).output();
    let output = output.map_err(|error| Failure::new(error.to_string()))?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().last().unwrap_or("").to_owned())
}

/// Plays a short run in every world.
fn worlds(program: &Path, like: &Command, rest: &[String]) -> Result<(), Failure> {
    let mut failed = Vec::new();
    for world in WORLDS {
        for policy in ["balanced", "strict"] {
            let order = [WORLD_ORDER, &["--doubt", *world, "--policy", policy]].concat();
            let last = last_line(program, like, &order, rest)?;
            let good = last.contains("\"broken_invariants\":0,") && last.starts_with('{');
            run::tell(&format!(
                "{} {policy}, {world}: {last}\n",
                if good { "pass" } else { "FAIL" }
            ))?;
            if !good {
                failed.push(format!("{policy}, {world}"));
            }
        }
    }
    match failed.is_empty() {
        true => run::tell(&format!("all {} worlds under both policies\n", WORLDS.len())),
        false => Err(Failure::new(format!("not as it must be: {}", failed.join("; ")))),
    }
}

/// Runs each mutant and reports which of them were caught; first the same order without any, which
/// must pass, or a catch would mean nothing.
fn mutants(program: &Path, like: &Command, rest: &[String]) -> Result<(), Failure> {
    let play = |mutant: Option<&str>, weather: &str| -> Result<(bool, String), Failure> {
        let mut order = [MUTANT_ORDER, &["--only", weather]].concat();
        order.extend(mutant.iter().flat_map(|name| ["--mutant", *name]));
        let last = last_line(program, like, &order, rest)?;
        // A fault that never fired makes a run bad, but it catches nobody.
        let whole = last.contains("\"broken_invariants\":0,") && last.starts_with('{');
        Ok((whole, last))
    };
    let mut escaped = Vec::new();
    for weather in ["redis.script-flush", "redis.rollback"] {
        let (whole, last) = play(None, weather)?;
        run::tell(&format!(
            "{} no mutant, {weather}: {last}\n",
            if whole { "whole" } else { "BROKEN" }
        ))?;
        if !whole {
            escaped.push("no mutant at all");
        }
    }
    for (mutant, weather) in MUTANTS {
        let (whole, last) = play(Some(mutant), weather)?;
        // Whatever else it breaks: caught is who buys a second time.
        let caught = !whole && last.starts_with('{') && !last.contains("\"duplicates\":0,");
        run::tell(&format!("{} {mutant}: {last}\n", if caught { "caught" } else { "ESCAPED" }))?;
        if !caught {
            escaped.push(mutant);
        }
    }
    match escaped.is_empty() {
        true => run::tell(&format!("all {} mutants were caught\n", MUTANTS.len())),
        false => Err(Failure::new(format!("not as it must be: {}", escaped.join(", ")))),
    }
}
