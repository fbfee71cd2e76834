//! The machine and the versions a figure belongs to; no name of a host, no path.

use std::process::Command;

/// Where figures come from, in lines for the page.
#[must_use]
pub fn told() -> Vec<String> {
    let build =
        if cfg!(debug_assertions) { "debug build: no figure to go by" } else { "release build" };
    vec![
        format!("seedfleet {} at commit {}, {build}", env!("CARGO_PKG_VERSION"), commit()),
        sandbox::machine::told(),
        first_line("rustc", &["--version"]),
        sandbox::redis::find().map_or_else(
            |_| "no Redis".to_owned(),
            |server| format!("{} {}, appendfsync always", server.engine, server.version),
        ),
    ]
}

/// The commit that was built, as far as git tells, and whether the tree differs from it.
#[must_use]
pub fn commit() -> String {
    let commit = first_line("git", &["rev-parse", "--short", "HEAD"]);
    let changed =
        first_line("git", &["status", "--porcelain", "--untracked-files=no", "--", "crates"]);
    match changed.is_empty() {
        true => commit,
        false => format!("{commit} with changes"),
    }
}

/// The first line a program prints; empty where it prints nothing.
pub(crate) fn first_line(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    text.unwrap_or_default().lines().next().unwrap_or_default().trim().to_owned()
}
