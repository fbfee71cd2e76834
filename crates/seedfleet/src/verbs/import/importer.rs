//! One pass over rows: each is judged or taken in, and what became of it is counted.

use super::rejects::{Reject, Rejects};
use super::rows::Batch;
use super::seen::{Seen, Told};
use super::{Order, Stop, Tally};
use crate::cli::Duplicates;
use crate::exit::Failure;
use crate::output::{Progress, note};
use admission::{Admitted, Door, How, Intake, Refusal, Row};
use job::StateWord;
use serde_json::Value;
use std::collections::HashMap;
use std::time::Duration;
use store::{Store, Upload};

/// Pauses while Redis or the bucket does not take rows; after the last one the import stops.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];

/// While files are looked at; several of these within the lease of an upload.
const SIGN_OF_LIFE_EVERY: Duration = Duration::from_secs(15);

/// One pass over the rows.
pub(super) struct Importer<'a> {
    door: &'a Door,
    store: &'a Store,
    order: &'a Order,
    /// While it is, the batch is not told as completed.
    open: Option<Upload>,
    rejects: Rejects,
    /// How often a request came, by the first 64 bits of its fingerprint; with `--duplicates keep`.
    takes: HashMap<u64, u32>,
    /// The rows of a dry run.
    seen: Seen,
    pub(super) tally: Tally,
}

impl<'a> Importer<'a> {
    /// Begins.
    ///
    /// # Errors
    ///
    /// The rejects file of an earlier pass cannot be taken away.
    pub(super) fn begin(
        door: &'a Door,
        store: &'a Store,
        order: &'a Order,
        open: Option<Upload>,
    ) -> Result<Self, Failure> {
        let rejects = Rejects::at(&order.rejects)?;
        let (takes, seen, tally) = (HashMap::new(), Seen::default(), Tally::default());
        Ok(Self { door, store, order, open, rejects, takes, seen, tally })
    }

    /// Asks for what these rows refer to, if that is wanted, and keeps the batch open meanwhile.
    ///
    /// # Errors
    ///
    /// Redis does not take the sign of life.
    pub(super) async fn ask(
        &mut self,
        rows: &[Row],
        bytes: u64,
        progress: &mut Progress,
    ) -> Result<(), Failure> {
        let order = self.order;
        let asking = order.ask(rows, bytes, progress);
        tokio::pin!(asking);
        loop {
            tokio::select! {
                biased;
                () = &mut asking => return Ok(()),
                () = tokio::time::sleep(SIGN_OF_LIFE_EVERY) => self.keep_open().await?,
            }
        }
    }

    async fn keep_open(&mut self) -> Result<(), Failure> {
        if let Some(open) = &mut self.open {
            self.store.keep_upload(open).await?;
        }
        Ok(())
    }

    /// Takes some rows in.
    ///
    /// # Errors
    ///
    /// The rejects file cannot be written, or Redis does not tell the time.
    pub(super) async fn batch(&mut self, batch: Batch) -> Result<(), Failure> {
        self.tally.rows += batch.rows.len() as u64;
        let mut rows: Vec<(u64, Intake)> = Vec::with_capacity(batch.rows.len());
        for Row { number, notes, body, .. } in batch.rows {
            if !self.order.takes(number) {
                continue;
            }
            self.tally.last_line = number;
            match body {
                Ok(body) => rows.push((number, self.order.intake(body, &notes))),
                Err(fault) => {
                    let refusal = Refusal::Faults(vec![fault]);
                    self.refused(number, &Value::Null, &refusal)?;
                }
            }
        }
        if self.order.duplicates == Duplicates::Keep {
            let now = self.store.now().await?;
            for (_, intake) in &mut rows {
                self.count_take(intake, now);
            }
        }
        let rows = self.sift(rows).await?;
        if self.order.dry_run { self.judge(rows).await } else { self.enqueue(rows).await }
    }

    /// Tells the rows whose references the provider could not fetch or would not take, and keeps the others.
    async fn sift(&mut self, rows: Vec<(u64, Intake)>) -> Result<Vec<(u64, Intake)>, Failure> {
        let order = self.order;
        let Some(references) = &order.references else { return Ok(rows) };
        let now = self.store.now().await?;
        let mut good = Vec::with_capacity(rows.len());
        for (number, intake) in rows {
            let found = references.faults(&intake.body);
            if found.is_empty() {
                good.push((number, intake));
                continue;
            }
            // Whatever else is wrong with the row is told at once.
            let mut faults = match self.door.check_mended(&intake, now).await {
                Err(Refusal::Faults(faults)) => faults,
                Ok(_) | Err(_) => Vec::new(),
            };
            faults.extend(found);
            self.refused(number, &intake.body, &Refusal::Faults(faults))?;
        }
        Ok(good)
    }

    /// Rows that name themselves, or their take, are told apart already.
    fn count_take(&mut self, intake: &mut Intake, now: job::Timestamp) {
        let named = ["custom_id", "take"].iter().any(|key| !intake.body[*key].is_null());
        if named {
            return;
        }
        let Ok(checked) = self.door.check(intake, now) else { return };
        let digits = checked.fingerprint.as_str().rsplit('_').next().unwrap_or_default();
        let key = digits.get(..16).and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or(0);
        let take = self.takes.entry(key).or_insert(0);
        *take += 1;
        intake.take_override = (*take > 1).then_some(*take);
    }

    async fn judge(&mut self, rows: Vec<(u64, Intake)>) -> Result<(), Failure> {
        let now = self.store.now().await?;
        for (number, intake) in rows {
            match self.door.check_mended(&intake, now).await {
                Ok(checked) => {
                    // What stands in place of a job is found by more than its request, and counted each time.
                    let is_new = intake.mends.is_some();
                    match if is_new { Told::New } else { self.seen.row(&checked) } {
                        Told::New => {}
                        Told::Twin => {
                            self.tally.existing += 1;
                            continue;
                        }
                        Told::OtherUnderItsName => {
                            let id = checked.custom_id.as_deref();
                            self.reject(number, id, vec![Reject::name_repeated()])?;
                            continue;
                        }
                    }
                    let tally = &mut self.tally;
                    tally.created += 1;
                    tally.held += u64::from(checked.held.is_some());
                    tally.tokens += checked.estimate_tokens;
                    tally.cost_micros += checked.cost.micros;
                    tally.currency = Some(checked.cost.currency);
                }
                Err(refusal) => self.refused(number, &intake.body, &refusal)?,
            }
        }
        Ok(())
    }

    async fn enqueue(&mut self, mut rows: Vec<(u64, Intake)>) -> Result<(), Failure> {
        self.keep_open().await?;
        let mut pauses = PAUSES.iter();
        loop {
            let intakes = rows.iter().map(|(_, intake)| intake.clone()).collect();
            let answers = self.door.admit_many(intakes).await;
            let (mut again, mut why) = (Vec::new(), String::new());
            for ((number, intake), answer) in rows.into_iter().zip(answers) {
                match answer {
                    Ok(admitted) => self.admitted(&admitted),
                    Err(refusal) if refusal.is_retryable() => {
                        why = refusal.to_string();
                        again.push((number, intake));
                    }
                    Err(refusal) => self.refused(number, &intake.body, &refusal)?,
                }
            }
            if again.is_empty() {
                return Ok(());
            }
            let Some(pause) = pauses.next() else {
                self.tally.left += again.len() as u64;
                self.tally.stopped = Some(Stop::Outage(why));
                return Ok(());
            };
            tokio::time::sleep(*pause).await;
            rows = again;
        }
    }

    fn admitted(&mut self, admitted: &Admitted) {
        let tally = &mut self.tally;
        if self.order.pilot.is_some() {
            tally.pilot.insert(admitted.id.clone());
        }
        match admitted.how {
            How::Created => {
                tally.created += 1;
                tally.held += u64::from(admitted.state == Some(StateWord::Held));
                tally.tokens += admitted.estimate_tokens;
                tally.cost_micros += admitted.cost.micros;
                tally.currency = Some(admitted.cost.currency);
            }
            How::Deduplicated { .. } => tally.existing += 1,
        }
    }

    fn refused(&mut self, number: u64, body: &Value, refusal: &Refusal) -> Result<(), Failure> {
        let custom_id = body["custom_id"].as_str().map(str::to_owned);
        let rejects = Reject::of(refusal);
        self.reject(number, custom_id.as_deref(), rejects)
    }

    fn reject(
        &mut self,
        number: u64,
        custom_id: Option<&str>,
        rejects: Vec<Reject>,
    ) -> Result<(), Failure> {
        self.tally.rejected += 1;
        for reject in rejects {
            *self.tally.codes.entry(reject.code.clone()).or_default() += 1;
            self.rejects.write(number, custom_id, &reject)?;
        }
        Ok(())
    }

    /// Ends: the batch has all its rows, as far as they came.
    ///
    /// # Errors
    ///
    /// The rejects file cannot be written.
    pub(super) async fn end(mut self) -> Result<Tally, Failure> {
        if let Some(open) = &self.open
            && let Err(error) = self.store.end_upload(open).await
        {
            let lapses = store::UPLOAD_LEASE.as_secs();
            note(&format!("the end of the import is not noted: {error}; it is after {lapses} s"));
        }
        self.rejects.end()?;
        Ok(self.tally)
    }
}
