//! Tasks of ours that the provider does not know.
//!
//! A job that waits for a task may have paid for it, and one that ended with it has: if neither the account's
//! list nor a read shows the task, bill and record disagree, or the key reads another account by now. Ends that
//! are not billed (failed, expired, cancelled) claim nothing, and nobody looks for their tasks.

use crate::report::{Finding, FindingKind, Report};
use crate::{Ground, ReconcileError};
use job::filter::Filter;
use job::{JobId, Record, StateWord, TaskId, TaskRef, Timestamp, rounds};
use provider::{Retrieved, Site};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use store::ListQuery;

/// Tasks that no list showed, read one by one in one sweep of an account; waiting jobs' first.
const READS_MAX: usize = 200;
/// Pages of waiting jobs looked through.
const PAGES_MAX: usize = 200;
/// At the edge of its memory the provider may forget a task while we look for it.
const EDGE: Duration = Duration::from_secs(3_600);

/// States in which a job waits for its task, or for its film.
const WAITING: [StateWord; 3] = [StateWord::Running, StateWord::Overdue, StateWord::Downloading];
/// Ends that count as paid, or as perhaps paid, and know their task.
const PAID: [StateWord; 3] = [StateWord::Succeeded, StateWord::OutputLost, StateWord::TimedOut];

/// Ended jobs that count as paid, each with its task, by account.
pub(crate) type Paid = BTreeMap<String, Vec<(JobId, TaskId)>>;

/// Those whose create lies in the time for which the list is read and the provider remembers. Of a task bought
/// elsewhere nobody knows its age: it is left out.
pub(crate) async fn paid(
    ground: &Ground,
    since: Timestamp,
    now: Timestamp,
) -> Result<Paid, ReconcileError> {
    let remembered = now - ground.policy.settle.records_kept.saturating_sub(EDGE);
    let first = since.max(remembered);
    let mut paid = Paid::new();
    for word in PAID {
        let index = ground.store.keys().ix_state(word);
        let mut last = None;
        loop {
            let page = ground.store.members(&index, last.as_ref(), None).await?;
            let Some(end) = page.last().cloned() else { break };
            let ids: Vec<JobId> = page.into_iter().map(|member| member.id).collect();
            for stored in ground.store.load_here(&ids).await? {
                let record = stored.record;
                let Some(task) = record.life.state.task() else { continue };
                if rounds::since(&record, task).is_some_and(|begun| begun >= first) {
                    let account = paid.entry(task.facts.account.clone()).or_default();
                    account.push((record.id.clone(), task.id.clone()));
                }
            }
            last = Some(end);
        }
    }
    Ok(paid)
}

/// The look at one account, after a whole scan of its list.
pub(crate) struct Look<'a> {
    ground: &'a Ground,
    site: &'a Site,
    listed: &'a BTreeSet<&'a TaskId>,
    /// Younger tasks may not show yet.
    known_before: Timestamp,
    reads: usize,
}

impl<'a> Look<'a> {
    pub(crate) fn new(
        ground: &'a Ground,
        site: &'a Site,
        listed: &'a BTreeSet<&'a TaskId>,
        scan_began_at: Timestamp,
    ) -> Self {
        let policy = &ground.policy;
        let young = policy.settle.list_lag_max + policy.poll.not_found_grace;
        Self { ground, site, listed, known_before: scan_began_at - young, reads: 0 }
    }

    /// Jobs that wait for a task which neither the list nor a read shows.
    pub(crate) async fn waiting(&mut self, report: &mut Report) -> Result<u64, ReconcileError> {
        let mut unknown = 0;
        for word in WAITING {
            let mut cursor = None;
            for _ in 0..PAGES_MAX {
                let query = ListQuery { cursor, ..ListQuery::of(Filter::all().state(word)) };
                let page = self.ground.store.list(&query).await?;
                for stored in &page.items {
                    unknown += u64::from(self.is_unknown(&stored.record, report).await);
                }
                match page.next {
                    Some(next) => cursor = Some(next),
                    None => break,
                }
            }
        }
        Ok(unknown)
    }

    /// Ended jobs that count as paid, of this account, and whose task neither the list nor a read shows.
    pub(crate) async fn paid(
        &mut self,
        paid: &Paid,
        report: &mut Report,
    ) -> Result<u64, ReconcileError> {
        let mut unknown = 0;
        for (job, task) in paid.get(&self.site.account).into_iter().flatten() {
            if self.listed.contains(task) || self.reads == READS_MAX {
                continue;
            }
            // One that has left Redis meanwhile ended days ago: an earlier look was its turn.
            for stored in self.ground.store.load_here(std::slice::from_ref(job)).await? {
                unknown += u64::from(self.is_unknown(&stored.record, report).await);
            }
        }
        Ok(unknown)
    }

    /// Reads the job's task if no list showed it, and tells of it if that does not show it either.
    async fn is_unknown(&mut self, record: &Record, report: &mut Report) -> bool {
        let Some(task) = record.life.state.task() else { return false };
        let here = task.facts.account == self.site.account;
        let settled = task.known_at <= self.known_before;
        if !here || !settled || self.listed.contains(&task.id) || self.reads == READS_MAX {
            return false;
        }
        self.reads += 1;
        let read = self.ground.retrieve(&Site::for_reads(&task.facts), &task.id).await;
        let unknown = matches!(read, Some(Retrieved::NotFound));
        if unknown {
            report.find(finding(record, task));
        }
        unknown
    }
}

fn finding(record: &Record, task: &TaskRef) -> Finding {
    let (job, word) = (&record.id, record.life.state.word());
    let (with, cure) = if word.is_finished() {
        ("counts as paid with", "compare it with the bill")
    } else if word == StateWord::Downloading {
        ("copies the film of", "its link lives for a day after the task's end")
    } else {
        ("waits for", "it ends by itself when its deadline passes")
    };
    Finding {
        kind: FindingKind::UnknownTask,
        account: Some(task.facts.account.clone()),
        job: Some(job.clone()),
        task: Some(task.id.clone()),
        sentence: format!(
            "{job} is {} and {with} {}, known since {}, which the provider does not know",
            word.as_str(),
            task.id,
            task.known_at.rfc3339()
        ),
        cure: format!("seedfleet jobs show {job}; {cure}"),
    }
}
