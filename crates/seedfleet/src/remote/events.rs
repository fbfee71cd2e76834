//! `events tail` over the gateway: its server-sent events, taken up again where they broke off.

use super::gateway::Gateway;
use super::lines::Lines;
use super::{no_way, own_tenant, rows};
use crate::cli::{EventsVerb, Global};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Form, Row, say, streamed};
use crate::patience::Patience;
use crate::verbs::events::COLUMNS;
use job::Timestamp;
use serde_json::Value;
use std::time::Duration;
use store::Mark;

/// Before a stream that ended is opened again, where it names no wait of its own.
const RETRY: Duration = Duration::from_secs(1);

/// Runs the verb.
pub(super) async fn run(global: &Global, gateway: &Gateway, verb: EventsVerb) -> Outcome {
    let EventsVerb::Tail(args) = verb;
    own_tenant(args.tenant.as_deref())?;
    if args.no_follow {
        return Err(no_way("events tail --no-follow", "the stream that is kept, and its end"));
    }
    let mut place = args.since.map(|back| {
        let now = jiff::Timestamp::now().as_millisecond();
        Mark::before(Timestamp::from_unix_ms(now) - back).to_string()
    });
    let types = args.types.join(",");
    let query: Vec<(&str, &str)> =
        if types.is_empty() { Vec::new() } else { vec![("types", types.as_str())] };
    let mut patience = Patience::new(global, RETRY, None);
    let follow = async {
        loop {
            let headers: Vec<(&'static str, &str)> =
                place.iter().map(|id| ("last-event-id", id.as_str())).collect();
            let question = async || gateway.open(&["events"], &query, &headers).await;
            // None is for a wait with an end.
            if let Some(pieces) = patience.answer(None, question).await? {
                let lines = Lines::of(gateway, pieces);
                // A stream that breaks off is taken up again.
                let wait = listen(&global.output, lines, &mut place).await?;
                tokio::time::sleep(wait).await;
            }
        }
    };
    tokio::select! {
        biased;
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            Ok(Exit::Interrupted)
        }
        failed = follow => failed,
    }
}

/// Tells what comes until the stream ends, and how long to wait then.
async fn listen(
    form: &Form,
    mut lines: Lines<'_>,
    place: &mut Option<String>,
) -> Result<Duration, Failure> {
    let (mut block, mut retry) = (Block::default(), RETRY);
    loop {
        let line = match lines.next().await {
            Ok(Some(line)) => line,
            Ok(None) => return Ok(retry),
            Err(failure) if failure.exit == Exit::Outage => return Ok(retry),
            Err(failure) => return Err(failure),
        };
        if !line.trim_end_matches('\r').is_empty() {
            block.line(line.trim_end_matches('\r'));
            continue;
        }
        let Block { id, data, wait } = std::mem::take(&mut block);
        retry = wait.unwrap_or(retry);
        if !data.is_empty() {
            let event = serde_json::from_str(&data).map_err(|_| rows::strange("an event"))?;
            say(&streamed(form, COLUMNS, row(id.as_deref(), &event))?)?;
        }
        *place = id.or(place.take());
    }
}

/// One block of a stream, up to its empty line.
#[derive(Debug, Default, PartialEq, Eq)]
struct Block {
    id: Option<String>,
    data: String,
    wait: Option<Duration>,
}

impl Block {
    fn line(&mut self, line: &str) {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => self.id = Some(value.to_owned()),
            "data" => self.data.push_str(value),
            "retry" => self.wait = value.parse().ok().map(Duration::from_millis),
            // Comments, and the type, which the data tells as well.
            _ => {}
        }
    }
}

/// With the names that events from Redis have.
fn row(id: Option<&str>, event: &Value) -> Row {
    let of = |name: &str| event[name].clone();
    Row::from_iter([
        ("id".to_owned(), id.into()),
        ("at".to_owned(), of("at")),
        ("type".to_owned(), of("type")),
        ("job".to_owned(), of("job")),
        ("tenant".to_owned(), Value::Null),
        ("batch".to_owned(), of("batch")),
        ("from".to_owned(), of("from")),
        ("state".to_owned(), of("state")),
        ("seq".to_owned(), of("seq")),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_read_line_by_line() {
        let mut block = Block::default();
        for line in [": alive", "id: 17-0", "event: job.queued", "data: {\"a\":1}", "retry: 1500"] {
            block.line(line);
        }
        let wait = Some(Duration::from_millis(1_500));
        assert_eq!(block, Block { id: Some("17-0".into()), data: "{\"a\":1}".into(), wait });
    }
}
