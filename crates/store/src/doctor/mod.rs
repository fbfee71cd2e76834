//! The doctor: what the records call for against what Redis holds, on a system that runs.
//!
//! Every comparison is one atomic read of a record's revision with all that should follow from it, so that
//! a commit in between is noticed and looked at again instead of being told as damage. What looks wrong is
//! looked at once more after a moment; only what stays is told. Each finding carries its cure where there
//! is one, guarded by what was seen; [`Store::mend`] writes it when a person asks.

mod look;
mod marks;
mod mend;
mod strays;
mod sums;

use crate::failures::{FAILED, Scope};
use crate::keys::Family;
use crate::queue::Queue;
use crate::{Store, StoreError};
use job::{AttemptId, JobId};
pub(crate) use marks::indexes;
use mend::Cure;
pub use mend::Mended;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

/// Keys, members or records read at once.
const PAGE: usize = 250;
/// Differences told; more say nothing new.
const DRIFTS_MAX: usize = 200;
/// Between the first look at a difference and the second.
const MOMENT: Duration = Duration::from_millis(250);
/// Keys of indexes, lanes and accounts kept in memory at most.
const NAMES_MAX: usize = 200_000;

/// What kind of thing disagrees with its record, in the order in which they are mended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DriftKind {
    /// A record without its parts, or whose state word is not its state's.
    Record,
    /// The way from an attempt to its job.
    Attempt,
    /// The owner of a task.
    Owner,
    /// The way from a request to its job.
    Request,
    /// The mark of an open attempt.
    Nonce,
    /// An index.
    Index,
    /// A ticket.
    Ticket,
    /// A tenant's place among the lanes.
    Lane,
    /// Slots in use.
    Slot,
    /// Jobs per state, of the pool, a batch or a tenant; what a tenant's days cost.
    Counter,
}

impl DriftKind {
    /// All kinds.
    pub const ALL: [Self; 10] = [
        Self::Record,
        Self::Attempt,
        Self::Owner,
        Self::Request,
        Self::Nonce,
        Self::Index,
        Self::Ticket,
        Self::Lane,
        Self::Slot,
        Self::Counter,
    ];

    /// The word in metrics and reports.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::Attempt => "attempt",
            Self::Owner => "owner",
            Self::Request => "request",
            Self::Nonce => "nonce",
            Self::Index => "index",
            Self::Ticket => "ticket",
            Self::Lane => "lane",
            Self::Slot => "slot",
            Self::Counter => "counter",
        }
    }
}

/// One difference that stayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// Of what kind.
    pub kind: DriftKind,
    /// Which key, field or ticket.
    pub what: String,
    /// What the records call for.
    pub expected: String,
    /// What Redis holds.
    pub found: String,
    subject: Subject,
    cure: Option<Cure>,
}

impl Drift {
    /// Whether [`Store::mend`] knows what to write. Where it does not, a person must decide.
    #[must_use]
    pub const fn is_curable(&self) -> bool {
        self.cure.is_some()
    }
}

/// The whole comparison.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recount {
    /// Records looked at.
    pub records: u64,
    /// Records this binary cannot read; nothing is concluded about them.
    pub unreadable: u64,
    /// Things that moved at every look, or too large for one look; nothing is concluded about them.
    pub unchecked: u64,
    /// Differences, the first 200.
    pub drifts: Vec<Drift>,
    /// There were more.
    pub more: bool,
}

impl Recount {
    /// Differences by kind, kinds without any included.
    #[must_use]
    pub fn by_kind(&self) -> BTreeMap<DriftKind, u64> {
        let mut kinds: BTreeMap<DriftKind, u64> =
            DriftKind::ALL.into_iter().map(|kind| (kind, 0)).collect();
        for drift in &self.drifts {
            *kinds.entry(drift.kind).or_default() += 1;
        }
        kinds
    }
}

/// One thing to compare.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Subject {
    /// A record with all that it calls for.
    Record(JobId),
    /// A job's id in an index or among tickets, or a member that ends in it: does its record call for it?
    Member { key: String, id: String },
    /// A fence: is there a lease to it?
    Holder { queue: Queue, id: String },
    /// A mark: is its attempt open? `job` where a record was seen that says so.
    Nonce { key: String, nonce: String, attempt: String, job: Option<JobId> },
    /// A task's owner: is it there?
    Owner { task: String, id: String },
    /// Jobs per state.
    Counters,
    /// Jobs per state of one batch or tenant.
    Batch { index: String, counts: String },
    /// What a purse bought.
    Bought { index: String, bought: String },
    /// What the days of one tenant cost.
    Usage { index: String, usage: String },
    /// Failures by code: the sums, of all or of those that were dismissed, and the indexes of the jobs that may
    /// have failed.
    Failures { counts: String, dismissed: bool, indexes: Vec<String> },
    /// Slots in use.
    Slots,
}

/// Both sums of failures over the jobs of some indexes.
fn of_failures([all, dismissed]: [String; 2], indexes: &[String]) -> [Subject; 2] {
    let of = |counts, dismissed| Subject::Failures { counts, dismissed, indexes: indexes.to_vec() };
    [of(all, false), of(dismissed, true)]
}

/// What one look at some subjects showed.
#[derive(Default)]
struct Seen {
    drifts: Vec<Drift>,
    records: u64,
    unreadable: u64,
    unchecked: u64,
    /// Open attempts met on the way.
    open: Vec<(AttemptId, JobId)>,
}

/// A recount under way.
struct Round<'a> {
    store: &'a Store,
    pause: Duration,
    recount: Recount,
    suspects: Vec<Drift>,
    open: HashMap<String, JobId>,
}

impl Store {
    /// Compares slots, counters, indexes, tickets, marks and owners with all records, as fast as it can.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn recount(&self) -> Result<Recount, StoreError> {
        self.recount_paced(Duration::ZERO).await
    }

    /// As [`Store::recount`], with a pause after each page of 250, for a pool that has better things to do.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn recount_paced(&self, pause: Duration) -> Result<Recount, StoreError> {
        let (recount, suspects, open) = (Recount::default(), Vec::new(), HashMap::new());
        Round { store: self, pause, recount, suspects, open }.run().await
    }
}

impl Round<'_> {
    async fn run(mut self) -> Result<Recount, StoreError> {
        let names = self.walk_keys().await?;
        for key in &names.members {
            self.walk_members(key).await?;
        }
        for queue in Queue::ALL.into_iter().filter(|queue| *queue != Queue::Notify) {
            self.walk_members(&self.store.keys().lease(queue)).await?;
            self.walk_holders(queue).await?;
        }
        for key in &names.nonces {
            self.walk_nonces(key).await?;
        }
        self.walk_owners().await?;
        self.look(&[Subject::Counters]).await?;
        self.look(&[Subject::Slots]).await?;
        let keys = self.store.keys();
        let indexes = FAILED.map(|word| keys.ix_state(word)).to_vec();
        let counts = [keys.failures(Scope::Pool), keys.failures_dismissed(Scope::Pool)];
        self.look(&of_failures(counts, &indexes)).await?;
        for index in &names.members {
            if let Some(counts) = self.store.keys().counts_of_index(index) {
                self.look(&[Subject::Batch { index: index.clone(), counts }]).await?;
            }
            if let Some(usage) = self.store.keys().usage_of_index(index) {
                self.look(&[Subject::Usage { index: index.clone(), usage }]).await?;
            }
            if let Some(bought) = self.store.keys().bought_of_index(index) {
                self.look(&[Subject::Bought { index: index.clone(), bought }]).await?;
            }
            if let Some((counts, indexes)) = self.store.keys().failures_of_index(index) {
                self.look(&of_failures(counts, &indexes)).await?;
            }
        }
        self.second_look().await?;
        Ok(self.recount)
    }

    /// Every key of the pool, page by page: records are compared at once, the names of sets are kept.
    async fn walk_keys(&mut self) -> Result<Names, StoreError> {
        let mut names = Names::default();
        let pattern = self.store.keys().pattern();
        let mut cursor = 0_u64;
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(PAGE * 2);
            let (next, keys): (u64, Vec<String>) = self.store.connection().ask(&scan).await?;
            let mut records = Vec::new();
            for key in keys {
                match self.store.keys().family(&key) {
                    Some(Family::Job(id)) => records.push(Subject::Record(id)),
                    Some(Family::Index | Family::Custom | Family::Due) => names.members.add(key),
                    Some(Family::Nonces) => names.nonces.add(key),
                    Some(Family::Other) | None => {}
                }
            }
            if records.is_empty() && !self.pause.is_zero() {
                // A server that others share may hold millions of keys that are not ours.
                tokio::time::sleep(self.pause / 25).await;
            }
            self.look(&records).await?;
            cursor = next;
            if cursor == 0 {
                return Ok(names);
            }
        }
    }

    async fn walk_members(&mut self, key: &str) -> Result<(), StoreError> {
        self.walk(key, "ZSCAN", |id, _| Subject::Member { key: key.to_owned(), id }).await
    }

    async fn walk_holders(&mut self, queue: Queue) -> Result<(), StoreError> {
        let key = self.store.keys().holder(queue);
        self.walk(&key, "HSCAN", |id, _| Subject::Holder { queue, id }).await
    }

    async fn walk_nonces(&mut self, key: &str) -> Result<(), StoreError> {
        let open = std::mem::take(&mut self.open);
        let of = |nonce: String, attempt: String| {
            let (key, job) = (key.to_owned(), open.get(&attempt).cloned());
            Subject::Nonce { key, nonce, attempt, job }
        };
        let walked = self.walk(key, "HSCAN", of).await;
        self.open = open;
        walked
    }

    async fn walk_owners(&mut self) -> Result<(), StoreError> {
        let key = self.store.keys().tasks();
        self.walk(&key, "HSCAN", |task, id| Subject::Owner { task, id }).await
    }

    /// The members of a set or hash, page by page.
    async fn walk(
        &mut self,
        key: &str,
        command: &str,
        of: impl Fn(String, String) -> Subject,
    ) -> Result<(), StoreError> {
        let mut cursor = 0_u64;
        loop {
            let mut scan = redis::cmd(command);
            scan.arg(key).arg(cursor).arg("COUNT").arg(PAGE);
            let (next, pairs): (u64, Vec<(String, String)>) =
                self.store.connection().ask(&scan).await?;
            let subjects: Vec<Subject> = pairs.into_iter().map(|(a, b)| of(a, b)).collect();
            self.look(&subjects).await?;
            cursor = next;
            if cursor == 0 {
                return Ok(());
            }
        }
    }

    /// The first look: what is wrong here is only suspected.
    async fn look(&mut self, subjects: &[Subject]) -> Result<(), StoreError> {
        for page in subjects.chunks(PAGE) {
            let seen = self.store.examine(page).await?;
            self.recount.records += seen.records;
            self.recount.unreadable += seen.unreadable;
            self.recount.unchecked += seen.unchecked;
            for (attempt, job) in seen.open {
                if self.open.len() < NAMES_MAX {
                    self.open.insert(attempt.to_string(), job);
                }
            }
            for drift in seen.drifts {
                // A scan may tell one key twice.
                if !self.suspects.iter().any(|known| same(known, &drift)) {
                    if self.suspects.len() < DRIFTS_MAX {
                        self.suspects.push(drift);
                    } else {
                        self.recount.more = true;
                    }
                }
            }
            if !self.pause.is_zero() {
                tokio::time::sleep(self.pause).await;
            }
        }
        Ok(())
    }

    /// Keeps what is still so after a moment.
    async fn second_look(&mut self) -> Result<(), StoreError> {
        if self.suspects.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(MOMENT).await;
        let mut subjects: Vec<Subject> = Vec::new();
        for drift in &self.suspects {
            if !subjects.contains(&drift.subject) {
                subjects.push(drift.subject.clone());
            }
        }
        for page in subjects.chunks(PAGE) {
            for drift in self.store.examine(page).await?.drifts {
                if self.suspects.iter().any(|known| same(known, &drift)) {
                    self.recount.drifts.push(drift);
                }
            }
        }
        self.recount.drifts.sort_by(|a, b| (a.kind, &a.what).cmp(&(b.kind, &b.what)));
        Ok(())
    }
}

/// The same difference, whatever the numbers are by now.
fn same(one: &Drift, other: &Drift) -> bool {
    one.kind == other.kind && one.what == other.what
}

/// Names of sets, each once.
#[derive(Default)]
struct Names {
    members: Bounded,
    nonces: Bounded,
}

#[derive(Default)]
struct Bounded(BTreeSet<String>);

impl Bounded {
    fn add(&mut self, name: String) {
        if self.0.len() < NAMES_MAX {
            self.0.insert(name);
        }
    }
}

impl<'a> IntoIterator for &'a Bounded {
    type Item = &'a String;
    type IntoIter = std::collections::btree_set::Iter<'a, String>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}
