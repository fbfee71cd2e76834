//! `queue`: what waits, and what people paused.

use crate::cli::{Global, PauseArgs, QueueVerb, ResumeArgs};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Format, Row, Rows};
use crate::session::{Session, operator};
use serde_json::json;
use store::{DOWNLOAD_MARGIN, PAUSES_MAX, PauseScope, Queue};
use survey::QueuePauseView;

const COLUMNS: &[&str] = &["queue", "waiting", "due", "leased", "paused"];

/// Runs the verb.
pub(crate) async fn run(global: &Global, verb: QueueVerb) -> Outcome {
    let session = Session::open(global).await?;
    match verb {
        QueueVerb::Status => status(global, &session).await,
        QueueVerb::Pause(args) => pause(global, &session, &args).await,
        QueueVerb::Resume(args) => resume(global, &session, &args).await,
    }
}

async fn status(global: &Global, session: &Session) -> Outcome {
    let pauses = session.store.pauses().await?;
    let holds = |queue: Queue| {
        pauses.iter().any(|pause| match &pause.scope {
            PauseScope::Submit => queue.class().is_some(),
            PauseScope::Model(class) => queue.class() == Some(*class),
            PauseScope::Poll => queue == Queue::Poll,
            PauseScope::Download => queue == Queue::Download,
            // One of many: it is told below.
            PauseScope::Tenant(_) => false,
        })
    };
    let depths = session.store.depths().await?;
    let lines = depths.iter().map(|depth| {
        Row::from_iter([
            ("queue".to_owned(), json!(depth.queue.word())),
            ("waiting".to_owned(), json!(depth.waiting)),
            ("due".to_owned(), json!(depth.due)),
            ("leased".to_owned(), json!(depth.leased)),
            ("paused".to_owned(), json!(holds(depth.queue))),
        ])
    });
    if matches!(global.output, Format::Table | Format::Csv) {
        let mut rows = Rows::new(global.output, COLUMNS);
        for line in lines {
            rows.add(line)?;
        }
        rows.end()?;
        if global.output == Format::Table {
            let said: Vec<String> =
                pauses.iter().map(|pause| output::plain(&pause.words())).collect();
            if !said.is_empty() {
                output::say(&format!("\nPaused: {}.\n", said.join(".\nPaused: ")))?;
            }
        }
        return Ok(Exit::Done);
    }
    let views: Vec<QueuePauseView> = pauses.iter().map(QueuePauseView::from).collect();
    let queues: Vec<Row> = lines.collect();
    let whole = [("queues".to_owned(), json!(queues)), ("pauses".to_owned(), json!(views))];
    output::object(global.output, Row::from_iter(whole))?;
    Ok(Exit::Done)
}

async fn pause(global: &Global, session: &Session, args: &PauseArgs) -> Outcome {
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
    shown(global, session, &scope).await
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
    output::object(global.output, row)?;
    Ok(Exit::Done)
}
