//! `export`: one row for each job, for programs and spreadsheets.

use super::rows::Walk;
use crate::cli::{ExportArgs, Global};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Format, Progress, Row, Rows, note};
use crate::session::Session;
use assets::{Buckets, Manifest};
use futures::{StreamExt, stream};
use job::{End, Record, State};
use seedance::{Cost, Currency, Day, PriceTable, Route};
use serde_json::{Value, json};

/// Manifests read at once.
const MANIFESTS_AT_ONCE: usize = 16;

const COLUMNS: &[&str] = &[
    "custom_id",
    "job_id",
    "state",
    "video",
    "last_frame",
    "sha256",
    "bytes",
    "model",
    "seed",
    "tokens",
    "cost_usd",
    "provider_task_id",
    "error",
    "accepted_at",
    "stored_at",
];

/// Runs the verb.
pub(crate) async fn run(global: &Global, args: ExportArgs) -> Outcome {
    let session = Session::open(global).await?;
    let buckets = session.buckets()?;
    // Rows for people would have to be held back until the widest is known.
    let format = match global.output {
        Format::Table => Format::Ndjson,
        other @ (Format::Json | Format::Ndjson | Format::Csv) => other,
    };
    let mut rows = Rows::new(format, COLUMNS);
    let mut progress = Progress::begin(None, global.quiet);
    let (mut written, mut unread) = (0_u64, 0_u64);
    let mut walk = Walk::new(&session.store, args.which.filter(), 0);
    while let Some(page) = walk.next().await? {
        let filled = page.iter().map(|stored| fill(&session, &buckets, &stored.record));
        let mut filled = stream::iter(filled).buffered(MANIFESTS_AT_ONCE);
        while let Some(row) = filled.next().await {
            let (row, whole) = row?;
            unread += u64::from(!whole);
            written += 1;
            rows.add(row)?;
        }
        progress.at(written, &format!("{written} rows"));
    }
    progress.end();
    rows.end()?;
    if unread > 0 {
        note(&format!("{unread} manifests could not be read; their rows lack seed and stored_at"));
        return Ok(Exit::Partial);
    }
    Ok(Exit::Done)
}

/// The row of a job, and whether all that belongs into it could be read.
async fn fill(
    session: &Session,
    buckets: &Buckets,
    record: &Record,
) -> Result<(Row, bool), Failure> {
    let assets = buckets.of(&record.spec.tenant);
    let state = &record.life.state;
    let output = match state {
        State::Finished { end: End::Stored { output }, .. } => Some(output),
        State::Finished { .. }
        | State::Held { .. }
        | State::Queued { .. }
        | State::Submitting { .. }
        | State::InDoubt { .. }
        | State::Parked { .. }
        | State::Generating { .. }
        | State::Overdue { .. }
        | State::Downloading { .. } => None,
    };
    let manifest: Option<Manifest> = match output {
        Some(output) => assets.read_manifest_at(&output.manifest).await.ok().flatten(),
        None => None,
    };
    let tokens = output.and_then(|output| output.tokens);
    let cost = tokens.and_then(|tokens| cost(session.pool.route, record, tokens));
    let facts = manifest.as_ref().map(|manifest| &manifest.facts);
    let stored_at = manifest.as_ref().map(|m| job::Timestamp::from_unix_ms(m.stored_at_ms));
    let task = state.task();
    let model = task.map_or(record.spec.request.model_id.as_str(), |task| &task.facts.model_id);
    let address = |path: &String| assets.address(path);
    let mut row = Row::new();
    let mut put = |key: &str, value: Value| {
        row.insert(key.to_owned(), value);
    };
    put("custom_id", json!(record.spec.custom_id));
    put("job_id", json!(record.id));
    put("state", json!(state.word().as_str()));
    put("video", json!(output.map(|output| address(&output.video))));
    put("last_frame", json!(output.and_then(|o| o.last_frame.as_ref()).map(address)));
    put("sha256", json!(output.map(|output| &output.video_sha256)));
    put("bytes", json!(output.map(|output| output.video_bytes)));
    put("model", json!(model));
    put("seed", json!(facts.and_then(|facts| facts.seed)));
    put("tokens", json!(tokens));
    put("cost_usd", json!(cost.filter(|cost| cost.currency == Currency::Usd).map(amount)));
    put("provider_task_id", json!(task.map(|task| &task.id)));
    put("error", json!(state.failure_code()));
    put("accepted_at", json!(record.created_at.rfc3339()));
    put("stored_at", json!(stored_at.map(job::Timestamp::rfc3339)));
    if let Some(cost) = cost.filter(|cost| cost.currency != Currency::Usd) {
        put("cost", json!(cost.to_string()));
    }
    if session.pool.simulated {
        put("simulated", json!(true));
    }
    Ok((row, output.is_none() || manifest.is_some()))
}

/// What the tokens cost on the day the job came; none where no price is known.
fn cost(route: Route, record: &Record, tokens: u64) -> Option<Cost> {
    let day = Day::from_unix_s(record.created_at.unix_ms().div_euclid(1_000));
    PriceTable::builtin().cost(route, &record.spec.request, tokens, day).ok()
}

#[allow(clippy::cast_precision_loss, reason = "below 2^53 micros: nine billion of the currency")]
fn amount(cost: Cost) -> f64 {
    cost.micros as f64 / 1e6
}
