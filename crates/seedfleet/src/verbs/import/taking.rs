//! The second half of an import: one lot of rows after the other becomes jobs, while the next is judged.
//!
//! Lots are stored in the order of the file and one at a time, so that of two rows with one `custom_id`, or of two
//! equal ones, the first is the job. Only an outage can let a later one pass it.

use super::lots::{Line, Load, Lot, Maker, Next};
use super::rejects::{Reject, Rejects};
use super::rows::Batch;
use super::{Order, Stop, Tally};
use crate::exit::Failure;
use crate::output::{Progress, note};
use admission::{Admitted, Checked, Door, DryRun, How, Prepared, Refusal};
use job::StateWord;
use std::pin::{Pin, pin};
use std::time::Duration;
use store::Store;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::Receiver;

/// Pauses while Redis or the bucket does not take rows; after the last one the import stops.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];

/// While the next rows are waited for; several of these within the lease of an upload.
const SIGN_OF_LIFE_EVERY: Duration = Duration::from_secs(15);

/// Takes every row in.
///
/// # Errors
///
/// The rejects file cannot be written, or Redis does not tell the time.
pub(crate) async fn take_in(
    door: &Door,
    store: &Store,
    batches: Receiver<Result<Batch, String>>,
    order: &Order,
    progress: &Progress,
) -> Result<Tally, Failure> {
    // From here on somebody who presses Ctrl-C is told how to go on.
    let ctrl_c = signal(SignalKind::interrupt())?;
    let open = match order.dry_run {
        true => None,
        false => Some(store.begin_upload(&order.tenant, &order.batch).await?),
    };
    let mut taker = Taker {
        door,
        store,
        order,
        open,
        rejects: Rejects::at(&order.rejects)?,
        ctrl_c,
        tally: Tally::default(),
    };
    let mut maker = Maker::new(door, store, order, progress, batches).await?;
    taker.take_all(&mut maker, progress).await?;
    if let Some(open) = &taker.open
        && let Err(error) = store.end_upload(open).await
    {
        let lapses = store::UPLOAD_LEASE.as_secs();
        note(&format!("the end of the import is not noted: {error}; it is after {lapses} s"));
    }
    taker.rejects.end()?;
    Ok(taker.tally)
}

struct Taker<'a> {
    door: &'a Door,
    store: &'a Store,
    order: &'a Order,
    /// While it is, the batch is not told as completed.
    open: Option<store::Upload>,
    rejects: Rejects,
    ctrl_c: Signal,
    tally: Tally,
}

impl Taker<'_> {
    async fn take_all(
        &mut self,
        maker: &mut Maker<'_>,
        progress: &Progress,
    ) -> Result<(), Failure> {
        let mut bytes = 0;
        let mut ahead = self.until(pin!(maker.next())).await?;
        while self.tally.stopped.is_none() {
            let lot = match ahead {
                Next::Lot(lot) => lot,
                Next::End => break,
                Next::Interrupted => {
                    self.tally.stopped = Some(Stop::Interrupted);
                    break;
                }
                Next::Unreadable(why) => {
                    self.tally.stopped = Some(Stop::Unreadable(why));
                    break;
                }
            };
            bytes += lot.bytes;
            let mut next = pin!(maker.next());
            let mut found = None;
            {
                let mut taken = pin!(self.take(lot));
                loop {
                    tokio::select! {
                        // It asks Redis for little, before the jobs take it up.
                        biased;
                        judged = &mut next, if found.is_none() => found = Some(judged),
                        taken = &mut taken => break taken?,
                    }
                }
            }
            let Tally { rows, created, existing, rejected, .. } = self.tally;
            let text = format!("{rows} rows: {created} new, {existing} known, {rejected} refused");
            progress.at(bytes, &text);
            if self.tally.stopped.is_some() {
                break;
            }
            ahead = match found {
                Some(judged) => judged?,
                None => self.until(next).await?,
            };
        }
        Ok(())
    }

    /// The next lot, and the batch kept open meanwhile: files that rows refer to may take their time.
    async fn until(
        &mut self,
        mut next: Pin<&mut impl Future<Output = Result<Next, Failure>>>,
    ) -> Result<Next, Failure> {
        loop {
            tokio::select! {
                biased;
                next = &mut next => return next,
                () = tokio::time::sleep(SIGN_OF_LIFE_EVERY) => {
                    if let Some(open) = &mut self.open {
                        self.store.keep_upload(open).await?;
                    }
                }
            }
        }
    }

    async fn take(&mut self, lot: Lot) -> Result<(), Failure> {
        self.tally.rows += lot.rows;
        let mut lines = Vec::with_capacity(lot.lines.len());
        for mut line in lot.lines {
            self.tally.last_line = line.number;
            match std::mem::take(&mut line.faults) {
                none if none.is_empty() => lines.push(line),
                faults => self.refused(&line, &Refusal::Faults(faults))?,
            }
        }
        match lot.load {
            Load::Judged(judged) => self.judged(lines, judged),
            Load::Jobs(prepared) => self.enqueue(lines, prepared).await,
        }
    }

    fn judged(
        &mut self,
        lines: Vec<Line>,
        judged: Vec<Result<Checked, Refusal>>,
    ) -> Result<(), Failure> {
        for (line, judged) in lines.into_iter().zip(judged) {
            match judged {
                Ok(checked) => match self.tally.judged.row(&checked, line.mends) {
                    Ok(()) => self.tally.currency = Some(checked.cost.currency),
                    Err(fault) => self.refused(&line, &Refusal::Faults(vec![fault]))?,
                },
                Err(refusal) => self.refused(&line, &refusal)?,
            }
        }
        let tally = &mut self.tally;
        let DryRun { valid, held, existing, tokens, micros, .. } = tally.judged;
        (tally.created, tally.held, tally.existing) = (valid, held, existing);
        (tally.tokens, tally.cost_micros) = (tokens, micros);
        Ok(())
    }

    async fn enqueue(
        &mut self,
        mut lines: Vec<Line>,
        mut prepared: Prepared,
    ) -> Result<(), Failure> {
        let mut pauses = PAUSES.iter();
        loop {
            let Some(why) = self.try_to_enqueue(&mut lines, &mut prepared).await? else {
                return Ok(());
            };
            let stop = match pauses.next() {
                None => Stop::Outage(why),
                Some(pause) => tokio::select! {
                    () = tokio::time::sleep(*pause) => continue,
                    _ = self.ctrl_c.recv() => Stop::Interrupted,
                },
            };
            self.tally.left += lines.len() as u64;
            self.tally.stopped = Some(stop);
            return Ok(());
        }
    }

    /// Leaves the lines that were not stored and may be; why they were not, if there are any.
    async fn try_to_enqueue(
        &mut self,
        lines: &mut Vec<Line>,
        prepared: &mut Prepared,
    ) -> Result<Option<String>, Failure> {
        if let Some(open) = &mut self.open
            && let Err(error) = self.store.keep_upload(open).await
        {
            return Ok(Some(error.to_string()));
        }
        let (mut again, mut why) = (Vec::new(), None);
        let answers = self.door.store_many(prepared).await;
        for (line, answer) in lines.drain(..).zip(answers) {
            match answer {
                Ok(admitted) => self.admitted(&admitted),
                Err(refusal) if refusal.is_retryable() => {
                    why = Some(refusal.to_string());
                    again.push(line);
                }
                Err(refusal) => self.refused(&line, &refusal)?,
            }
        }
        *lines = again;
        Ok(why)
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

    fn refused(&mut self, line: &Line, refusal: &Refusal) -> Result<(), Failure> {
        self.reject(line, Reject::of(refusal))
    }

    fn reject(&mut self, line: &Line, rejects: Vec<Reject>) -> Result<(), Failure> {
        self.tally.rejected += 1;
        for reject in rejects {
            *self.tally.codes.entry(reject.code.clone()).or_default() += 1;
            self.rejects.write(line.number, line.custom_id.as_deref(), &reject)?;
        }
        Ok(())
    }
}
