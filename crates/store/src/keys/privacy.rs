//! Keys of what must be found again when it is to go.

use super::{Keys, part};
use job::ErasureId;
use sha2::{Digest, Sha256};

impl Keys {
    /// The jobs of a caller's customer whose content is here. The name stands hashed: a list of keys
    /// shows no customer, though a hash confirms a guess.
    #[must_use]
    pub fn ix_user(&self, tenant: &str, end_user: &str) -> String {
        self.ix_user_of(tenant, &user_hash(tenant, end_user))
    }

    /// As [`Keys::ix_user`], for a hash.
    #[must_use]
    pub fn ix_user_of(&self, tenant: &str, hash: &str) -> String {
        self.key(format_args!("ix:user:{}:{}", part(tenant), part(hash)))
    }

    /// The jobs whose request needs an inline medium.
    #[must_use]
    pub fn ix_media(&self, tenant: &str, sha256: &str) -> String {
        self.key(format_args!("ix:media:{}:{}", part(tenant), part(sha256)))
    }

    /// Whether a key is an index of the jobs that need a medium.
    pub(crate) fn is_media_index(&self, key: &str) -> bool {
        key.starts_with(self.key(format_args!("ix:media:")).as_str())
    }

    /// The ended jobs of a tenant whose content is here, by the instant at which they ended.
    #[must_use]
    pub fn ix_kept(&self, tenant: &str) -> String {
        self.key(format_args!("ix:kept:{}", part(tenant)))
    }

    /// Tenants with ended jobs.
    #[must_use]
    pub fn kept(&self) -> String {
        self.key(format_args!("kept"))
    }

    /// A wish to erase, and its receipt.
    #[must_use]
    pub fn erasure(&self, id: &ErasureId) -> String {
        self.key(format_args!("erasure:{id}"))
    }

    /// What an erasure has removed so far.
    #[must_use]
    pub fn erased(&self, id: &ErasureId) -> String {
        self.key(format_args!("erased:{id}"))
    }

    /// Each tenant's last erasure by age.
    #[must_use]
    pub fn aged(&self) -> String {
        self.key(format_args!("aged"))
    }

    /// Batches of a tenant with refused rows.
    #[must_use]
    pub fn rejects_of(&self, tenant: &str) -> String {
        self.key(format_args!("rejects:{}", part(tenant)))
    }

    /// Wishes that are not fulfilled yet.
    #[must_use]
    pub fn erasures(&self) -> String {
        self.key(format_args!("erasures"))
    }
}

/// SHA-256 (hex) of a caller's customer within its tenant.
#[must_use]
pub fn user_hash(tenant: &str, end_user: &str) -> String {
    let mut hasher = Sha256::new();
    hasher.update((tenant.len() as u64).to_be_bytes());
    hasher.update(tenant.as_bytes());
    hasher.update(end_user.as_bytes());
    hex::encode(hasher.finalize())
}
