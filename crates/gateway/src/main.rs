//! The gateway binary: wiring only.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    worker::main(gateway::ROLE, gateway::run)
}
