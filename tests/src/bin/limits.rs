//! The harness of the limits as a program; `cargo xtask limits` builds and starts it.
#![forbid(unsafe_code)]

use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    match e2e::limits::parse(std::env::args().skip(1)) {
        Ok(asked) => e2e::limits::run(&asked),
        Err(why) => {
            let _ = writeln!(std::io::stderr(), "limits: {why}");
            ExitCode::from(2)
        }
    }
}
