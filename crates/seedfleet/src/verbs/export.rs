//! `export`: one row for each job, for programs and spreadsheets.

mod download;

use crate::cli::{ExportArgs, Global};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Format, Progress, Row, Rows, note, plain};
use crate::session::Session;
use assets::Buckets;
use download::Download;
use erasure::Everywhere;
use job::Record;
use store::Order;
use survey::{RESULT_COLUMNS, ResultRow, Results};

/// Rows of results on their way to standard output, from Redis or over the gateway.
pub(crate) struct Sheet {
    rows: Rows,
    progress: Progress,
    written: u64,
    unread: u64,
    first: Option<String>,
}

impl Sheet {
    /// Rows with these columns.
    pub(crate) fn begin(global: &Global, columns: &'static [&'static str]) -> Self {
        // Rows for people would have to be held back until the widest is known.
        let format = match global.output.format {
            Format::Table | Format::Wide => Format::Ndjson,
            other @ (Format::Json | Format::Ndjson | Format::Csv | Format::Id) => other,
        };
        Self {
            rows: Rows::new(&global.output.as_a(format), columns).named_by("job_id"),
            progress: Progress::begin(None, global.quiet),
            written: 0,
            unread: 0,
            first: None,
        }
    }

    /// One more; `incomplete` says what it lacks and why, `beside` what stands beside the count of rows.
    ///
    /// # Errors
    ///
    /// As [`Rows::add`].
    pub(crate) fn add(
        &mut self,
        row: Row,
        incomplete: Option<String>,
        beside: &str,
    ) -> Result<(), Failure> {
        self.unread += u64::from(incomplete.is_some());
        self.first = self.first.take().or(incomplete);
        self.written += 1;
        self.rows.add(row)?;
        self.progress.at(self.written, &format!("{} rows{beside}", self.written));
        Ok(())
    }

    /// All of them are there.
    ///
    /// # Errors
    ///
    /// Standard output is closed.
    pub(crate) fn end(self) -> Outcome {
        self.progress.end();
        self.rows.end()?;
        let Some(why) = self.first else { return Ok(Exit::Done) };
        let lack = "their rows lack seed and stored_at and say why in `incomplete`";
        note(&format!("{} manifests could not be read ({why}); {lack}", self.unread));
        Ok(Exit::Partial)
    }
}

/// What is being written.
struct Export {
    results: Results,
    buckets: Buckets,
    sheet: Sheet,
    download: Option<Download>,
    quiet: bool,
}

impl Export {
    fn begin(global: &Global, args: &ExportArgs, session: &Session) -> Result<Self, Failure> {
        let (route, simulated) = (session.pool.route, session.pool.simulated);
        let buckets = session.buckets()?;
        let download = match &args.download {
            Some(dir) => Some(Download::begin(dir, args.parallel)?),
            None => None,
        };
        let columns = if download.is_some() { download::COLUMNS } else { RESULT_COLUMNS };
        Ok(Self {
            results: Results::new(buckets.clone(), route, simulated),
            buckets,
            sheet: Sheet::begin(global, columns),
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
                self.sheet.progress.tell(&plain(&failed));
            }
            self.write(row)?;
        }
        Ok(())
    }

    fn write(&mut self, row: ResultRow) -> Result<(), Failure> {
        let files = self.download.as_ref().map(|download| format!("; {}", download.tally.words()));
        self.sheet.add(row.cells, row.incomplete, &files.unwrap_or_default())
    }

    fn end(self) -> Outcome {
        let mut exit = self.sheet.end()?;
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
        self.sheet.progress.end();
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
    let (store, buckets) = (session.store.clone(), session.buckets()?);
    let walk = Everywhere::new(store, buckets, args.which.filter(), Order::Newest);
    let mut walk = walk.ended(args.days()).archive(!args.no_archive);
    while let Some(records) = walk.next().await? {
        export.add(&records).await?;
    }
    export.settle(true).await
}
