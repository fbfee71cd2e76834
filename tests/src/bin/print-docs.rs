//! Prints the generated pages of the clone it is started in; with `--check`, only compares them.
#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use e2e::pages::PAGES;

fn main() -> io::Result<ExitCode> {
    let root = Path::new(".");
    let check = match std::env::args().nth(1).as_deref() {
        None => false,
        Some("--check") => true,
        Some(other) => {
            writeln!(io::stderr(), "print-docs takes --check or nothing, not {other:?}")?;
            return Ok(ExitCode::from(2));
        }
    };
    let mut code = ExitCode::SUCCESS;
    for page in &PAGES {
        if check {
            if let Some(staleness) = page.staleness(root) {
                writeln!(io::stderr(), "{staleness}")?;
                code = ExitCode::FAILURE;
            }
        } else if page.refresh(root)? {
            writeln!(io::stderr(), "wrote {}", page.path)?;
        }
    }
    Ok(code)
}
