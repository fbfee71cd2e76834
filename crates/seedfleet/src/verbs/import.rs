//! `import`: a file of requests becomes a batch of jobs, by the row reader of `POST /v1/batches`.
//!
//! Good rows go through, bad ones are told in a rejects file. A row is known by batch and `custom_id`,
//! else by its fingerprint, never by its line number: the same file again adds nothing, so an import
//! that was interrupted is resumed by repeating it. Memory is bounded by a few batches of rows.

mod again;
mod beside;
mod draw;
mod order;
mod pilot;
mod rejects;
mod rows;

use crate::cli::{Duplicates, Global, ImportArgs};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Progress, note};
use crate::session::{Session, operator};
use crate::verbs::batch;
use admission::{Admitted, Door, How, Intake, Refusal, Row, RowForm};
pub(crate) use beside::Beside;
use job::{JobId, StateWord};
pub(crate) use order::Order;
use rejects::{Reject, Rejects};
use rows::Batch;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;
use store::{BatchCaps, Store};
use tokio::sync::mpsc::Receiver;

/// Pauses while Redis or the bucket does not take rows; after the last one the import stops.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];

/// What became of the rows.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) rows: u64,
    pub(crate) created: u64,
    pub(crate) held: u64,
    pub(crate) existing: u64,
    pub(crate) rejected: u64,
    /// Good rows that could not be stored.
    pub(crate) left: u64,
    pub(crate) codes: BTreeMap<String, u64>,
    pub(crate) tokens: u64,
    pub(crate) cost_micros: u64,
    pub(crate) currency: Option<seedance::Currency>,
    /// The jobs of a pilot's rows.
    pilot: BTreeSet<JobId>,
    /// The last line looked at, for the message after Ctrl-C.
    last_line: u64,
    stopped: Option<Stop>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Stop {
    Interrupted,
    Outage(String),
    Unreadable(String),
}

/// Opens a file of rows for [`take_in`].
///
/// # Errors
///
/// It is not there or cannot be read.
pub(crate) fn open(path: &Path) -> Result<Receiver<Result<Batch, String>>, Failure> {
    open_as(path, None)
}

/// The same, in a form that need not be the one its name tells.
///
/// # Errors
///
/// As there.
pub(crate) fn open_as(
    path: &Path,
    form: Option<RowForm>,
) -> Result<Receiver<Result<Batch, String>>, Failure> {
    Ok(rows::open(path, form.unwrap_or_else(|| rows::form_of(path)))?.batches)
}

/// Runs the verb.
pub(crate) async fn run(global: &Global, args: ImportArgs) -> Outcome {
    let name = args.file.file_stem().map_or("stdin".into(), |stem| stem.to_string_lossy());
    let name = if args.file.as_os_str() == "-" { "stdin".into() } else { name };
    let beside = Beside::of(&args);
    let order = Order {
        beside,
        pilot: None,
        batch: args.batch.or_else(|| args.retry_of.clone()).unwrap_or_else(|| batch_name(&name)),
        tenant: args.tenant,
        duplicates: args.duplicates,
        dry_run: args.dry_run,
        rejects: args.rejects.unwrap_or_else(|| rejects_path(&args.file)),
        retry_of: args.retry_of,
    };
    let form = args.format.map_or_else(|| rows::form_of(&args.file), Into::into);
    let source = rows::open(&args.file, form)?;
    let session = Session::open_for(global, Some(&order.tenant)).await?;
    if let Some(old) = &order.retry_of {
        batch::find(&session, old, Some(&order.tenant)).await?;
    }
    if let Some(until) = args.useful_until
        && until <= session.store.now().await?
    {
        let what =
            format!("--useful-until {} has passed: nothing would be bought", until.rfc3339());
        return Err(Failure::usage(what));
    }
    if let Some(most) = args.max_cost {
        within(global, &session, &order, (&args.file, form), most).await?;
    }
    let caps = BatchCaps { day_micros: args.buy_day_max, total_micros: args.buy_total_max };
    if !order.dry_run {
        let (store, by) = (&session.store, operator(None));
        let why = "imported with it";
        store.set_batch_caps(&order.tenant, &order.batch, caps, &by, why).await?;
        if let Some(on) = &args.stop_on {
            store.set_stop_on(&order.tenant, &order.batch, Some(on), &by, why).await?;
        }
    }
    if let Some(rows) = args.pilot.pilot
        && pilot::is_open(global, &session, &order, &args.file).await?
    {
        let place = pilot::Place { file: &args.file, form, rows };
        return pilot::run(global, &session, &order, &place, args.pilot.timeout).await;
    }
    let door = session.door()?;
    let mut progress = Progress::begin(source.bytes, global.quiet);
    let taken = take_in(&door, &session.store, source.batches, &order, &mut progress).await;
    progress.end();
    let tally = taken?;
    output::object(&global.output, summary(&tally, &order, session.pool.simulated))?;
    ended(&tally, &order, &args.file)
}

/// Judges the whole file, and refuses it where its good rows may cost more than that.
async fn within(
    global: &Global,
    session: &Session,
    order: &Order,
    (file, form): (&Path, RowForm),
    most_micros: u64,
) -> Result<(), Failure> {
    // Two readers of one pipe would share its rows: the judge might see none of those that are taken in.
    if file.as_os_str() == "-" || !file.is_file() {
        let what = "--max-cost judges the file before it is taken in, and standard input or a pipe is read once";
        return Err(Failure::usage(what).hint("write the rows to a file first"));
    }
    let judging = Order { dry_run: true, ..order.clone() };
    let source = rows::open(file, form)?;
    let mut progress = Progress::begin(source.bytes, global.quiet);
    let door = session.door()?;
    let judged = take_in(&door, &session.store, source.batches, &judging, &mut progress).await;
    progress.end();
    let judged = judged?;
    match &judged.stopped {
        None => {}
        Some(Stop::Interrupted) => {
            return Err(Failure::new(Exit::Interrupted, "interrupted; no row was taken in"));
        }
        Some(Stop::Outage(why) | Stop::Unreadable(why)) => {
            let what = format!("{} cannot be read on; no row was taken in", file.display());
            return Err(Failure::new(Exit::Failed, what).because(why));
        }
    }
    let currency = session.pool.route.currency();
    let cost = money(judged.currency.unwrap_or(currency), judged.cost_micros);
    if judged.cost_micros <= most_micros {
        note(&format!("{} good rows, at most {cost}", judged.created));
        return Ok(());
    }
    let what = format!(
        "{} good rows would cost up to {cost}, more than the {} of --max-cost; no row was taken in",
        judged.created,
        money(currency, most_micros)
    );
    Err(Failure::new(Exit::Guard, what).hint(
        "raise --max-cost, import fewer rows, or let them wait for their turn with --buy-day-max",
    ))
}

/// Takes every row in.
///
/// # Errors
///
/// The rejects file cannot be written, or Redis does not tell the time.
pub(crate) async fn take_in(
    door: &Door,
    store: &Store,
    mut batches: Receiver<Result<Batch, String>>,
    order: &Order,
    progress: &mut Progress,
) -> Result<Tally, Failure> {
    let open = match order.dry_run {
        true => None,
        false => Some(store.begin_upload(&order.tenant, &order.batch).await?),
    };
    let mut importer = Importer {
        door,
        store,
        order,
        open,
        rejects: Rejects::at(&order.rejects)?,
        takes: HashMap::new(),
        tally: Tally::default(),
    };
    let mut bytes = 0;
    let ctrl_c = tokio::signal::ctrl_c();
    tokio::pin!(ctrl_c);
    while importer.tally.stopped.is_none() {
        let batch = tokio::select! {
            biased;
            _ = &mut ctrl_c => {
                importer.tally.stopped = Some(Stop::Interrupted);
                break;
            }
            batch = batches.recv() => batch,
        };
        match batch {
            None => break,
            Some(Err(why)) => importer.tally.stopped = Some(Stop::Unreadable(why)),
            Some(Ok(batch)) => {
                bytes += batch.bytes;
                importer.batch(batch).await?;
                let Tally { rows, created, existing, rejected, .. } = importer.tally;
                let text =
                    format!("{rows} rows: {created} new, {existing} known, {rejected} refused");
                progress.at(bytes, &text);
            }
        }
    }
    if let Some(open) = &importer.open
        && let Err(error) = store.end_upload(open).await
    {
        let lapses = store::UPLOAD_LEASE.as_secs();
        note(&format!("the end of the import is not noted: {error}; it is after {lapses} s"));
    }
    importer.rejects.end()?;
    Ok(importer.tally)
}

struct Importer<'a> {
    door: &'a Door,
    store: &'a Store,
    order: &'a Order,
    /// While it is, the batch is not told as completed.
    open: Option<store::Upload>,
    rejects: Rejects,
    /// How often a request came, by the first 64 bits of its fingerprint; with `--duplicates keep`.
    takes: HashMap<u64, u32>,
    tally: Tally,
}

impl Importer<'_> {
    async fn batch(&mut self, batch: Batch) -> Result<(), Failure> {
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
        if self.order.dry_run { self.judge(rows).await } else { self.enqueue(rows).await }
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
        if let Some(open) = &mut self.open {
            self.store.keep_upload(open).await?;
        }
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
}

fn summary(tally: &Tally, order: &Order, simulated: bool) -> output::Row {
    let cost = tally.currency.map(|currency| money(currency, tally.cost_micros));
    let codes: Vec<String> = tally.codes.iter().map(|(code, n)| format!("{code} {n}")).collect();
    let rejected = tally.rejected > 0;
    let mut row = output::Row::new();
    row.insert("batch".into(), json!(order.batch));
    row.insert("rows".into(), json!(tally.rows));
    row.insert(if order.dry_run { "valid" } else { "created" }.into(), json!(tally.created));
    row.insert("held".into(), json!(tally.held));
    row.insert("existing".into(), json!(tally.existing));
    row.insert("rejected".into(), json!(tally.rejected));
    row.insert("not_stored".into(), json!(tally.left));
    row.insert("tokens_estimated".into(), json!(tally.tokens));
    row.insert("cost_estimated".into(), json!(cost));
    row.insert("rejects".into(), json!(rejected.then(|| order.rejects.display().to_string())));
    row.insert("reject_codes".into(), json!(rejected.then(|| codes.join(" · "))));
    if simulated {
        row.insert("simulated".into(), json!(true));
    }
    row
}

/// An amount as people write it.
pub(crate) fn money(currency: seedance::Currency, micros: u64) -> String {
    format!("{currency} {}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

fn ended(tally: &Tally, order: &Order, file: &Path) -> Outcome {
    let pilot = order.pilot.as_ref().map(|rows| format!(" --pilot {}", rows.len()));
    let again = format!("seedfleet import {} --batch {}", file.display(), order.batch)
        + &pilot.unwrap_or_default();
    let safe = tally.created + tally.existing;
    match &tally.stopped {
        Some(Stop::Interrupted) => Err(Failure::new(
            Exit::Interrupted,
            format!("interrupted after line {}; {safe} rows are safe", tally.last_line),
        )
        .hint(format!("go on with: {again}"))),
        Some(Stop::Outage(why)) => {
            let exit = if safe == 0 { Exit::Outage } else { Exit::Partial };
            let what = format!("stopped at line {}; {safe} rows are safe", tally.last_line);
            Err(Failure::new(exit, what).because(why).hint(format!("go on with: {again}")))
        }
        Some(Stop::Unreadable(why)) => {
            let exit = if safe == 0 { Exit::Failed } else { Exit::Partial };
            let what = format!("{} cannot be read on; {safe} rows are safe", file.display());
            Err(Failure::new(exit, what).because(why).hint(format!("go on with: {again}")))
        }
        None if tally.rejected > 0 => Ok(Exit::Findings),
        None => Ok(Exit::Done),
    }
}

/// A name that may stand in keys: what cannot is a dash.
fn batch_name(stem: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let name: String = stem.chars().take(128).map(|c| if plain(c) { c } else { '-' }).collect();
    if name.is_empty() { "batch".to_owned() } else { name }
}

/// `prompts.jsonl` tells its rejects in `prompts.rejects.jsonl` beside it, and so does `prompts.csv`.
fn rejects_path(file: &Path) -> PathBuf {
    if file.as_os_str() == "-" {
        return PathBuf::from("stdin.rejects.jsonl");
    }
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let ends = [".jsonl", ".json", ".csv"];
    let stem = ends.into_iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
    file.with_file_name(format!("{stem}.rejects.jsonl"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_named_after_its_file() {
        assert_eq!(batch_name("spring ads/2"), "spring-ads-2");
        assert_eq!(batch_name(""), "batch");
    }

    #[test]
    fn rejects_lie_beside_their_file() {
        assert_eq!(rejects_path(Path::new("a/p.jsonl")), PathBuf::from("a/p.rejects.jsonl"));
        assert_eq!(rejects_path(Path::new("p.csv")), PathBuf::from("p.rejects.jsonl"));
        assert_eq!(rejects_path(Path::new("a/p")), PathBuf::from("a/p.rejects.jsonl"));
        assert_eq!(rejects_path(Path::new("-")), PathBuf::from("stdin.rejects.jsonl"));
    }
}
