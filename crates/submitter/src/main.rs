//! The submitter binary: wiring only.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    worker::main(submitter::ROLE, submitter::run)
}
