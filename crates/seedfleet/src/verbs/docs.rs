//! `docs`: pages the code prints about itself. `cargo xtask docs` prints these and those of the tests.

use crate::cli::{DocsArgs, reach};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::note;

/// Name and text of every page this program knows.
fn pages() -> [(&'static str, String); 6] {
    [
        ("filters.md", job::filter::markdown()),
        ("keys.md", store::keys::markdown()),
        ("metrics.md", telemetry::catalogue_markdown()),
        ("retry-matrix.md", job::docs::retry_matrix_markdown()),
        ("state-machine.md", job::docs::state_machine_markdown()),
        ("verbs.md", reach::markdown()),
    ]
}

/// Runs the verb.
pub(crate) fn run(args: &DocsArgs) -> Outcome {
    if !args.check {
        std::fs::create_dir_all(&args.dir)?;
    }
    let mut stale = Vec::new();
    for (name, text) in pages() {
        let path = args.dir.join(name);
        let fresh = std::fs::read_to_string(&path).is_ok_and(|stands| stands == text);
        match (fresh, args.check) {
            (true, _) => {}
            (false, true) => stale.push(path.display().to_string()),
            (false, false) => {
                std::fs::write(&path, text)?;
                note(&format!("wrote {}", path.display()));
            }
        }
    }
    if stale.is_empty() {
        return Ok(Exit::Done);
    }
    Err(Failure::new(Exit::Findings, "pages differ from what the code prints")
        .because(stale.join("\n"))
        .hint("print them anew: cargo xtask docs"))
}
