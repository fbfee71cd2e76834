//! The fault campaign as a program; `cargo xtask campaign` builds and starts it.
#![forbid(unsafe_code)]

use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    match e2e::campaign::parse(std::env::args().skip(1)) {
        Ok(order) => e2e::campaign::run(&order),
        Err(why) => {
            let _ = writeln!(std::io::stderr(), "campaign: {why}");
            ExitCode::from(2)
        }
    }
}
