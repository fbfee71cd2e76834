//! Copies of stored objects on this machine's own disk, each proven before it has its name.

use crate::{Assets, Error, Sha256Hex, StoredObject};
use futures::StreamExt;
use std::io;
use std::path::{Path, PathBuf};
use tokio::fs::{self, File};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Bytes of a local file that are hashed at once.
const READ_BYTES: usize = 256 << 10;

/// How a file came to be whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Saved {
    /// It was read from the bucket.
    Fetched,
    /// It was there, with the right length and hash.
    Kept,
}

/// Why there is no whole file. What lies at its name is what lay there before.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// The bucket did not give the bytes that were promised.
    #[error(transparent)]
    Bucket(#[from] Error),
    /// The disk did not take them.
    #[error("{}: {error}", path.display())]
    Local {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// A file under its temporary name; gone when the copy is given up in any way but the end of the process.
struct Part {
    path: PathBuf,
    whole: bool,
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.whole {
            // It has a name that no reader looks for, and the next try begins anew.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Assets {
    /// Makes `to` a whole copy of an object: bytes go to `part`, in the same folder, and only when length
    /// and hash are those of `object` does it take its name. A whole file that is there is kept unread by
    /// the bucket; any other file is replaced. Only one caller may use a `part` at a time.
    ///
    /// # Errors
    ///
    /// [`SaveError::Bucket`] with [`Error::Missing`], [`Error::Damaged`] where the stored bytes are others,
    /// [`Error::Denied`] or [`Error::Unavailable`]; [`SaveError::Local`] for the disk, and where something
    /// that is no file lies at `to`.
    pub async fn save(
        &self,
        object: &StoredObject,
        to: &Path,
        part: &Path,
    ) -> Result<Saved, SaveError> {
        if is_whole(object, to).await.map_err(|error| local(to, error))? {
            return Ok(Saved::Kept);
        }
        let mut written = Part { path: part.to_owned(), whole: false };
        self.write_part(object, part).await?;
        fs::rename(part, to).await.map_err(|error| local(to, error))?;
        written.whole = true;
        Ok(Saved::Fetched)
    }

    async fn write_part(&self, object: &StoredObject, part: &Path) -> Result<(), SaveError> {
        let disk = |error| local(part, error);
        let (length, mut pieces) = self.read(&object.path, None).await?;
        let damaged = |why: String| Error::Damaged { path: object.path.clone(), why };
        if length != object.length_bytes {
            let why = format!("{length} bytes are stored, not {}", object.length_bytes);
            return Err(damaged(why).into());
        }
        match fs::remove_file(part).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(disk(error)),
            Ok(()) | Err(_) => {}
        }
        // Whatever lies there by now is not followed and not written through.
        let open = fs::OpenOptions::new().write(true).create_new(true).open(part).await;
        let (mut file, mut hash) = (open.map_err(disk)?, Sha256Hex::default());
        while let Some(piece) = pieces.next().await {
            let piece = piece?;
            hash.update(&piece);
            file.write_all(&piece).await.map_err(disk)?;
        }
        file.flush().await.map_err(disk)?;
        let sha256 = hash.finish();
        if sha256 != object.sha256 {
            let why = format!("the stored bytes have sha256 {sha256}, not {}", object.sha256);
            return Err(damaged(why).into());
        }
        file.sync_data().await.map_err(disk)
    }
}

fn local(path: &Path, error: io::Error) -> SaveError {
    SaveError::Local { path: path.to_owned(), error }
}

/// Whether a file is a whole copy; false as well where there is none.
async fn is_whole(object: &StoredObject, path: &Path) -> io::Result<bool> {
    let there = match fs::symlink_metadata(path).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        there => there?,
    };
    if !there.is_file() {
        let why = "something that is no plain file lies there; move it away";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
    }
    if there.len() != object.length_bytes {
        return Ok(false);
    }
    let (mut file, mut hash) = (File::open(path).await?, Sha256Hex::default());
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match file.read(&mut buffer).await? {
            0 => break,
            n => hash.update(&buffer[..n]),
        }
    }
    Ok(hash.finish() == object.sha256)
}
