//! The notifier binary: wiring only.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    worker::main(notifier::ROLE, notifier::run)
}
