//! `export` over the gateway: the results of one batch.

use super::gateway::Gateway;
use super::lines::Lines;
use super::totals::BATCHES;
use super::{no_way, own_tenant, rows};
use crate::cli::{ExportArgs, Global};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Format, Progress, Rows, note};
use survey::RESULT_COLUMNS;

/// Runs the verb.
pub(super) async fn run(global: &Global, gateway: &Gateway, args: &ExportArgs) -> Outcome {
    own_tenant(args.which.tenant.as_deref())?;
    let batch = batch(args)?;
    // Rows for people would have to be held back until the widest is known.
    let format = match global.output.format {
        Format::Table | Format::Wide => Format::Ndjson,
        other @ (Format::Json | Format::Ndjson | Format::Csv | Format::Id) => other,
    };
    let opened = gateway.open(&["batches", batch, "results"], &[("format", "jsonl")], &[]).await;
    let opened = opened.map_err(|failure| failure.if_absent(BATCHES))?;
    let mut lines = Lines::of(gateway, opened);
    let mut shown = Rows::new(&global.output.as_a(format), RESULT_COLUMNS).named_by("job_id");
    let progress = Progress::begin(None, global.quiet);
    let (mut written, mut unread, mut first) = (0_u64, 0_u64, None);
    while let Some(line) = lines.next().await? {
        let row = serde_json::from_str(&line).map_err(|_| rows::strange("a row of JSON"))?;
        let row = rows::row(row)?;
        if let Some(why) = row.get("incomplete").and_then(|why| why.as_str()) {
            unread += 1;
            first.get_or_insert_with(|| why.to_owned());
        }
        written += 1;
        shown.add(row)?;
        progress.at(written, &format!("{written} rows"));
    }
    progress.end();
    shown.end()?;
    match first {
        None => Ok(Exit::Done),
        Some(why) => {
            let lack = "their rows lack seed and stored_at and say why in `incomplete`";
            note(&format!("{unread} manifests could not be read ({why}); {lack}"));
            Ok(Exit::Partial)
        }
    }
}

/// The batch, and nothing beside it: the API has the results of whole batches.
fn batch(args: &ExportArgs) -> Result<&str, Failure> {
    let which = &args.which;
    let options = [
        ("--where", which.conditions.is_some()),
        ("--state", which.state.is_some()),
        ("--code", which.code.is_some()),
        ("--ended-from", args.ended_from.is_some()),
        ("--ended-until", args.ended_until.is_some()),
        ("--no-archive", args.no_archive),
        ("--download", args.download.is_some()),
    ];
    if let Some((option, _)) = options.into_iter().find(|(_, given)| *given) {
        let needs = "more than the results of a whole batch, which is what the API gives";
        return Err(no_way(&format!("export {option}"), needs));
    }
    which.batch.as_deref().ok_or_else(|| {
        Failure::usage("--batch is missing: a gateway gives the results of a batch")
            .hint("`seedfleet batch list` shows those there are; --direct opens Redis, where all jobs can be exported")
    })
}
