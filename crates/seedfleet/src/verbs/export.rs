//! `export`: one row for each job, for programs and spreadsheets.

use super::rows::Walk;
use crate::cli::{ExportArgs, Global};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Format, Progress, Rows, note};
use crate::session::Session;
use erasure::{ArchiveWalk, Told};
use job::{Record, State};
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

/// Runs the verb: first what is in Redis, newest first; then what has left it, by the day of its end.
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
    let (mut walk, mut told) = (Walk::new(&session.store, args.which.filter(), 0), Told::default());
    while let Some(page) = walk.next().await? {
        let records = page.into_iter().map(|stored| stored.record);
        let wanted = records.filter(|record| args.ended_on(ended_on(record)));
        let wanted = wanted.filter(|record| told.tell(&record.id));
        export.add(&wanted.collect::<Vec<_>>()).await?;
    }
    if !args.no_archive {
        let (filter, now) = (args.which.filter(), session.store.now().await?);
        let wanted = |day: &str| day.parse().is_ok_and(|day| args.ended_on(Some(day)));
        let (store, buckets) = (session.store.clone(), session.buckets()?);
        let tenant = args.which.tenant.as_deref();
        let mut walk = match (tenant, &args.which.batch) {
            (Some(tenant), Some(batch)) => {
                ArchiveWalk::of_batch(store, buckets, tenant, batch, told).await?
            }
            (None, _) | (_, None) => {
                ArchiveWalk::of_days(store, buckets, tenant, wanted, told).await?
            }
        };
        while let Some(page) = walk.next().await? {
            let wanted = page.into_iter().filter(|record| filter.fits(record, now));
            let wanted = wanted.filter(|record| args.ended_on(ended_on(record)));
            export.add(&wanted.collect::<Vec<_>>()).await?;
        }
    }
    export.end()
}

/// The UTC day of a job's end.
fn ended_on(record: &Record) -> Option<jiff::civil::Date> {
    let State::Finished { at, .. } = &record.life.state else { return None };
    let at = jiff::Timestamp::from_millisecond(at.unix_ms()).ok()?;
    Some(at.to_zoned(jiff::tz::TimeZone::UTC).date())
}
