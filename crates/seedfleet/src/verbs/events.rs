//! `events tail`: the pool's stream of events, as it is written.

use crate::cli::{EventsVerb, Global, TailArgs};
use crate::exit::{Exit, Outcome};
use crate::output::{Format, Row, say};
use crate::session::Session;
use job::StateWord;
use serde_json::{Value, json};
use store::{Change, ChangeReader, Mark};

/// Runs the verb.
pub(crate) async fn run(global: &Global, verb: EventsVerb) -> Outcome {
    let EventsVerb::Tail(args) = verb;
    let session = Session::open(global).await?;
    let after = match args.since {
        Some(back) => Some(Mark::before(session.store.now().await? - back)),
        None => None,
    };
    let mut reader = ChangeReader::connect(&session.store, after).await?;
    loop {
        let changes = tokio::select! {
            changes = reader.next() => changes?,
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                return Ok(Exit::Interrupted);
            }
        };
        for change in changes.iter().filter(|change| wanted(&args, change)) {
            say(&line(global.output, change))?;
        }
        if changes.is_empty() && args.no_follow {
            return Ok(Exit::Done);
        }
    }
}

fn wanted(args: &TailArgs, change: &Change) -> bool {
    args.tenant.as_ref().is_none_or(|tenant| *tenant == change.tenant)
        && (args.types.is_empty() || args.types.iter().any(|kind| kind == change.kind()))
}

/// Every form but the table is one object a line: a stream has no end that could close a document.
fn line(format: Format, change: &Change) -> String {
    let at = change.mark.at().rfc3339();
    let (kind, job) = (change.kind(), change.job.as_str());
    match format {
        Format::Table | Format::Csv => {
            let comma = if format == Format::Csv { "," } else { "  " };
            let from = change.from.map_or("-", StateWord::as_str);
            let batch = change.batch.as_deref().unwrap_or("-");
            [&at, kind, job, &change.tenant, batch, from, change.to.as_str()].join(comma) + "\n"
        }
        Format::Json | Format::Ndjson => {
            let mut row = Row::new();
            row.insert("id".into(), json!(change.mark.to_string()));
            row.insert("at".into(), json!(at));
            row.insert("type".into(), json!(kind));
            row.insert("job".into(), json!(job));
            row.insert("tenant".into(), json!(change.tenant));
            row.insert("batch".into(), json!(change.batch));
            row.insert("from".into(), json!(change.from.map(StateWord::as_str)));
            row.insert("state".into(), json!(change.to.as_str()));
            row.insert("seq".into(), json!(change.seq));
            format!("{}\n", Value::Object(row))
        }
    }
}
