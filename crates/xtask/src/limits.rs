//! `cargo xtask limits`: builds the programs and hands over to the end-to-end package's `limits`.

use std::process::Command;

use crate::run::{self, Failure};
use crate::workspace;

pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let server = workspace::redis()?;
    let release = args.iter().any(|arg| arg == "--release");
    let program = workspace::built("limits", release)?;
    let mut command = Command::new(program);
    command.env(sandbox::redis::SERVER_ENV, server).current_dir(workspace::root());
    command.args(args.iter().filter(|arg| *arg != "--release"));
    run::run(&mut command)
}
