//! `import --pilot`: a few rows are bought first, and a person sees what came of them before the others are.
//!
//! The batch is paused for all but its pilot before any row is taken in; then the rows of the pilot come in with their
//! mark, then all rows. Whoever repeats the command draws the same rows and finds the same jobs.

use super::tried::{self, Tried, interrupted, not_new};
use super::{Order, Tally, ended, rows, summary, take_in, twice};
use crate::cli::Global;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Progress};
use crate::patience::Patience;
use crate::session::{Session, operator};
use crate::verbs::{batch, jobs};
use admission::{Deck, Drawn, RowForm, settings_of};
use job::{JobId, Record, StateWord};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Between two looks at the jobs of a pilot.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The file and what is wanted of it.
pub(super) struct Place<'a> {
    pub(super) file: &'a Path,
    pub(super) form: RowForm,
    pub(super) rows: u32,
}

/// Whether the batch is new, or waits for its pilot; not where somebody has let it go on since.
///
/// # Errors
///
/// A batch that had jobs before, or an input that cannot be read twice.
pub(super) async fn is_open(
    global: &Global,
    session: &Session,
    order: &Order,
    file: &Path,
) -> Result<bool, Failure> {
    twice("--pilot draws from the file before it is taken in", file)?;
    let Some(batch) = session.store.batch(&order.tenant, &order.batch).await? else {
        return Ok(true);
    };
    if batch.piloted.is_some() {
        tried::tell_over(global, &batch.name);
        return Ok(false);
    }
    if batch.pilot.is_none() && (batch.jobs() > 0 || batch.paused.is_some()) {
        return Err(not_new(&batch.name, batch.jobs()));
    }
    Ok(true)
}

/// Runs the verb.
pub(super) async fn run(
    global: &Global,
    session: &Session,
    order: &Order,
    place: &Place<'_>,
    timeout: Duration,
) -> Outcome {
    let store = &session.store;
    let drawn = draw(global, session, order, place).await?;
    if drawn.rows.is_empty() {
        // There is nothing to try, nor anything that could wait for it.
        let whole = pass(global, session, order, place).await?;
        output::object(&global.output, summary(&whole, order, session.pool.simulated))?;
        return ended(&whole, order, place.file);
    }
    let (kinds, all) = (drawn.kinds as u64, drawn.kinds_in_file as u64);
    tried::tell_drawn(global, drawn.rows.len(), kinds, all);
    let rows = drawn.rows.into_keys().collect();
    let first = Order { pilot: Some(Arc::new(rows)), ..order.clone() };
    let open = store.begin_upload(&order.tenant, &order.batch).await?;
    let began = store.begin_pilot(&order.tenant, &order.batch, place.rows, &operator(None)).await;
    store.end_upload(&open).await?;
    if !began? {
        let batch = batch::find(session, &order.batch, Some(&order.tenant)).await?;
        if batch.pilot.is_none() {
            return Err(not_new(&batch.name, batch.jobs()));
        }
    }
    let pilot = pass(global, session, &first, place).await?;
    if pilot.stopped.is_some() {
        return ended(&pilot, &first, place.file);
    }
    let records = load(session, &pilot.pilot).await?;
    let whole = pass(global, session, order, place).await?;
    hold_others(session, order, &records).await?;
    if whole.stopped.is_some() {
        return ended(&whole, &first, place.file);
    }
    let (records, over) = wait(global, session, &pilot.pilot, timeout).await?;
    show(global, session, order, (&pilot, &whole), &records)?;
    next(session, order, over, timeout).await?;
    let exit = jobs::verdict(records.iter().map(|record| (record.life.state.word(), 1)));
    Ok(if exit == Exit::Done && whole.rejected > 0 { Exit::Findings } else { exit })
}

/// Reads the file once and draws.
async fn draw(
    global: &Global,
    session: &Session,
    order: &Order,
    place: &Place<'_>,
) -> Result<Drawn, Failure> {
    let (door, now) = (session.door()?, session.store.now().await?);
    let mut deck = Deck::of(usize::try_from(place.rows).unwrap_or(usize::MAX));
    let source = rows::open(place.file, place.form)?;
    let (mut batches, mut bytes) = (source.batches, 0);
    let progress = Progress::begin(source.bytes, global.quiet);
    let ctrl_c = tokio::signal::ctrl_c();
    tokio::pin!(ctrl_c);
    loop {
        let batch = tokio::select! {
            biased;
            _ = &mut ctrl_c => return Err(interrupted("no row was taken in")),
            batch = batches.recv() => batch,
        };
        let Some(batch) = batch else { break };
        let batch = batch.map_err(|why| {
            let what = format!("{} cannot be read; no row was taken in", place.file.display());
            Failure::new(Exit::Failed, what).because(why)
        })?;
        bytes += batch.bytes;
        tokio::select! {
            biased;
            _ = &mut ctrl_c => return Err(interrupted("no row was taken in")),
            () = order.ask(&batch.rows, bytes, &progress) => {}
        }
        for row in batch.rows {
            let Ok(body) = row.body else { continue };
            // It will be refused, and would leave its place in the pilot empty.
            if order.references.as_ref().is_some_and(|known| !known.faults(&body).is_empty()) {
                continue;
            }
            let Ok(checked) = door.check(&order.intake(body, &row.notes), now) else { continue };
            deck.row(&checked, row.number);
        }
        progress.at(bytes, "drawing the pilot's rows");
    }
    progress.end();
    Ok(deck.draw())
}

async fn pass(
    global: &Global,
    session: &Session,
    order: &Order,
    place: &Place<'_>,
) -> Result<Tally, Failure> {
    let source = rows::open(place.file, place.form)?;
    let progress = Progress::begin(source.bytes, global.quiet);
    let door = session.door()?;
    let taken = take_in(&door, &session.store, source.batches, order, &progress).await;
    progress.end();
    taken
}

async fn load(session: &Session, ids: &BTreeSet<JobId>) -> Result<Vec<Record>, Failure> {
    let ids: Vec<JobId> = ids.iter().cloned().collect();
    let mut records = Vec::with_capacity(ids.len());
    for stored in session.store.load_many(&ids).await? {
        records.extend(stored?.map(|stored| stored.record));
    }
    Ok(records)
}

/// The other rows leave the queue, so that submitters need not take out each of them when its turn comes.
async fn hold_others(session: &Session, order: &Order, records: &[Record]) -> Result<(), Failure> {
    let ours =
        |record: &&Record| record.spec.pilot && record.spec.batch.as_ref() == Some(&order.batch);
    let last = records.iter().filter(ours).map(|record| record.created_at).max();
    let batch = batch::find(session, &order.batch, Some(&order.tenant)).await?;
    let after = last.unwrap_or_default();
    session.store.hold_beside_pilot(&batch, after, &operator(None)).await?;
    Ok(())
}

/// Waits until nothing more comes of the pilot by itself; whether that is so when time is up.
async fn wait(
    global: &Global,
    session: &Session,
    ids: &BTreeSet<JobId>,
    timeout: Duration,
) -> Result<(Vec<Record>, bool), Failure> {
    let mut patience = Patience::new(global, LOOK_EVERY, Some(timeout)).answered();
    let progress = Progress::begin(Some(ids.len() as u64), global.quiet);
    let ctrl_c = tokio::signal::ctrl_c();
    tokio::pin!(ctrl_c);
    loop {
        let late = || tried::not_over(timeout);
        let question = async || load(session, ids).await;
        let interrupted = || interrupted("the pilot goes on, and all rows are safe");
        let records = tokio::select! {
            biased;
            _ = &mut ctrl_c => return Err(interrupted()),
            records = patience.ask(Some(&progress), late, question) => records?,
        };
        let mut counts: BTreeMap<StateWord, u64> = BTreeMap::new();
        for record in &records {
            *counts.entry(record.life.state.word()).or_default() += 1;
        }
        progress.at(jobs::ended(&counts), &jobs::in_words(&counts));
        let over = jobs::ended(&counts) == records.len() as u64;
        if over || patience.is_over() {
            progress.end();
            return Ok((records, over));
        }
        tokio::select! {
            biased;
            _ = &mut ctrl_c => return Err(interrupted()),
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// Each job of the pilot, then what it came to.
fn show(
    global: &Global,
    session: &Session,
    order: &Order,
    (pilot, whole): (&Tally, &Tally),
    records: &[Record],
) -> Result<(), Failure> {
    let buckets = session.buckets()?;
    let assets = buckets.of(&order.tenant);
    let of = |record: &Record| {
        let (spec, state) = (&record.spec, &record.life.state);
        let video = state.output().filter(|output| output.is_here());
        Tried {
            job: record.id.to_string(),
            state: state.word(),
            settings: Some(settings_of(&spec.request)),
            micros: spec.charge_micros(&record.life),
            estimated_micros: spec.estimate_cost.as_ref().map_or(0, |cost| cost.micros),
            video: json!(video.map(|output| assets.address(&output.video))),
            code: state.failure_code().map(str::to_owned),
        }
    };
    let tried: Vec<Tried> = records.iter().map(of).collect();
    let mut row = summary(whole, order, session.pool.simulated);
    // What was new to this run is said of both passes.
    row.insert("created".into(), json!(pilot.created + whole.created));
    row.insert("existing".into(), json!(whole.existing.saturating_sub(pilot.created)));
    tried::show(global, session.pool.route.currency(), &tried, row)
}

/// What to do next.
async fn next(
    session: &Session,
    order: &Order,
    over: bool,
    timeout: Duration,
) -> Result<(), Failure> {
    if !over {
        return Err(tried::not_over(timeout));
    }
    let batch = batch::find(session, &order.batch, Some(&order.tenant)).await?;
    let whose = match order.tenant.as_str() {
        "default" => String::new(),
        tenant => format!(" --tenant {tenant}"),
    };
    let paused = batch.paused.as_ref().map(batch::why);
    tried::tell_next(&batch.name, &whose, paused.as_deref(), batch.pilot.is_some());
    Ok(())
}
