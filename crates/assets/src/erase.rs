//! What is taken out of the bucket for good.

use crate::objects::{media_path, object_path};
use crate::{Assets, Error, Folder};
use bytes::Bytes;
use futures::stream::{StreamExt, TryStreamExt};

/// Objects of one folder taken away in one round; a job has few.
const OBJECTS_MAX: usize = 1_000;
/// Rounds before a folder that fills as fast as it is emptied is a fault.
const ROUNDS_MAX: u32 = 20;

/// What was taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Assets {
    /// Takes everything in a job's folder away, the manifest first: readers trust manifests only. Adds what
    /// is gone to `swept`, also where it fails.
    ///
    /// Safe to repeat.
    ///
    /// # Errors
    ///
    /// [`Error::Denied`] or [`Error::Unavailable`]; some may be gone.
    pub async fn sweep(&self, folder: &Folder, swept: &mut Swept) -> Result<(), Error> {
        let manifest = folder.manifest_path();
        self.take_away(&manifest, swept).await?;
        let prefix = object_path(folder.as_str())?;
        for _ in 0..ROUNDS_MAX {
            let listed = self.inner.bucket.list(Some(&prefix)).take(OBJECTS_MAX);
            let paths: Vec<String> = listed
                .map_ok(|meta| meta.location.to_string())
                .try_collect()
                .await
                .map_err(|e| Error::from_store(folder.as_str(), e))?;
            if paths.is_empty() {
                return Ok(());
            }
            for path in paths {
                self.take_away(&path, swept).await?;
            }
        }
        let why = "it fills as fast as it is emptied".to_owned();
        Err(Error::Unavailable { path: folder.as_str().to_owned(), why })
    }

    pub(crate) async fn take_away(&self, path: &str, swept: &mut Swept) -> Result<(), Error> {
        let bytes = match self.head(path).await {
            Ok(meta) => meta.size,
            Err(Error::Missing { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        match self.delete(path).await {
            Ok(()) => {
                swept.objects += 1;
                swept.bytes += bytes;
                Ok(())
            }
            Err(Error::Missing { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Takes an inline medium away; `None` when it is not there. Whoever asks looks once more behind it
    /// whether a request has come in between that found the bytes there and brought none, and then gives
    /// it back.
    ///
    /// # Errors
    ///
    /// As [`Assets::get_media`].
    pub async fn take_media(
        &self,
        tenant: &str,
        sha256: &str,
    ) -> Result<Option<TakenMedium>, Error> {
        let path = media_path(tenant, sha256)?;
        let bytes = match self.read_small(&path).await {
            Ok((bytes, _)) => bytes,
            Err(Error::Missing { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        self.take_away(&path, &mut Swept::default()).await?;
        Ok(Some(TakenMedium { path, bytes }))
    }

    /// Gives a medium back.
    ///
    /// # Errors
    ///
    /// As [`Assets::put_media`]; its requests wait until somebody sends the bytes again.
    pub async fn give_back(&self, taken: TakenMedium) -> Result<(), Error> {
        let TakenMedium { path, bytes } = taken;
        self.create(&path, "application/octet-stream", bytes).await.map(drop)
    }
}

/// An inline medium that was taken out of the bucket.
#[derive(Debug)]
pub struct TakenMedium {
    path: String,
    bytes: Bytes,
}

impl TakenMedium {
    /// Its length.
    #[must_use]
    pub fn length_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }
}
