//! Every key the fleet has in Redis, spelled here and nowhere else.
//!
//! All keys of one pool carry the hash tag `{<prefix>:<pool>}`, so each script touches one slot of a
//! Redis Cluster; those of the whole fleet carry `{<prefix>:fleet}`. Parts that come from outside (tenants, idempotency keys, batch names) are escaped:
//! without that `a:b` + `c` and `a` + `b:c` would be one key.

mod archive;
mod failures;
mod family;
mod fleet;
mod hooks;
mod money;
mod page;
mod pauses;
mod privacy;
mod queues;
mod slot;
mod watch;

pub use archive::TOMB_SHARDS;
pub(crate) use archive::TombField;
pub(crate) use family::Family;
pub use fleet::{FLEET, FleetKeys};
pub use page::{documented, markdown};
pub use privacy::user_hash;

use job::{AttemptId, Fingerprint, JobId, StateWord};
use seedance::SlotClass;
use std::fmt::Write as _;

/// What matches every key under the operator's `prefix`, as Redis's own patterns do, for its access lists.
#[must_use]
pub fn acl_pattern(prefix: &str) -> String {
    format!("{{{}:*}}:*", part(prefix))
}

/// The keys of one pool.
#[derive(Debug, Clone)]
pub struct Keys {
    tag: String,
}

impl Keys {
    /// The keys of `pool` under the operator's `prefix`.
    #[must_use]
    pub fn new(prefix: &str, pool: &str) -> Self {
        Self { tag: format!("{{{}:{}}}", part(prefix), part(pool)) }
    }

    /// Where in a Redis Cluster all of these keys lie.
    #[must_use]
    pub fn slot(&self) -> u16 {
        slot::of(&self.tag)
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

    /// The last claim fence.
    #[must_use]
    pub fn fence(&self) -> String {
        self.key(format_args!("fence"))
    }

    /// Jobs admitted and verdicts committed, ever.
    #[must_use]
    pub fn lsn(&self) -> String {
        self.key(format_args!("lsn"))
    }

    /// The run of the server, and the count it began with.
    #[must_use]
    pub fn run(&self) -> String {
        self.key(format_args!("run"))
    }

    /// Why no attempt may begin.
    #[must_use]
    pub fn freeze(&self) -> String {
        self.key(format_args!("freeze"))
    }

    /// A job that one process does for all.
    #[must_use]
    pub fn lock(&self, name: &str) -> String {
        self.key(format_args!("lock:{}", part(name)))
    }

    /// What an account has shown of its provider.
    #[must_use]
    pub fn evidence(&self, account: &str) -> String {
        self.key(format_args!("evidence:{}", part(account)))
    }

    /// Creates and automatic re-sends by day.
    #[must_use]
    pub fn days(&self) -> String {
        self.key(format_args!("days"))
    }

    /// Slots in use.
    #[must_use]
    pub fn slots(&self) -> String {
        self.key(format_args!("slots"))
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

    /// The row of creates of a class on an account.
    #[must_use]
    pub fn creates(&self, account: &str, class: SlotClass) -> String {
        self.pace(account, &format!("create.{}", class.word()))
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

    /// The jobs of a tenant's batch.
    #[must_use]
    pub fn ix_batch(&self, tenant: &str, batch: &str) -> String {
        self.key(format_args!("ix:batch:{}:{}", part(tenant), part(batch)))
    }

    /// The failed jobs of a code.
    #[must_use]
    pub fn ix_code(&self, code: &str) -> String {
        self.key(format_args!("ix:code:{}", part(code)))
    }

    /// The jobs of a tenant in a state.
    #[must_use]
    pub fn ix_tenant_state(&self, tenant: &str, word: StateWord) -> String {
        self.key(format_args!("ix:tenant:{}:{}", part(tenant), word.as_str()))
    }

    /// The callers' own ids, each with the job that carries it: see [`Keys::custom_member`].
    #[must_use]
    pub fn ix_custom(&self) -> String {
        self.key(format_args!("ix:custom"))
    }

    /// The member by which a job with this id of its caller's is found.
    #[must_use]
    pub fn custom_member(custom: &str, job: &JobId) -> String {
        format!("{}:{job}", part(custom))
    }

    /// The job that such a member names.
    #[must_use]
    pub fn job_of_member(member: &str) -> Option<JobId> {
        member.rsplit_once(':').and_then(|(_, id)| JobId::parse(id).ok())
    }

    /// The bounds, as BYLEX takes them, of all jobs with this id of their callers.
    pub(crate) fn custom_range(custom: &str) -> (String, String) {
        let custom = part(custom);
        // The semicolon follows the colon.
        (format!("[{custom}:"), format!("({custom};"))
    }

    /// Jobs with a download ticket.
    #[must_use]
    pub fn ix_deadline(&self) -> String {
        self.key(format_args!("ix:deadline"))
    }

    /// Jobs per state.
    #[must_use]
    pub fn counts(&self) -> String {
        self.key(format_args!("counts"))
    }

    /// Jobs of a tenant's batch per state.
    #[must_use]
    pub fn batch_counts(&self, tenant: &str, batch: &str) -> String {
        self.key(format_args!("counts:batch:{}:{}", part(tenant), part(batch)))
    }

    /// Jobs of a tenant per state.
    #[must_use]
    pub fn tenant_counts(&self, tenant: &str) -> String {
        self.key(format_args!("counts:tenant:{}", part(tenant)))
    }

    /// What a tenant used, by day.
    #[must_use]
    pub fn usage(&self, tenant: &str) -> String {
        self.key(format_args!("usage:{}", part(tenant)))
    }

    /// Tenants that ever had a job.
    #[must_use]
    pub fn tenants(&self) -> String {
        self.key(format_args!("tenants"))
    }

    /// What ended on a UTC day, and what it cost.
    #[must_use]
    pub fn spent(&self, day: &str) -> String {
        self.key(format_args!("spent:{}", part(day)))
    }

    /// Batches, a tenant's by name or all by [`Keys::batch_member`].
    #[must_use]
    pub fn batches(&self, tenant: Option<&str>) -> String {
        match tenant {
            Some(tenant) => self.key(format_args!("batches:{}", part(tenant))),
            None => self.key(format_args!("batches")),
        }
    }

    /// An operation.
    #[must_use]
    pub fn operation(&self, id: &str) -> String {
        self.key(format_args!("op:{}", part(id)))
    }

    /// Operations of the last 90 days.
    #[must_use]
    pub fn operations(&self) -> String {
        self.key(format_args!("ops"))
    }

    /// Operations that wait or run.
    #[must_use]
    pub fn operations_open(&self) -> String {
        self.key(format_args!("ops:open"))
    }

    /// What is known of a tenant's batch. Names are the tenant's own: two may have one of the same name, and
    /// neither sees the other's.
    #[must_use]
    pub fn batch(&self, tenant: &str, batch: &str) -> String {
        self.key(format_args!("batch:{}:{}", part(tenant), part(batch)))
    }

    /// A batch among those of all tenants.
    #[must_use]
    pub fn batch_member(tenant: &str, batch: &str) -> String {
        format!("{}:{}", part(tenant), part(batch))
    }

    /// Tenant and name of such a member.
    #[must_use]
    pub fn batch_of_member(member: &str) -> Option<(String, String)> {
        let (tenant, batch) = member.split_once(':')?;
        Some((whole(tenant)?, whole(batch)?))
    }

    /// Uploads to a batch that are under way.
    #[must_use]
    pub fn uploads_to(&self, tenant: &str, batch: &str) -> String {
        self.key(format_args!("uploads:{}:{}", part(tenant), part(batch)))
    }

    /// Batches whose uploads are looked after.
    #[must_use]
    pub fn uploads(&self) -> String {
        self.key(format_args!("uploads"))
    }

    /// Tenants with a batch of this name.
    #[must_use]
    pub fn batch_owners(&self, batch: &str) -> String {
        self.key(format_args!("owners:{}", part(batch)))
    }

    /// Refused rows of a tenant's batch.
    #[must_use]
    pub fn rejects(&self, tenant: &str, batch: &str) -> String {
        self.key(format_args!("rejects:{}:{}", part(tenant), part(batch)))
    }

    /// A job's timeline.
    #[must_use]
    pub fn timeline(&self, id: &JobId) -> String {
        self.key(format_args!("tl:{id}"))
    }

    /// Changes of jobs' public states, in the order of their commits.
    #[must_use]
    pub fn events(&self) -> String {
        self.key(format_args!("events"))
    }

    /// What people decided.
    #[must_use]
    pub fn decisions(&self) -> String {
        self.key(format_args!("decisions"))
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
/// Decisions of people that are kept, about.
pub const DECISION_LINES_MAX: usize = 100_000;

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

/// What [`part`] was made of; none for what it never makes.
fn whole(part: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            plain => plain,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::{Lane, Queue};
    use job::Priority;

    #[test]
    fn parts_from_outside_cannot_meet() {
        let keys = Keys::new("p", "main");
        assert_eq!(keys.idempotency("a", "b"), "{p:main}:idem:a:b");
        assert_ne!(keys.idempotency("a:b", "c"), keys.idempotency("a", "b:c"));
        assert_ne!(keys.idempotency("a%3Ab", "c"), keys.idempotency("a:b", "c"));
        assert_eq!(Keys::new("p}x", "q{").job_tag(), "{p%7Dx:q%7B}");
        for (tenant, batch) in [("a", "b"), ("a:b", "c%"), ("ü ", "%3A"), ("", "\n")] {
            let member = Keys::batch_member(tenant, batch);
            assert_eq!(Keys::batch_of_member(&member), Some((tenant.into(), batch.into())));
        }
        assert_eq!(Keys::batch_of_member("a"), None);
        assert_eq!(acl_pattern("p}x"), "{p%7Dx:*}:*");
        assert_eq!(Keys::batch_of_member("a:%4"), None);
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
        let batch = Some("counts:batch:<tenant>:<batch>");
        assert_eq!(of(&keys.batch_counts("t:1", "b")), batch);
        assert_eq!(of("{p:other}:counts"), None);
        assert_eq!(of("{p:main}:nobody"), None);
    }

    impl Keys {
        fn job_tag(&self) -> &str {
            &self.tag
        }
    }
}
