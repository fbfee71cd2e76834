//! The benchmark as a program; `cargo xtask bench` builds and starts it.
#![forbid(unsafe_code)]

use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let told = match e2e::bench::parse(std::env::args().skip(1)) {
        Ok(order) => write!(std::io::stdout(), "{}", e2e::bench::run(&order)),
        Err(why) => {
            let _ = writeln!(std::io::stderr(), "bench: {why}");
            return ExitCode::from(2);
        }
    };
    if told.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
