//! A key that can be used and not be read.

use std::{fmt, io::Read, path::Path, sync::Arc};

use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};

/// Longest key file that is read, in bytes. Keys are far shorter; a wrong path often is not.
const KEY_FILE_BYTES_MAX: u64 = 4096;

/// A provider key. It has no `Display` and no `Serialize`, its `Debug` is a constant, its memory is
/// wiped when the last clone goes, and only this crate can look inside, to write one header.
#[derive(Clone)]
pub struct Secret(Arc<SecretString>);

/// Why a key could not be taken. None of the texts repeats any of the key.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file is missing or not readable by this process.
    #[error("the key file {path} cannot be read: {source}")]
    Unreadable {
        /// The path as configured.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file holds nothing but white space.
    #[error("the key file {path} is empty")]
    Empty {
        /// The path as configured.
        path: String,
    },
    /// The content cannot be a bearer key: several lines, spaces, control characters, not ASCII.
    #[error("the key file {path} does not hold one key: it must be one line of visible ASCII")]
    Malformed {
        /// The path as configured.
        path: String,
    },
}

impl Secret {
    /// Takes a key that is already in memory.
    ///
    /// # Errors
    ///
    /// [`SecretError::Empty`] or [`SecretError::Malformed`], with `(given)` for a path.
    pub fn new(key: impl Into<String>) -> Result<Self, SecretError> {
        Self::checked(key.into(), "(given)")
    }

    /// Reads a key from a file, dropping white space at both ends. Read it again to rotate: nothing
    /// is cached here. The key's form is not guessed at (`docs/provider.md`, routes): the provider
    /// has changed it before.
    ///
    /// # Errors
    ///
    /// [`SecretError`], naming the file and never its content.
    pub fn from_file(path: &Path) -> Result<Self, SecretError> {
        let name = path.display().to_string();
        let mut text = String::new();
        std::fs::File::open(path)
            .and_then(|file| file.take(KEY_FILE_BYTES_MAX + 1).read_to_string(&mut text))
            .map_err(|source| SecretError::Unreadable { path: name.clone(), source })?;
        if text.len() as u64 > KEY_FILE_BYTES_MAX {
            return Err(SecretError::Malformed { path: name });
        }
        Self::checked(text.trim().to_owned(), &name)
    }

    fn checked(key: String, path: &str) -> Result<Self, SecretError> {
        if key.is_empty() {
            return Err(SecretError::Empty { path: path.to_owned() });
        }
        if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(SecretError::Malformed { path: path.to_owned() });
        }
        Ok(Self(Arc::new(SecretString::from(key))))
    }

    /// Whether both are the same key.
    #[must_use]
    pub fn equals(&self, other: &Self) -> bool {
        self.0.expose_secret() == other.0.expose_secret()
    }

    /// `text` with every occurrence of this key taken out: for what others tell us about it.
    #[must_use]
    pub fn strip_from(&self, text: &str) -> String {
        text.replace(self.0.expose_secret(), "[redacted]")
    }

    /// The `Authorization` value, marked so that no HTTP layer prints it either.
    pub(crate) fn bearer(&self) -> HeaderValue {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", self.0.expose_secret()))
            .expect("a Secret holds visible ASCII only");
        value.set_sensitive(true);
        value
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}
