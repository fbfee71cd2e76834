//! The downloader binary: wiring only.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    worker::main(downloader::ROLE, downloader::run)
}
