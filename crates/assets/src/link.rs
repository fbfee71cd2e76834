//! Handing objects out: links that open for a while, and small objects whole.

use crate::objects::object_path;
use crate::{Assets, Error};
use bytes::Bytes;
use std::time::Duration;

impl Assets {
    /// A link by which anybody may read the object for a while; `None` where the backend signs none.
    /// Whether the object is there is not looked up.
    ///
    /// # Errors
    ///
    /// [`Error::Denied`] or [`Error::Unavailable`]: credentials that cannot sign.
    pub async fn link(&self, path: &str, lives: Duration) -> Option<Result<String, Error>> {
        let signer = self.inner.signer.as_ref()?;
        let path_in_bucket = match object_path(path) {
            Ok(path) => path,
            Err(error) => return Some(Err(error)),
        };
        let signed = signer.signed_url(http::Method::GET, &path_in_bucket, lives).await;
        Some(signed.map(|url| url.to_string()).map_err(|e| Error::from_store(path, e)))
    }

    /// A whole object that must be small (`store.small_object_bytes_max`).
    ///
    /// # Errors
    ///
    /// [`Error::Missing`], [`Error::TooBig`], [`Error::Denied`] or [`Error::Unavailable`].
    pub async fn read_whole(&self, path: &str) -> Result<Bytes, Error> {
        self.read_small(path).await.map(|(bytes, _)| bytes)
    }
}
