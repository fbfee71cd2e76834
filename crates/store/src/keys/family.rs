//! Keys read the other way round: which of ours is this, and of what?

use super::Keys;
use crate::failures::{FAILED, Scope};
use job::JobId;

/// What a key of this pool is, as far as the doctor asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Family {
    /// A record.
    Job(JobId),
    /// A set of job ids by creation time.
    Index,
    /// The callers' own ids.
    Custom,
    /// Waiting tickets.
    Due,
    /// Marks of open attempts.
    Nonces,
    /// Anything else of ours.
    Other,
}

impl Keys {
    /// A pattern for SCAN that fits every key of this pool.
    pub(crate) fn pattern(&self) -> String {
        let mut pattern = String::with_capacity(self.tag.len() + 8);
        for c in self.tag.chars() {
            if matches!(c, '*' | '?' | '[' | ']' | '^' | '-' | '\\') {
                pattern.push('\\');
            }
            pattern.push(c);
        }
        pattern + ":*"
    }

    /// What a key is; none: not of this pool.
    pub(crate) fn family(&self, key: &str) -> Option<Family> {
        let rest = key.strip_prefix(self.tag.as_str())?.strip_prefix(':')?;
        let (head, tail) = rest.split_once(':').unwrap_or((rest, ""));
        Some(match head {
            "job" => JobId::parse(tail).map_or(Family::Other, Family::Job),
            "ix" if tail == "custom" => Family::Custom,
            "ix" => Family::Index,
            // Tickets of endpoints: no record calls for them.
            "due" if tail == "notify" => Family::Other,
            "due" => Family::Due,
            "nonces" => Family::Nonces,
            _ => Family::Other,
        })
    }

    /// The counters of the batch or tenant whose index this is.
    pub(crate) fn counts_of_index(&self, index: &str) -> Option<String> {
        // The name stands escaped in both keys.
        if let Some(tenant) = self.tenant_of_index(index) {
            return Some(self.tenant_counts("") + tenant);
        }
        let batch = index.strip_prefix(self.key(format_args!("ix:batch:")).as_str())?;
        Some(self.key(format_args!("counts:batch:{batch}")))
    }

    /// The days of the tenant whose index this is.
    pub(crate) fn usage_of_index(&self, index: &str) -> Option<String> {
        self.tenant_of_index(index).map(|tenant| self.usage("") + tenant)
    }

    /// The tenant, escaped, all of whose jobs this index holds.
    pub(super) fn tenant_of_index<'a>(&self, index: &'a str) -> Option<&'a str> {
        let tenant = index.strip_prefix(self.ix_tenant("").as_str())?;
        // An escaped name has no colon: behind one stands the state of those that are held apart.
        (!tenant.contains(':')).then_some(tenant)
    }
}

impl Keys {
    /// The failures of the tenant whose index of failed jobs this is, and the indexes of all of them.
    /// Both sums: of all that failed, and of those that were dismissed.
    pub(crate) fn failures_of_index(&self, index: &str) -> Option<([String; 2], Vec<String>)> {
        // The name stands escaped in all of these keys, and an escaped name has no colon.
        let rest = index.strip_prefix(self.ix_tenant("").as_str())?;
        let (tenant, word) = rest.split_once(':')?;
        let [failed, lost] = FAILED.map(|word| word.as_str());
        let of = |word: &str| format!("{}{tenant}:{word}", self.ix_tenant(""));
        let none = Scope::Tenant("");
        let counts = [self.failures(none), self.failures_dismissed(none)].map(|key| key + tenant);
        (word == failed || word == lost).then(|| (counts, vec![of(failed), of(lost)]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_back() {
        let keys = Keys::new("p*", "main");
        let id = JobId::from_ulid(ulid::Ulid::from_parts(1, 2));
        assert_eq!(keys.family(&keys.job(&id)), Some(Family::Job(id)));
        assert_eq!(keys.family(&keys.ix_batch("t", "a:b")), Some(Family::Index));
        assert_eq!(keys.family(&keys.ix_all()), Some(Family::Index));
        assert_eq!(keys.family(&keys.ix_custom()), Some(Family::Custom));
        assert_eq!(keys.family(&keys.nonces("a")), Some(Family::Nonces));
        assert_eq!(keys.family(&keys.due(crate::Queue::Poll)), Some(Family::Due));
        assert_eq!(keys.family(&Keys::new("p*", "other").lsn()), None);
        let counts = keys.batch_counts("t:1", "a:b");
        assert_eq!(keys.counts_of_index(&keys.ix_batch("t:1", "a:b")), Some(counts));
        assert_eq!(keys.counts_of_index(&keys.ix_tenant("a:b")), Some(keys.tenant_counts("a:b")));
        assert_eq!(keys.usage_of_index(&keys.ix_tenant("a:b")), Some(keys.usage("a:b")));
        assert_eq!(keys.counts_of_index(&keys.ix_all()), None);
        let failed = keys.ix_tenant_state("a:b", job::StateWord::Failed);
        assert_eq!(keys.counts_of_index(&failed), None);
        assert_eq!(keys.usage_of_index(&failed), None);
        let (failed, lost) = (job::StateWord::Failed, job::StateWord::OutputLost);
        let indexes = [failed, lost].map(|word| keys.ix_tenant_state("a:b", word)).to_vec();
        let scope = Scope::Tenant("a:b");
        let counts = [keys.failures(scope), keys.failures_dismissed(scope)];
        let failures = Some((counts, indexes.clone()));
        assert_eq!(keys.failures_of_index(&indexes[1]), failures);
        assert_eq!(keys.failures_of_index(&keys.ix_tenant("a:b")), None);
        assert!(keys.pattern().starts_with("{p\\*:main}"), "{}", keys.pattern());
    }
}
