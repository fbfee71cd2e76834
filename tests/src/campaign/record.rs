//! One record against the ledger and the bucket.

use super::Order;
use super::audit::{Audit, is_paid};
use super::ledger::{Digest, Ended};
use job::{End, ParkWhy, Record, State, StateWord};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use store::TimelineLine;

/// What records are compared with.
pub(super) struct Facts<'a> {
    pub(super) order: &'a Order,
    pub(super) digest: &'a Digest,
    pub(super) bucket: PathBuf,
}

/// What the records say together.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Jobs by the mark of their request.
    pub(super) jobs: BTreeMap<String, BTreeSet<String>>,
    /// Jobs by the task they know.
    tasks: BTreeMap<String, BTreeSet<String>>,
    /// Marks of requests whose job waits for a person.
    parked: BTreeSet<String>,
}

impl Seen {
    /// 3: every task in the ledger is known to exactly one job.
    pub(super) fn owners(&self, order: &Order, digest: &Digest, audit: &mut Audit) {
        for (task, facts) in &digest.tasks {
            match self.tasks.get(task).map_or(0, BTreeSet::len) {
                1 => {}
                // Nobody can know whose it is, and a person is asked.
                0 if order.hides_tasks() && self.parked.contains(&facts.mark) => {}
                0 => {
                    audit.lost += 1;
                    audit.wrong(format!("3: nobody's task {task} of {}", facts.mark));
                    if is_paid(digest, task) {
                        audit.outputs_lost += 1;
                    }
                }
                n => audit.wrong(format!("3: {task} belongs to {n} jobs")),
            }
        }
        for task in self.tasks.keys().filter(|task| !digest.tasks.contains_key(*task)) {
            audit.wrong(format!("3: {task} was never made"));
        }
    }
}

impl Facts<'_> {
    /// One job, with its way.
    pub(super) fn record(
        &self,
        record: &Record,
        timeline: &[TimelineLine],
        seen: &mut Seen,
        audit: &mut Audit,
    ) {
        let mark = record.spec.custom_id.clone().unwrap_or_default();
        let id = record.id.to_string();
        seen.jobs.entry(mark.clone()).or_default().insert(id.clone());
        for task in record.life.tasks() {
            seen.tasks.entry(task.to_string()).or_default().insert(id.clone());
            let bought_for = self.digest.tasks.get(task.as_str()).map(|task| task.mark.as_str());
            if bought_for.is_some_and(|bought_for| bought_for != mark) {
                audit.wrong_adoptions += 1;
                audit.wrong(format!("3: {id} of {mark} has {task}, bought for {bought_for:?}"));
            }
        }
        if !record.life.strays.is_empty() {
            audit.wrong(format!("3: {id} has strays {:?}", record.life.strays));
        }
        audit.resent += u64::from(record.life.resends);
        if matches!(record.life.state, State::Parked { .. }) {
            seen.parked.insert(mark.clone());
        }
        self.doubts(record, timeline, audit);
        self.end(record, &mark, audit);
    }

    /// When the first callback of its task was taken in.
    fn heard_at_ms(&self, record: &Record) -> i64 {
        let of = |task: &str| self.digest.tasks.get(task)?.heard_at_ms;
        record.life.tasks().filter_map(|task| of(task.as_str())).min().unwrap_or(i64::MIN)
    }

    /// How its doubts were settled.
    fn doubts(&self, record: &Record, timeline: &[TimelineLine], audit: &mut Audit) {
        let mut since: Option<i64> = None;
        // Newest first in the server's list.
        for line in timeline.iter().rev() {
            let at = line.at.unix_ms();
            if line.to == StateWord::InDoubt && line.from != StateWord::InDoubt {
                audit.doubtful += 1;
                since = Some(at);
            }
            let found = line.what.starts_with("adopted");
            // A submitter whose lease passed may still bring the answer itself.
            let answered = since.is_some() && line.what.starts_with("accepted");
            audit.adopted += u64::from(found || answered);
            if found {
                let took = |from: i64| u64::try_from(at - from).unwrap_or(0);
                let since = since.unwrap_or(at);
                match line.what.ends_with("callback") {
                    // Nobody can act on a callback before it is there.
                    true => audit.by_callback_ms.push(took(since.max(self.heard_at_ms(record)))),
                    false => audit.by_list_ms.push(took(since)),
                }
            }
            if !matches!(line.to, StateWord::InDoubt | StateWord::Parked) {
                since = None;
            }
        }
        let open = record.life.state.open_attempt().into_iter();
        let attempts = record.life.attempts.iter().map(|closed| &closed.open).chain(open);
        for attempt in attempts {
            let unclear = format!("attempt {} unclear", attempt.number);
            if timeline.iter().any(|line| line.what.starts_with(&unclear))
                && let Some(Some(task)) = self.digest.attempts.get(attempt.id.as_str())
            {
                audit.with_task += 1;
                audit.taken_in += u64::from(record.life.tasks().any(|own| own.as_str() == task));
            }
        }
    }

    /// 2 and 4: it has ended, and as the ledger says.
    fn end(&self, record: &Record, mark: &str, audit: &mut Audit) {
        let (id, word) = (&record.id, record.life.state.word());
        let tasks = self.digest.bought.get(mark).map_or(&[][..], Vec::as_slice);
        let paid = tasks.iter().any(|task| is_paid(self.digest, task));
        match &record.life.state {
            State::Parked { why, .. } => self.parked(record, why, tasks.len(), audit),
            State::Finished { end: End::Stored { output }, task, .. } => {
                audit.stored += 1;
                let task = task.as_ref().map(|task| task.id.to_string()).unwrap_or_default();
                if let Err(why) = self.output(output, &task) {
                    audit.outputs_lost += 1;
                    audit.wrong(format!("4: {id} of {mark}: {why}"));
                }
            }
            State::Finished { end, .. } => {
                audit.failed += 1;
                let lost = matches!(end, End::OutputLost { .. });
                if paid || lost {
                    audit.outputs_lost += 1;
                    audit.wrong(format!("4: {id} of {mark} is paid and ended {end:?}"));
                } else if !matches!(end, End::Failed { .. }) {
                    audit.wrong(format!("2: {id} of {mark} ended {end:?}"));
                }
            }
            State::Held { .. }
            | State::Queued { .. }
            | State::Submitting { .. }
            | State::InDoubt { .. }
            | State::Generating { .. }
            | State::Overdue { .. }
            | State::Downloading { .. } => {
                audit.lost += 1;
                audit.wrong(format!("2: {id} of {mark} is still {}", word.as_str()));
            }
        }
    }

    /// A parked job is one the policy may not settle; anything else needs an answer.
    fn parked(&self, record: &Record, why: &ParkWhy, tasks: usize, audit: &mut Audit) {
        audit.parked += 1;
        let word = serde_json::to_value(why).ok();
        let word = word.and_then(|why| Some(why["kind"].as_str()?.to_owned()));
        *audit.parked_why.entry(word.unwrap_or_default()).or_default() += 1;
        let strict = self.order.policy == "strict";
        let id = &record.id;
        // Nobody can say what came of it: whatever the reason, a person is asked.
        if self.order.hides_tasks() {
            audit.needs_person += 1;
            return;
        }
        match why {
            ParkWhy::NoTaskStrict if strict && tasks == 0 => audit.needs_person += 1,
            // Both sends of the job bought nothing, and one re-send is all the policy gives.
            ParkWhy::ResendSpent if !strict && tasks == 0 => {}
            ParkWhy::SeveralTasks { .. } if tasks > 1 => audit.needs_person += 1,
            ParkWhy::NoTaskStrict
            | ParkWhy::ResendSpent
            | ParkWhy::ListUnreadable
            | ParkWhy::EvidenceMissing
            | ParkWhy::DayBudgetSpent
            | ParkWhy::SeveralTasks { .. } => {
                audit.needs_person += 1;
                audit.wrong(format!("2: {id} is parked for {why:?} with {tasks} tasks made"));
            }
        }
    }

    /// 4: record, manifest, object and ledger name the same bytes.
    fn output(&self, output: &job::StoredOutput, task: &str) -> Result<(), String> {
        let Some(Ended::Billed { video_sha256 }) =
            self.digest.tasks.get(task).map(|task| &task.ended)
        else {
            return Err(format!("stored for {task}, which nobody billed"));
        };
        if video_sha256.as_deref() != Some(output.video_sha256.as_str()) {
            return Err(format!("{} is not what {task} made", output.video));
        }
        let read = |path: &str| {
            std::fs::read(self.bucket.join(path)).map_err(|error| format!("{path}: {error}"))
        };
        let manifest = String::from_utf8_lossy(&read(&output.manifest)?).into_owned();
        if !manifest.contains(&output.video) || !manifest.contains(&output.video_sha256) {
            return Err(format!("{} does not name {}", output.manifest, output.video));
        }
        let digest = Sha256::digest(read(&output.video)?);
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        match hex == output.video_sha256 {
            true => Ok(()),
            false => Err(format!("{} holds other bytes", output.video)),
        }
    }
}
