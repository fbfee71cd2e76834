//! A running process of the fleet: its pools, its health, its wish to stop; and the work it does.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use job::{Policy, PoolSettings};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use settings::Loaded;
use store::engine::{Engine, EngineSettings};
use store::{Queue, Store};
use tokio::sync::watch;

use crate::admin::Added;
use crate::beat::Presence;
use crate::health::Health;
use crate::reload::Live;
use crate::runtime::{self, Row};
use crate::signals::{Ask, Drain};
use crate::start::{self, Arguments, StartError};
use crate::step::Step;
use crate::telling;

/// How long the hand-back of what still runs may take once the grace is over.
const LAST_WORDS_MAX: Duration = Duration::from_secs(2);

/// What a binary is.
#[derive(Debug, Clone, Copy)]
pub struct Role {
    /// The binary's name: `submitter`, `poller`, `downloader`, `gateway`.
    pub name: &'static str,
    /// How long running steps may take after a signal. The supervisor must wait longer.
    pub grace: Duration,
}

/// A pool as this process serves it. Clones share the connection; the submitter puts a store
/// [with rooms](Store::with_rooms) into its clone before it makes crews of it.
#[derive(Debug, Clone)]
pub struct Pool {
    /// Its name in the configuration.
    pub name: String,
    /// Its section.
    pub settings: PoolSettings,
    /// Its memory.
    pub store: Store,
    /// The numbers its jobs are decided with.
    pub policy: Arc<Policy>,
}

/// How many runs of a step a process allows, and how its leases live: read from the step's section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct CrewSettings {
    /// Runs at a time.
    pub concurrency: usize,
    /// How long a ticket stays with a silent process.
    #[serde(with = "humantime_serde")]
    pub lease: Duration,
    /// How often a live process extends it.
    #[serde(with = "humantime_serde")]
    pub renew: Duration,
}

/// The runs of one step in one pool.
pub struct Crew {
    pool: Pool,
    step: Arc<dyn Step>,
    settings: CrewSettings,
}

impl Crew {
    /// Works the step's queue in this pool.
    pub fn new(pool: &Pool, step: impl Step, settings: CrewSettings) -> Self {
        Self { pool: pool.clone(), step: Arc::new(step), settings }
    }
}

/// Why the work of a process ended badly.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// A worker's loop ended although nobody asked it to: a bug; the supervisor starts us again.
    #[error("the workers ended by themselves: {0}")]
    Ended(String),
}

/// A started process.
pub struct Fleet {
    process: Process,
    pools: Vec<Pool>,
}

/// What a process has before it knows its pools.
pub(crate) struct Process {
    pub(crate) role: Role,
    pub(crate) name: String,
    pub(crate) loaded: Loaded,
    pub(crate) admin: SocketAddr,
    pub(crate) added: Added,
    pub(crate) health: Health,
    pub(crate) ask: Ask,
    pub(crate) drain: Drain,
    pub(crate) rereads: watch::Receiver<u64>,
    pub(crate) live: Live,
    pub(crate) presence: Presence,
}

/// The whole `main` of a binary: reads arguments and settings, starts the process, runs `work`, and
/// says how it went. `work` ends by itself once the fleet drains; [`Fleet::work`] does.
///
/// Exit codes: 0 done or drained; 1 failed; 2 usage; 3 configuration; 9 unsafe Redis, or a version of the
/// record in force that this program cannot work with; 130 and 143 after a second signal.
pub fn main<E: std::fmt::Display>(
    role: Role,
    work: impl AsyncFnOnce(Fleet) -> Result<(), E>,
) -> ExitCode {
    let started = Arguments::parse(std::env::args().skip(1)).and_then(start::load);
    let loaded = match started {
        Ok(loaded) => loaded,
        // Not even the shape of log lines is known yet.
        Err(error) => return fail_plainly(role, &error),
    };
    let telemetry = match loaded.section("telemetry") {
        Ok(telemetry) => telemetry,
        Err(error) => return fail_plainly(role, &error.into()),
    };
    let _guard = telemetry::init(role.name, &telemetry);
    let export = match telemetry::export(role.name, &telemetry) {
        Ok(export) => export,
        Err(error) => return fail_plainly(role, &error.into()),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let what = "cannot start the event loop".to_owned();
            return fail_plainly(role, &StartError::System { what, error });
        }
    };
    let code = runtime.block_on(async {
        match Fleet::start(role, loaded).await {
            Err(StartError::Stopped) => ExitCode::SUCCESS,
            Err(error) => {
                tracing::error!(error = %error, "not started");
                ExitCode::from(error.exit_code())
            }
            Ok(fleet) => {
                let presence = fleet.process.presence.clone();
                let worked = work(fleet).await;
                presence.sign_off().await;
                match worked {
                    Ok(()) => ExitCode::SUCCESS,
                    Err(error) => {
                        tracing::error!(error = %format!("{error:#}"), "failed");
                        ExitCode::FAILURE
                    }
                }
            }
        }
    });
    // A blocking call that still runs must not keep the process.
    runtime.shutdown_background();
    export.end();
    code
}

#[allow(clippy::print_stderr, reason = "logging is not set up yet")]
fn fail_plainly(role: Role, error: &StartError) -> ExitCode {
    eprintln!("{}: {error}", role.name);
    ExitCode::from(error.exit_code())
}

impl Fleet {
    pub(crate) fn new(process: Process, pools: Vec<Pool>) -> Self {
        let metrics = telemetry::metrics();
        let version = env!("CARGO_PKG_VERSION");
        metrics.build_info.set(1.0, [version]);
        tracing::info!(worker = process.name, version, pools = pools.len(), "started");
        Self { process, pools }
    }

    /// This process since its start; a restart has another name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.process.name
    }

    /// The whole configuration.
    #[must_use]
    pub const fn loaded(&self) -> &Loaded {
        &self.process.loaded
    }

    /// One section of the configuration.
    ///
    /// # Errors
    ///
    /// It does not make a `T`; names the key.
    pub fn section<T: DeserializeOwned>(&self, name: &str) -> Result<T, StartError> {
        Ok(self.process.loaded.section(name)?)
    }

    /// The pools of the configuration, each connected and checked.
    #[must_use]
    pub fn pools(&self) -> &[Pool] {
        &self.pools
    }

    /// Where the admin listener listens.
    #[must_use]
    pub const fn admin(&self) -> SocketAddr {
        self.process.admin
    }

    /// Serves more pages at the admin listener, beside those that every process has there.
    pub fn serve_admin(&self, pages: axum::Router) {
        self.process.added.set(pages);
    }

    /// What `/livez` and `/readyz` say.
    #[must_use]
    pub const fn health(&self) -> &Health {
        &self.process.health
    }

    /// The wish to stop.
    #[must_use]
    pub const fn drain(&self) -> &Drain {
        &self.process.drain
    }

    /// The configuration as it is now, and the news of each change. Only keys that are marked so in
    /// `config/default.toml` may be taken from it in a running process.
    #[must_use]
    pub fn live(&self) -> Live {
        self.process.live.clone()
    }

    /// Changes whenever somebody asks, by SIGHUP, for key files to be read again.
    #[must_use]
    pub fn rereads(&self) -> watch::Receiver<u64> {
        self.process.rereads.clone()
    }

    /// The same process with another grace, for a role whose section sets one.
    #[must_use]
    pub const fn with_grace(mut self, grace: Duration) -> Self {
        self.process.role.grace = grace;
        self
    }

    /// Asks this process to drain, as a signal does.
    pub fn stop(&self) {
        self.process.ask.ask();
    }

    /// Not ready any more: for a binary without crews, once its drain begins.
    pub fn set_draining(&self) {
        self.process.health.set_draining();
    }

    /// Works the crews' queues until a signal comes, then drains: claims nothing more, hands back what
    /// has not begun, waits for what runs within the role's grace. At its end, running downloads,
    /// checks and look-ups are handed back; a running create keeps its lease, since handing it back
    /// could only make somebody doubt it sooner.
    ///
    /// # Errors
    ///
    /// [`WorkError::Ended`].
    pub async fn work(&self, crews: Vec<Crew>) -> Result<(), WorkError> {
        let mut rows = Vec::with_capacity(crews.len());
        for crew in crews {
            self.process.health.set_starting(format!(
                "starting {} of {}",
                crew.step.queue(),
                crew.pool.name
            ));
            match self.start_crew(crew).await {
                Some(row) => rows.push(row),
                None => break,
            }
        }
        if rows.is_empty() && self.process.drain.began() {
            return Ok(());
        }
        let engines: Vec<Engine> = rows.iter().map(|row| row.engine.clone()).collect();
        let mut running = tokio::spawn(runtime::run(rows));
        telling::spawn(self.process.role.name, engines.clone());
        self.process.health.set_ready();
        let ended = tokio::select! {
            biased;
            () = self.process.drain.wait() => None,
            ended = &mut running => Some(ended),
        };
        self.process.health.set_draining();
        if let Some(ended) = ended {
            return Err(WorkError::Ended(in_words(ended)));
        }
        engines.iter().for_each(Engine::stop_claiming);
        match tokio::time::timeout(self.process.role.grace, running).await {
            Ok(Ok(Ok(()))) => tracing::info!(worker = self.process.name, "drained"),
            Ok(ended) => return Err(WorkError::Ended(in_words(ended))),
            Err(_) => self.let_go(&engines).await,
        }
        Ok(())
    }

    async fn let_go(&self, engines: &[Engine]) {
        for engine in engines {
            let left = engine.snapshot().in_flight;
            if left > 0 {
                tracing::warn!(
                    worker = self.process.name, step = %engine.queue(), left,
                    "the grace is over and steps still run; others take them over"
                );
            }
        }
        let close = engines.iter().map(|engine| {
            let hand_back = !matches!(engine.queue(), Queue::Submit(_));
            engine.close(LAST_WORDS_MAX, hand_back)
        });
        futures::future::join_all(close).await;
    }

    /// `None` when a signal came while Redis was away.
    async fn start_crew(&self, crew: Crew) -> Option<Row> {
        let Crew { pool, step, settings } = crew;
        let queue = step.queue();
        let CrewSettings { concurrency, lease, renew } = settings;
        let engine = EngineSettings { queue, concurrency, lease, renew };
        let (engine, picked) = loop {
            let policy = Arc::clone(&pool.policy);
            match Engine::start(pool.store.clone(), engine.clone(), policy).await {
                Ok(started) => break started,
                Err(error) => {
                    tracing::warn!(pool = pool.name, error = %error, "no Redis; trying again")
                }
            }
            tokio::select! {
                () = self.process.drain.wait() => return None,
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
            }
        };
        self.process.health.watch(engine.clone());
        let name = format!("{}/{}/{queue}", self.process.name, pool.name);
        Some(Row { name, step, engine, picked })
    }
}

fn in_words(ended: Result<Result<(), String>, tokio::task::JoinError>) -> String {
    match ended {
        Ok(Ok(())) => "no queue is left to work".to_owned(),
        Ok(Err(error)) => error,
        Err(error) => error.to_string(),
    }
}
