//! The poller binary: wiring only.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    worker::main(poller::ROLE, poller::run)
}
