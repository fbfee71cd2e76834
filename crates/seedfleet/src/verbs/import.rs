//! `import`: a file of requests becomes a batch of jobs, by the row reader of `POST /v1/batches`.
//!
//! Good rows go through, bad ones are told in a rejects file. A row is known by batch and `custom_id`,
//! else by its fingerprint, never by its line number: the same file again adds nothing, so an import
//! that was interrupted is resumed by repeating it. Three lots of rows are under way at a time, and bound
//! its memory: one is read, one is judged, one is stored. A dry run and `--duplicates keep` remember a few bytes
//! of each row beside, `--check-urls` so many addresses at most.

mod judged;
mod lots;
mod order;
mod pilot;
mod references;
mod rejects;
mod rows;
mod taking;
pub(crate) mod tried;

use crate::cli::{Global, ImportArgs};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Progress, note};
use crate::session::{Session, operator};
use crate::verbs::batch;
use admission::{Beside, DryRun, RowForm};
use job::JobId;
pub(crate) use order::Order;
pub(crate) use references::{Fences, References};
pub(crate) use rejects::{Reject, Rejects};
pub(crate) use rows::{Batch, form_of, open as open_rows};
use seedance::Currency;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use store::BatchCaps;
pub(crate) use taking::take_in;
use tokio::sync::mpsc::Receiver;

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
    /// What the rows that are only judged need.
    judged: DryRun,
    pub(crate) currency: Option<Currency>,
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
    let mut order = Order {
        beside: beside_of(&args),
        pilot: None,
        references: None,
        batch: batch_of(&args),
        rejects: rejects_of(&args),
        tenant: args.tenant,
        duplicates: args.duplicates,
        dry_run: args.dry_run,
        retry_of: args.retry_of,
    };
    let form = args.format.map_or_else(|| rows::form_of(&args.file), Into::into);
    let source = rows::open(&args.file, form)?;
    let session = Session::open_for(global, Some(&order.tenant)).await?;
    let fences = || Fences::of(&session.loaded, &session.pool);
    order.references = References::open(&args.check, fences)?;
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
    let progress = Progress::begin(source.bytes, global.quiet);
    let taken = take_in(&door, &session.store, source.batches, &order, &progress).await;
    progress.end();
    let tally = taken?;
    let mut row = summary(&tally, &order, session.pool.simulated);
    if order.dry_run {
        judged::tell(global, &session, &order, &tally.judged, &mut row).await?;
    }
    output::object(&global.output, row)?;
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
    twice("--max-cost judges the file before it is taken in", file)?;
    let judging = Order { dry_run: true, ..order.clone() };
    let source = rows::open(file, form)?;
    let progress = Progress::begin(source.bytes, global.quiet);
    let door = session.door()?;
    let judged = take_in(&door, &session.store, source.batches, &judging, &progress).await;
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
    affordable(session.pool.route.currency(), judged.created, (judged.cost_micros, most_micros))
}

/// Refuses a file of so many good rows where they may cost more than the most; amounts in millionths.
///
/// # Errors
///
/// They may.
pub(crate) fn affordable(
    currency: Currency,
    good: u64,
    (micros, most_micros): (u64, u64),
) -> Result<(), Failure> {
    let cost = money(currency, micros);
    if micros <= most_micros {
        note(&format!("{good} good rows, at most {cost}"));
        return Ok(());
    }
    let most = money(currency, most_micros);
    let what = format!(
        "{good} good rows would cost up to {cost}, more than the {most} of --max-cost; no row was taken in"
    );
    Err(Failure::new(Exit::Guard, what).hint(
        "raise --max-cost, import fewer rows, or let them wait for their turn with --buy-day-max",
    ))
}

/// Refuses what cannot be read twice. Two readers of one pipe would share its rows: the first might see none of those
/// that are taken in.
///
/// # Errors
///
/// It is standard input, or no file.
pub(crate) fn twice(why: &str, file: &Path) -> Result<(), Failure> {
    if file.as_os_str() != "-" && file.is_file() {
        return Ok(());
    }
    let what = format!("{why}, and standard input or a pipe is read once");
    Err(Failure::usage(what).hint("write the rows to a file first"))
}

/// What the command line says once for all rows.
fn beside_of(args: &ImportArgs) -> Beside {
    let said = [
        ("priority", args.priority.as_ref().map(|word| json!(word))),
        ("useful_until", args.useful_until.map(|until| json!(until.rfc3339()))),
        ("take", args.take.map(|take| json!(take))),
    ];
    Beside::of(said, args.output_prefix.clone())
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
    if let Some(references) = &order.references {
        let (looked_at, in_doubt) = references.counts();
        row.insert("urls".into(), json!(looked_at));
        row.insert("urls_not_checked".into(), json!(in_doubt));
    }
    if simulated {
        row.insert("simulated".into(), json!(true));
    }
    row
}

/// An amount as people write it.
pub(crate) fn money(currency: Currency, micros: u64) -> String {
    format!("{currency} {}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

fn ended(tally: &Tally, order: &Order, file: &Path) -> Outcome {
    let pilot = order.pilot.as_ref().map(|rows| format!(" --pilot {}", rows.len()));
    let check = if order.references.is_some() { " --check-urls" } else { "" };
    let again = format!("seedfleet import {} --batch {}{check}", file.display(), order.batch)
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

/// The batch that is meant: named, that of the jobs whose place the rows take, or after the file.
pub(crate) fn batch_of(args: &ImportArgs) -> String {
    let stem = match args.file.file_stem() {
        Some(stem) if args.file.as_os_str() != "-" => stem.to_string_lossy(),
        Some(_) | None => "stdin".into(),
    };
    let named = args.batch.clone().or_else(|| args.retry_of.clone());
    named.unwrap_or_else(|| batch_name(&stem))
}

/// Where refused rows are told.
pub(crate) fn rejects_of(args: &ImportArgs) -> PathBuf {
    args.rejects.clone().unwrap_or_else(|| rejects_path(&args.file))
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
