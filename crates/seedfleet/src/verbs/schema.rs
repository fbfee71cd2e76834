//! `schema`: which version of the record the fleet writes, who reads what, and the step to the next one.

use super::freeze::given;
use crate::cli::{FinalizeArgs, Global, SchemaStatusArgs, SchemaVerb};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Row, Rows, note};
use crate::session::{self, Session, open_fleet, operator};
use job::Versions;
use serde_json::{Value, json};
use settings::Loaded;
use std::io::{self, BufRead as _, IsTerminal as _};
use store::{ALIVE_FOR, FleetStore, InForce, LiveProcess, Raised, SchemaTally};

const COLUMNS: &[&str] = &["process", "role", "program", "reads", "writes", "silent_s"];
const POOL_COLUMNS: &[&str] = &["pool", "jobs", "looked_at", "count", "older", "newer", "cursor"];
/// The line in each pool's audit.
const DEED: &str = "schema_finalized";

/// Runs the verb.
pub(crate) async fn run(global: &Global, verb: SchemaVerb) -> Outcome {
    match verb {
        SchemaVerb::Status(args) => status(global, &args).await,
        SchemaVerb::Finalize(args) => finalize(global, args).await,
    }
}

async fn status(global: &Global, args: &SchemaStatusArgs) -> Outcome {
    let loaded = session::load(global)?;
    let fleet = open_fleet(global).await?;
    let (in_force, live) = (fleet.schema_in_force().await?, fleet.live_processes().await?);
    let mut pools = Vec::new();
    for (pool, tally) in tallies(global, &loaded, args).await? {
        pools.push(pool_row(&pool, &tally, args.after, in_force.version));
    }
    let processes: Vec<Row> = live.iter().map(|process| process_row(process, &in_force)).collect();
    let mut row = head(&in_force, &live);
    if !global.output.is_a_page() {
        row.insert("processes".into(), json!(processes));
        row.insert("pools".into(), json!(pools));
        output::object(&global.output, row)?;
        return Ok(Exit::Done);
    }
    output::object(&global.output, row)?;
    table(global, COLUMNS, processes)?;
    table(global, POOL_COLUMNS, pools)?;
    Ok(Exit::Done)
}

fn table(global: &Global, columns: &'static [&'static str], rows: Vec<Row>) -> Result<(), Failure> {
    output::say("\n")?;
    let mut table = Rows::new(&global.output, columns);
    for row in rows {
        table.add(row)?;
    }
    table.end()
}

/// What is said of the fleet as a whole.
fn head(in_force: &InForce, live: &[LiveProcess]) -> Row {
    let own = Versions::own();
    let raised = in_force.raised.as_ref();
    let mut row = Row::new();
    row.insert("in_force".into(), json!(in_force.version));
    row.insert("finalized_at".into(), json!(raised.map(|(at, ..)| at.rfc3339())));
    row.insert("finalized_by".into(), json!(raised.map(|(_, by, _)| by)));
    row.insert("reason".into(), json!(raised.map(|(.., reason)| reason)));
    row.insert("this_program_reads".into(), json!(own.to_string()));
    row.insert("live_processes".into(), json!(live.len()));
    row.insert("all_read".into(), json!(all_read(live)));
    row
}

/// The newest version that every live process reads; none where nobody lives.
fn all_read(live: &[LiveProcess]) -> Option<u32> {
    let newest = |process: &LiveProcess| process.about.as_ref().map_or(0, |about| about.newest);
    live.iter().map(newest).min()
}

fn process_row(process: &LiveProcess, in_force: &InForce) -> Row {
    let about = process.about.as_ref();
    let versions = about.map(|a| Versions { oldest_written: a.oldest, newest: a.newest });
    let writes = versions.zip(in_force.version).map(|(own, version)| own.written_at(version));
    let mut row = Row::new();
    row.insert("process".into(), json!(process.name));
    row.insert("role".into(), json!(about.map(|about| &about.role)));
    row.insert("program".into(), json!(about.map(|about| &about.program)));
    row.insert("reads".into(), json!(versions.map(|own| own.to_string())));
    row.insert("writes".into(), json!(writes));
    row.insert("silent_s".into(), json!(process.silent_for.as_secs()));
    row
}

fn pool_row(pool: &str, tally: &SchemaTally, after: u64, in_force: Option<u32>) -> Row {
    let in_force = in_force.unwrap_or(Versions::own().oldest_written);
    // All that one walk from the beginning to the end has met.
    let exact = after == 0 && tally.cursor == 0;
    let versions: serde_json::Map<String, Value> =
        tally.by_version.iter().map(|(version, n)| (version.to_string(), json!(n))).collect();
    let mut row = Row::new();
    row.insert("pool".into(), json!(pool));
    row.insert("jobs".into(), json!(tally.jobs));
    row.insert("looked_at".into(), json!(tally.looked));
    row.insert("count".into(), json!(if exact { "exact" } else { "sample" }));
    row.insert("older".into(), json!(tally.older_than(in_force)));
    row.insert("newer".into(), json!(tally.newer_than(in_force)));
    row.insert("cursor".into(), json!((tally.cursor != 0).then_some(tally.cursor)));
    row.insert("by_version".into(), Value::Object(versions));
    row.insert("unreadable".into(), json!(tally.silent));
    row
}

async fn tallies(
    global: &Global,
    loaded: &Loaded,
    args: &SchemaStatusArgs,
) -> Result<Vec<(String, SchemaTally)>, Failure> {
    let most = if args.jobs == 0 { u64::MAX } else { args.jobs };
    let (mut tallies, pools) = (Vec::new(), session::pools(loaded)?);
    if args.after != 0 && global.pool.is_none() && pools.len() > 1 {
        return Err(Failure::usage("--after goes on in one pool: name it with --pool"));
    }
    for (name, pool) in pools {
        if global.pool.as_ref().is_some_and(|chosen| *chosen != name) {
            continue;
        }
        let session = Session::connect_as_it_is(loaded.clone(), &name, pool).await?;
        tallies.push((name, session.store.tally_versions(args.after, most).await?));
    }
    if let (true, Some(name)) = (tallies.is_empty(), &global.pool) {
        return Err(Failure::usage(format!("no pool is called {name:?}")));
    }
    Ok(tallies)
}

async fn finalize(global: &Global, args: FinalizeArgs) -> Outcome {
    let reason = given(&args.reason)?;
    let (own, fleet) = (Versions::own(), open_fleet(global).await?);
    let to = args.to.unwrap_or(own.newest);
    if !own.reads(to) {
        let what = format!("--to {to}: this program knows the versions {own} of the record");
        return Err(Failure::usage(what).hint("finalize with the program that brings the new one"));
    }
    let in_force = fleet.schema_in_force().await?;
    if let Some(version) = in_force.version.filter(|version| *version >= to) {
        note(&format!("version {version} is in force already"));
        output::object(&global.output, head(&in_force, &fleet.live_processes().await?))?;
        return Ok(Exit::Done);
    }
    let live = fleet.live_processes().await?;
    let behind: Vec<&LiveProcess> = live.iter().filter(|process| !process.reads(to)).collect();
    if !behind.is_empty() {
        return Err(held(to, behind.into_iter().map(described)));
    }
    agree(to, in_force.version, live.len(), args.yes)?;
    let by = operator(args.by.as_deref());
    match fleet.raise_schema(to, by.as_str(), reason).await? {
        Raised::Done { .. } => {}
        Raised::Already(version) => note(&format!("version {version} is in force already")),
        Raised::Held(names) => return Err(held(to, names.into_iter())),
    }
    let exit = note_in_audits(global, to, by.as_str(), reason).await?;
    output::object(&global.output, head(&fleet.schema_in_force().await?, &live))?;
    Ok(exit)
}

fn described(process: &LiveProcess) -> String {
    let silent_s = process.silent_for.as_secs();
    match &process.about {
        Some(about) => format!(
            "{} (seedfleet {}) reads up to version {}, heard {silent_s} s ago",
            process.name, about.program, about.newest
        ),
        None => format!("{}: what it reads is not known, heard {silent_s} s ago", process.name),
    }
}

fn held(to: u32, who: impl Iterator<Item = String>) -> Failure {
    let what = format!("live processes do not read version {to}: nothing was changed");
    let failure = who.fold(Failure::new(Exit::Guard, what), |failure, one| failure.because(one));
    failure.hint(format!(
        "upgrade or stop them, then repeat; one that was killed counts for {} s more",
        ALIVE_FOR.as_secs()
    ))
}

/// `--yes`, or a yes on the terminal.
fn agree(to: u32, from: Option<u32>, live: usize, yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    let from = from.map_or_else(|| "none".to_owned(), |version| version.to_string());
    let what = format!(
        "{live} live processes read version {to}, version {from} is in force; from then on programs that do not read \
         {to} refuse to start"
    );
    let refused = || Failure::new(Exit::Guard, &what).hint("agree with --yes, or on a terminal");
    if !io::stdin().is_terminal() {
        return Err(refused());
    }
    note(&format!("{what}. Put it in force? [y/N]"));
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(refused()),
    }
}

/// A line in the audit of every pool. The version is in force, whatever becomes of them: what the fleet itself
/// keeps of the raise was written with it.
async fn note_in_audits(global: &Global, to: u32, by: &str, reason: &str) -> Outcome {
    let loaded = session::load(global)?;
    let what = format!("version {to} in force: {reason}");
    let mut exit = Exit::Done;
    for (name, pool) in session::pools(&loaded)? {
        let written = match Session::connect_as_it_is(loaded.clone(), &name, pool).await {
            Ok(session) => {
                session.store.note_fleet_deed(DEED, by, &what).await.map_err(Failure::from)
            }
            Err(failure) => Err(failure),
        };
        if let Err(failure) = written {
            note(&format!("no line in the audit of pool {name}: {failure}"));
            exit = Exit::Partial;
        }
    }
    Ok(exit)
}

/// What the doctor says about versions: all is well, or what to do about it.
pub(super) struct Finding {
    /// In words.
    pub(super) what: String,
    /// What to do; none where all is well.
    pub(super) hint: Option<&'static str>,
}

/// Looks at the versions of the fleet and at some of a pool's jobs.
///
/// # Errors
///
/// Redis away.
pub(super) async fn look(fleet: &FleetStore, tally: &SchemaTally) -> Result<Finding, Failure> {
    let (in_force, live) = (fleet.schema_in_force().await?, fleet.live_processes().await?);
    let version = in_force.version.unwrap_or(Versions::own().oldest_written);
    let newest = live.iter().filter_map(|process| Some(process.about.as_ref()?.newest)).max();
    let sample = if tally.cursor == 0 { "" } else { ", by a sample" };
    let readers = match (all_read(&live), newest) {
        (Some(all), Some(most)) if all == most => format!("{} readers up to v{all}", live.len()),
        (Some(all), Some(most)) => format!("readers from v{all} to v{most}"),
        (Some(_), None) | (None, _) => "no live reader".to_owned(),
    };
    let (older, looked) = (tally.older_than(version), tally.looked);
    let what = format!(
        "{readers}, writers v{version}, {older} of {looked} jobs older than v{version}{sample}"
    );
    let hint = match all_read(&live) {
        Some(all) if newest.is_some_and(|most| most > all) => {
            Some("an upgrade is under way: finish it, or take it back; `seedfleet schema status`")
        }
        Some(all) if all > version => Some(
            "every process reads a newer version: `seedfleet schema finalize --reason <WHY>` once nobody wants to go back",
        ),
        Some(_) | None => None,
    };
    Ok(Finding { what, hint })
}
