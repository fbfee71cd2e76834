//! A wrong wall clock for one child, by libfaketime (Debian: package `faketime`).
//!
//! Workers only: a server whose allocator asks for the time while it starts hangs under it. The
//! monotonic clock is left alone, as on a machine whose wall clock is wrong.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Where distributions put it, below the library folders.
const PLACES: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu/faketime",
    "/usr/lib/aarch64-linux-gnu/faketime",
    "/usr/lib64/faketime",
    "/usr/lib/faketime",
];
/// The build for programs with threads comes first.
const FILES: [&str; 2] = ["libfaketimeMT.so.1", "libfaketime.so.1"];

/// The library, found and seen to work.
#[derive(Debug, Clone)]
pub struct Clock {
    library: PathBuf,
}

impl Clock {
    /// Looks for it and tries it on a child.
    #[must_use]
    pub fn find() -> Option<Self> {
        let files = PLACES.iter().flat_map(|dir| FILES.map(|file| Path::new(dir).join(file)));
        let mut found = files.filter(|path| path.is_file()).map(|library| Self { library });
        found.find(Self::works)
    }

    /// The environment of a child whose wall clock is `shift_s` seconds ahead (negative: behind).
    #[must_use]
    pub fn shifted(&self, shift_s: i64) -> Vec<(String, String)> {
        let word = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        vec![
            word("LD_PRELOAD", &self.library.display().to_string()),
            word("FAKETIME", &format!("{shift_s:+}s")),
            // Two names for the same, of different versions.
            word("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            word("DONT_FAKE_MONOTONIC", "1"),
            word("FAKETIME_DISABLE_SHM", "1"),
        ]
    }

    /// A child an hour ahead must say so.
    fn works(&self) -> bool {
        let seconds = |env: &[(String, String)]| -> Option<i64> {
            let env = env.iter().map(|(name, value)| (name, value));
            let output = Command::new("date").arg("+%s").envs(env).output().ok()?;
            String::from_utf8(output.stdout).ok()?.trim().parse().ok()
        };
        let (Some(plain), Some(ahead)) = (seconds(&[]), seconds(&self.shifted(3_600))) else {
            return false;
        };
        (3_590..=3_660).contains(&(ahead - plain))
    }
}
