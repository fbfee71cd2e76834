//! A fleet of one machine: private Redis, simulator, workers, all children of this process.
//!
//! Everything of a run lies in one folder: configuration, keys, logs, ledger, Redis data, bucket.

use super::config::{self, API_KEY, Allowed, DELETE_QPS, LIST_QPS, POOL, Places, RETRIEVE_QPS};
use crate::exit::{Exit, Failure};
use crate::output;
use crate::session::Session;
use sandbox::{Logs, Options, Process, Redis, bins, ports, wait};
use serde::Deserialize;
use settings::{Loaded, Sources};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How long the simulator may take to listen.
const START_MAX: Duration = Duration::from_secs(20);
/// How long workers may take to drain; then they are killed.
const STOP_MAX: Duration = Duration::from_secs(15);

/// The workers, in the order they are started.
pub(super) const WORKERS: [&str; 5] = ["gateway", "notifier", "downloader", "poller", "submitter"];

/// How a fleet is started.
pub(super) struct Plan {
    pub(super) dir: PathBuf,
    pub(super) seed: u64,
    pub(super) clock_scale: f64,
    /// Origins that webhooks may call, beside public ones.
    pub(super) webhooks_to: Vec<String>,
    pub(super) allowed: Allowed,
    /// Print the children's lines with their names in front.
    pub(super) echo: bool,
}

/// Where the simulator listens.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Ports {
    pub(super) api: String,
    pub(super) media: String,
    pub(super) control: String,
}

/// A running fleet. Dropping it kills what still runs.
pub(super) struct Fleet {
    pub(super) dir: PathBuf,
    pub(super) config: PathBuf,
    pub(super) ports: Ports,
    pub(super) gateway: String,
    loaded: Loaded,
    logs: Logs,
    workers: BTreeMap<String, Process>,
    // Dropped after the workers that use them.
    simulator: Process,
    redis: Redis,
}

impl Fleet {
    /// Starts Redis and the simulator, and writes the configuration; no worker yet.
    ///
    /// # Errors
    ///
    /// A program is missing or does not start; its last lines are told.
    pub(super) fn start(plan: &Plan) -> Result<Self, Failure> {
        let dir = plan.dir.clone();
        let logs = Logs::to(&dir.join("logs"));
        let logs = if plan.echo { logs.echo_to_stderr() } else { logs };
        // May install or download one: a person typed this command, and each act is told.
        let server = sandbox::redis::obtain(&super::state_dir()?, &mut |act| output::note(act))
            .map_err(|none| Failure::new(Exit::Outage, none.to_string()))?;
        let options =
            Options { dir: Some(dir.join("redis")), server: Some(server), ..Options::default() };
        let redis =
            Redis::start(options).map_err(|error| Failure::new(Exit::Outage, error.to_string()))?;
        let (simulator, ports) = start_simulator(plan, &logs)?;
        let gateway = format!("127.0.0.1:{}", ports::free());
        let config = dir.join("config.toml");
        write_private(&dir.join("api-key"), API_KEY)?;
        write_private(&dir.join("gateway-key"), &secret("gateway"))?;
        write_private(&dir.join("operator-key"), &secret("operator"))?;
        write_private(&dir.join("callback-key"), &secret("callback"))?;
        let places = Places {
            dir: &dir,
            redis_url: &redis.url(),
            api: &ports.api,
            media: &ports.media,
            gateway: &gateway,
            webhooks_to: &plan.webhooks_to,
            allowed: plan.allowed,
        };
        std::fs::write(&config, config::written(&places))?;
        let loaded = Sources::default().file(&config).load()?;
        let workers = BTreeMap::new();
        Ok(Self { dir, config, ports, gateway, loaded, logs, workers, simulator, redis })
    }

    /// Starts a worker, or starts it again after its end, with more environment.
    ///
    /// # Errors
    ///
    /// The program is missing.
    pub(super) fn start_worker(&mut self, role: &str, env: &[(&str, &str)]) -> Result<(), Failure> {
        let mut command = program(role)?;
        command.arg("--config").arg(&self.config).envs(env.iter().copied());
        // The machine may serve pools of its own: they are none of this fleet's business.
        command.env(settings::ETC_ENV, self.dir.join("etc"));
        let process = Process::spawn_logged(role, command, &self.logs)?;
        self.workers.insert(role.to_owned(), process);
        Ok(())
    }

    /// A worker that was started.
    pub(super) fn worker(&self, role: &str) -> Option<&Process> {
        self.workers.get(role)
    }

    /// A child that ended although nobody asked it to, with its last words.
    pub(super) fn fallen(&self) -> Option<Failure> {
        let children = self.workers.values().chain([&self.simulator]);
        children.into_iter().find_map(|child| {
            let status = child.exit_status()?;
            let what = format!("{} ended by itself ({status})", child.name());
            let log = child.log_path().display().to_string();
            let failure = Failure::new(Exit::Failed, what).because(child.log_tail(8));
            Some(failure.hint(format!("its whole log is {log}")))
        })
    }

    /// The pool of this fleet, connected.
    ///
    /// # Errors
    ///
    /// Redis went away.
    pub(super) async fn session(&self) -> Result<Session, Failure> {
        let mut pools = crate::session::pools(&self.loaded)?;
        let pool = pools
            .remove(POOL)
            .ok_or_else(|| Failure::new(Exit::Failed, "the written configuration has no pool"))?;
        Session::connect(self.loaded.clone(), POOL, pool).await
    }

    /// The simulator's account of everything it saw.
    pub(super) fn ledger(&self) -> PathBuf {
        ledger(&self.dir)
    }

    /// The private Redis.
    pub(super) fn redis_url(&self) -> String {
        self.redis.url()
    }

    /// Ends the workers, then the rest: SIGTERM to all, a bounded wait, SIGKILL to who is left.
    pub(super) fn stop(self) {
        for worker in self.workers.values() {
            let _ = worker.signal("TERM");
        }
        let all_ended = || self.workers.values().all(|worker| !worker.is_running()).then_some(());
        let _ = wait::until("workers to drain", STOP_MAX, all_ended);
        for worker in self.workers.values() {
            worker.kill9();
        }
        self.simulator.stop();
        self.redis.stop();
    }
}

fn ledger(dir: &Path) -> PathBuf {
    dir.join("ledger.ndjson")
}

/// A program of the workspace. Settings of the person's own shell must not reach the run.
fn program(name: &str) -> Result<Command, Failure> {
    let path = bins::find(name).map_err(|missing| {
        Failure::new(Exit::Failed, missing.to_string())
            .hint("`cargo xtask demo` builds and runs all")
    })?;
    let mut command = Command::new(path);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SEEDFLEET_") {
            command.env_remove(name);
        }
    }
    Ok(command)
}

fn start_simulator(plan: &Plan, logs: &Logs) -> Result<(Process, Ports), Failure> {
    let ports_file = plan.dir.join("ports.json");
    let mut command = program("simulator")?;
    for listener in ["--listen", "--media-listen", "--control-listen"] {
        command.args([listener, "127.0.0.1:0"]);
    }
    command.arg("--ledger").arg(ledger(&plan.dir)).arg("--ports-file").arg(&ports_file);
    command.args(["--api-key", API_KEY, "--seed", &plan.seed.to_string()]);
    command.args(["--clock-scale", &plan.clock_scale.to_string(), "--run-s", "30-120"]);
    command.args(["--limits", "enterprise"]);
    let Allowed { create_rpm, running } = plan.allowed;
    let limits = [
        ("retrieve_qps", RETRIEVE_QPS),
        ("list_qps", LIST_QPS),
        ("delete_qps", DELETE_QPS),
        ("create_rpm", create_rpm),
        ("running", running),
    ];
    for (name, limit) in limits {
        command.args(["--limits", &format!("{name}={limit}")]);
    }
    let process = Process::spawn_logged("simulator", command, logs)?;
    let found = wait::until("the simulator to listen", START_MAX, || {
        let read = std::fs::read(&ports_file).ok();
        let ports = read.and_then(|text| serde_json::from_slice::<Ports>(&text).ok());
        ports.map(Some).or((!process.is_running()).then_some(None))
    });
    match found.ok().flatten() {
        Some(ports) => Ok((process, ports)),
        None => {
            Err(Failure::new(Exit::Failed, "the simulator did not start")
                .because(process.log_tail(8)))
        }
    }
}

/// Readable by this user only: it is a key, if only a simulated one.
fn write_private(path: &Path, text: &str) -> Result<(), Failure> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    Ok(())
}

/// A key nobody can guess, for a fleet nobody outside this machine can reach.
fn secret(purpose: &str) -> String {
    use std::hash::{BuildHasher, RandomState};
    let mut hash = Sha256::new();
    hash.update(purpose.as_bytes());
    for round in 0..8_u8 {
        // Seeded by the system anew for each state.
        hash.update(RandomState::new().hash_one(round).to_le_bytes());
    }
    hex::encode(hash.finalize())
}
