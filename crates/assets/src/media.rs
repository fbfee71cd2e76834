//! Inline media of requests, by content hash. Their bytes never enter Redis (reliability §3.1);
//! the submitter reads them back when it renders the body of the paid call.

use crate::objects::{Created, media_path};
use crate::{Assets, Error, sha256_hex};
use bytes::Bytes;

/// What became of a put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaPut {
    /// The bytes were not there before.
    New,
    /// The same bytes lay there already.
    Already,
}

impl Assets {
    /// Keeps a medium at `media/<tenant>/<sha256>` unless it is there already.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] if `sha256` is not the hash of `bytes`; [`Error::TooBig`],
    /// [`Error::Denied`] or [`Error::Unavailable`].
    pub async fn put_media(
        &self,
        tenant: &str,
        sha256: &str,
        mime: &str,
        bytes: Bytes,
    ) -> Result<MediaPut, Error> {
        let path = media_path(tenant, sha256)?;
        self.bound_small(&path, bytes.len() as u64)?;
        let found = sha256_hex(&bytes);
        if found != sha256 {
            return Err(Error::Damaged { path, why: format!("the bytes hash to {found}") });
        }
        match self.create(&path, mime, bytes.clone()).await? {
            Created::New { .. } => Ok(MediaPut::New),
            Created::Exists => self.mend_media(&path, sha256, mime, bytes).await,
        }
    }

    /// Reads a medium and proves that it is the one asked for.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`], or [`Error::Damaged`] if the stored bytes hash to something else;
    /// otherwise as [`Assets::put_media`].
    pub async fn get_media(&self, tenant: &str, sha256: &str) -> Result<Bytes, Error> {
        let path = media_path(tenant, sha256)?;
        let (bytes, _) = self.read_small(&path).await?;
        let found = sha256_hex(&bytes);
        if found != sha256 {
            return Err(Error::Damaged { path, why: format!("the stored bytes hash to {found}") });
        }
        Ok(bytes)
    }

    /// The name is the hash, so bytes that do not match it are rot: the good bytes at hand may
    /// replace them without taking anything from anyone.
    async fn mend_media(
        &self,
        path: &str,
        sha256: &str,
        mime: &str,
        bytes: Bytes,
    ) -> Result<MediaPut, Error> {
        match self.hash(path, None).await {
            Ok(there) if there.sha256 == sha256 => Ok(MediaPut::Already),
            Ok(there) => {
                tracing::warn!(path, found = there.sha256, "a stored medium was damaged; replaced");
                self.put(path, mime, bytes).await.map(|_| MediaPut::New)
            }
            Err(Error::Missing { .. }) => self.put(path, mime, bytes).await.map(|_| MediaPut::New),
            Err(e) => Err(e),
        }
    }
}
