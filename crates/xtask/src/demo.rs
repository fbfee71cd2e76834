//! `cargo xtask demo`: everything it takes before the `seedfleet` program can show itself.

use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::run::{self, Failure};
use crate::workspace;

pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let server = workspace::redis()?;
    workspace::build()?;
    run::say("starting the fleet");
    // Replacing ourselves hands over signals and the exit code without a middleman.
    let error = Command::new(workspace::program("seedfleet")?)
        .args(["dev", "demo"])
        .args(args)
        .env(sandbox::redis::SERVER_ENV, server)
        .exec();
    Err(Failure::new(format!("cannot start seedfleet: {error}")))
}
