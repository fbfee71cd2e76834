//! `completions` and `man`: what a shell needs to complete this command line, and its manual.

use crate::cli::reach::command;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{note, say};
use clap_complete::Shell;
use std::path::Path;

/// Runs the verb.
pub(crate) fn run(shell: Shell) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "seedfleet", &mut script);
    say(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}

/// Runs `man`. A page says nothing that `--help` does not.
pub(crate) fn man(dir: &Path) -> Outcome {
    clap_mangen::generate_to(command(), dir).map_err(|error| {
        Failure::new(Exit::Failed, format!("no manual pages in {}", dir.display()))
            .because(error.to_string())
            .hint("name a folder that is there and may be written to")
    })?;
    note(&format!("wrote {}/seedfleet*.1", dir.display()));
    Ok(Exit::Done)
}
