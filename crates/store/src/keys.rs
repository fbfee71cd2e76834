//! Every key the fleet has in Redis, spelled here and nowhere else.
//!
//! All keys of one pool carry the hash tag `{<prefix>:<pool>}`, so each script touches one slot of a
//! Redis Cluster. Parts that come from outside (tenants, idempotency keys, batch names) are escaped:
//! without that `a:b` + `c` and `a` + `b:c` would be one key.

use crate::queue::{Lane, Queue};
use job::{AttemptId, Fingerprint, JobId, Priority, StateWord};
use seedance::SlotClass;
use std::fmt::Write as _;

/// The keys of one pool.
#[derive(Debug, Clone)]
pub struct Keys {
    tag: String,
}

/// One row of `docs/keys.md`.
struct Row {
    key: &'static str,
    kind: &'static str,
    holds: &'static str,
    bound: &'static str,
}

impl Keys {
    /// The keys of `pool` under the operator's `prefix`.
    #[must_use]
    pub fn new(prefix: &str, pool: &str) -> Self {
        Self { tag: format!("{{{}:{}}}", part(prefix), part(pool)) }
    }

    fn key(&self, rest: std::fmt::Arguments<'_>) -> String {
        let mut key = self.tag.clone();
        write!(key, ":{rest}").expect("a string takes everything");
        key
    }

    /// A job's record.
    #[must_use]
    pub fn job(&self, id: &JobId) -> String {
        self.key(format_args!("job:{id}"))
    }

    /// The due tickets of a queue that has one set of them; a submit queue has lanes instead.
    #[must_use]
    pub fn due(&self, queue: Queue) -> String {
        debug_assert!(queue.class().is_none(), "submit tickets lie in lanes");
        self.key(format_args!("due:{}", queue.word()))
    }

    /// The due tickets of one lane of a submit queue.
    #[must_use]
    pub fn lane(&self, class: SlotClass, lane: &Lane) -> String {
        self.lane_of(class, &lane.tenant, lane.priority)
    }

    /// As [`Keys::lane`].
    #[must_use]
    pub fn lane_of(&self, class: SlotClass, tenant: &str, priority: Priority) -> String {
        self.key(format_args!("due:submit:{}:{}:{}", class.word(), part(tenant), priority.word()))
    }

    /// The tenants of a submit queue, by virtual time.
    #[must_use]
    pub fn lanes(&self, class: SlotClass) -> String {
        self.key(format_args!("lanes:{}", class.word()))
    }

    /// The tickets of a queue in work.
    #[must_use]
    pub fn lease(&self, queue: Queue) -> String {
        self.key(format_args!("lease:{}", queue.word()))
    }

    /// The fences of a queue's holders.
    #[must_use]
    pub fn holder(&self, queue: Queue) -> String {
        self.key(format_args!("holder:{}", queue.word()))
    }

    /// The wake token of a queue.
    #[must_use]
    pub fn wake(&self, queue: Queue) -> String {
        self.key(format_args!("wake:{}", queue.word()))
    }

    /// The last claim fence.
    #[must_use]
    pub fn fence(&self) -> String {
        self.key(format_args!("fence"))
    }

    /// Attempts begun, ever.
    #[must_use]
    pub fn lsn(&self) -> String {
        self.key(format_args!("lsn"))
    }

    /// Slots in use.
    #[must_use]
    pub fn slots(&self) -> String {
        self.key(format_args!("slots"))
    }

    /// Whether a key is one of [`Keys::nonces`].
    #[must_use]
    pub fn is_nonces(&self, key: &str) -> bool {
        key.starts_with(&self.key(format_args!("nonces:")))
    }

    /// Nonces of an account's open attempts.
    #[must_use]
    pub fn nonces(&self, account: &str) -> String {
        self.key(format_args!("nonces:{}", part(account)))
    }

    /// Stopped accounts.
    #[must_use]
    pub fn stops(&self) -> String {
        self.key(format_args!("stops"))
    }

    /// The row of instants of one call of an account.
    #[must_use]
    pub fn pace(&self, account: &str, call: &str) -> String {
        self.key(format_args!("pace:{}:{}", part(account), part(call)))
    }

    /// Owners of tasks.
    #[must_use]
    pub fn tasks(&self) -> String {
        self.key(format_args!("tasks"))
    }

    /// The job of an attempt.
    #[must_use]
    pub fn attempt(&self, id: &AttemptId) -> String {
        self.key(format_args!("attempt:{id}"))
    }

    /// The job of a request.
    #[must_use]
    pub fn fingerprint(&self, tenant: &str, fingerprint: &Fingerprint) -> String {
        self.key(format_args!("fp:{}:{fingerprint}", part(tenant)))
    }

    /// The job of a caller's key.
    #[must_use]
    pub fn idempotency(&self, tenant: &str, key: &str) -> String {
        self.key(format_args!("idem:{}:{}", part(tenant), part(key)))
    }

    /// Every job.
    #[must_use]
    pub fn ix_all(&self) -> String {
        self.key(format_args!("ix:all"))
    }

    /// The jobs in a state.
    #[must_use]
    pub fn ix_state(&self, word: StateWord) -> String {
        self.key(format_args!("ix:state:{}", word.as_str()))
    }

    /// The jobs of a tenant.
    #[must_use]
    pub fn ix_tenant(&self, tenant: &str) -> String {
        self.key(format_args!("ix:tenant:{}", part(tenant)))
    }

    /// The jobs of a batch.
    #[must_use]
    pub fn ix_batch(&self, batch: &str) -> String {
        self.key(format_args!("ix:batch:{}", part(batch)))
    }

    /// The failed jobs of a code.
    #[must_use]
    pub fn ix_code(&self, code: &str) -> String {
        self.key(format_args!("ix:code:{}", part(code)))
    }

    /// The callers' own ids.
    #[must_use]
    pub fn ix_custom(&self, tenant: &str) -> String {
        self.key(format_args!("ix:custom:{}", part(tenant)))
    }

    /// Jobs per state.
    #[must_use]
    pub fn counts(&self) -> String {
        self.key(format_args!("counts"))
    }

    /// Jobs of a batch per state.
    #[must_use]
    pub fn batch_counts(&self, batch: &str) -> String {
        self.key(format_args!("counts:batch:{}", part(batch)))
    }

    /// What is known of a batch.
    #[must_use]
    pub fn batch(&self, batch: &str) -> String {
        self.key(format_args!("batch:{}", part(batch)))
    }

    /// A job's timeline.
    #[must_use]
    pub fn timeline(&self, id: &JobId) -> String {
        self.key(format_args!("tl:{id}"))
    }

    /// Alarms.
    #[must_use]
    pub fn audit(&self) -> String {
        self.key(format_args!("audit"))
    }
}

/// Lines a job's timeline keeps.
pub const TIMELINE_LINES_MAX: usize = 200;
/// Lines the audit list keeps.
pub const AUDIT_LINES_MAX: usize = 10_000;

/// Escapes what could end a part of a key early. Long parts stay whole: their owners bound them.
fn part(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, ':' | '%' | '{' | '}') || c.is_control() || c.is_whitespace() {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                write!(out, "%{byte:02X}").expect("a string takes everything");
            }
        } else {
            out.push(c);
        }
    }
    out
}

const TABLE: &[Row] = &[
    Row {
        key: "job:<job id>",
        kind: "hash",
        holds: "the record: `spec` and `life` (JSON), `st` (state word), `rev` (revision), `by` (token of the last commit), `hint` (task id a callback named), `nudged` (somebody wants the leased ticket back at once), `usable` (paced instant of the open attempt, µs)",
        bound: "one per job",
    },
    Row {
        key: "due:<step>",
        kind: "zset",
        holds: "job id by due time (Unix ms); steps settle, poll, download, notify",
        bound: "open jobs",
    },
    Row {
        key: "due:submit:<class>:<tenant>:<priority>",
        kind: "zset",
        holds: "a lane: job id by due time (Unix ms)",
        bound: "queued jobs",
    },
    Row {
        key: "lanes:<class>",
        kind: "zset",
        holds: "tenants with waiting jobs, by virtual time (tokens bought so far, in fair-queueing order)",
        bound: "tenants",
    },
    Row {
        key: "lease:<queue>",
        kind: "zset",
        holds: "job id by end of lease (Unix ms); queues settle, poll, download, notify, submit:<class>",
        bound: "tickets in work",
    },
    Row {
        key: "holder:<queue>",
        kind: "hash",
        holds: "job id to the claim fence of its holder",
        bound: "tickets in work",
    },
    Row { key: "wake:<queue>", kind: "list", holds: "a token for one idle claimer", bound: "1" },
    Row {
        key: "fence",
        kind: "string",
        holds: "last claim fence handed out; never reset",
        bound: "1",
    },
    Row {
        key: "lsn",
        kind: "string",
        holds: "begun attempts ever; a lower value than seen before means that data was lost",
        bound: "1",
    },
    Row {
        key: "slots",
        kind: "hash",
        holds: "`<account>|<class>` to slots in use",
        bound: "accounts × 4",
    },
    Row {
        key: "nonces:<account>",
        kind: "hash",
        holds: "nonce (seconds) to the open attempt that uses it",
        bound: "open attempts",
    },
    Row {
        key: "stops",
        kind: "hash",
        holds: "`<account>|until` (Unix ms), `|class`, `|code`, `|in_row`, `|probe` of stopped accounts",
        bound: "accounts × 5",
    },
    Row {
        key: "pace:<account>:<call>",
        kind: "hash",
        holds: "`tat`: first instant not yet given away (µs); `hold`: none before this instant (µs); call is `create.<class>`, `retrieve`, `list` or `delete`",
        bound: "accounts × 7",
    },
    Row {
        key: "tasks",
        kind: "hash",
        holds: "provider's task id to the one job that owns it",
        bound: "tasks ever made",
    },
    Row {
        key: "attempt:<attempt id>",
        kind: "string",
        holds: "job id; expires 9 days after the attempt was closed",
        bound: "attempts of 9 days",
    },
    Row {
        key: "fp:<tenant>:<fingerprint>",
        kind: "string",
        holds: "job id of the request",
        bound: "one per job",
    },
    Row {
        key: "idem:<tenant>:<key>",
        kind: "string",
        holds: "job id and SHA-256 of the body that came with the idempotency key",
        bound: "one per key",
    },
    Row {
        key: "ix:all",
        kind: "zset",
        holds: "every job id by creation time (Unix ms)",
        bound: "jobs",
    },
    Row {
        key: "ix:state:<word>",
        kind: "zset",
        holds: "job id by creation time, per public state word",
        bound: "jobs",
    },
    Row {
        key: "ix:tenant:<tenant>",
        kind: "zset",
        holds: "job id by creation time",
        bound: "jobs",
    },
    Row {
        key: "ix:batch:<batch>",
        kind: "zset",
        holds: "job id by creation time",
        bound: "jobs of the batch",
    },
    Row {
        key: "ix:code:<code>",
        kind: "zset",
        holds: "failed job id by creation time, per error code",
        bound: "failed jobs",
    },
    Row {
        key: "ix:custom:<tenant>",
        kind: "hash",
        holds: "the caller's own id to job id; the first one wins",
        bound: "jobs with a custom id",
    },
    Row { key: "counts", kind: "hash", holds: "state word to jobs", bound: "17" },
    Row {
        key: "counts:batch:<batch>",
        kind: "hash",
        holds: "state word to jobs of the batch",
        bound: "17",
    },
    Row {
        key: "batch:<batch>",
        kind: "hash",
        holds: "`created_at` (Unix ms) and `tenant` of the batch's first job",
        bound: "one per batch",
    },
    Row { key: "tl:<job id>", kind: "list", holds: "timeline, newest first (JSON)", bound: "200" },
    Row {
        key: "audit",
        kind: "list",
        holds: "alarms raised by commits, newest first (JSON)",
        bound: "10,000",
    },
];

/// `docs/keys.md`, printed from the table this file holds.
#[must_use]
pub fn markdown() -> String {
    let mut page = String::from(
        "<!-- Printed by `store::keys::markdown()`; do not edit. -->\n\
         # Keys in Redis\n\n\
         Every key below is prefixed with the pool's hash tag `{<prefix>:<pool>}:`. Tenants, batches, accounts, codes and\n\
         idempotency keys stand percent-escaped in keys (`:`, `%`, braces, blanks).\n\n\
         | Key | Type | Holds | Members at most |\n| --- | --- | --- | --- |\n",
    );
    for row in TABLE {
        writeln!(
            page,
            "| `{}` | {} | {} | {} |",
            row.key,
            row.kind,
            row.holds.replace('|', "\\|"),
            row.bound
        )
        .expect("a string takes everything");
    }
    page
}

/// The documented form of a key of this pool, if it has one; for tests that walk a real server.
#[must_use]
pub fn documented(keys: &Keys, key: &str) -> Option<(&'static str, &'static str)> {
    let rest = key.strip_prefix(keys.tag.as_str())?.strip_prefix(':')?;
    let given: Vec<&str> = rest.split(':').collect();
    TABLE.iter().find(|row| shape_fits(row.key, &given)).map(|row| (row.key, row.kind))
}

fn shape_fits(shape: &str, given: &[&str]) -> bool {
    let wanted: Vec<&str> = shape.split(':').collect();
    // A queue may itself have two parts: `submit:<class>`.
    let submit = given.len() == 3 && given[1] == "submit" && shape.ends_with(":<queue>");
    (wanted.len() == given.len() || submit)
        && wanted.iter().zip(given).all(|(w, g)| w == g || (w.starts_with('<') && !g.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_from_outside_cannot_meet() {
        let keys = Keys::new("p", "main");
        assert_eq!(keys.idempotency("a", "b"), "{p:main}:idem:a:b");
        assert_ne!(keys.idempotency("a:b", "c"), keys.idempotency("a", "b:c"));
        assert_ne!(keys.idempotency("a%3Ab", "c"), keys.idempotency("a:b", "c"));
        assert_eq!(Keys::new("p}x", "q{").job_tag(), "{p%7Dx:q%7B}");
    }

    #[test]
    fn every_row_fits_its_own_shape_only_by_design() {
        let keys = Keys::new("p", "main");
        let lane = Lane { tenant: "t:1".into(), priority: Priority::Low };
        let of = |key: &str| documented(&keys, key).map(|row| row.0);
        assert_eq!(
            of(&keys.lane(SlotClass::V20At4k, &lane)),
            Some("due:submit:<class>:<tenant>:<priority>")
        );
        assert_eq!(of(&keys.wake(Queue::Submit(SlotClass::V20))), Some("wake:<queue>"));
        assert_eq!(of(&keys.due(Queue::Poll)), Some("due:<step>"));
        assert_eq!(of(&keys.counts()), Some("counts"));
        assert_eq!(of("{p:main}:counts:batch:b"), Some("counts:batch:<batch>"));
        assert_eq!(of("{p:other}:counts"), None);
        assert_eq!(of("{p:main}:nobody"), None);
    }

    impl Keys {
        fn job_tag(&self) -> &str {
            &self.tag
        }
    }
}
