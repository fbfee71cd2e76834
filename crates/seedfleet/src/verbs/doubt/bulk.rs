//! Many decisions at once: a preview that a person reads and shortens, and its application, which
//! touches only jobs that stand as the person saw them.

use super::evidence;
use crate::cli::{Bulk, Decision, Global};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::note;
use crate::session::{Session, operator};
use crate::verbs::rows::Walk;
use crate::verbs::tally::{Tally, Told};
use job::filter::Filter;
use job::{AttemptId, AttemptOutcome, By, Event, JobId, ParkWhy, Record, StateWord};
use reconcile::doubt::Doubt;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use store::{Decided, Stored};

/// Lines of a preview that are read.
const LINES_MAX: usize = 100_000;
/// Bytes of a preview that are read.
const FILE_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// What may be done to many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Action {
    Resend,
    GiveUp,
}

impl Action {
    const fn word(self) -> &'static str {
        match self {
            Self::Resend => "resend",
            Self::GiveUp => "give_up",
        }
    }

    const fn verb(self) -> &'static str {
        match self {
            Self::Resend => "doubt apply: resend",
            Self::GiveUp => "doubt apply: give-up",
        }
    }

    fn event(self, by: By, reason: String) -> Event {
        match self {
            Self::Resend => Event::ResendOrdered { by, reason },
            Self::GiveUp => Event::GaveUp { by, reason },
        }
    }
}

/// One line of a preview.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    action: Action,
    pool: String,
    job: JobId,
    revision: u64,
    attempt: AttemptId,
    /// One more video of this kind, by the price table.
    cost: Option<String>,
    cost_micros: Option<u64>,
    evidence: Map<String, Value>,
    /// Of the action, the pool, the job and the grounds of the decision.
    hash: String,
}

/// Writes what `action` would be done to, and changes nothing.
pub(super) async fn preview(
    global: &Global,
    session: &Session,
    action: Action,
    bulk: &Bulk,
) -> Outcome {
    let Some(file) = &bulk.preview else {
        return Err(Failure::usage("--all needs --preview FILE"));
    };
    let lines = collect(session, action, bulk).await?;
    if lines.is_empty() {
        return Err(Failure::new(Exit::NotFound, "no parked job is let through by the conditions"));
    }
    write(file, &lines)?;
    if !global.quiet {
        let (jobs, cost) = sum(&lines);
        let cost = if action == Action::Resend { format!(", {cost}") } else { String::new() };
        note(&format!("{jobs} jobs{cost}: {}", file.display()));
        if lines.len() >= bulk.max as usize {
            note(&format!("there may be more than --max {}", bulk.max));
        }
        note(&format!(
            "read it, delete the lines you do not want, then: seedfleet doubt apply {} --reason WHY --yes",
            file.display()
        ));
    }
    Ok(Exit::Done)
}

async fn collect(session: &Session, action: Action, bulk: &Bulk) -> Result<Vec<Line>, Failure> {
    let mut filter = Filter::all().state(StateWord::Parked);
    if let Some(batch) = &bulk.batch {
        filter = filter.batch(batch);
    }
    if let Some(tenant) = &bulk.tenant {
        filter = filter.tenant(tenant);
    }
    let mut walk = Walk::new(&session.store, filter, 0);
    let mut lines = Vec::new();
    while let Some(page) = walk.next().await? {
        for stored in &page {
            if lines.len() >= bulk.max as usize {
                return Ok(lines);
            }
            lines.extend(line(session, action, bulk, stored));
        }
    }
    Ok(lines)
}

fn line(session: &Session, action: Action, bulk: &Bulk, stored: &Stored) -> Option<Line> {
    let doubt = Doubt::of(&stored.record)?;
    let why = doubt.why?;
    let kind = match bulk.reason_kind {
        Some(kind) => kind.word() == why.kind(),
        // A task is there to be adopted: sending again would buy another for certain.
        None => !matches!(why, ParkWhy::SeveralTasks { .. }),
    };
    let recent = bulk.since.is_none_or(|since| stored.now.since(doubt.since) <= since);
    let account = bulk.account.as_ref().is_none_or(|name| *name == doubt.attempt.facts.account);
    let possible = stored.now >= doubt.settled_from(&session.policy);
    if !(kind && recent && account && possible) {
        return None;
    }
    let cost = evidence::cost(session, stored);
    Some(Line {
        action,
        pool: session.store.pool().to_owned(),
        job: stored.record.id.clone(),
        revision: stored.revision,
        attempt: doubt.attempt.id.clone(),
        cost: cost.map(|cost| cost.to_string()),
        cost_micros: cost.map(|cost| cost.micros),
        evidence: evidence::row(session, stored),
        hash: evidence::digest(action.word(), session.store.pool(), stored)?,
    })
}

/// Jobs, and what sending them again would cost.
fn sum(lines: &[Line]) -> (usize, String) {
    let micros: u64 = lines.iter().filter_map(|line| line.cost_micros).sum();
    let currency = lines.iter().find_map(|line| line.cost.as_deref()?.split(' ').next());
    let unknown = lines.iter().filter(|line| line.cost_micros.is_none()).count();
    let mut words = format!(
        "about {} {}.{:02} more",
        currency.unwrap_or("USD"),
        micros / 1_000_000,
        micros % 1_000_000 / 10_000
    );
    if unknown > 0 {
        words.push_str(&format!(" and {unknown} at a price that is not in the table"));
    }
    (lines.len(), words)
}

fn write(file: &Path, lines: &[Line]) -> Result<(), Failure> {
    let place = |error: std::io::Error| {
        let failure = Failure::new(Exit::Failed, format!("{}: {error}", file.display()));
        match error.kind() {
            std::io::ErrorKind::AlreadyExists => Failure::new(
                Exit::Conflict,
                format!("{} exists", file.display()),
            )
            .hint("a preview that somebody may have read is not written over; choose another name"),
            _ => failure,
        }
    };
    let new = OpenOptions::new().write(true).create_new(true).open(file).map_err(place)?;
    let mut out = BufWriter::new(new);
    for line in lines {
        let text = serde_json::to_string(line)
            .map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
        writeln!(out, "{text}").map_err(place)?;
    }
    out.into_inner().map_err(|error| place(error.into_error()))?.sync_all().map_err(place)
}

fn read(file: &Path, pool: &str) -> Result<Vec<Line>, Failure> {
    let place = |error: std::io::Error| {
        let exit = match error.kind() {
            std::io::ErrorKind::NotFound => Exit::NotFound,
            _ => Exit::Failed,
        };
        Failure::new(exit, format!("{}: {error}", file.display()))
    };
    let open = std::fs::File::open(file).map_err(place)?;
    if open.metadata().map_err(place)?.len() > FILE_BYTES_MAX {
        return Err(Failure::usage(format!("{} is no preview: too long", file.display())));
    }
    let mut lines = Vec::new();
    for (number, text) in BufReader::new(open).lines().enumerate() {
        let text = text.map_err(place)?;
        if text.trim().is_empty() {
            continue;
        }
        let wrong = |why: String| {
            let what = format!("{} line {}: {why}", file.display(), number + 1);
            Failure::new(Exit::Findings, what).hint("nothing was done; write a new preview")
        };
        let line: Line = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        if line.pool != pool {
            return Err(wrong(format!("it is of pool {}, not of {pool}", line.pool)));
        }
        if lines.len() >= LINES_MAX {
            return Err(wrong(format!("more than {LINES_MAX} lines")));
        }
        lines.push(line);
    }
    Ok(lines)
}

/// Does what a preview lists. Safe to repeat: what was done stays done and is told so.
pub(super) async fn apply(
    global: &Global,
    session: &Session,
    file: &Path,
    decision: &Decision,
) -> Outcome {
    let reason = decision.reason()?;
    let lines = read(file, session.store.pool())?;
    if lines.is_empty() {
        return Err(Failure::new(Exit::NotFound, format!("{} lists no job", file.display())));
    }
    if !decision.yes {
        let resent = lines.iter().filter(|line| line.action == Action::Resend).count();
        let (jobs, cost) = sum(&lines);
        let what =
            format!("{resent} jobs would be sent again ({cost}), {} given up", jobs - resent);
        return Err(Failure::new(Exit::Guard, what).hint("do it with --yes"));
    }
    let by = operator(decision.by.as_deref());
    let mut tally = Tally::new(&global.output);
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    let mut stopped = None;
    for (at, line) in lines.iter().enumerate() {
        // Each job is whole or untouched, so that the file can be applied again from its beginning.
        let told = tokio::select! {
            biased;
            _ = &mut interrupted => {
                stopped = Some(at);
                break;
            }
            told = one(session, line, &by, reason) => told?,
        };
        tally.add(&line.job, &told)?;
    }
    let exit = tally.end()?;
    match stopped {
        None => Ok(exit),
        Some(at) => {
            let what = format!("interrupted after {at} of {} jobs", lines.len());
            let again = format!("seedfleet doubt apply {} --reason … --yes", file.display());
            Err(Failure::new(Exit::Interrupted, what).hint(format!("go on with: {again}")))
        }
    }
}

async fn one(session: &Session, line: &Line, by: &By, reason: &str) -> Result<Told, Failure> {
    let Some(stored) = session.store.load(&line.job).await? else {
        return Ok(Told { state: "gone", answer: "there is no such job".to_owned(), done: false });
    };
    let state = stored.record.life.state.word().as_str();
    if decided_before(&stored.record, &line.attempt) {
        let ended = stored.record.life.state.word() == StateWord::GivenUp;
        let done = ended == (line.action == Action::GiveUp);
        return Ok(Told { state, answer: "was decided before".to_owned(), done });
    }
    let evidence = Value::Object(line.evidence.clone());
    let decided = Decided { by, verb: line.action.verb(), reason, evidence: &evidence };
    let event = line.action.event(by.clone(), reason.to_owned());
    let pool = session.store.pool();
    let still = |now: &Stored| {
        evidence::digest(line.action.word(), pool, now).is_some_and(|hash| hash == line.hash)
    };
    let reported =
        session.store.decide(&line.job, &event, &session.policy, &decided, &still).await?;
    let done = match line.action {
        Action::Resend => "sent again",
        Action::GiveUp => "given up",
    };
    Told::of(&line.job, &reported, done)
}

/// The attempt of the preview was closed by a person already, by this file or by hand.
fn decided_before(record: &Record, attempt: &AttemptId) -> bool {
    let closed = record.life.attempts.iter().find(|closed| closed.open.id == *attempt);
    closed.is_some_and(|closed| matches!(closed.outcome, AttemptOutcome::Abandoned { .. }))
}
