//! `events tail`: the pool's stream of events, as it is written.

use crate::cli::{EventsVerb, Global, TailArgs};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Form, Row, say, streamed};
use crate::patience::Patience;
use crate::session::Session;
use job::StateWord;
use serde_json::json;
use std::pin::pin;
use std::time::Duration;
use store::{Change, ChangeReader, Mark};

pub(crate) const COLUMNS: &[&str] = &["at", "type", "job", "tenant", "batch", "from", "state"];

/// Before another try while Redis is away.
const READ_AGAIN: Duration = Duration::from_secs(1);

/// Runs the verb.
pub(crate) async fn run(global: &Global, verb: EventsVerb) -> Outcome {
    let EventsVerb::Tail(args) = verb;
    let session = Session::open(global).await?;
    let after = match args.since {
        Some(back) => Some(Mark::before(session.store.now().await? - back)),
        None => None,
    };
    let mut reader = ChangeReader::connect(&session.store, after).await?;
    // What is read to its end is no wait.
    let mut patience =
        (!args.no_follow).then(|| Patience::new(global, READ_AGAIN, None).answered());
    let mut interrupted = pin!(tokio::signal::ctrl_c());
    loop {
        let changes = tokio::select! {
            changes = next(&mut reader, patience.as_mut()) => changes?,
            interrupted = &mut interrupted => {
                interrupted?;
                return Ok(Exit::Interrupted);
            }
        };
        for change in changes.iter().filter(|change| wanted(&args, change)) {
            say(&line(&global.output, change)?)?;
        }
        if changes.is_empty() && args.no_follow {
            return Ok(Exit::Done);
        }
    }
}

async fn next(
    reader: &mut ChangeReader,
    patience: Option<&mut Patience>,
) -> Result<Vec<Change>, Failure> {
    let Some(patience) = patience else { return Ok(reader.next().await?) };
    let changes = patience.answer(None, async || Ok(reader.next().await?)).await?;
    // None is for a wait with an end.
    Ok(changes.unwrap_or_default())
}

fn wanted(args: &TailArgs, change: &Change) -> bool {
    args.tenant.as_ref().is_none_or(|tenant| *tenant == change.tenant)
        && (args.types.is_empty() || args.types.iter().any(|kind| kind == change.kind()))
}

fn line(form: &Form, change: &Change) -> Result<String, Failure> {
    let mut row = Row::new();
    row.insert("id".into(), json!(change.mark.to_string()));
    row.insert("at".into(), json!(change.mark.at().rfc3339()));
    row.insert("type".into(), json!(change.kind()));
    row.insert("job".into(), json!(change.job));
    row.insert("tenant".into(), json!(change.tenant));
    row.insert("batch".into(), json!(change.batch));
    row.insert("from".into(), json!(change.from.map(StateWord::as_str)));
    row.insert("state".into(), json!(change.to.as_str()));
    row.insert("seq".into(), json!(change.seq));
    streamed(form, COLUMNS, row)
}
