//! `completions`: what a shell needs to complete this command line.

use crate::cli::Cli;
use crate::exit::{Exit, Outcome};
use crate::output::say;
use clap::CommandFactory;
use clap_complete::Shell;

/// Runs the verb.
pub(crate) fn run(shell: Shell) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "seedfleet", &mut script);
    say(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}
