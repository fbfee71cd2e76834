//! The gateway binary: wiring only.
#![forbid(unsafe_code)]

/// A third of what a new job costs here is memory taken and given back, by threads that hand it to each other.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    worker::main(gateway::ROLE, gateway::run)
}
