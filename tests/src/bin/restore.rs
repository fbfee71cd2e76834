//! The restore drill as a program; `tests/verify/backup.sh` starts it.
#![forbid(unsafe_code)]

use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    match e2e::restore::parse(std::env::args().skip(1)) {
        Ok(order) => e2e::restore::run(order),
        Err(why) => {
            let _ = writeln!(std::io::stderr(), "restore: {why}");
            ExitCode::from(2)
        }
    }
}
