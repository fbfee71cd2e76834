//! A directory of our own that goes away with its owner.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

static SERIAL: AtomicU32 = AtomicU32::new(0);
const TRIES_MAX: u32 = 100;

/// A fresh directory under the system's temporary folder, readable by this user only, removed with
/// all it holds on drop.
#[derive(Debug)]
pub struct TempDir {
    path: PathBuf,
    kept: bool,
}

impl TempDir {
    /// Makes one; `purpose` shows up in its name.
    ///
    /// # Errors
    ///
    /// What the file system says, such as no space or no right to write.
    pub fn new(purpose: &str) -> io::Result<Self> {
        let base = std::env::temp_dir();
        for _ in 0..TRIES_MAX {
            let nanos =
                SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.subsec_nanos());
            let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
            let name = format!("seedfleet-{purpose}-{}-{serial}-{nanos:08x}", std::process::id());
            let path = base.join(name);
            // Making it must fail when it exists: a directory prepared by someone else is not ours.
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self { path, kept: false }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    let where_ = path.display();
                    return Err(io::Error::new(error.kind(), format!("{where_}: {error}")));
                }
            }
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, "no unused name for a directory"))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Lets it outlive this value and tells where it is, so that a failure can be looked at.
    #[must_use]
    pub fn keep(mut self) -> PathBuf {
        self.kept = true;
        self.path.clone()
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        if !self.kept {
            // Best effort: a leftover in the temporary folder is no reason to fail.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_away_unless_kept() {
        let gone = TempDir::new("gone").expect("temporary folder");
        let path = gone.path().to_owned();
        std::fs::write(path.join("file"), "x").expect("it is writable");
        drop(gone);
        assert!(!path.exists());

        let kept = TempDir::new("kept").expect("temporary folder").keep();
        assert!(kept.is_dir());
        std::fs::remove_dir_all(kept).expect("it is ours");
    }
}
