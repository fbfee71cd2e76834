//! An archive in the oldest form of tar that every reader knows (ustar), written front to back.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const BLOCK: usize = 512;
/// Longest name in the first field of a head.
const NAME_BYTES_MAX: usize = 100;

/// A file that grows.
pub(super) struct Archive {
    file: BufWriter<File>,
    folder: String,
    mtime_s: u64,
    files: u64,
}

impl Archive {
    /// A new file, for its owner's eyes; everything in it lies in `folder`.
    pub(super) fn create(path: &Path, folder: &str, mtime_s: i64) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        let (file, folder) = (BufWriter::new(file), folder.to_owned());
        Ok(Self { file, folder, mtime_s: u64::try_from(mtime_s).unwrap_or(0), files: 0 })
    }

    pub(super) fn add(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let name = format!("{}/{name}", self.folder);
        self.file.write_all(&head(&name, bytes.len() as u64, self.mtime_s)?)?;
        self.file.write_all(bytes)?;
        let rest = (BLOCK - bytes.len() % BLOCK) % BLOCK;
        self.file.write_all(&vec![0; rest])?;
        self.files += 1;
        Ok(())
    }

    /// Says that it is whole; how many files are in it.
    pub(super) fn end(mut self) -> io::Result<u64> {
        self.file.write_all(&[0; 2 * BLOCK])?;
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        Ok(self.files)
    }
}

fn head(name: &str, bytes: u64, mtime_s: u64) -> io::Result<[u8; BLOCK]> {
    if name.len() > NAME_BYTES_MAX {
        return Err(io::Error::other(format!(
            "a name of more than {NAME_BYTES_MAX} bytes: {name}"
        )));
    }
    let mut head = [0; BLOCK];
    let mut put = |at: usize, field: &[u8]| head[at..at + field.len()].copy_from_slice(field);
    put(0, name.as_bytes());
    put(100, b"0000600\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{bytes:011o}\0").as_bytes());
    put(136, format!("{mtime_s:011o}\0").as_bytes());
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
    head[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn another_program_reads_what_was_written() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("a.tar");
        let mut archive = Archive::create(&path, "bundle", 1_700_000_000).expect("a new file");
        let long = "x".repeat(BLOCK + 1);
        for (name, text) in [("empty", ""), ("pools/sim/one", "words\n"), ("long", &long)] {
            archive.add(name, text.as_bytes()).expect("written");
        }
        assert_eq!(archive.end().expect("written"), 3);
        let again = Archive::create(&path, "bundle", 0).err().expect("never written over");
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        let tar = |args: &[&str]| {
            let out = Command::new("tar").args(args).arg(&path).output().expect("tar runs");
            assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
            String::from_utf8(out.stdout).expect("text")
        };
        assert_eq!(tar(&["-tf"]), "bundle/empty\nbundle/pools/sim/one\nbundle/long\n");
        assert_eq!(tar(&["-xO", "--wildcards", "*/long", "-f"]), long);
    }

    #[test]
    fn a_name_that_does_not_fit_is_refused() {
        assert!(head(&"n".repeat(NAME_BYTES_MAX + 1), 0, 0).is_err());
        assert!(head(&"n".repeat(NAME_BYTES_MAX), 0, 0).is_ok());
    }
}
