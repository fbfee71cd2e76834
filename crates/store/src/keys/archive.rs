//! Keys of jobs whose records have left Redis.
//!
//! A tombstone and the ways to it are fields of few small hashes, not keys of their own: a key of Redis costs
//! more than all that is left of a job.

use super::page::Row;
use super::{Keys, part, whole};
use crate::archive::ArchivePlace;
use crate::archive_facts::{kind, read_kind};
use job::{Fingerprint, JobId, TaskId, Timestamp};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;

/// Hashes that hold tombstones. So many that each is small, so few that each holds some.
pub const TOMB_SHARDS: u16 = 4_096;
/// Hex digits of the digest that stands for a name: 104 bits.
const DIGEST_HEX: usize = 26;
/// What every job's id begins with; a tombstone has no room for it.
const JOB_HEAD: &str = "job_";

/// A field of a hash of tombstones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TombField {
    pub(crate) key: String,
    pub(crate) field: String,
}

impl Keys {
    /// One of the hashes of tombstones.
    #[must_use]
    pub fn tombs(&self, shard: u16) -> String {
        self.key(format_args!("tombs:{shard:03x}"))
    }

    /// A job's tombstone.
    pub(crate) fn tomb(&self, id: &JobId) -> TombField {
        TombField { field: Self::short(id).to_owned(), ..self.tomb_at('j', &[id.as_str()]) }
    }

    /// The way from a request to its job's tombstone.
    pub(crate) fn tomb_of_request(&self, tenant: &str, fingerprint: &Fingerprint) -> TombField {
        self.tomb_at('f', &[tenant, &fingerprint.to_string()])
    }

    /// The way from a caller's key to its job's tombstone.
    pub(crate) fn tomb_of_key(&self, tenant: &str, key: &str) -> TombField {
        self.tomb_at('i', &[tenant, key])
    }

    /// The way from a task to its job's tombstone.
    pub(crate) fn tomb_of_task(&self, task: &TaskId) -> TombField {
        self.tomb_at('t', &[task.as_str()])
    }

    fn tomb_at(&self, kind: char, names: &[&str]) -> TombField {
        let mut hasher = Sha256::new();
        for name in names {
            hasher.update((name.len() as u64).to_be_bytes());
            hasher.update(name.as_bytes());
        }
        hasher.update([kind as u8]);
        let digest = hasher.finalize();
        let shard = u16::from_be_bytes([digest[30], digest[31]]) % TOMB_SHARDS;
        let mut field = String::with_capacity(DIGEST_HEX + 1);
        field.push(kind);
        for byte in digest.iter().take(DIGEST_HEX / 2) {
            write!(field, "{byte:02x}").expect("a string takes everything");
        }
        TombField { key: self.tombs(shard), field }
    }

    /// A job's id as it stands in tombstones.
    pub(crate) fn short(id: &JobId) -> &str {
        id.as_str().strip_prefix(JOB_HEAD).unwrap_or(id.as_str())
    }

    /// The job whose id begins such a text.
    pub(crate) fn long(text: &str) -> Option<JobId> {
        JobId::parse(&format!("{JOB_HEAD}{}", text.get(..DIGEST_HEX)?)).ok()
    }

    /// How much of a sum is of archived jobs.
    pub(crate) fn archived_of(&self, sum: &str) -> String {
        let rest = sum.strip_prefix(self.tag.as_str()).and_then(|rest| rest.strip_prefix(':'));
        self.key(format_args!("archived:{}", rest.unwrap_or(sum)))
    }

    /// How many jobs of a batch are archived, by state.
    #[must_use]
    pub fn archived_counts(&self, tenant: &str, batch: &str) -> String {
        self.archived_of(&self.batch_counts(tenant, batch))
    }

    /// Records that are being written to the bucket.
    #[must_use]
    pub fn leaving(&self) -> String {
        self.key(format_args!("leaving"))
    }

    /// The place that such a member names.
    pub(crate) fn leaving_place(member: &str) -> Option<ArchivePlace> {
        let parts: Vec<&str> = member.split(' ').collect();
        let [kind, ended_ms, id, tenant] = parts.as_slice() else { return None };
        let (bare, revision) = read_kind(kind)?;
        Some(ArchivePlace {
            tenant: whole(tenant)?,
            job: JobId::parse(id).ok()?,
            ended_at: Timestamp::from_unix_ms(ended_ms.parse().ok()?),
            revision,
            bare,
        })
    }

    /// The job whose tombstone a field is.
    pub(crate) fn job_of_tomb(field: &str) -> Option<JobId> {
        (field.len() == DIGEST_HEX).then(|| Self::long(field)).flatten()
    }

    /// A place in the bucket as one word of [`Keys::leaving`].
    pub(crate) fn leaving_member(place: &ArchivePlace) -> String {
        let ended_ms = place.ended_at.unix_ms();
        format!("{} {ended_ms} {} {}", kind(place), place.job, part(&place.tenant))
    }
}

pub(super) const ROWS: &[Row] = &[
    Row {
        key: "tombs:<shard>",
        kind: "hash",
        holds: "tombstones, by job id without `job_`: UTC day on which it left, state word, `k` or `b` (its content is there, or was erased) with the revision, instant of its end (Unix ms), tenant; and the ways to them, by `f` (request), `i` (idempotency key) or `t` (task) and a digest: job id, behind that of `i` half of the body's SHA-256",
        bound: "archived jobs × 4 / 4,096",
    },
    Row {
        key: "archived:counts",
        kind: "hash",
        holds: "state word to jobs that `counts` holds and that are archived",
        bound: "17",
    },
    Row {
        key: "archived:counts:batch:<tenant>:<batch>",
        kind: "hash",
        holds: "as `archived:counts`, of the batch",
        bound: "17",
    },
    Row {
        key: "archived:counts:tenant:<tenant>",
        kind: "hash",
        holds: "as `archived:counts`, of the tenant",
        bound: "17",
    },
    Row {
        key: "leaving",
        kind: "zset",
        holds: "places in the bucket that a record is being written to, or has come back from, by the instant (Unix ms) at which that began",
        bound: "jobs archived at once, or brought back in half an hour",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_alike_have_fields_of_their_own() {
        let keys = Keys::new("p", "main");
        let one = keys.tomb_of_key("a", "bc");
        assert_ne!(one, keys.tomb_of_key("ab", "c"));
        assert_eq!(one, keys.tomb_of_key("a", "bc"));
        assert_eq!(one.field.len(), DIGEST_HEX + 1);
        let id = JobId::from_ulid(ulid::Ulid::from_parts(1, 2));
        assert_eq!(keys.tomb(&id).field, Keys::short(&id));
        assert_eq!(
            Keys::long(&format!("{}{}", Keys::short(&id), "0".repeat(32))),
            Some(id.clone())
        );
        assert_eq!(Keys::long("short"), None);
        assert_eq!(Keys::job_of_tomb(&one.field), None);
        assert_eq!(Keys::job_of_tomb(Keys::short(&id)), Some(id.clone()));
        let place = ArchivePlace {
            tenant: "a b:c".into(),
            job: id.clone(),
            ended_at: Timestamp::from_unix_ms(7),
            revision: 12,
            bare: true,
        };
        assert_eq!(Keys::leaving_place(&Keys::leaving_member(&place)), Some(place));
        let sum = keys.batch_counts("t", "b");
        assert_eq!(keys.archived_of(&sum), "{p:main}:archived:counts:batch:t:b");
    }
}
