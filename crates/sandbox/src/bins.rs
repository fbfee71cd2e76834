//! The workspace's own programs, as cargo built them or as they are installed.

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

/// The path of the workspace program `name`, looked for beside the running program or test. Installed it is
/// called `seedfleet-<name>`.
///
/// # Errors
///
/// [`Missing`], whose message says how to build it.
pub fn find(name: &str) -> Result<PathBuf, Missing> {
    let exe = std::env::current_exe().unwrap_or_default();
    let dir = beside(&exe);
    find_in(&dir, name).ok_or_else(|| Missing { name: name.to_owned(), dir })
}

fn find_in(dir: &Path, name: &str) -> Option<PathBuf> {
    let called = [name.to_owned(), format!("seedfleet-{name}")];
    let mut paths = called.map(|name| dir.join(name + std::env::consts::EXE_SUFFIX)).into_iter();
    paths.find(|path| path.is_file())
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
    fn a_program_is_found_by_the_name_it_was_built_or_installed_under() {
        let dir = crate::TempDir::new("bins").expect("a temporary folder");
        assert_eq!(find_in(dir.path(), "poller"), None);
        let installed = dir.path().join("seedfleet-poller");
        std::fs::write(&installed, "").expect("the folder is ours");
        assert_eq!(find_in(dir.path(), "poller"), Some(installed));
        let built = dir.path().join("poller");
        std::fs::write(&built, "").expect("the folder is ours");
        assert_eq!(find_in(dir.path(), "poller"), Some(built));
    }

    #[test]
    fn a_missing_program_says_how_to_build_it() {
        let missing = find("no-such-program").expect_err("nobody builds that");
        assert!(missing.to_string().contains("--all-targets"), "{missing}");
    }
}
