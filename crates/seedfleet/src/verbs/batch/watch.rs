//! `batch watch`: follow a batch to its end, with the time that is left as a range and what binds it.

use super::find;
use crate::cli::Global;
use crate::exit::{Failure, Outcome};
use crate::output::{self, Format, Progress, Row};
use crate::patience::Patience;
use crate::session::Session;
use crate::verbs::jobs::{LOOK_EVERY, ended, in_words, too_long, verdict};
use job::Timestamp;
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

/// What was seen of a batch.
struct Look {
    batch: Batch,
    /// All its jobs are over, and no more come.
    over: bool,
    /// When it was, and the time that is left, where an estimate was due.
    estimate: Option<(Timestamp, Option<EtaView>)>,
}

/// Waits for all jobs of a batch and shows what they came to.
pub(crate) async fn run(global: &Global, session: &Session, batch: Batch, how: How) -> Outcome {
    let pause = LOOK_EVERY.min(how.every);
    let mut patience = Patience::new(global, pause, Some(how.timeout)).answered();
    let lines = how.lines && global.output.format == Format::Ndjson;
    let mut progress: Option<Progress> = None;
    let (mut told, mut eta): (Option<Instant>, Option<EtaView>) = (None, None);
    let mut counts = batch.counts.clone();
    loop {
        let is_due = told.is_none_or(|told| told.elapsed() >= how.every);
        let late = || too_long(how.timeout, &counts);
        let question = async || look(session, &batch, is_due).await;
        let Look { batch: looked, over, estimate } =
            patience.ask(progress.as_ref(), late, question).await?;
        counts = looked.counts.clone();
        let (all, done) = (looked.jobs(), ended(&counts));
        if let Some((at, estimated)) = estimate {
            (told, eta) = (Some(Instant::now()), estimated);
            if lines {
                output::object(&global.output, sample(&looked, at, eta.as_ref()))?;
            }
        }
        let left = eta.as_ref().map(|eta| format!(" · {}", eta.says)).unwrap_or_default();
        let progress_now = progress.get_or_insert_with(|| Progress::begin(Some(all), global.quiet));
        progress_now.at(done, &format!("{}{left}", in_words(&counts)));
        if over {
            if let Some(progress) = progress {
                progress.end();
            }
            let mut row = Row::new();
            row.insert("batch".into(), json!(batch.name));
            for (word, n) in &counts {
                row.insert(word.as_str().into(), json!(n));
            }
            output::object(&global.output, row)?;
            return Ok(verdict(counts.into_iter()));
        }
        if patience.is_over() {
            if let Some(progress) = progress {
                progress.end();
            }
            return Err(too_long(how.timeout, &counts));
        }
        tokio::time::sleep(pause).await;
    }
}

/// One look, with an estimate where one is due and the batch goes on.
async fn look(session: &Session, batch: &Batch, is_due: bool) -> Result<Look, Failure> {
    let store = &session.store;
    let batch = find(session, &batch.name, Some(&batch.tenant)).await?;
    // While rows are still coming, more jobs will.
    let over = ended(&batch.counts) == batch.jobs() && !batch.uploading;
    let estimate = match is_due && !over {
        true => Some((store.now().await?, batch_eta(store, &session.pool, &batch).await?)),
        false => None,
    };
    Ok(Look { batch, over, estimate })
}

/// How far it is, as one line.
fn sample(batch: &Batch, at: Timestamp, eta: Option<&EtaView>) -> Row {
    let mut row = Row::new();
    row.insert("batch".into(), json!(batch.name));
    row.insert("at".into(), json!(at.rfc3339()));
    row.insert("jobs".into(), json!(batch.jobs()));
    row.insert("finished".into(), json!(batch.finished()));
    row.insert("counts".into(), json!(batch.counts));
    row.insert("eta".into(), json!(eta));
    row
}
