//! `cargo xtask bench`: builds for release and hands over to the package `bench`.

use std::process::Command;

use crate::run::{self, Failure};
use crate::workspace;

pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let server = workspace::redis()?;
    let debug = args.iter().any(|arg| arg == "--debug");
    let program = workspace::built("bench", !debug)?;
    let mut command = Command::new(program);
    command.env(sandbox::redis::SERVER_ENV, server).current_dir(workspace::root());
    command.args(args.iter().filter(|arg| *arg != "--debug"));
    run::run(&mut command)
}
