//! `batch`: look at batches, pause, resume and cancel them, say what may be bought for them.

pub(crate) mod edit;
pub(crate) mod watch;

use super::totals::{money, row};
use crate::cli::{BatchArgs, BatchNamed, BatchVerb, BudgetArgs, Global, StopOnArgs};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Rows, note};
use crate::session::{Session, operator};
use job::filter::Filter;
use job::{Again, StateWord};
use serde_json::{Value, json};
use store::{Batch, BatchCaps, Opened, OperationVerb, OperationWish, Paused};
use survey::{BatchView, EtaView, OperationView, batch_eta};

pub(crate) const COLUMNS: &[&str] =
    &["id", "state", "jobs", "finished", "tokens", "cost", "created_at", "paused"];

/// Runs the verb.
pub(crate) async fn run(global: &Global, verb: BatchVerb) -> Outcome {
    let session = Session::open(global).await?;
    match verb {
        BatchVerb::List { tenant, limit } => {
            let batches = session.store.batches(tenant.as_deref(), 0, usize::from(limit)).await?;
            let mut rows = Rows::new(&global.output, COLUMNS);
            for batch in &batches {
                rows.add(line(global, batch)?)?;
            }
            rows.end()?;
            Ok(Exit::Done)
        }
        BatchVerb::Show(BatchNamed { batch, tenant }) => {
            let found = find(&session, &batch, tenant.as_deref()).await?;
            let eta = batch_eta(&session.store, &session.pool, &found).await?;
            let mut row = line(global, &found)?;
            row.insert("eta".into(), shown(global, eta.as_ref()));
            output::object(&global.output, row)?;
            Ok(Exit::Done)
        }
        BatchVerb::Budget(args) => budget(global, &session, args).await,
        BatchVerb::Edit(args) => edit::run(global, &session, args).await,
        BatchVerb::StopOn(args) => stop_on(global, &session, args).await,
        BatchVerb::Watch { named: BatchNamed { batch, tenant }, timeout, every } => {
            let found = find(&session, &batch, tenant.as_deref()).await?;
            let how = watch::How { timeout, every, lines: true };
            watch::run(global, &session, found, how).await
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
    if global.output.has_columns() {
        row.insert("cost".into(), json!(money(&view.cost)));
        row.insert("paused".into(), json!(batch.paused.as_ref().map(why)));
    }
    Ok(row)
}

/// An ETA as a value: a sentence in columns, and else whole.
pub(crate) fn shown(global: &Global, eta: Option<&EtaView>) -> Value {
    match global.output.has_columns() {
        true => json!(eta.map(|eta| &eta.says)),
        false => json!(eta),
    }
}

/// A pause in words.
pub(crate) fn why(paused: &Paused) -> String {
    format!("by {} since {} ({})", paused.by.as_str(), paused.at.rfc3339(), paused.reason)
}

/// The same, as the API tells it.
pub(crate) fn pause_words(paused: &Value) -> String {
    let of = |name: &str| paused[name].as_str().unwrap_or_default();
    format!("by {} since {} ({})", of("by"), of("at"), of("reason"))
}

/// The batch that is meant: names are the tenants' own, so one that several have needs its tenant.
pub(crate) async fn find(
    session: &Session,
    name: &str,
    tenant: Option<&str>,
) -> Result<Batch, Failure> {
    let store = &session.store;
    let owners = match tenant {
        Some(tenant) => vec![tenant.to_owned()],
        None => store.batch_owners(name).await?,
    };
    let found = match owners.as_slice() {
        [] => None,
        [owner] => store.batch(owner, name).await?,
        several => {
            let what = format!("several tenants have a batch {name}: {}", several.join(", "));
            return Err(Failure::usage(what).hint("say whose with --tenant"));
        }
    };
    found.ok_or_else(|| {
        let of = tenant.map(|tenant| format!(" of tenant {tenant}")).unwrap_or_default();
        let what = format!("there is no batch {name}{of} in pool {}", store.pool());
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
        OperationVerb::Retry => Again::WORDS.into_iter().map(of).sum(),
        OperationVerb::Dismiss => of(StateWord::Failed) + of(StateWord::OutputLost),
    }
}

async fn budget(global: &Global, session: &Session, args: BudgetArgs) -> Outcome {
    let BatchNamed { batch, tenant } = &args.named;
    let batch = find(session, batch, tenant.as_deref()).await?;
    let caps = BatchCaps { day_micros: args.buy_day_max, total_micros: args.buy_total_max };
    if caps == BatchCaps::default() {
        return Err(Failure::usage("--buy-day-max or --buy-total-max is missing"));
    }
    if !args.decision.yes {
        let what = format!("the caps of {} decide how much of it is bought", batch.name);
        return Err(Failure::new(Exit::Guard, what).hint("do it with --reason WHY --yes"));
    }
    let (by, reason) = (operator(args.decision.by.as_deref()), args.decision.reason()?);
    session.store.set_batch_caps(&batch.tenant, &batch.name, caps, &by, reason).await?;
    let found = find(session, &batch.name, Some(&batch.tenant)).await?;
    output::object(&global.output, line(global, &found)?)?;
    Ok(Exit::Done)
}

async fn stop_on(global: &Global, session: &Session, args: StopOnArgs) -> Outcome {
    let BatchNamed { batch, tenant } = &args.named;
    let batch = find(session, batch, tenant.as_deref()).await?;
    if !args.decision.yes {
        let (is, name) = (batch.stop_on.as_deref().unwrap_or("nothing"), &batch.name);
        let what = format!("{name} stops on {is}; another condition decides when it is paused");
        return Err(Failure::new(Exit::Guard, what).hint("do it with --reason WHY --yes"));
    }
    let (by, reason) = (operator(args.decision.by.as_deref()), args.decision.reason()?);
    let on = args.conditions.as_ref();
    session.store.set_stop_on(&batch.tenant, &batch.name, on, &by, reason).await?;
    let found = find(session, &batch.name, Some(&batch.tenant)).await?;
    output::object(&global.output, line(global, &found)?)?;
    Ok(Exit::Done)
}

async fn turn(global: &Global, session: &Session, verb: OperationVerb, args: BatchArgs) -> Outcome {
    let BatchNamed { batch, tenant } = &args.named;
    let batch = find(session, batch, tenant.as_deref()).await?;
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
        limit: None,
    };
    let operation = match session.store.turn_batch(&batch.tenant, &batch.name, wish).await? {
        Opened::New(operation) | Opened::Known(operation) => operation,
        Opened::Other(_) | Opened::Full => {
            return Err(Failure::new(Exit::Outage, "too many operations wait already")
                .hint("repeat it when some of them have ended"));
        }
    };
    output::object(&global.output, row(&OperationView::from(&*operation))?)?;
    if !global.quiet {
        note("a gateway of this pool carries it out; `seedfleet batch show` tells how it stands");
    }
    Ok(Exit::Done)
}
