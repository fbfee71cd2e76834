//! The audit at the end: our records, the bucket and the simulator's ledger must tell one story.

use super::ledger::{self, Bought};
use crate::exit::Failure;
use crate::session::Session;
use assets::{Assets, Buckets};
use job::{AttemptId, AttemptOutcome, End, JobId, Record, State};
use seedance::{Currency, Day, PriceTable};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use store::ListQuery;

/// Attempts open when the submitter was killed.
pub(super) type OpenAtKill = BTreeMap<AttemptId, JobId>;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Audit {
    pub(super) jobs: u64,
    pub(super) stored: u64,
    pub(super) failed: u64,
    pub(super) parked: u64,
    /// Attempts open at a kill whose task was found and brought home.
    pub(super) adopted: u64,
    /// Attempts open at a kill that were proven absent and followed by another.
    pub(super) resent: u64,
    /// Billable tasks beyond one for each job, and tasks no job answers for.
    pub(super) duplicates: u64,
    /// Videos whose bytes in the bucket, manifest, record and ledger agree.
    pub(super) verified_sha256: u64,
    pub(super) tokens: u64,
    pub(super) cost_micros: u64,
    pub(super) currency: Option<Currency>,
    /// What does not fit, in words.
    pub(super) faults: Vec<String>,
}

/// Compares everything with everything.
///
/// # Errors
///
/// Redis, the bucket or the ledger cannot be read at all.
pub(super) async fn audit(
    session: &Session,
    ledger: &Path,
    open_at_kill: &OpenAtKill,
) -> Result<Audit, Failure> {
    let buckets = session.buckets()?;
    let tasks = ledger::read(ledger)?;
    let mut audit = Audit::default();
    audit.count_duplicates(session, &tasks).await?;
    let mut cursor = None;
    loop {
        let query = ListQuery { cursor, ..ListQuery::default() };
        let page = session.store.list(&query).await?;
        for stored in page.items {
            audit.job(session, &buckets, &tasks, open_at_kill, &stored.record).await?;
        }
        cursor = page.next;
        if cursor.is_none() {
            return Ok(audit);
        }
    }
}

impl Audit {
    /// Joins the ledger's tasks to jobs by the attempt each create carried in its header.
    async fn count_duplicates(
        &mut self,
        session: &Session,
        tasks: &BTreeMap<String, Bought>,
    ) -> Result<(), Failure> {
        let mut bought: BTreeSet<JobId> = BTreeSet::new();
        for (task, facts) in tasks.iter().filter(|(_, facts)| !facts.unbilled) {
            let attempt = facts.attempt.as_deref().and_then(|id| AttemptId::parse(id).ok());
            let owner = match &attempt {
                Some(attempt) => session.store.job_of_attempt(attempt).await?,
                None => None,
            };
            match owner {
                None => {
                    self.duplicates += 1;
                    self.faults.push(format!("task {task} belongs to no job"));
                }
                Some(job) if bought.contains(&job) => {
                    self.duplicates += 1;
                    self.faults.push(format!("task {task} is a second one for {job}"));
                }
                Some(job) => {
                    bought.insert(job);
                }
            }
        }
        Ok(())
    }

    async fn job(
        &mut self,
        session: &Session,
        buckets: &Buckets,
        tasks: &BTreeMap<String, Bought>,
        open_at_kill: &OpenAtKill,
        record: &Record,
    ) -> Result<(), Failure> {
        self.jobs += 1;
        self.after_kill(record, open_at_kill);
        match &record.life.state {
            State::Finished { end: End::Stored { output }, task: Some(task), .. } => {
                self.stored += 1;
                let facts = tasks.get(task.id.as_str());
                let assets = buckets.of(&record.spec.tenant);
                match verified(assets, &output.manifest, facts).await {
                    Ok(tokens) => {
                        self.verified_sha256 += 1;
                        self.add_cost(session, record, tokens);
                    }
                    Err(why) => self.faults.push(format!("{}: {why}", record.id)),
                }
            }
            State::Parked { .. } => self.parked += 1,
            State::Finished { .. } => {
                self.failed += 1;
                let code = record.life.state.failure_code().unwrap_or("no code");
                let word = record.life.state.word().as_str();
                self.faults.push(format!("{} ended {word} ({code})", record.id));
            }
            State::Held { .. }
            | State::Queued { .. }
            | State::Submitting { .. }
            | State::InDoubt { .. }
            | State::Generating { .. }
            | State::Overdue { .. }
            | State::Downloading { .. } => {
                let word = record.life.state.word().as_str();
                self.faults.push(format!("{} is still {word}", record.id));
            }
        }
        Ok(())
    }

    fn after_kill(&mut self, record: &Record, open_at_kill: &OpenAtKill) {
        for attempt in open_at_kill.iter().filter(|(_, job)| **job == record.id).map(|(id, _)| id) {
            if record.life.state.task().is_some_and(|task| task.attempt == *attempt) {
                self.adopted += 1;
            }
            let closed = record.life.attempts.iter().position(|a| a.open.id == *attempt);
            let absent =
                closed.filter(|at| record.life.attempts[*at].outcome == AttemptOutcome::Absent);
            if absent.is_some_and(|at| at + 1 < record.life.attempts.len()) {
                self.resent += 1;
            }
        }
    }

    fn add_cost(&mut self, session: &Session, record: &Record, tokens: u64) {
        self.tokens += tokens;
        let day = Day::from_unix_s(record.created_at.unix_ms().div_euclid(1_000));
        let (route, request) = (session.pool.route, &record.spec.request);
        match PriceTable::builtin().cost(route, request, tokens, day) {
            Ok(cost) => {
                self.cost_micros += cost.micros;
                self.currency = Some(cost.currency);
            }
            Err(unknown) => self.faults.push(format!("{}: {unknown}", record.id)),
        }
    }
}

/// Reads every stored byte again; the tokens of the task.
async fn verified(assets: &Assets, manifest: &str, facts: Option<&Bought>) -> Result<u64, String> {
    let facts = facts.ok_or("its task is not in the ledger")?;
    let manifest = assets.read_manifest_at(manifest).await.map_err(|error| error.to_string())?;
    let manifest = manifest.ok_or("its manifest is not in the bucket")?;
    assets.verify(&manifest).await.map_err(|error| error.to_string())?;
    let video = manifest.video().ok_or("its manifest names no video")?;
    let same = |ours: &str, theirs: &Option<String>| theirs.as_deref() == Some(ours);
    if !same(&video.output.sha256, &facts.video_sha256) {
        return Err("the stored video is not the one the provider made".to_owned());
    }
    let last_frame = video.last_frame.as_ref().map(|frame| &frame.sha256);
    if last_frame != facts.last_frame_sha256.as_ref() {
        return Err("the stored last frame is not the one the provider made".to_owned());
    }
    let tokens = facts.tokens.unwrap_or(0);
    if manifest.facts.completion_tokens != Some(tokens) {
        let ours = manifest.facts.completion_tokens;
        return Err(format!("{ours:?} tokens in the manifest, {tokens} in the ledger"));
    }
    Ok(tokens)
}
