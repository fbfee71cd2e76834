//! The first half of an import: rows are read and judged, a lot ahead of what Redis takes.

use super::Order;
use super::rows::Batch;
use crate::cli::Duplicates;
use crate::exit::Failure;
use crate::output::Progress;
use admission::{Checked, Door, Intake, Prepared, Refusal, Row, Takes};
use job::Timestamp;
use seedance::Fault;
use std::time::Instant;
use store::Store;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::Receiver;

/// Rows on their way.
pub(super) struct Lot {
    /// Bytes of the file, and rows, read for it.
    pub(super) bytes: u64,
    pub(super) rows: u64,
    /// Those of them that are taken in.
    pub(super) lines: Vec<Line>,
    /// Of each line without a fault, in order.
    pub(super) load: Load,
}

/// What is told of a row.
pub(super) struct Line {
    pub(super) number: u64,
    pub(super) custom_id: Option<String>,
    /// It stands in place of an older job.
    pub(super) mends: bool,
    /// It is no request at all, or refers to what the provider could not fetch or would not take.
    pub(super) faults: Vec<Fault>,
}

pub(super) enum Load {
    /// To be stored.
    Jobs(Prepared),
    /// That was all: nothing is stored.
    Judged(Vec<Result<Checked, Refusal>>),
}

/// What comes next.
pub(super) enum Next {
    Lot(Lot),
    End,
    /// Somebody wants no more.
    Interrupted,
    /// Why no more can be read.
    Unreadable(String),
}

/// Makes lots.
pub(super) struct Maker<'a> {
    door: &'a Door,
    store: &'a Store,
    order: &'a Order,
    progress: &'a Progress,
    /// Bytes of the file read so far.
    bytes: u64,
    batches: Receiver<Result<Batch, String>>,
    ctrl_c: Signal,
    /// With `--duplicates keep`.
    takes: Takes,
    /// Redis's clock, and ours then.
    began: (Timestamp, Instant),
}

impl<'a> Maker<'a> {
    pub(super) async fn new(
        door: &'a Door,
        store: &'a Store,
        order: &'a Order,
        progress: &'a Progress,
        batches: Receiver<Result<Batch, String>>,
    ) -> Result<Self, Failure> {
        let ctrl_c = signal(SignalKind::interrupt())?;
        let began = (store.now().await?, Instant::now());
        let takes = Takes::default();
        Ok(Self { door, store, order, progress, bytes: 0, batches, ctrl_c, takes, began })
    }

    /// The next rows, judged.
    pub(super) async fn next(&mut self) -> Result<Next, Failure> {
        let batch = tokio::select! {
            biased;
            _ = self.ctrl_c.recv() => return Ok(Next::Interrupted),
            batch = self.batches.recv() => batch,
        };
        Ok(match batch {
            None => Next::End,
            Some(Err(why)) => Next::Unreadable(why),
            Some(Ok(batch)) => {
                self.bytes += batch.bytes;
                tokio::select! {
                    biased;
                    _ = self.ctrl_c.recv() => return Ok(Next::Interrupted),
                    () = self.order.ask(&batch.rows, self.bytes, self.progress) => {}
                }
                Next::Lot(self.lot(batch).await?)
            }
        })
    }

    async fn lot(&mut self, batch: Batch) -> Result<Lot, Failure> {
        let rows = batch.rows.len() as u64;
        let mut lines = Vec::with_capacity(batch.rows.len());
        let mut intakes: Vec<Intake> = Vec::with_capacity(batch.rows.len());
        for Row { number, notes, body, .. } in batch.rows {
            if !self.order.takes(number) {
                continue;
            }
            let body = match body {
                Ok(body) => body,
                Err(fault) => {
                    let faults = vec![fault];
                    lines.push(Line { number, custom_id: None, mends: false, faults });
                    continue;
                }
            };
            let custom_id = body["custom_id"].as_str().map(str::to_owned);
            let mut intake = self.order.intake(body, &notes);
            if self.order.duplicates == Duplicates::Keep {
                self.count_take(&mut intake);
            }
            let (mends, faults) = (intake.mends.is_some(), self.faults(&intake));
            if faults.is_empty() {
                intakes.push(intake);
            }
            lines.push(Line { number, custom_id, mends, faults });
        }
        let load = if self.order.dry_run {
            let now = self.store.now().await?;
            Load::Judged(self.door.check_many(intakes, now).await)
        } else {
            Load::Jobs(self.door.prepare_many(intakes).await)
        };
        Ok(Lot { bytes: batch.bytes, rows, lines, load })
    }

    /// What is wrong with a row whose references the provider could not fetch or would not take: that, behind
    /// whatever else is. Nothing where the references are good, or nobody looks at them.
    fn faults(&self, intake: &Intake) -> Vec<Fault> {
        let Some(references) = &self.order.references else { return Vec::new() };
        let found = references.faults(&intake.body);
        if found.is_empty() {
            return found;
        }
        let mut faults = match self.door.check(intake, self.now()) {
            Err(Refusal::Faults(faults)) => faults,
            Ok(_) | Err(_) => Vec::new(),
        };
        faults.extend(found);
        faults
    }

    /// No fingerprint and no fault of a form depends on the time: what has passed meanwhile, the door tells.
    fn now(&self) -> Timestamp {
        let (began, since) = self.began;
        began + since.elapsed()
    }

    fn count_take(&mut self, intake: &mut Intake) {
        if Takes::is_named(&intake.body) {
            return;
        }
        let Ok(checked) = self.door.check(intake, self.now()) else { return };
        intake.take_override = self.takes.count(&checked.fingerprint);
    }
}
