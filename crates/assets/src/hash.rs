//! Content hashes as text.

use sha2::{Digest, Sha256};

/// Bytes counted and hashed as they pass; what every stored object is later compared with.
#[derive(Debug, Clone, Default)]
pub struct Sha256Hex {
    digest: Sha256,
    length_bytes: u64,
}

impl Sha256Hex {
    /// Takes the next bytes, in order.
    pub fn update(&mut self, bytes: &[u8]) {
        self.digest.update(bytes);
        self.length_bytes += bytes.len() as u64;
    }

    /// Bytes taken so far.
    #[must_use]
    pub fn length_bytes(&self) -> u64 {
        self.length_bytes
    }

    /// The hash of everything taken, as 64 lower-case hex digits.
    #[must_use]
    pub fn finish(self) -> String {
        hex::encode(self.digest.finalize())
    }
}

/// The SHA-256 of `bytes` as 64 lower-case hex digits.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    let mut hash = Sha256Hex::default();
    hash.update(bytes);
    hash.finish()
}

/// Whether `text` has the one form in which this room writes hashes.
pub(crate) fn is_sha256_hex(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}
