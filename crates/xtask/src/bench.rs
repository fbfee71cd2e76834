//! `cargo xtask bench`: builds for release and hands over to the package `bench`.

use crate::run::{self, Failure};
use crate::workspace;

pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let debug = args.iter().any(|arg| arg == "--debug");
    let mut command = workspace::apart("bench", !debug)?;
    command.args(args.iter().filter(|arg| *arg != "--debug"));
    run::run(&mut command)
}
