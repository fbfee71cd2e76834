//! The provider's list against our records: tasks that nobody owns, tasks of ours that the provider does
//! not know, and tokens.

use crate::attempts::{self, Fit};
use crate::report::{AccountReport, Deed, DeedKind, Finding, FindingKind, Report};
use crate::scan::{Row, Scan};
use crate::tokens::{self, Billed};
use crate::unknown::{self, Paid};
use crate::{Ground, ReconcileError};
use job::settle::{self, Sighting};
use job::{Event, FoundVia, Intent, JobId, State, TaskId, Timestamp};
use provider::{Deleted, Retrieved, Site};
use seedance::{ModelKey, TaskStatus};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use store::{Reported, Writer};

/// Scans tried until one is whole.
const SCANS_MAX: u32 = 4;
/// Pause after a torn scan.
const SCAN_PAUSE: Duration = Duration::from_millis(500);
/// Tasks whose owners are asked for at once.
const OWNERS_AT_ONCE: usize = 1_000;
/// Jobs named as candidates for one unowned task.
const CANDIDATES_MAX: usize = 5;

/// What a sweep may do, and how much it looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// How far back the list is read.
    pub back: Duration,
    /// Change nothing.
    pub dry_run: bool,
    /// Withdraw tasks nobody owns, while a read says that they still wait.
    pub cancel_queued: bool,
    /// Look at ended jobs as well: add up tokens, and look for the tasks of those that count as paid. Reads the
    /// record of every ended job.
    pub ended: bool,
    /// Unowned tasks that an earlier sweep could not explain: told again, not looked for again.
    pub unexplained: BTreeSet<TaskId>,
}

/// Compares every account of the pool, and sets the gauges.
///
/// # Errors
///
/// [`ReconcileError`]: nothing of it is wrong because of that; run it again.
pub async fn run(ground: &Ground, options: &Options) -> Result<Report, ReconcileError> {
    let at = ground.store.now().await?;
    let mut report = Report::new(ground.store.pool(), at, at - options.back, options.dry_run);
    let paid = match options.ended {
        true => unknown::paid(ground, report.since, at).await?,
        false => Paid::default(),
    };
    for site in ground.sites() {
        let sweep = Sweep { ground, options, paid: &paid, site: &site, report: &mut report };
        let row = sweep.account().await?;
        report.accounts.push(row);
    }
    let metrics = telemetry::metrics();
    let pool = [ground.store.pool()];
    let sum = |of: fn(&AccountReport) -> f64| report.accounts.iter().map(of).sum::<f64>();
    metrics.orphan_tasks.set(sum(|account| account.orphans as f64), pool);
    metrics.unknown_tasks.set(sum(|account| account.unknown as f64), pool);
    if options.ended {
        let difference = sum(|account| account.tokens.map_or(0.0, |t| t.difference() as f64));
        metrics.token_difference.set(difference, pool);
    }
    Ok(report)
}

/// One account.
struct Sweep<'a> {
    ground: &'a Ground,
    options: &'a Options,
    paid: &'a Paid,
    site: &'a Site,
    report: &'a mut Report,
}

/// A task of a scan with what became of it. A list has ten thousand and more, so nothing of it is copied.
type Listed<'s> = (&'s Sighting, &'s Row);

impl Sweep<'_> {
    async fn account(mut self) -> Result<AccountReport, ReconcileError> {
        let account = self.site.account.clone();
        let mut row = AccountReport { account, ..AccountReport::default() };
        let Some(scan) = self.list().await else { return Ok(row) };
        let Scan::Whole { began_at, seen, ends } = &*scan else { return Ok(row) };
        let (mut known, since) = (BTreeSet::new(), self.report.since);
        let mut listed: Vec<Listed<'_>> = seen.iter().zip(ends).collect();
        listed.retain(|(seen, _)| {
            seen.created_at.is_none_or(|made| made >= since) && known.insert(&seen.id)
        });
        let owners = self.owners(&listed).await?;
        row.tasks = listed.len() as u64;
        row.owned = owners.iter().flatten().count() as u64;
        let both = listed.iter().zip(&owners);
        let unowned = both.filter(|(_, owner)| owner.is_none()).map(|(l, _)| *l).collect();
        let orphans = self.explain(unowned, &mut row).await?;
        row.orphans = orphans.len() as u64;
        for orphan in orphans {
            self.orphan(orphan).await?;
        }
        let mut look = unknown::Look::new(self.ground, self.site, &known, *began_at);
        row.unknown = look.waiting(self.report).await?;
        row.unknown_paid = look.paid(self.paid, self.report).await?;
        if self.options.ended {
            let billed = listed
                .iter()
                .zip(&owners)
                .filter(|((_, end), _)| end.status == TaskStatus::Succeeded);
            let billed: Vec<Billed> = billed
                .map(|((seen, end), owner)| Billed {
                    task: seen.id.clone(),
                    tokens: end.tokens.unwrap_or(0),
                    owner: owner.clone(),
                })
                .collect();
            let site = &self.site.account;
            row.tokens = Some(tokens::add_up(self.ground, site, &billed, self.report).await?);
        }
        Ok(row)
    }

    /// Whose each task is.
    async fn owners(&self, listed: &[Listed<'_>]) -> Result<Vec<Option<JobId>>, ReconcileError> {
        let mut owners = Vec::with_capacity(listed.len());
        for some in listed.chunks(OWNERS_AT_ONCE) {
            let ids: Vec<TaskId> = some.iter().map(|(seen, _)| seen.id.clone()).collect();
            owners.extend(self.ground.store.owners(&ids).await?);
        }
        Ok(owners)
    }

    /// A whole scan that reaches back to the window; none and a finding if there is none to be had.
    async fn list(&mut self) -> Option<Arc<Scan>> {
        let since = self.report.since;
        let mut last = "the scanner ended".to_owned();
        let route = self.ground.settings.route;
        let model_ids: BTreeSet<String> =
            ModelKey::ALL.into_iter().map(|model| model.wire_id(route).to_owned()).collect();
        for tries in 1..=SCANS_MAX {
            let scanner = self.ground.scanners.of(self.site);
            if let Some(scan) = scanner.scan(since, model_ids.clone()).await {
                match &*scan {
                    Scan::Whole { .. } => return Some(scan),
                    Scan::Torn { why } => last.clone_from(why),
                }
            }
            tokio::time::sleep(SCAN_PAUSE * tries).await;
        }
        self.report.find(Finding {
            kind: FindingKind::ListUnreadable,
            account: Some(self.site.account.clone()),
            job: None,
            task: None,
            sentence: format!("the task list could not be read whole {SCANS_MAX} times: {last}"),
            cure: "seedfleet doctor, then seedfleet reconcile again".to_owned(),
        });
        None
    }

    /// Takes out of `unowned` what an attempt explains; what is left is nobody's.
    async fn explain<'l>(
        &mut self,
        unowned: Vec<Listed<'l>>,
        row: &mut AccountReport,
    ) -> Result<Vec<Listed<'l>>, ReconcileError> {
        let mut left = Vec::new();
        for listed in unowned {
            match self.open_job(listed.0).await? {
                true => row.in_doubt += 1,
                false => left.push(listed),
            }
        }
        // A commit may have come between the look at owners and the one at marks.
        let owners = self.owners(&left).await?;
        row.owned += owners.iter().flatten().count() as u64;
        let left: Vec<Listed<'_>> =
            left.into_iter().zip(owners).filter(|(_, o)| o.is_none()).map(|(l, _)| l).collect();
        let unheard: Vec<Sighting> = left
            .iter()
            .map(|(seen, _)| *seen)
            .filter(|seen| !self.options.unexplained.contains(&seen.id))
            .cloned()
            .collect();
        if unheard.is_empty() {
            return Ok(left);
        }
        let account = &self.site.account;
        let mut fits = attempts::among_records(self.ground, account, &unheard).await?;
        let rest: Vec<Sighting> =
            unheard.into_iter().filter(|seen| !fits.contains_key(&seen.id)).collect();
        let mut intents = attempts::among_intents(self.ground, account, &rest).await?;
        let mut orphans = Vec::new();
        for listed in left {
            let id = &listed.0.id;
            let explained = match (fits.remove(id), intents.remove(id)) {
                (Some(fit), _) => self.adopt(fit, id).await?,
                (None, Some(intent)) => self.recall(&intent, id).await?,
                (None, None) => false,
            };
            if !explained {
                orphans.push(listed);
            }
        }
        Ok(orphans)
    }

    /// Whether an open attempt carries the task's mark: settle takes it in by itself.
    async fn open_job(&self, seen: &Sighting) -> Result<bool, ReconcileError> {
        let Some(nonce_s) = seen.nonce_s else { return Ok(false) };
        let store = &self.ground.store;
        let Some(attempt) = store.open_mark(&self.site.account, nonce_s).await? else {
            return Ok(false);
        };
        let Some(job) = store.job_of_attempt(&attempt).await? else { return Ok(false) };
        let Some(stored) = store.load(&job).await? else { return Ok(false) };
        let open = stored.record.life.state.open_attempt();
        Ok(open.is_some_and(|open| settle::fits(open, seen, &self.ground.policy)))
    }

    /// The task of a closed attempt: the machine decides whether its job can still take it in.
    async fn adopt(&mut self, fit: Fit, task: &TaskId) -> Result<bool, ReconcileError> {
        let Fit { job, attempt } = fit;
        if self.options.dry_run {
            self.deed(DeedKind::Adopted, Some(job), Some(task));
            return Ok(true);
        }
        let said = Some("by the comparison with the provider's list".to_owned());
        let event = Event::TaskFound { attempt, task: task.clone(), via: FoundVia::List, said };
        let policy = &self.ground.policy;
        match self.ground.store.report(&job, Writer::Outside, &event, policy).await? {
            Reported::Written { stored, .. } => {
                let own = stored.record.life.state.task();
                if own.is_some_and(|own| own.id == *task) {
                    self.deed(DeedKind::Adopted, Some(job), Some(task));
                } else {
                    self.stray(&job, task);
                }
                Ok(true)
            }
            Reported::Ignored { .. } | Reported::Owned { .. } => Ok(true),
            Reported::Gone | Reported::Fenced => Ok(false),
        }
    }

    /// The task of an attempt that Redis has forgotten: its job comes back, or learns of it.
    async fn recall(&mut self, intent: &Intent, task: &TaskId) -> Result<bool, ReconcileError> {
        let store = &self.ground.store;
        let found = store.load(&intent.job).await?;
        let kind = if found.is_some() { DeedKind::Doubted } else { DeedKind::Restored };
        if self.options.dry_run {
            self.deed(kind, Some(intent.job.clone()), Some(task));
            return Ok(true);
        }
        if found.is_none() {
            let record = intent.restored(store.now().await?);
            if store.restore(&[record]).await?.first() == Some(&true) {
                telemetry::metrics().intents_recovered.add(1, ["restored"]);
                self.deed(kind, Some(intent.job.clone()), Some(task));
                return Ok(true);
            }
        }
        let spec = &intent.spec;
        let job = match found {
            Some(_) => Some(intent.job.clone()),
            None => store.job_of_request(&spec.tenant, &spec.fingerprint).await?,
        };
        let Some(job) = job else { return Ok(false) };
        let attempt = intent.attempt.clone();
        let event = Event::IntentForgotten { attempt, instead_of: None };
        match store.report(&job, Writer::Outside, &event, &self.ground.policy).await? {
            Reported::Written { .. } => {
                telemetry::metrics().intents_recovered.add(1, ["doubted"]);
                self.deed(DeedKind::Doubted, Some(job), Some(task));
                Ok(true)
            }
            // While another attempt is on its way nothing is decided; the next sweep asks again.
            Reported::Ignored { stored, .. } => {
                Ok(matches!(stored.record.life.state, State::Submitting { .. }))
            }
            Reported::Gone | Reported::Owned { .. } | Reported::Fenced => Ok(false),
        }
    }

    async fn orphan(&mut self, (seen, end): Listed<'_>) -> Result<(), ReconcileError> {
        let waits = end.status == TaskStatus::Queued;
        let may_withdraw = self.options.cancel_queued && !self.options.dry_run && waits;
        if may_withdraw && self.withdraw(&seen.id).await {
            self.deed(DeedKind::Cancelled, None, Some(&seen.id));
            return Ok(());
        }
        let Sighting { id, model_id, nonce_s, created_at, .. } = seen;
        let made = created_at.map_or_else(|| "at an unknown time".to_owned(), Timestamp::rfc3339);
        let waiting =
            attempts::waiting_like(self.ground, model_id, *created_at, CANDIDATES_MAX).await?;
        let cure = match waiting.first() {
            Some(job) => format!(
                "seedfleet reconcile --claim {job}={id} --yes --reason TEXT if that job asked for it"
            ),
            None if waits => {
                "seedfleet reconcile --cancel-queued withdraws it while it still waits".to_owned()
            }
            None => {
                "find out who else uses this account; give the fleet a key of its own".to_owned()
            }
        };
        let names: Vec<&str> = waiting.iter().map(JobId::as_str).collect();
        let candidates = match names.is_empty() {
            true => String::new(),
            false => format!("; waiting jobs like it: {}", names.join(", ")),
        };
        self.report.find(Finding {
            kind: FindingKind::OrphanTask,
            account: Some(self.site.account.clone()),
            job: None,
            task: Some(id.clone()),
            sentence: format!(
                "no job owns {id}: model {model_id}, made {made}, {}, execution_expires_after {}{candidates}",
                end.status.word(),
                nonce_s.map_or_else(|| "not told".to_owned(), |n| n.to_string()),
            ),
            cure,
        });
        Ok(())
    }

    /// Nothing but a task that a read has just shown as queued is ever deleted.
    async fn withdraw(&self, task: &TaskId) -> bool {
        let read = self.ground.retrieve(self.site, task).await;
        let Some(Retrieved::Task { task: seen, .. }) = read else { return false };
        if seen.status != TaskStatus::Queued {
            return false;
        }
        matches!(self.ground.delete(self.site, task).await, Some(Deleted::Cancelled))
    }

    fn stray(&mut self, job: &JobId, task: &TaskId) {
        telemetry::metrics().duplicate_submissions.add(1, ["list"]);
        self.report.find(Finding {
            kind: FindingKind::StrayTask,
            account: Some(self.site.account.clone()),
            job: Some(job.clone()),
            task: Some(task.clone()),
            sentence: format!("{task} is a second task of {job}"),
            cure: format!("seedfleet jobs show {job}: its attempts say how; both may be billed"),
        });
    }

    fn deed(&mut self, kind: DeedKind, job: Option<JobId>, task: Option<&TaskId>) {
        self.report.did(Deed { kind, job, attempt: None, task: task.cloned() });
    }
}
