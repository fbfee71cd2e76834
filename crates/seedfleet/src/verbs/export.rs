//! `export`: one row for each job, for programs and spreadsheets.

mod download;

use super::everywhere::Everywhere;
use crate::cli::{ExportArgs, Global};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Format, Progress, Rows, note, plain};
use crate::session::Session;
use assets::Buckets;
use download::Download;
use job::Record;
use survey::{RESULT_COLUMNS, ResultRow, Results};

/// What is being written.
struct Export {
    results: Results,
    buckets: Buckets,
    rows: Rows,
    progress: Progress,
    written: u64,
    unread: u64,
    first: Option<String>,
    download: Option<Download>,
    quiet: bool,
}

impl Export {
    fn begin(global: &Global, args: &ExportArgs, session: &Session) -> Result<Self, Failure> {
        let (route, simulated) = (session.pool.route, session.pool.simulated);
        // Rows for people would have to be held back until the widest is known.
        let format = match global.output.format {
            Format::Table | Format::Wide => Format::Ndjson,
            other @ (Format::Json | Format::Ndjson | Format::Csv | Format::Id) => other,
        };
        let (form, buckets) = (global.output.as_a(format), session.buckets()?);
        let download = match &args.download {
            Some(dir) => Some(Download::begin(dir, args.parallel)?),
            None => None,
        };
        let columns = if download.is_some() { download::COLUMNS } else { RESULT_COLUMNS };
        Ok(Self {
            results: Results::new(buckets.clone(), route, simulated),
            buckets,
            rows: Rows::new(&form, columns).named_by("job_id"),
            progress: Progress::begin(None, global.quiet),
            written: 0,
            unread: 0,
            first: None,
            download,
            quiet: global.quiet,
        })
    }

    async fn add(&mut self, records: &[Record]) -> Result<(), Failure> {
        for (row, record) in self.results.rows(records).await.into_iter().zip(records) {
            match &mut self.download {
                Some(download) => {
                    download.add(row, record, self.buckets.of(&record.spec.tenant));
                    self.settle(false).await?;
                }
                None => self.write(row)?,
            }
        }
        Ok(())
    }

    /// Writes the rows whose files have come or failed; at the end, all of them.
    async fn settle(&mut self, at_end: bool) -> Result<(), Failure> {
        while let Some(download) = &mut self.download {
            let Some((row, failed)) = download.next(at_end).await else { break };
            if let Some(failed) = failed {
                self.progress.tell(&plain(&failed));
            }
            self.write(row)?;
        }
        Ok(())
    }

    fn write(&mut self, row: ResultRow) -> Result<(), Failure> {
        self.unread += u64::from(row.incomplete.is_some());
        self.first = self.first.take().or(row.incomplete);
        self.written += 1;
        self.rows.add(row.cells)?;
        let files = self.download.as_ref().map(|download| format!("; {}", download.tally.words()));
        let told = format!("{} rows{}", self.written, files.unwrap_or_default());
        self.progress.at(self.written, &told);
        Ok(())
    }

    fn end(self) -> Outcome {
        self.progress.end();
        self.rows.end()?;
        let mut exit = Exit::Done;
        if let Some(why) = self.first {
            let lack = "their rows lack seed and stored_at and say why in `incomplete`";
            note(&format!("{} manifests could not be read ({why}); {lack}", self.unread));
            exit = Exit::Partial;
        }
        if let Some(Download { tally, .. }) = self.download {
            if !self.quiet {
                note(&tally.words());
            }
            if tally.failed > 0 {
                note("the same command tries again what failed and keeps what is whole");
                exit = Exit::Partial;
            }
        }
        Ok(exit)
    }

    /// Somebody broke it off.
    async fn interrupted(mut self) -> Outcome {
        self.progress.end();
        if let Some(download) = &mut self.download {
            download.give_up().await;
            let so_far = download.tally.words();
            note(&format!(
                "interrupted: {so_far}. The same command goes on and keeps what is whole"
            ));
        }
        Ok(Exit::Interrupted)
    }
}

/// Runs the verb.
pub(crate) async fn run(global: &Global, args: ExportArgs) -> Outcome {
    let session = Session::open(global).await?;
    let mut export = Export::begin(global, &args, &session)?;
    if export.download.is_none() {
        walk(&session, &args, &mut export).await?;
        return export.end();
    }
    // Files under way are cleared away before the end.
    tokio::select! {
        ended = walk(&session, &args, &mut export) => ended?,
        asked = tokio::signal::ctrl_c() => {
            asked?;
            return export.interrupted().await;
        }
    }
    export.end()
}

async fn walk(session: &Session, args: &ExportArgs, export: &mut Export) -> Result<(), Failure> {
    let filter = args.which.filter();
    let everywhere = Everywhere {
        filter: &filter,
        tenant: args.which.tenant.as_deref(),
        batch: args.which.batch.as_deref(),
        archive: !args.no_archive,
        ended_on: &|day| args.ended_on(day),
    };
    everywhere.walk(session, async |records| export.add(&records).await).await?;
    export.settle(true).await
}
