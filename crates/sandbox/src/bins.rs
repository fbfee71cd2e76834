//! The workspace's own programs, as cargo built them.

use std::fmt;
use std::path::{Path, PathBuf};

/// The program was not built, or not beside the running one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The program's name.
    pub name: String,
    /// The directory it was looked for in.
    pub dir: PathBuf,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, dir } = self;
        write!(
            f,
            "the program {name} is not in {}: build with --all-targets first \
             (cargo build --workspace --all-targets)",
            dir.display()
        )
    }
}

impl std::error::Error for Missing {}

/// The path of the workspace program `name`, looked for beside the running program or test.
///
/// # Errors
///
/// [`Missing`], whose message says how to build it.
pub fn find(name: &str) -> Result<PathBuf, Missing> {
    let exe = std::env::current_exe().unwrap_or_default();
    let dir = beside(&exe);
    let path = dir.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    if path.is_file() { Ok(path) } else { Err(Missing { name: name.to_owned(), dir }) }
}

/// As [`find`], for tests.
///
/// # Panics
///
/// With the message of [`Missing`].
#[must_use]
pub fn path(name: &str) -> PathBuf {
    find(name).unwrap_or_else(|missing| panic!("{missing}"))
}

/// Cargo puts tests into `deps/` and examples into `examples/`, one level below the programs.
fn beside(exe: &Path) -> PathBuf {
    let dir = exe.parent().unwrap_or(Path::new("."));
    let below = dir.file_name().is_some_and(|name| name == "deps" || name == "examples");
    if below { dir.parent().unwrap_or(dir).to_owned() } else { dir.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_look_one_level_up() {
        assert_eq!(beside(Path::new("/t/debug/deps/it-0f")), Path::new("/t/debug"));
        assert_eq!(beside(Path::new("/t/debug/poller")), Path::new("/t/debug"));
    }

    #[test]
    fn a_missing_program_says_how_to_build_it() {
        let missing = find("no-such-program").expect_err("nobody builds that");
        assert!(missing.to_string().contains("--all-targets"), "{missing}");
    }
}
