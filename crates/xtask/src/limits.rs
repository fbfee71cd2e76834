//! `cargo xtask limits`: builds the programs and hands over to the end-to-end package's `limits`.

use crate::run::{self, Failure};
use crate::workspace;

pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let release = args.iter().any(|arg| arg == "--release");
    let mut command = workspace::apart("limits", release)?;
    command.args(args.iter().filter(|arg| *arg != "--release"));
    run::run(&mut command)
}
