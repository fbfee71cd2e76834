//! The scale drill as a program; `cargo xtask scale` builds and starts it.
#![forbid(unsafe_code)]

use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    match e2e::scale::parse(std::env::args().skip(1)) {
        Ok(order) => e2e::scale::run(&order),
        Err(why) => {
            let _ = writeln!(std::io::stderr(), "scale: {why}");
            ExitCode::from(2)
        }
    }
}
