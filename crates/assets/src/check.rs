//! Whether the bucket can do what this room needs, asked at start and by `doctor`.

use crate::objects::{Created, JSON};
use crate::{Assets, Error};
use bytes::Bytes;
use std::time::{Duration, Instant};

/// A bucket that passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// Time of the whole round trip.
    pub took: Duration,
}

impl Assets {
    /// Creates, fails to create again, reads and deletes one small object under `_check/`.
    ///
    /// The second create matters: a server that ignores `If-None-Match` would let two workers
    /// publish one job's result.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`], [`Error::Denied`] or [`Error::Unavailable`], with a sentence that names
    /// the bucket, the step that failed and what to do.
    pub async fn check(&self) -> Result<Health, Error> {
        let started = Instant::now();
        let path = format!("_check/{}", ulid::Ulid::generate());
        let body = Bytes::from(format!("{{\"check\":\"{path}\"}}"));

        let step = self.create(&path, JSON, body.clone()).await;
        if let Created::Exists = step.map_err(|e| self.explain("is not writable", e))? {
            return Err(self.misbehaves("a fresh name is said to exist"));
        }
        let outcome = self.check_written(&path, body).await;
        let deleted = self.delete(&path).await;
        outcome?;
        deleted.map_err(|e| self.explain("does not allow deleting", e))?;
        Ok(Health { took: started.elapsed() })
    }

    async fn check_written(&self, path: &str, body: Bytes) -> Result<(), Error> {
        let again = self.create(path, JSON, body.clone()).await;
        match again.map_err(|e| self.explain("refuses create-if-absent", e))? {
            Created::Exists => {}
            Created::New { .. } => {
                return Err(self.misbehaves("create-if-absent (If-None-Match: *) is ignored"));
            }
        }
        let (found, _) =
            self.read_small(path).await.map_err(|e| self.explain("is not readable", e))?;
        if found != body {
            return Err(self.misbehaves("bytes read differ from bytes written"));
        }
        Ok(())
    }

    fn misbehaves(&self, what: &str) -> Error {
        Error::Settings(format!(
            "the bucket {} cannot be used: {what}; choose a store that supports conditional writes",
            self.root()
        ))
    }

    /// Keeps the sort of the error and makes its text a sentence with a cure.
    fn explain(&self, what: &str, error: Error) -> Error {
        let root = self.root();
        let path = root.to_owned();
        match error {
            Error::Missing { .. } => Error::Settings(format!(
                "the bucket {root} {what}: it does not exist; create it or correct store.url"
            )),
            Error::Denied { why, .. } => Error::Denied {
                path,
                why: format!("it {what}: {why}; give these credentials put, get and delete on it"),
            },
            Error::Unavailable { why, .. } => Error::Unavailable {
                path,
                why: format!(
                    "it {what}: {why}; see that store.url and its endpoint are reachable from here"
                ),
            },
            // The rest already names its cause and cannot come from this round trip's inputs.
            other @ (Error::Settings(_)
            | Error::Layout(_)
            | Error::Damaged { .. }
            | Error::Conflict { .. }
            | Error::TooBig { .. }
            | Error::WrongLength { .. }
            | Error::NotVideo(_)
            | Error::NotImage { .. }) => other,
        }
    }
}
