//! `batch watch`: follow a batch to its end, with the time that is left as a range and what binds it.

use super::find;
use crate::cli::Global;
use crate::exit::{Failure, Outcome};
use crate::output::{self, Format, Progress, Row};
use crate::session::Session;
use crate::verbs::jobs::{LOOK_EVERY, ended, in_words, too_long, verdict};
use serde_json::json;
use std::time::{Duration, Instant};
use store::Batch;
use survey::{EtaView, batch_eta};

/// How a batch is followed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct How {
    /// Longest wait.
    pub(crate) timeout: Duration,
    /// Between two estimates of the time that is left.
    pub(crate) every: Duration,
    /// With `-o ndjson`, a line for each of them.
    pub(crate) lines: bool,
}

impl How {
    /// A wait that only shows its end.
    pub(crate) const fn wait(timeout: Duration) -> Self {
        Self { timeout, every: Duration::from_secs(10), lines: false }
    }
}

/// Waits for all jobs of a batch and shows what they came to.
pub(crate) async fn run(global: &Global, session: &Session, batch: Batch, how: How) -> Outcome {
    let deadline = Instant::now() + how.timeout;
    let lines = how.lines && global.output.format == Format::Ndjson;
    let mut progress: Option<Progress> = None;
    let (mut told, mut eta): (Option<Instant>, Option<EtaView>) = (None, None);
    loop {
        let looked = find(session, &batch.name, Some(&batch.tenant)).await?;
        let (all, done) = (looked.jobs(), ended(&looked.counts));
        let over = done == all && !looked.uploading;
        if !over && told.is_none_or(|told| told.elapsed() >= how.every) {
            told = Some(Instant::now());
            eta = batch_eta(&session.store, &session.pool, &looked).await?;
            if lines {
                output::object(&global.output, sample(session, &looked, eta.as_ref()).await?)?;
            }
        }
        let left = eta.as_ref().map(|eta| format!(" · {}", eta.says)).unwrap_or_default();
        let progress_now = progress.get_or_insert_with(|| Progress::begin(Some(all), global.quiet));
        progress_now.at(done, &format!("{}{left}", in_words(&looked.counts)));
        // While rows are still coming, more jobs will.
        if over {
            if let Some(progress) = progress {
                progress.end();
            }
            let mut row = Row::new();
            row.insert("batch".into(), json!(batch.name));
            for (word, n) in &looked.counts {
                row.insert(word.as_str().into(), json!(n));
            }
            output::object(&global.output, row)?;
            return Ok(verdict(looked.counts.into_iter()));
        }
        if Instant::now() >= deadline {
            if let Some(progress) = progress {
                progress.end();
            }
            return Err(too_long(how.timeout, &looked.counts));
        }
        tokio::time::sleep(LOOK_EVERY.min(how.every)).await;
    }
}

/// How far it is, as one line.
async fn sample(session: &Session, batch: &Batch, eta: Option<&EtaView>) -> Result<Row, Failure> {
    let mut row = Row::new();
    row.insert("batch".into(), json!(batch.name));
    row.insert("at".into(), json!(session.store.now().await?.rfc3339()));
    row.insert("jobs".into(), json!(batch.jobs()));
    row.insert("finished".into(), json!(batch.finished()));
    row.insert("counts".into(), json!(batch.counts));
    row.insert("eta".into(), json!(eta));
    Ok(row)
}
