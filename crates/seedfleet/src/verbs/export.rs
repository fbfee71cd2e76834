//! `export`: one row for each job, for programs and spreadsheets.

use super::everywhere::Everywhere;
use crate::cli::{ExportArgs, Global};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Format, Progress, Rows, note};
use crate::session::Session;
use job::Record;
use survey::{RESULT_COLUMNS, Results};

/// What is being written.
struct Export {
    results: Results,
    rows: Rows,
    progress: Progress,
    written: u64,
    unread: u64,
    first: Option<String>,
}

impl Export {
    async fn add(&mut self, records: &[Record]) -> Result<(), Failure> {
        for row in self.results.rows(records).await {
            self.unread += u64::from(row.incomplete.is_some());
            self.first = self.first.take().or(row.incomplete);
            self.written += 1;
            self.rows.add(row.cells)?;
        }
        self.progress.at(self.written, &format!("{} rows", self.written));
        Ok(())
    }

    fn end(self) -> Outcome {
        self.progress.end();
        self.rows.end()?;
        if let Some(why) = self.first {
            let lack = "their rows lack seed and stored_at and say why in `incomplete`";
            note(&format!("{} manifests could not be read ({why}); {lack}", self.unread));
            return Ok(Exit::Partial);
        }
        Ok(Exit::Done)
    }
}

/// Runs the verb.
pub(crate) async fn run(global: &Global, args: ExportArgs) -> Outcome {
    let session = Session::open(global).await?;
    let (route, simulated) = (session.pool.route, session.pool.simulated);
    // Rows for people would have to be held back until the widest is known.
    let format = match global.output.format {
        Format::Table | Format::Wide => Format::Ndjson,
        other @ (Format::Json | Format::Ndjson | Format::Csv | Format::Id) => other,
    };
    let form = global.output.as_a(format);
    let mut export = Export {
        results: Results::new(session.buckets()?, route, simulated),
        rows: Rows::new(&form, RESULT_COLUMNS).named_by("job_id"),
        progress: Progress::begin(None, global.quiet),
        written: 0,
        unread: 0,
        first: None,
    };
    let filter = args.which.filter();
    let everywhere = Everywhere {
        filter: &filter,
        tenant: args.which.tenant.as_deref(),
        batch: args.which.batch.as_deref(),
        archive: !args.no_archive,
        ended_on: &|day| args.ended_on(day),
    };
    everywhere.walk(&session, async |records| export.add(&records).await).await?;
    export.end()
}
