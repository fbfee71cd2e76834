//! From an empty process to a [`Fleet`]: arguments, settings, logs, admin listener, Redis, its check.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use job::PoolSettings;
use job::mutant::{self, MutantError};
use settings::{Loaded, SettingsError, SettingsErrors, Sources};
use store::{Store, StoreError};
use tokio::net::TcpListener;

use crate::admin::{self, Added, AdminSettings};
use crate::beat::Voice;
use crate::buckets::shelf;
use crate::fault::{self, FaultError};
use crate::fleet::{Fleet, Pool, Process, Role};
use crate::health::{BEAT, Health};
use crate::policy::policy;
use crate::prices::{PricesError, use_prices};
use crate::recount;
use crate::reload;
use crate::safety::{self, Demands, Unsafe};
use crate::signals::{self, Drain};
use crate::trim;

/// First pause between two tries to connect.
const CONNECT_PAUSE_FIRST: Duration = Duration::from_millis(250);
/// Longest pause between two tries to connect.
const CONNECT_PAUSE_MAX: Duration = Duration::from_secs(5);
/// A person is told again after this many tries, about once a minute.
const CONNECT_TOLD_EVERY: u32 = 12;

/// The role whose processes recount their pools in the background.
const RECOUNTS: &str = "poller";

/// Why a process did not start, sorted by who mends it.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The command line; the person who typed it.
    #[error("{0}")]
    Usage(String),
    /// The configuration; its author. Every fault is named.
    #[error("{0}")]
    Settings(#[from] SettingsErrors),
    /// One section; its author.
    #[error("{0}")]
    Section(#[from] SettingsError),
    /// A pool that contradicts itself; the author of the configuration.
    #[error("{0}")]
    Pools(String),
    /// The fault variables; whoever runs the test.
    #[error(transparent)]
    Fault(#[from] FaultError),
    /// A mutant this binary cannot be.
    #[error(transparent)]
    Mutant(#[from] MutantError),
    /// The operator's own price table.
    #[error(transparent)]
    Prices(#[from] PricesError),
    /// Traces were asked for and cannot be sent.
    #[error(transparent)]
    Telemetry(#[from] telemetry::ExportError),
    /// The operating system would not have it.
    #[error("{what}: {error}")]
    System {
        /// What was attempted.
        what: String,
        /// Its answer.
        error: std::io::Error,
    },
    /// Redis must not be trusted with paid work; its operator.
    #[error("{0}")]
    Unsafe(Unsafe),
    /// Another version of the record is in force than this program can work with; whoever upgrades the fleet.
    #[error(transparent)]
    Version(#[from] job::Misfit),
    /// A signal came before the start was done; nobody needs to do anything.
    #[error("stopped before the start was done")]
    Stopped,
}

impl StartError {
    /// The exit code by which scripts tell the cases apart.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Stopped => 0,
            Self::System { .. } => 1,
            Self::Usage(_) | Self::Fault(_) | Self::Mutant(_) => 2,
            Self::Settings(_)
            | Self::Section(_)
            | Self::Pools(_)
            | Self::Prices(_)
            | Self::Telemetry(_) => 3,
            Self::Unsafe(_) | Self::Version(_) => 9,
        }
    }
}

/// What the command line may say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Arguments {
    pub(crate) files: Vec<PathBuf>,
}

impl Arguments {
    /// Reads what follows the program's name.
    pub(crate) fn parse(words: impl IntoIterator<Item = String>) -> Result<Self, StartError> {
        let mut arguments = Self::default();
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let file = match word.strip_prefix("--config") {
                Some("") => words.next(),
                Some(rest) => rest.strip_prefix('=').map(str::to_owned),
                None => None,
            };
            match file {
                Some(file) => arguments.files.push(file.into()),
                None => {
                    return Err(StartError::Usage(format!(
                        "`{word}` is not understood; allowed is `--config FILE`, as often as needed"
                    )));
                }
            }
        }
        Ok(arguments)
    }
}

/// Reads `/etc/seedfleet`, the files of the command line and the environment.
pub(crate) fn load(arguments: Arguments) -> Result<Loaded, StartError> {
    let sources = arguments.files.into_iter().fold(Sources::system(), Sources::file);
    Ok(sources.load()?)
}

impl Fleet {
    /// Starts a process of this role: checks fault variables, opens the admin listener, listens for
    /// signals, connects every pool (waiting for Redis as long as it takes) and refuses a Redis that
    /// could lose or repeat paid work.
    ///
    /// # Errors
    ///
    /// [`StartError`], each with what to mend.
    pub async fn start(role: Role, loaded: Loaded) -> Result<Self, StartError> {
        fault::check_env()?;
        if let Some(mutant) = mutant::check_env()? {
            tracing::warn!(mutant = mutant.name(), "runs with a rule switched off, for a test");
        }
        use_prices(&loaded)?;
        let redis: store::Settings = loaded.section("redis")?;
        let pools: BTreeMap<String, PoolSettings> = loaded.section("pools")?;
        check_pools(&pools)?;
        let name = format!("{}-{}", role.name, ulid::Ulid::generate());
        let health = Health::starting("connecting to Redis");
        let (ask, drain) = signals::pair();
        let deaf = |error| StartError::System { what: "cannot listen for signals".into(), error };
        signals::listen(ask.clone()).map_err(deaf)?;
        let rereads = signals::rereads().map_err(deaf)?;
        let live = reload::spawn(&loaded, rereads.clone());
        let added = Added::default();
        let admin = open_admin(&loaded, &health, added.clone()).await?;
        spawn_beat(health.clone());

        let (caps, shelf) = (tenant_caps(&loaded)?, shelf(&loaded));
        let mut connected = Vec::with_capacity(pools.len());
        for (pool, settings) in pools {
            let store = connect(&redis, &pool, &drain).await?.with_caps(caps.clone());
            let store = store.with_budget(settings.buy_caps()).with_shelf(Arc::clone(&shelf));
            let policy = Arc::new(policy(&loaded, &settings)?);
            connected.push(Pool { name: pool, settings, store, policy });
        }
        let stores = connected.iter().map(|pool| pool.store.clone()).collect::<Vec<_>>();
        let Fence { enabled: fence } = loaded.section("fence")?;
        let demands = Demands { redis, fence };
        safety::at_start(&stores, &demands, &drain).await?;
        let voice = Voice::of(role, &name, stores[0].fleet());
        let in_force = voice.enter(&drain).await?;
        safety::repeat(stores.clone(), demands, health.clone());
        trim::spawn(stores.clone(), loaded.section("events")?, live.clone());
        let presence = voice.repeat(stores.clone(), in_force, ask.clone());
        if role.name == RECOUNTS {
            recount::spawn(stores);
        }
        let process = Process {
            role,
            name,
            loaded,
            admin,
            added,
            health,
            ask,
            drain,
            rereads,
            live,
            presence,
        };
        Ok(Self::new(process, connected))
    }
}

/// What tenants may take, from sections `caps` and `tenants`: the same for every process of a fleet.
///
/// # Errors
///
/// A value that the sections do not take, with its key.
pub fn tenant_caps(loaded: &Loaded) -> Result<store::TenantCaps, settings::SettingsError> {
    Ok(store::TenantCaps { all: loaded.section("caps")?, own: loaded.section("tenants")? })
}

/// All that a check of Redis asks of section `fence`; the rest is for those who raise intents.
#[derive(serde::Deserialize)]
#[serde(default)]
struct Fence {
    enabled: bool,
}

impl Default for Fence {
    fn default() -> Self {
        Self { enabled: true }
    }
}

fn check_pools(pools: &BTreeMap<String, PoolSettings>) -> Result<(), StartError> {
    if pools.is_empty() {
        let how = "no pool is configured; add a section [pools.<name>] with `route` and \
                   [pools.<name>.accounts.<name>] with `api_key_file`";
        return Err(StartError::Pools(how.to_owned()));
    }
    let faults: Vec<String> = pools.iter().flat_map(|(name, pool)| pool.faults(name)).collect();
    if faults.is_empty() { Ok(()) } else { Err(StartError::Pools(faults.join("\n"))) }
}

async fn open_admin(
    loaded: &Loaded,
    health: &Health,
    added: Added,
) -> Result<SocketAddr, StartError> {
    let AdminSettings { listen } = loaded.section("admin")?;
    let cannot = |error| StartError::System {
        what: format!("admin.listen: cannot listen on {listen}; choose a free port or 0"),
        error,
    };
    let listener = TcpListener::bind(listen).await.map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
    tracing::info!(listen = %address, "admin listener: /livez /readyz /metrics");
    admin::serve(listener, health.clone(), Arc::new(telemetry::render), added);
    Ok(address)
}

fn spawn_beat(health: Health) {
    tokio::spawn(async move {
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            beat.tick().await;
            health.beat();
        }
    });
}

/// Connects, and tries again for as long as it takes: a fleet may start before its Redis.
async fn connect(redis: &store::Settings, pool: &str, drain: &Drain) -> Result<Store, StartError> {
    let mut pause = CONNECT_PAUSE_FIRST;
    let mut tries = 0_u32;
    loop {
        let error: StoreError = match Store::connect(redis, pool).await {
            Ok(store) => {
                if tries > 0 {
                    tracing::info!(pool, "Redis answers");
                }
                return Ok(store);
            }
            Err(error) => error,
        };
        if tries.is_multiple_of(CONNECT_TOLD_EVERY) {
            tracing::warn!(pool, error = %error, "no Redis yet; trying again until it answers");
        }
        tries += 1;
        tokio::select! {
            () = drain.wait() => return Err(StartError::Stopped),
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(CONNECT_PAUSE_MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Arguments, String> {
        Arguments::parse(words.iter().map(|word| (*word).to_owned()))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn config_files_are_taken_in_order() {
        let files = vec![PathBuf::from("a.toml"), PathBuf::from("b.toml")];
        assert_eq!(parsed(&["--config", "a.toml", "--config=b.toml"]), Ok(Arguments { files }));
        assert_eq!(parsed(&[]), Ok(Arguments::default()));
    }

    #[test]
    fn anything_else_is_refused_with_what_is_allowed() {
        for words in [&["--cofnig", "a"][..], &["--config"], &["serve"], &["--configs=x"]] {
            let refused = parsed(words).expect_err("refused");
            assert!(refused.contains("--config FILE"), "{refused}");
        }
    }

    #[test]
    fn a_fleet_without_pools_says_how_to_add_one() {
        let refused = check_pools(&BTreeMap::new()).expect_err("no pools");
        assert!(refused.to_string().contains("[pools.<name>]"), "{refused}");
        assert_eq!(refused.exit_code(), 3);
    }
}
