//! `batch edit`: another order, or another end of their use, for the jobs of a batch that wait.
//!
//! It walks the batch from here: each job is changed whole or not at all, and the same command again changes what is left.

use super::find;
use crate::cli::{BatchNamed, EditArgs, Global, Setting};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Progress, Row};
use crate::session::{Session, operator};
use crate::verbs::rows::Walk;
use futures::future::join_all;
use job::filter::Filter;
use serde_json::json;
use store::{Batch, BatchCaps, Edited, JobEdit};

/// Jobs changed at a time.
const AT_ONCE: usize = 16;

/// What is wanted, each thing once.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wish {
    jobs: JobEdit,
    budget: Option<u64>,
}

impl Wish {
    fn of(settings: &[Setting]) -> Result<Self, Failure> {
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
}

/// Jobs by what became of them.
#[derive(Debug, Default)]
struct Count {
    changed: u64,
    same: u64,
    begun: u64,
}

/// Runs the verb.
pub(super) async fn run(global: &Global, session: &Session, args: EditArgs) -> Outcome {
    let BatchNamed { batch, tenant } = &args.named;
    let wish = Wish::of(&args.set)?;
    let batch = find(session, batch, tenant.as_deref()).await?;
    let edits_jobs = wish.jobs != JobEdit::default();
    if args.conditions.is_some() && !edits_jobs {
        return Err(Failure::usage("a budget is the whole batch's: leave --where out"));
    }
    if let Some(Some(until)) = wish.jobs.useful_until
        && until <= session.store.now().await?
    {
        let what = format!("useful_until {} has passed: nothing would be bought", until.rfc3339());
        return Err(Failure::usage(what).hint("`seedfleet batch cancel` stops its jobs"));
    }
    let filter = args.conditions.clone().unwrap_or_default();
    let filter = filter.batch(&batch.name).tenant(&batch.tenant);
    if !args.decision.yes {
        return Err(would(session, &batch, &filter, &wish).await?);
    }
    let (by, reason) = (operator(args.decision.by.as_deref()), args.decision.reason()?);
    if let Some(micros) = wish.budget {
        let caps = BatchCaps { total_micros: Some(micros), ..BatchCaps::default() };
        session.store.set_batch_caps(&batch.tenant, &batch.name, caps, &by, reason).await?;
    }
    let mut count = Count::default();
    if edits_jobs {
        session.store.note_edit(&batch, &wish.jobs, &filter.to_string(), &by, reason).await?;
        count = walk(global, session, filter, &wish.jobs, (&by, reason)).await?;
    }
    let row = Row::from_iter([
        ("batch".to_owned(), json!(batch.name)),
        ("changed".to_owned(), json!(count.changed)),
        ("unchanged".to_owned(), json!(count.same)),
        ("begun".to_owned(), json!(count.begun)),
    ]);
    output::object(&global.output, row)?;
    Ok(Exit::Done)
}

/// How many it would touch.
async fn would(
    session: &Session,
    batch: &Batch,
    filter: &Filter,
    wish: &Wish,
) -> Result<Failure, Failure> {
    let (mut waiting, mut others) = (0_u64, 0_u64);
    if wish.jobs != JobEdit::default() {
        let mut walk = Walk::new(&session.store, filter.clone(), 0);
        while let Some(page) = walk.next().await? {
            for stored in page {
                let waits = JobEdit::WAITING.contains(&stored.record.life.state.word());
                *(if waits { &mut waiting } else { &mut others }) += 1;
            }
        }
    }
    let budget = wish.budget.map_or("", |_| "; its budget would be set");
    let what = format!(
        "{waiting} waiting jobs of {} would be changed, {others} that have begun or ended stay{budget}",
        batch.name
    );
    Ok(Failure::new(Exit::Guard, what).hint("do it with --reason WHY --yes"))
}

async fn walk(
    global: &Global,
    session: &Session,
    filter: Filter,
    edit: &JobEdit,
    (by, reason): (&job::By, &str),
) -> Result<Count, Failure> {
    let mut count = Count::default();
    let progress = Progress::begin(None, global.quiet);
    let mut walk = Walk::new(&session.store, filter, 0);
    while let Some(page) = walk.next().await? {
        let (waiting, others): (Vec<_>, Vec<_>) = page
            .into_iter()
            .partition(|stored| JobEdit::WAITING.contains(&stored.record.life.state.word()));
        count.begun += others.len() as u64;
        for some in waiting.chunks(AT_ONCE) {
            let each = some.iter().map(|stored| {
                let id = &stored.record.id;
                session.store.edit_waiting(id, edit, by, reason)
            });
            for edited in join_all(each).await {
                match edited? {
                    Edited::Done => count.changed += 1,
                    Edited::Same => count.same += 1,
                    Edited::Begun | Edited::Gone => count.begun += 1,
                }
            }
        }
        let Count { changed, same, begun } = count;
        progress.at(changed + same + begun, &format!("{changed} changed, {begun} have begun"));
    }
    progress.end();
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use job::Priority;

    #[test]
    fn each_thing_is_wished_once() {
        let high = Setting::Priority(Priority::High);
        let wish = Wish::of(&[high, Setting::Budget(5), Setting::UsefulUntil(None)]);
        let jobs = JobEdit { priority: Some(Priority::High), useful_until: Some(None) };
        assert_eq!(wish, Ok(Wish { jobs, budget: Some(5) }));
        assert!(Wish::of(&[high, Setting::Priority(Priority::Low)]).is_err());
    }
}
