//! `cargo xtask test` and `cargo xtask lint`.

use crate::run::{self, Failure};
use crate::workspace::{self, cargo};

pub(crate) fn run(runner_args: &[String]) -> Result<(), Failure> {
    let server = workspace::redis()?;
    lint()?;
    workspace::build()?;
    let mut runner = cargo();
    if run::answers(cargo().args(["nextest", "--version"])) {
        runner.args(["nextest", "run", "--workspace"]);
    } else {
        run::say("cargo-nextest is not installed: using cargo test");
        runner.args(["test", "--workspace", "--lib", "--bins", "--tests"]);
    }
    run::run_last(runner.args(runner_args).env(sandbox::redis::SERVER_ENV, server))
}

pub(crate) fn lint() -> Result<(), Failure> {
    run::say("formatting");
    run::run(cargo().args(["fmt", "--all", "--check"]))?;
    run::say("clippy");
    let mut clippy = cargo();
    clippy.args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]);
    run::run_cargo_build(&mut clippy)
}
