//! `export`: one row for each job, for programs and spreadsheets.

use super::rows::Walk;
use crate::cli::{ExportArgs, Global};
use crate::exit::{Exit, Outcome};
use crate::output::{Format, Progress, Rows, note};
use crate::session::Session;
use job::Record;
use survey::{RESULT_COLUMNS, Results};

/// Runs the verb.
pub(crate) async fn run(global: &Global, args: ExportArgs) -> Outcome {
    let session = Session::open(global).await?;
    let (route, simulated) = (session.pool.route, session.pool.simulated);
    let results = Results::new(session.buckets()?, route, simulated);
    // Rows for people would have to be held back until the widest is known.
    let format = match global.output.format {
        Format::Table | Format::Wide => Format::Ndjson,
        other @ (Format::Json | Format::Ndjson | Format::Csv | Format::Id) => other,
    };
    let form = global.output.as_a(format);
    let mut rows = Rows::new(&form, RESULT_COLUMNS).named_by("job_id");
    let mut progress = Progress::begin(None, global.quiet);
    let (mut written, mut unread, mut first) = (0_u64, 0_u64, None);
    let mut walk = Walk::new(&session.store, args.which.filter(), 0);
    while let Some(page) = walk.next().await? {
        let records: Vec<Record> = page.into_iter().map(|stored| stored.record).collect();
        for row in results.rows(&records).await {
            unread += u64::from(row.incomplete.is_some());
            first = first.or(row.incomplete);
            written += 1;
            rows.add(row.cells)?;
        }
        progress.at(written, &format!("{written} rows"));
    }
    progress.end();
    rows.end()?;
    if let Some(why) = first {
        let lack = "their rows lack seed and stored_at and say why in `incomplete`";
        note(&format!("{unread} manifests could not be read ({why}); {lack}"));
        return Ok(Exit::Partial);
    }
    Ok(Exit::Done)
}
