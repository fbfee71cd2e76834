//! `cargo xtask docs`: pages that the code prints about itself.
//!
//! Which pages there are stands in `tests/src/pages.rs`, beside the test that compares them; what only the command line
//! knows of itself, it prints by `seedfleet docs`.

use std::process::Command;

use crate::run::{self, Failure};
use crate::workspace;

pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    match args {
        [] => {}
        [flag] if flag == "--check" => {}
        _ => return Err(Failure::usage("cargo xtask docs takes --check or nothing")),
    }
    workspace::build()?;
    let printer = workspace::program("print-docs")?;
    run::run(Command::new(printer).args(args).current_dir(workspace::root()))?;
    let program = workspace::program("seedfleet")?;
    run::run(Command::new(program).arg("docs").args(args).current_dir(workspace::root()))
}
