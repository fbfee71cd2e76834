//! Purses: what was bought of each, and which jobs wait for one.

use super::page::Row;
use super::{Keys, part, whole};
use crate::budget::Purse;

impl Keys {
    /// What was bought or is reserved of a purse.
    #[must_use]
    pub fn bought(&self, purse: &Purse) -> String {
        match purse {
            Purse::Pool => self.key(format_args!("bought")),
            Purse::Tenant(_) | Purse::Batch(_, _) => {
                self.key(format_args!("bought:{}", Self::purse_member(purse)))
            }
        }
    }

    /// The jobs that a cap of a purse holds.
    #[must_use]
    pub fn ix_budget(&self, purse: &Purse) -> String {
        self.key(format_args!("ix:budget:{}", Self::purse_member(purse)))
    }

    /// Purses that hold jobs.
    #[must_use]
    pub fn budgets(&self) -> String {
        self.key(format_args!("budgets"))
    }

    /// A purse among those that hold jobs.
    #[must_use]
    pub fn purse_member(purse: &Purse) -> String {
        match purse {
            Purse::Pool => "pool".to_owned(),
            Purse::Tenant(tenant) => format!("tenant:{}", part(tenant)),
            Purse::Batch(tenant, batch) => format!("batch:{}:{}", part(tenant), part(batch)),
        }
    }

    /// The purse of such a member.
    #[must_use]
    pub fn purse_of_member(member: &str) -> Option<Purse> {
        let mut parts = member.split(':');
        let purse = match (parts.next()?, parts.next(), parts.next()) {
            ("pool", None, None) => Purse::Pool,
            ("tenant", Some(tenant), None) => Purse::Tenant(whole(tenant)?),
            ("batch", Some(tenant), Some(batch)) => Purse::Batch(whole(tenant)?, whole(batch)?),
            _ => return None,
        };
        parts.next().is_none().then_some(purse)
    }

    /// The purse whose sums can be added up from the jobs of this index.
    pub(crate) fn bought_of_index(&self, index: &str) -> Option<String> {
        if index == self.ix_all() {
            return Some(self.bought(&Purse::Pool));
        }
        // The names stand escaped in both keys.
        if let Some(tenant) = self.tenant_of_index(index) {
            return Some(self.key(format_args!("bought:tenant:{tenant}")));
        }
        let batch = index.strip_prefix(self.key(format_args!("ix:batch:")).as_str())?;
        Some(self.key(format_args!("bought:batch:{batch}")))
    }
}

pub(super) const ROWS: &[Row] = &[
    Row {
        key: "bought",
        kind: "hash",
        holds: "what the pool bought or has reserved for open attempts, in millionths of the route's currency: `<UTC day>` of the attempt, and `total`",
        bound: "63",
    },
    Row {
        key: "bought:tenant:<tenant>",
        kind: "hash",
        holds: "as `bought`, for one tenant",
        bound: "63",
    },
    Row {
        key: "bought:batch:<tenant>:<batch>",
        kind: "hash",
        holds: "as `bought`, for one batch",
        bound: "63",
    },
    Row {
        key: "ix:budget:pool",
        kind: "zset",
        holds: "job id by creation time (Unix ms): held because the pool's cap has no room",
        bound: "held jobs",
    },
    Row {
        key: "ix:budget:tenant:<tenant>",
        kind: "zset",
        holds: "the same, for a cap of the tenant",
        bound: "held jobs",
    },
    Row {
        key: "ix:budget:batch:<tenant>:<batch>",
        kind: "zset",
        holds: "the same, for a cap of the batch",
        bound: "held jobs",
    },
    Row {
        key: "budgets",
        kind: "zset",
        holds: "purses that hold jobs (`pool`, `tenant:<tenant>`, `batch:<tenant>:<batch>`), by the last look for room (Unix ms)",
        bound: "tenants and batches with held jobs",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purses_are_read_back() {
        let batch = Purse::Batch("t:1".into(), "a:b".into());
        for purse in [Purse::Pool, Purse::Tenant("a:b".into()), batch.clone()] {
            let member = Keys::purse_member(&purse);
            assert_eq!(Keys::purse_of_member(&member), Some(purse));
        }
        assert_eq!(Keys::purse_of_member("tenant"), None);
        assert_eq!(Keys::purse_of_member("pool:x"), None);
        let keys = Keys::new("p", "main");
        let of = |index: &str| keys.bought_of_index(index);
        assert_eq!(of(&keys.ix_batch("t:1", "a:b")), Some(keys.bought(&batch)));
        let tenant = Purse::Tenant("a:b".into());
        assert_eq!(of(&keys.ix_tenant("a:b")), Some(keys.bought(&tenant)));
        assert_eq!(of(&keys.ix_all()), Some(keys.bought(&Purse::Pool)));
        assert_eq!(of(&keys.ix_budget(&tenant)), None);
        assert_eq!(of(&keys.ix_code("x")), None);
    }
}
