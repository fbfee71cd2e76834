//! `queue`: what waits, and what people paused.

use crate::cli::{DrainArgs, Global, PauseArgs, QueueVerb, ResumeArgs};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Progress, Row, Rows};
use crate::session::{Session, operator};
use crate::verbs::batch;
use job::StateWord;
use serde_json::json;
use std::time::{Duration, Instant};
use store::{Batch, DOWNLOAD_MARGIN, Depth, PAUSES_MAX, Pause, PauseScope, Queue};
use survey::{PauseView, QueuePauseView};

/// Between two looks at what is in hand.
const LOOK_EVERY: Duration = Duration::from_millis(500);

const COLUMNS: &[&str] = &["queue", "waiting", "due", "leased", "paused"];

/// Runs the verb.
pub(crate) async fn run(global: &Global, verb: QueueVerb) -> Outcome {
    let session = Session::open(global).await?;
    match verb {
        QueueVerb::Status => status(global, &session).await,
        QueueVerb::Pause(args) => pause(global, &session, &args).await,
        QueueVerb::Resume(args) => resume(global, &session, &args).await,
        QueueVerb::Drain(args) => drain(global, &session, &args).await,
    }
}

/// Whether a pause of `scope` holds the whole queue.
fn holds(scope: &PauseScope, queue: Queue) -> bool {
    match scope {
        PauseScope::Submit => queue.class().is_some(),
        PauseScope::Model(class) => queue.class() == Some(*class),
        PauseScope::Poll => queue == Queue::Poll,
        PauseScope::Download => queue == Queue::Download,
        // It is one of many in its queues.
        PauseScope::Tenant(_) => false,
    }
}

/// A line for each queue, the pauses that hold, and the batches that are paused.
async fn seen(session: &Session) -> Result<(Vec<Row>, Vec<Pause>, Vec<Batch>), Failure> {
    let pauses = session.store.pauses().await?;
    let batches = session.store.paused_batches().await?;
    let paused = |depth: &Depth| pauses.iter().any(|pause| holds(&pause.scope, depth.queue));
    let depths = session.store.depths().await?;
    let lines = depths.iter().map(|depth| {
        Row::from_iter([
            ("queue".to_owned(), json!(depth.queue.word())),
            ("waiting".to_owned(), json!(depth.waiting)),
            ("due".to_owned(), json!(depth.due)),
            ("leased".to_owned(), json!(depth.leased)),
            ("paused".to_owned(), json!(paused(depth))),
        ])
    });
    Ok((lines.collect(), pauses, batches))
}

/// The same as one object.
///
/// # Errors
///
/// Redis away.
pub(crate) async fn whole(session: &Session) -> Result<Row, Failure> {
    let (queues, pauses, batches) = seen(session).await?;
    let views: Vec<QueuePauseView> = pauses.iter().map(QueuePauseView::from).collect();
    let batches = batches.iter().map(|batch| {
        let paused = batch.paused.as_ref().map(PauseView::from);
        json!({"tenant": batch.tenant, "batch": batch.name, "paused": paused})
    });
    let whole = [
        ("queues".to_owned(), json!(queues)),
        ("pauses".to_owned(), json!(views)),
        ("batches".to_owned(), batches.collect()),
    ];
    Ok(Row::from_iter(whole))
}

async fn status(global: &Global, session: &Session) -> Outcome {
    if global.output.has_columns() {
        let (lines, pauses, batches) = seen(session).await?;
        let mut rows = Rows::new(&global.output, COLUMNS);
        for line in lines {
            rows.add(line)?;
        }
        rows.end()?;
        if global.output.is_a_page() {
            let batch = |batch: &Batch| {
                let why = batch.paused.as_ref().map(batch::why).unwrap_or_default();
                format!("batch {} of tenant {} {why}", batch.name, batch.tenant)
            };
            let words = pauses.iter().map(Pause::words).chain(batches.iter().map(batch));
            let said: Vec<String> = words.map(|words| output::plain(&words)).collect();
            if !said.is_empty() {
                output::say(&format!("\nPaused: {}.\n", said.join(".\nPaused: ")))?;
            }
        }
        return Ok(Exit::Done);
    }
    output::object(&global.output, whole(session).await?)?;
    Ok(Exit::Done)
}

async fn pause(global: &Global, session: &Session, args: &PauseArgs) -> Outcome {
    begin(global, session, args).await?;
    shown(global, session, &args.scope()).await
}

async fn begin(global: &Global, session: &Session, args: &PauseArgs) -> Result<(), Failure> {
    let (scope, lasts) = (args.scope(), args.lasts());
    if let Some(why) = scope.refuses(lasts) {
        return Err(Failure::usage(why).hint("say how long with --for, such as --for 30m"));
    }
    let span = match lasts {
        Some(lasts) => format!("for {lasts:?}"),
        None => "until it is resumed".to_owned(),
    };
    if !args.decision.yes {
        let what = format!("{scope} would be paused {span}; what was begun goes on");
        return Err(Failure::new(Exit::Guard, what).hint("do it with --reason WHY --yes"));
    }
    let (by, reason) = (operator(args.decision.by.as_deref()), args.decision.reason()?);
    if !session.store.pause(&scope, lasts, &by, reason).await? {
        let what = format!("{PAUSES_MAX} pauses hold already");
        return Err(Failure::new(Exit::Conflict, what).hint("`seedfleet queue resume` ends one"));
    }
    if scope == PauseScope::Download && !global.quiet {
        let hours = DOWNLOAD_MARGIN.as_secs() / 3_600;
        output::note(&format!("copies whose link dies within {hours} h are made all the same"));
    }
    Ok(())
}

/// Pauses, and waits until what was handed out before has ended: a film that is being made is not in hand, it is
/// only looked at.
async fn drain(global: &Global, session: &Session, args: &DrainArgs) -> Outcome {
    let scope = args.pause.scope();
    begin(global, session, &args.pause).await?;
    let deadline = Instant::now() + args.timeout;
    let progress = Progress::begin(None, global.quiet);
    loop {
        let pauses = session.store.pauses().await?;
        let left = in_hand(session, &scope).await?;
        let paused = pauses.iter().any(|pause| pause.scope == scope);
        if paused && left > 0 && Instant::now() < deadline {
            progress.at(0, &format!("{scope}: {left} in hand"));
            tokio::time::sleep(LOOK_EVERY).await;
            continue;
        }
        progress.end();
        return match (paused, left) {
            (true, 0) => shown(global, session, &scope).await,
            (true, _) => {
                let what = format!("{left} still in hand after {:?}: {scope}", args.timeout);
                Err(Failure::new(Exit::Deadline, what)
                    .hint("it stays paused; the same command with a longer --timeout waits on"))
            }
            (false, _) => {
                let what = format!("{scope}: the pause ended while {left} were in hand");
                Err(Failure::new(Exit::Conflict, what)
                    .hint("drain again with a longer --for, or with --until-resumed"))
            }
        };
    }
}

/// What was handed out of a part and has not ended: leases, and of a tenant the creates that are under way.
async fn in_hand(session: &Session, scope: &PauseScope) -> Result<u64, Failure> {
    if let PauseScope::Tenant(tenant) = scope {
        let counts = session.store.tenant_counts(tenant).await?;
        return Ok(counts.get(&StateWord::Submitting).copied().unwrap_or(0));
    }
    let depths = session.store.depths().await?;
    Ok(depths.iter().filter(|depth| holds(scope, depth.queue)).map(|depth| depth.leased).sum())
}

async fn resume(global: &Global, session: &Session, args: &ResumeArgs) -> Outcome {
    let scope = args.scope();
    if !args.decision.yes {
        let what = format!("{scope} would go on");
        return Err(Failure::new(Exit::Guard, what).hint("do it with --reason WHY --yes"));
    }
    let (by, reason) = (operator(args.decision.by.as_deref()), args.decision.reason()?);
    if !session.store.resume(&scope, &by, reason).await? {
        return Err(Failure::new(Exit::Conflict, format!("{scope}: nobody paused that"))
            .hint("`seedfleet queue status` shows what is paused"));
    }
    shown(global, session, &scope).await
}

async fn shown(global: &Global, session: &Session, scope: &PauseScope) -> Outcome {
    let pauses = session.store.pauses().await?;
    let holds = pauses.iter().find(|pause| pause.scope == *scope);
    let row = Row::from_iter([
        ("pool".to_owned(), json!(session.store.pool())),
        ("scope".to_owned(), json!(scope.to_string())),
        ("paused".to_owned(), json!(holds.is_some())),
        ("until".to_owned(), json!(holds.and_then(|pause| pause.until).map(|at| at.rfc3339()))),
        ("by".to_owned(), json!(holds.map(|pause| pause.by.as_str()))),
        ("reason".to_owned(), json!(holds.map(|pause| &pause.reason))),
    ]);
    output::object(&global.output, row)?;
    Ok(Exit::Done)
}
