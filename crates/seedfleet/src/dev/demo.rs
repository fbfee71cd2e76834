//! `dev demo`: real jobs through real processes, two kills on the way, and an audit at the end.
//!
//! The submitter dies twice at named points: once with a request all but sent, so that nothing was
//! bought, and once with the provider's answer in hand and not yet written down, so that a task
//! exists which no record knows. Both leave intents behind; the fleet has to find out which is which.

mod audit;
mod ledger;
mod requests;

use super::config::Allowed;
use super::fleet::{Fleet, Plan};
use crate::cli::{DemoArgs, Duplicates, Global};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Progress, Row};
use crate::session::Session;
use crate::verbs::import::{self, Order};
use admission::Beside;
use audit::{Audit, OpenAtKill};
use job::StateWord;
use job::filter::Filter;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::{Duration, Instant};
use store::ListQuery;
use tokio::signal::unix::{SignalKind, signal};
use worker::fault::{self, KILL_ENV, Point};

/// Simulated seconds per second: a generation of half a minute to two minutes takes one to four seconds.
const CLOCK_SCALE: f64 = 30.0;
/// Fewer jobs than this run without kills.
const KILLS_FROM_JOBS: u32 = 10;
/// From here on the kills must have shown both outcomes.
const KILLS_PROVE_FROM_JOBS: u32 = 100;
/// How long a kill may take to come.
const KILL_MAX: Duration = Duration::from_secs(90);
/// How long all jobs together may take, beside a second for each.
const RUN_MAX: Duration = Duration::from_secs(180);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);
const SIGKILL: i32 = 9;

/// What the demo knows in the end.
struct Played {
    audit: Audit,
    open_at_kill: OpenAtKill,
    kills: u32,
}

/// Runs the verb.
pub(super) async fn run(global: &Global, args: DemoArgs) -> Outcome {
    let began = Instant::now();
    let dir = super::run_dir(args.out.as_deref(), "demo")?;
    let plan = Plan {
        dir: dir.clone(),
        seed: args.seed,
        clock_scale: CLOCK_SCALE,
        webhooks_to: Vec::new(),
        allowed: Allowed::default(),
        echo: global.verbose,
    };
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut fleet = super::blocking(move || Fleet::start(&plan)).await?;
    let interrupted = || {
        let what = format!("interrupted; files are in {}", dir.display());
        Err(Failure::new(Exit::Interrupted, what))
    };
    let played = tokio::select! {
        played = play(&mut fleet, &args, global) => played,
        _ = interrupt.recv() => interrupted(),
        _ = terminate.recv() => interrupted(),
    };
    super::blocking(move || {
        fleet.stop();
        Ok::<_, Failure>(())
    })
    .await?;
    let played = played
        .map_err(|failure| failure.or_hint(format!("logs: {}", dir.join("logs").display())))?;
    conclude(&played, &args, &dir, began.elapsed())
}

async fn play(fleet: &mut Fleet, args: &DemoArgs, global: &Global) -> Result<Played, Failure> {
    let session = fleet.session().await?;
    let progress = Progress::begin(Some(u64::from(args.jobs)), global.quiet);
    let file = fleet.dir.join("requests.jsonl");
    write_requests(&file, args)?;
    take_in(&session, &file, args.jobs, &progress).await?;
    for role in super::fleet::WORKERS.into_iter().filter(|role| *role != "submitter") {
        fleet.start_worker(role, &[])?;
    }
    let mut open_at_kill = OpenAtKill::new();
    let mut kills = 0;
    if args.jobs >= KILLS_FROM_JOBS {
        let nth = (args.jobs / 10).clamp(1, 6);
        for point in [fault::SUBMIT_BEFORE_LAST_BYTE, fault::SUBMIT_ACCEPTED] {
            if let Some(open) = kill_at(fleet, &session, point, nth, &progress).await? {
                kills += 1;
                progress.remark(&format!(
                    "submitter killed at {}: {} attempts open; starting it again",
                    point.name(),
                    open.len()
                ));
                open_at_kill.extend(open);
            }
        }
    }
    fleet.start_worker("submitter", &[])?;
    watch(fleet, &session, args.jobs, &progress).await?;
    progress.remark("every job has ended; reading all bytes again");
    let audit = audit::audit(&session, &fleet.ledger(), &open_at_kill).await?;
    progress.end();
    Ok(Played { audit, open_at_kill, kills })
}

fn write_requests(path: &Path, args: &DemoArgs) -> Result<(), Failure> {
    let mut file = BufWriter::new(File::create(path)?);
    for n in 1..=args.jobs {
        writeln!(file, "{}", requests::request(n, args.seed))?;
    }
    file.flush()?;
    Ok(())
}

async fn take_in(
    session: &Session,
    file: &Path,
    jobs: u32,
    progress: &Progress,
) -> Result<(), Failure> {
    let order = Order {
        batch: "demo".to_owned(),
        tenant: "default".to_owned(),
        duplicates: Duplicates::Skip,
        dry_run: false,
        rejects: file.with_extension("rejects.jsonl"),
        beside: Beside::default(),
        retry_of: None,
        pilot: None,
        references: None,
    };
    let rows = import::open(file)?;
    // Its own measure is bytes; ours is jobs that ended.
    let silent = Progress::begin(None, true);
    let tally = import::take_in(&session.door()?, &session.store, rows, &order, &silent).await?;
    if tally.created == u64::from(jobs) {
        progress.remark(&format!("{jobs} jobs taken in from {}", file.display()));
        return Ok(());
    }
    let what = format!("{} of {jobs} requests were taken in", tally.created);
    let rejects = format!("refused rows are told in {}", order.rejects.display());
    Err(Failure::new(Exit::Failed, what).because(format!("{:?}", tally.codes)).hint(rejects))
}

/// Starts the submitter with an order to die, waits for its death, and notes which intents it left
/// behind. `None` when every job ended before the point came.
async fn kill_at(
    fleet: &mut Fleet,
    session: &Session,
    point: Point,
    nth: u32,
    progress: &Progress,
) -> Result<Option<OpenAtKill>, Failure> {
    let order = format!("{}:{nth}", point.name());
    fleet.start_worker("submitter", &[(KILL_ENV, &order)])?;
    let deadline = Instant::now() + KILL_MAX;
    loop {
        let status = fleet.worker("submitter").and_then(|submitter| submitter.exit_status());
        match status {
            Some(status) if status.signal() == Some(SIGKILL) => {
                return open_attempts(session).await.map(Some);
            }
            // It says why in its last lines.
            Some(_) => break,
            None => {}
        }
        let counts = session.store.counts().await?;
        tell(progress, &counts);
        if unfinished(&counts) == 0 {
            return Ok(None);
        }
        if Instant::now() >= deadline {
            let what = format!("the submitter did not reach {order} within {KILL_MAX:?}");
            return Err(Failure::new(Exit::Failed, what));
        }
        if status.is_none()
            && let Some(failure) = fleet.fallen()
        {
            // The submitter may have died between the two looks: that is told by the next one.
            if fleet.worker("submitter").is_none_or(|submitter| submitter.is_running()) {
                return Err(failure);
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let failure =
        fleet.fallen().unwrap_or_else(|| Failure::new(Exit::Failed, "the submitter ended"));
    Err(failure)
}

async fn open_attempts(session: &Session) -> Result<OpenAtKill, Failure> {
    let mut open = OpenAtKill::new();
    let mut cursor = None;
    loop {
        let filter = Filter::all().state(StateWord::Submitting);
        let page = session.store.list(&ListQuery { cursor, ..ListQuery::of(filter) }).await?;
        for record in page.items.into_iter().map(|stored| stored.record) {
            if let Some(attempt) = record.life.state.open_attempt() {
                open.insert(attempt.id.clone(), record.id.clone());
            }
        }
        cursor = page.next;
        if cursor.is_none() {
            return Ok(open);
        }
    }
}

/// Waits until every job is finished or parked.
async fn watch(
    fleet: &Fleet,
    session: &Session,
    jobs: u32,
    progress: &Progress,
) -> Result<(), Failure> {
    let deadline = Instant::now() + RUN_MAX + Duration::from_secs(u64::from(jobs));
    loop {
        let counts = session.store.counts().await?;
        tell(progress, &counts);
        if unfinished(&counts) == 0 {
            return Ok(());
        }
        if let Some(failure) = fleet.fallen() {
            return Err(failure);
        }
        if Instant::now() >= deadline {
            let what = format!("not every job ended in time: {}", in_words(&counts));
            return Err(Failure::new(Exit::Failed, what));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn unfinished(counts: &BTreeMap<StateWord, u64>) -> u64 {
    let moving = |word: &StateWord| !word.is_finished() && *word != StateWord::Parked;
    counts.iter().filter(|(word, _)| moving(word)).map(|(_, n)| n).sum()
}

fn tell(progress: &Progress, counts: &BTreeMap<StateWord, u64>) {
    let ended: u64 = counts.values().sum::<u64>() - unfinished(counts);
    progress.at(ended, &in_words(counts));
}

fn in_words(counts: &BTreeMap<StateWord, u64>) -> String {
    let words: Vec<String> =
        counts.iter().map(|(word, n)| format!("{} {n}", word.as_str())).collect();
    words.join(" · ")
}

/// Whether everything is as it should be, and the numbers for people and programs.
fn conclude(played: &Played, args: &DemoArgs, dir: &Path, took: Duration) -> Outcome {
    let Played { audit, open_at_kill, kills } = played;
    let open = open_at_kill.len() as u64;
    let mut faults = audit.faults.clone();
    if args.jobs >= KILLS_PROVE_FROM_JOBS {
        for (what, found, least) in
            [("open at kill", open, 2), ("adopted", audit.adopted, 1), ("resent", audit.resent, 1)]
        {
            if found < least {
                faults.push(format!("{what}: {found}, at least {least} expected"));
            }
        }
    }
    let whole = audit.jobs == u64::from(args.jobs)
        && audit.stored == audit.jobs
        && audit.verified_sha256 == audit.jobs
        && audit.duplicates == 0;
    for fault in faults.iter().take(20) {
        output::note(&format!("wrong: {fault}"));
    }
    let cost = audit.currency.map(|currency| import::money(currency, audit.cost_micros));
    let seconds = (took.as_secs_f64() * 10.0).round() / 10.0;
    let numbers = json!({
        "jobs": audit.jobs,
        "stored": audit.stored,
        "failed": audit.failed,
        "parked": audit.parked,
        "submitter_kills": kills,
        "open_at_kill": open,
        "adopted": audit.adopted,
        "resent": audit.resent,
        "duplicates": audit.duplicates,
        "verified_sha256": audit.verified_sha256,
        "tokens": audit.tokens,
        "cost_simulated": cost,
        "seconds": seconds,
        "out_dir": dir.display().to_string(),
    });
    if args.json {
        output::say(&format!("{numbers}\n"))?;
    } else {
        table(&numbers, dir)?;
    }
    let good = whole && faults.is_empty();
    Ok(if good { Exit::Done } else { Exit::Failed })
}

fn table(numbers: &serde_json::Value, dir: &Path) -> Result<(), Failure> {
    let names = [
        ("jobs", "jobs"),
        ("stored", "stored"),
        ("failed", "failed"),
        ("parked", "parked"),
        ("submitter_kills", "submitter kills"),
        ("open_at_kill", "attempts open at a kill"),
        ("adopted", "  found and adopted"),
        ("resent", "  proven absent and sent again"),
        ("duplicates", "duplicates in the ledger"),
        ("verified_sha256", "videos verified by sha256"),
        ("tokens", "tokens"),
        ("cost_simulated", "cost (simulated)"),
        ("seconds", "seconds"),
    ];
    let mut row = Row::new();
    for (key, name) in names {
        row.insert(name.to_owned(), numbers[key].clone());
    }
    row.insert("videos".into(), json!(dir.join("store").display().to_string()));
    row.insert("ledger".into(), json!(dir.join("ledger.ndjson").display().to_string()));
    output::object(&output::Form::plain(output::Format::Table), row)
}
