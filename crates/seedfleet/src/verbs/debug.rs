//! `debug bundle`: what others need to help, in one archive, without what is nobody else's business.
//!
//! Only what cannot hold a request or an output goes in: of jobs ids, states and codes, never a prompt, a
//! message or a link. All of it then passes [`scrub`], which takes out secrets that the configuration names
//! and whatever an address carries, should some text hold one all the same. What cannot be had, because Redis
//! or the provider is away, is told in the archive and keeps nobody from the rest.

mod scrub;
mod tar;

use super::{doctor, queue, rows, totals, version, workers};
use crate::cli::{BundleArgs, DebugVerb, DoctorArgs, Global};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Row, object};
use crate::session::{self, Session};
use job::filter::Filter;
use job::{Record, StateWord};
use scrub::Scrub;
use serde_json::{Value, json};
use settings::Loaded;
use std::path::{Path, PathBuf};
use store::{Change, Scope};
use survey::LimitsSettings;
use tar::Archive;

/// States of the jobs that are listed as failures.
const FAILED: [StateWord; 6] = [
    StateWord::Failed,
    StateWord::Expired,
    StateWord::OutputLost,
    StateWord::TimedOut,
    StateWord::Parked,
    StateWord::InDoubt,
];

/// Runs the verb.
pub(crate) async fn run(global: &Global, verb: DebugVerb) -> Outcome {
    let DebugVerb::Bundle(args) = verb;
    let loaded = session::load(global)?;
    let now = jiff::Timestamp::now();
    let name = format!("seedfleet-debug-{}", now.strftime("%Y%m%dT%H%M%SZ"));
    let path = args.out.clone().unwrap_or_else(|| PathBuf::from(format!("{name}.tar")));
    let mut bundle = Bundle {
        archive: Archive::create(&path, &name, now.as_second())
            .map_err(|e| unwritable(&path, &e))?,
        scrub: Scrub::of(&loaded),
        missing: Vec::new(),
    };
    let written = bundle.fill(global, &loaded, &args).await;
    let Bundle { archive, missing, .. } = bundle;
    let files = written.and_then(|()| archive.end()).map_err(|error| unwritable(&path, &error))?;
    let mut row = Row::new();
    row.insert("bundle".into(), json!(path.display().to_string()));
    row.insert("files".into(), json!(files));
    row.insert("missing".into(), json!(missing.join("; ")));
    object(&global.output, row)?;
    Ok(if missing.is_empty() { Exit::Done } else { Exit::Partial })
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("cannot write {}", path.display()))
        .because(error)
        .hint("name another file with --out; one that is there is never written over")
}

struct Bundle {
    archive: Archive,
    scrub: Scrub,
    /// What could not be had, each with its reason.
    missing: Vec<String>,
}

impl Bundle {
    async fn fill(
        &mut self,
        global: &Global,
        loaded: &Loaded,
        args: &BundleArgs,
    ) -> std::io::Result<()> {
        let about = json!({
            "versions": version::versions(),
            "platform": format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH),
        });
        self.json("about.json", &about)?;
        self.text("config.toml", &loaded.show(true))?;
        self.text("metrics.md", &telemetry::catalogue_markdown())?;
        if !args.no_doctor {
            let examined = doctor::examine(global, loaded, &DoctorArgs::default()).await;
            self.part("doctor.json", examined.map(|rows| json!(rows)))?;
        }
        let wanted = workers::wanted(global, loaded).await;
        self.part("workers.json", wanted.and_then(|wanted| Ok(json!(totals::row(&wanted)?))))?;
        let pools = match session::pools(loaded) {
            Ok(pools) => pools,
            Err(failure) => {
                self.missing.push(format!("pools: {failure}"));
                return self.missing_told();
            }
        };
        let chosen = |name: &String| global.pool.as_ref().is_none_or(|pool| pool == name);
        for (name, pool) in pools.into_iter().filter(|(name, _)| chosen(name)) {
            match Session::connect(loaded.clone(), &name, pool).await {
                Ok(session) => self.pool(&session, args.last).await?,
                Err(failure) => self.missing.push(format!("pool {name}: {failure}")),
            }
        }
        self.missing_told()
    }

    async fn pool(&mut self, session: &Session, last: u64) -> std::io::Result<()> {
        let store = &session.store;
        let of = |file: &str| format!("pools/{}/{file}", store.pool());
        self.part(&of("queue.json"), queue::whole(session).await.map(Value::Object))?;
        self.part(&of("limits.json"), limits(session).await)?;
        let failures = survey::failures(store, Scope::Pool).await;
        self.part(
            &of("failures.json"),
            failures.map(|groups| json!(groups)).map_err(Failure::from),
        )?;
        let jobs = failed_jobs(session, last).await;
        self.part(&of("failed-jobs.json"), jobs)?;
        let events = store.last_changes(usize::try_from(last).unwrap_or(usize::MAX)).await;
        let events = events.map(|changes| changes.iter().map(event).collect::<Vec<_>>());
        self.part(&of("events.json"), events.map(|lines| json!(lines)).map_err(Failure::from))?;
        match store.server_info().await {
            Ok(info) => self.text(&of("redis-info.txt"), &info),
            Err(error) => {
                self.missing.push(format!("{}: {error}", of("redis-info.txt")));
                Ok(())
            }
        }
    }

    fn part(&mut self, file: &str, part: Result<Value, Failure>) -> std::io::Result<()> {
        match part {
            Ok(value) => self.json(file, &value),
            Err(failure) => {
                self.missing.push(format!("{file}: {failure}"));
                Ok(())
            }
        }
    }

    fn missing_told(&mut self) -> std::io::Result<()> {
        let told: Vec<String> = self.missing.iter().map(|line| self.scrub.text(line)).collect();
        self.missing.clone_from(&told);
        if told.is_empty() { Ok(()) } else { self.json("missing.json", &json!(told)) }
    }

    fn json(&mut self, file: &str, value: &Value) -> std::io::Result<()> {
        // Word by word: a secret may hold what JSON writes otherwise.
        let clean = self.scrub.value(value);
        let text = serde_json::to_string_pretty(&clean)?;
        self.archive.add(file, format!("{text}\n").as_bytes())
    }

    fn text(&mut self, file: &str, text: &str) -> std::io::Result<()> {
        let clean = self.scrub.text(text);
        self.archive.add(file, clean.as_bytes())
    }
}

async fn limits(session: &Session) -> Result<Value, Failure> {
    let settings = LimitsSettings::from_loaded(&session.loaded)?;
    let view = survey::limits(&session.store, &session.pool, &settings, None).await?;
    Ok(json!(totals::row(&view)?))
}

/// The newest jobs that stand badly: what they are called, where they stand, and since when.
async fn failed_jobs(session: &Session, last: u64) -> Result<Value, Failure> {
    let mut found: Vec<Record> = Vec::new();
    if last > 0 {
        for word in FAILED {
            let mut walk = rows::Walk::new(&session.store, Filter::all().state(word), last);
            while let Some(page) = walk.next().await? {
                found.extend(page.into_iter().map(|stored| stored.record));
            }
        }
    }
    found.sort_by_key(|record| std::cmp::Reverse(record.life.updated_at));
    found.truncate(usize::try_from(last).unwrap_or(usize::MAX));
    Ok(json!(found.iter().map(job).collect::<Vec<_>>()))
}

/// Names that callers choose are left out: they may quote the request.
fn job(record: &Record) -> Value {
    let state = &record.life.state;
    json!({
        "job": record.id,
        "state": state.word().as_str(),
        "code": state.failure_code(),
        "model": record.spec.request.model.word(),
        "mode": record.spec.request.mode().word(),
        "task": state.task().map(|task| task.id.as_str()),
        "account": state.task().map(|task| task.facts.account.as_str()),
        "attempts": record.life.attempts_begun,
        "created_at": record.created_at.rfc3339(),
        "updated_at": record.life.updated_at.rfc3339(),
    })
}

fn event(change: &Change) -> Value {
    json!({
        "id": change.mark.to_string(),
        "at": change.mark.at().rfc3339(),
        "type": change.kind(),
        "job": change.job,
        "from": change.from.map(StateWord::as_str),
        "state": change.to.as_str(),
        "seq": change.seq,
    })
}
