//! What can go wrong at the bucket, sorted by what the caller does next.

use crate::{LayoutFault, Mp4Fault};
use std::io;

/// A failure at the bucket. The variant is the caller's next move; the text is for people.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration cannot work. Say it at start and do not take work.
    #[error("{0}")]
    Settings(String),
    /// A name, prefix or date that must not become a path. The job's input is wrong.
    #[error(transparent)]
    Layout(#[from] LayoutFault),
    /// The credentials do not allow this, or the disk is read-only. An operator mends it; the work
    /// waits and nothing is failed because of it.
    #[error("no permission for {path}: {why}")]
    Denied {
        /// The object.
        path: String,
        /// What the backend said.
        why: String,
    },
    /// The bucket did not answer as it should. Try again later.
    #[error("the bucket is not available for {path}: {why}")]
    Unavailable {
        /// The object.
        path: String,
        /// What the backend said.
        why: String,
    },
    /// No such object.
    #[error("{path} is not in the bucket")]
    Missing {
        /// The object.
        path: String,
    },
    /// Stored bytes are not what was promised. Copy them again while the link lives, else page.
    #[error("{path} is damaged: {why}")]
    Damaged {
        /// The object.
        path: String,
        /// The two values that differ.
        why: String,
    },
    /// The place is taken by another task or another outcome. Never overwritten; a person looks.
    #[error("{path} already belongs to {theirs}; refusing to publish {ours}")]
    Conflict {
        /// The manifest.
        path: String,
        /// What we came to publish.
        ours: String,
        /// What lies there.
        theirs: String,
    },
    /// More bytes than allowed. Fetching again will not help: stop and park the job.
    #[error("{path} is larger than the limit of {limit_bytes} bytes")]
    TooBig {
        /// The object that would have been written or read.
        path: String,
        /// The bound that was reached.
        limit_bytes: u64,
    },
    /// The body ended before or after its announced length. Fetch again.
    #[error("the body has {got_bytes} bytes, {expected_bytes} were announced")]
    WrongLength {
        /// The announced length.
        expected_bytes: u64,
        /// The bytes that came.
        got_bytes: u64,
    },
    /// The body is not one whole MP4 file. Fetch again.
    #[error("not a whole MP4 file: {0}")]
    NotVideo(#[from] Mp4Fault),
    /// The body is neither PNG nor JPEG. A last frame is worth a note in the manifest, not a failure.
    #[error("neither PNG nor JPEG: the body starts with {head}")]
    NotImage {
        /// The first bytes in hex.
        head: String,
    },
}

impl Error {
    /// Sorts what the backend said about `path`.
    pub(crate) fn from_store(path: &str, error: object_store::Error) -> Self {
        use object_store::Error as E;
        let path = path.to_owned();
        let why = explain(&error);
        match error {
            E::NotFound { .. } => Self::Missing { path },
            E::PermissionDenied { .. } | E::Unauthenticated { .. } => Self::Denied { path, why },
            E::NotSupported { .. }
            | E::NotImplemented { .. }
            | E::UnknownConfigurationKey { .. } => {
                Self::Settings(format!("the bucket cannot do what {path} needs: {why}"))
            }
            other if is_read_only(&other) => Self::Denied { path, why },
            // The backend's enum is not ours and may grow: what is unknown is retried.
            _ => Self::Unavailable { path, why },
        }
    }
}

/// The error with its causes on one line, each said once.
pub(crate) fn explain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = inner.source();
    }
    text
}

/// Local files report missing rights as a plain I/O error somewhere down the chain.
fn is_read_only(error: &object_store::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            return matches!(
                io.kind(),
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
            );
        }
        cause = inner.source();
    }
    false
}
