//! `batch`: look at batches, pause, resume and cancel them.

use super::totals::{money, row};
use crate::cli::{BatchArgs, BatchVerb, Global};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Format, Rows, note};
use crate::session::{Session, operator};
use job::StateWord;
use job::filter::Filter;
use serde_json::json;
use store::{Batch, Opened, OperationVerb, OperationWish};
use survey::{BatchView, OperationView};

const COLUMNS: &[&str] = &["id", "state", "jobs", "finished", "tokens", "cost", "created_at"];

/// Runs the verb.
pub(crate) async fn run(global: &Global, verb: BatchVerb) -> Outcome {
    let session = Session::open(global).await?;
    match verb {
        BatchVerb::List { tenant, limit } => {
            let batches = session.store.batches(tenant.as_deref(), 0, usize::from(limit)).await?;
            let mut rows = Rows::new(global.output, COLUMNS);
            for batch in &batches {
                rows.add(line(global, batch)?)?;
            }
            rows.end()?;
            Ok(Exit::Done)
        }
        BatchVerb::Show { batch } => {
            let found = find(&session, &batch).await?;
            output::object(global.output, line(global, &found)?)?;
            Ok(Exit::Done)
        }
        BatchVerb::Pause(args) => turn(global, &session, OperationVerb::Pause, args).await,
        BatchVerb::Resume(args) => turn(global, &session, OperationVerb::Resume, args).await,
        BatchVerb::Cancel(args) => turn(global, &session, OperationVerb::Cancel, args).await,
    }
}

fn line(global: &Global, batch: &Batch) -> Result<output::Row, Failure> {
    let view = BatchView::from(batch);
    let mut row = row(&view)?;
    row.insert("tenant".into(), json!(batch.tenant));
    if matches!(global.output, Format::Table | Format::Csv) {
        row.insert("cost".into(), json!(money(&view.cost)));
    }
    Ok(row)
}

async fn find(session: &Session, name: &str) -> Result<Batch, Failure> {
    session.store.batch(name).await?.ok_or_else(|| {
        let what = format!("there is no batch {name} in pool {}", session.store.pool());
        Failure::new(Exit::NotFound, what).hint("`seedfleet batch list` shows those there are")
    })
}

/// How many jobs a verb can touch at most.
fn touched(batch: &Batch, verb: OperationVerb) -> u64 {
    let of = |word: StateWord| batch.counts.get(&word).copied().unwrap_or(0);
    match verb {
        OperationVerb::Pause => of(StateWord::Queued),
        OperationVerb::Resume => of(StateWord::Held),
        OperationVerb::Cancel => batch.jobs() - batch.finished(),
    }
}

async fn turn(global: &Global, session: &Session, verb: OperationVerb, args: BatchArgs) -> Outcome {
    let batch = find(session, &args.batch).await?;
    let jobs = touched(&batch, verb);
    if !args.decision.yes {
        let what =
            format!("{} would touch {jobs} jobs of {}; it costs nothing", verb.word(), batch.name);
        return Err(Failure::new(Exit::Guard, what).hint("do it with --reason WHY --yes"));
    }
    let wish = OperationWish {
        id: format!("op_{}", ulid::Ulid::generate()),
        verb,
        filter: Filter::all(),
        tenant: None,
        by: operator(args.decision.by.as_deref()).as_str().to_owned(),
        reason: args.decision.reason()?.to_owned(),
    };
    let operation = match session.store.turn_batch(&batch.name, wish).await? {
        Opened::New(operation) | Opened::Known(operation) => operation,
        Opened::Other(_) | Opened::Full => {
            return Err(Failure::new(Exit::Outage, "too many operations wait already")
                .hint("repeat it when some of them have ended"));
        }
    };
    output::object(global.output, row(&OperationView::from(&*operation))?)?;
    if !global.quiet {
        note("a gateway of this pool carries it out; `seedfleet batch show` tells how it stands");
    }
    Ok(Exit::Done)
}
