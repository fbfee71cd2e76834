//! `batch edit`: another order, or another end of their use, for the jobs of a batch that wait.
//!
//! It walks the batch from here: each job is changed whole or not at all, and the same command again changes what is left.

use super::find;
use crate::cli::{BatchNamed, EditArgs, Global, Setting};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Progress, Row};
use crate::session::{Session, operator};
use crate::verbs::rows::Walk;
use serde_json::json;
use store::{BatchCaps, EditCount, JobEdit};

/// What is wanted, each thing once.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) jobs: JobEdit,
    pub(crate) budget: Option<u64>,
}

impl Wish {
    /// Of the options.
    ///
    /// # Errors
    ///
    /// They contradict each other.
    pub(crate) fn of(args: &EditArgs) -> Result<Self, Failure> {
        let wish = Self::settings(&args.set)?;
        if args.conditions.is_some() && !wish.edits_jobs() {
            return Err(Failure::usage("a budget is the whole batch's: leave --where out"));
        }
        Ok(wish)
    }

    fn settings(settings: &[Setting]) -> Result<Self, Failure> {
        let mut wish = Self::default();
        for setting in settings {
            let twice = match *setting {
                Setting::Priority(priority) => wish.jobs.priority.replace(priority).is_some(),
                Setting::UsefulUntil(until) => wish.jobs.useful_until.replace(until).is_some(),
                Setting::Budget(micros) => wish.budget.replace(micros).is_some(),
            };
            if twice {
                return Err(Failure::usage("--set says one field twice; say it once"));
            }
        }
        Ok(wish)
    }

    /// Whether it is about jobs, and not about the budget alone.
    pub(crate) fn edits_jobs(&self) -> bool {
        self.jobs != JobEdit::default()
    }

    /// What it would come to, for who has not agreed yet.
    pub(crate) fn would(&self, batch: &str, count: EditCount) -> Failure {
        let EditCount { changed, begun, .. } = count;
        let budget = self.budget.map_or("", |_| "; its budget would be set");
        let what = format!(
            "{changed} waiting jobs of {batch} would be changed, {begun} that have begun or ended stay{budget}"
        );
        Failure::new(Exit::Guard, what).hint("do it with --reason WHY --yes")
    }
}

/// Runs the verb.
pub(super) async fn run(global: &Global, session: &Session, args: EditArgs) -> Outcome {
    let BatchNamed { batch, tenant } = &args.named;
    let wish = Wish::of(&args)?;
    let batch = find(session, batch, tenant.as_deref()).await?;
    if let Some(Some(until)) = wish.jobs.useful_until
        && until <= session.store.now().await?
    {
        let what = format!("useful_until {} has passed: nothing would be bought", until.rfc3339());
        return Err(Failure::usage(what).hint("`seedfleet batch cancel` stops its jobs"));
    }
    let filter = args.conditions.clone().unwrap_or_default();
    let filter = filter.batch(&batch.name).tenant(&batch.tenant);
    if !args.decision.yes {
        let mut count = EditCount::default();
        if wish.edits_jobs() {
            let mut walk = Walk::new(&session.store, filter, 0);
            while let Some(page) = walk.next().await? {
                count = count.and(EditCount::of(&page));
            }
        }
        return Err(wish.would(&batch.name, count));
    }
    let (by, reason) = (operator(args.decision.by.as_deref()), args.decision.reason()?);
    if let Some(micros) = wish.budget {
        let caps = BatchCaps { total_micros: Some(micros), ..BatchCaps::default() };
        session.store.set_batch_caps(&batch.tenant, &batch.name, caps, &by, reason).await?;
    }
    let (mut count, progress) = (EditCount::default(), Progress::begin(None, global.quiet));
    if wish.edits_jobs() {
        session.store.note_edit(&batch, &wish.jobs, &filter.to_string(), &by, reason).await?;
        let mut walk = Walk::new(&session.store, filter, 0);
        while let Some(page) = walk.next().await? {
            count = count.and(session.store.edit_all(&page, &wish.jobs, &by, reason).await?);
            at(&progress, count);
        }
    }
    progress.end();
    show(global, &batch.name, count)
}

/// How far it has come.
pub(crate) fn at(progress: &Progress, count: EditCount) {
    let EditCount { changed, same, begun } = count;
    progress.at(changed + same + begun, &format!("{changed} changed, {begun} have begun"));
}

/// What it came to.
///
/// # Errors
///
/// As of every object.
pub(crate) fn show(global: &Global, batch: &str, count: EditCount) -> Outcome {
    let row = Row::from_iter([
        ("batch".to_owned(), json!(batch)),
        ("changed".to_owned(), json!(count.changed)),
        ("unchanged".to_owned(), json!(count.same)),
        ("begun".to_owned(), json!(count.begun)),
    ]);
    output::object(&global.output, row)?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use job::Priority;

    #[test]
    fn each_thing_is_wished_once() {
        let high = Setting::Priority(Priority::High);
        let wish = Wish::settings(&[high, Setting::Budget(5), Setting::UsefulUntil(None)]);
        let jobs = JobEdit { priority: Some(Priority::High), useful_until: Some(None) };
        assert_eq!(wish, Ok(Wish { jobs, budget: Some(5) }));
        assert!(Wish::settings(&[high, Setting::Priority(Priority::Low)]).is_err());
    }
}
