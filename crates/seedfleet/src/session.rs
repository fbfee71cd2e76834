//! What a verb works with: the configuration, one pool, its store and bucket.

use crate::cli::Global;
use crate::exit::{Exit, Failure};
use admission::Door;
use assets::{Buckets, FenceSettings, Intents};
use job::{By, Policy, PoolSettings};
use settings::{Loaded, Sources};
use std::collections::BTreeMap;
use std::time::Duration;
use store::{FleetStore, Store, StoreError};

/// Tries to connect: a server that restarts is worth a short wait, a dead one is told soon.
const CONNECT_TRIES: u32 = 3;
const CONNECT_PAUSE: Duration = Duration::from_millis(300);

/// One pool, connected.
pub(crate) struct Session {
    pub(crate) loaded: Loaded,
    pub(crate) pool: PoolSettings,
    pub(crate) store: Store,
    pub(crate) policy: Policy,
}

/// Reads the layers.
///
/// # Errors
///
/// Every fault of every layer.
pub(crate) fn load(global: &Global) -> Result<Loaded, Failure> {
    let loaded = global.config.iter().fold(Sources::system(), Sources::file).load()?;
    worker::use_prices(&loaded)?;
    Ok(loaded)
}

/// Log lines, if asked for.
pub(crate) fn logging(global: &Global) -> Result<Option<telemetry::Guard>, Failure> {
    if !global.verbose {
        return Ok(None);
    }
    Ok(Some(telemetry::init("seedfleet", &load(global)?.section("telemetry")?)))
}

/// The pools of a configuration, each free of contradictions.
///
/// # Errors
///
/// Each fault with its cure.
pub(crate) fn pools(loaded: &Loaded) -> Result<BTreeMap<String, PoolSettings>, Failure> {
    let pools: BTreeMap<String, PoolSettings> = loaded.section("pools")?;
    let faults: Vec<String> = pools.iter().flat_map(|(name, pool)| pool.faults(name)).collect();
    if !faults.is_empty() {
        let failure = Failure::new(Exit::Findings, "the configuration has a pool with faults");
        return Err(failure.because(faults.join("\n")));
    }
    Ok(pools)
}

/// The one pool that is meant.
pub(crate) fn choose(
    global: &Global,
    tenant: Option<&str>,
    loaded: &Loaded,
) -> Result<(String, PoolSettings), Failure> {
    let mut pools = pools(loaded)?;
    let known = pools.keys().cloned().collect::<Vec<_>>().join(", ");
    let bound = match tenant {
        Some(tenant) => {
            admission::Settings::from_loaded(loaded)?.pool_of(tenant).map(str::to_owned)
        }
        None => None,
    };
    let named = global.pool.clone().or(bound);
    match (named, pools.len()) {
        (_, 0) => Err(Failure::new(Exit::Findings, "no pool is configured").hint(
            "name a file with --config, or add [pools.<name>] with `route` and \
             [pools.<name>.accounts.<name>] with `api_key_file`; `seedfleet dev up` starts a fleet to try",
        )),
        (None, 1) => pools
            .pop_first()
            .ok_or_else(|| Failure::new(Exit::Failed, "the only pool went away")),
        (None, _) => Err(Failure::usage(format!("several pools are configured: {known}"))
            .hint("choose one with --pool")),
        (Some(name), _) => match pools.remove_entry(&name) {
            Some(found) => Ok(found),
            None => Err(Failure::usage(format!("no pool is called {name:?}"))
                .hint(format!("configured are: {known}"))),
        },
    }
}

impl Session {
    /// Opens the pool that is meant.
    ///
    /// # Errors
    ///
    /// The configuration, or Redis away.
    pub(crate) async fn open(global: &Global) -> Result<Self, Failure> {
        Self::open_for(global, None).await
    }

    /// As [`Session::open`], for a tenant that may be bound to a pool.
    ///
    /// # Errors
    ///
    /// As there.
    pub(crate) async fn open_for(global: &Global, tenant: Option<&str>) -> Result<Self, Failure> {
        let loaded = load(global)?;
        let (name, pool) = choose(global, tenant, &loaded)?;
        if pool.simulated && !global.quiet {
            crate::output::note(&format!("pool {name} is simulated: nothing is billed"));
        }
        Self::connect(loaded, &name, pool).await
    }

    /// Connects to a pool of a configuration that is at hand.
    ///
    /// # Errors
    ///
    /// Redis away; the fleet works with a version of the record that this program cannot work with.
    pub(crate) async fn connect(
        loaded: Loaded,
        name: &str,
        pool: PoolSettings,
    ) -> Result<Self, Failure> {
        let session = Self::connect_as_it_is(loaded, name, pool).await?;
        session.store.fits()?;
        Ok(session)
    }

    /// As [`Session::connect`], whichever version is in force: to look at versions, not at jobs.
    ///
    /// # Errors
    ///
    /// Redis away.
    pub(crate) async fn connect_as_it_is(
        loaded: Loaded,
        name: &str,
        pool: PoolSettings,
    ) -> Result<Self, Failure> {
        let redis: store::Settings = loaded.section("redis")?;
        let policy = worker::policy(&loaded, &pool)?;
        let mut tries = 1;
        let store = loop {
            match Store::connect(&redis, name).await {
                Ok(store) => {
                    let store = store.with_caps(worker::tenant_caps(&loaded)?);
                    break store.with_budget(pool.buy_caps()).with_shelf(worker::shelf(&loaded));
                }
                Err(StoreError::Unreachable(_)) if tries < CONNECT_TRIES => {
                    tries += 1;
                    tokio::time::sleep(CONNECT_PAUSE).await;
                }
                Err(error) => return Err(error.into()),
            }
        };
        Ok(Self { loaded, pool, store, policy })
    }

    /// The bucket of each tenant.
    ///
    /// # Errors
    ///
    /// Section `store`, or that of a tenant.
    pub(crate) fn buckets(&self) -> Result<Buckets, Failure> {
        Ok(worker::buckets(&self.loaded)?)
    }

    /// The second fence, where it is on.
    ///
    /// # Errors
    ///
    /// Section `fence` or `store`.
    pub(crate) fn intents(&self) -> Result<Option<Intents>, Failure> {
        let fence: FenceSettings = self.loaded.section("fence")?;
        Ok(Intents::open(&fence, &self.loaded.section("store")?)?)
    }

    /// The door for new jobs.
    ///
    /// # Errors
    ///
    /// The configuration.
    pub(crate) fn door(&self) -> Result<Door, Failure> {
        let settings = admission::Settings::from_loaded(&self.loaded)?;
        Ok(Door::new(self.store.clone(), self.buckets()?, &self.pool, settings))
    }
}

/// The memory of the whole fleet; no pool need be named.
///
/// # Errors
///
/// The configuration, or Redis away.
pub(crate) async fn open_fleet(global: &Global) -> Result<FleetStore, Failure> {
    let redis: store::Settings = load(global)?.section("redis")?;
    let mut tries = 1;
    loop {
        match FleetStore::connect(&redis).await {
            Ok(fleet) => return Ok(fleet),
            Err(StoreError::Unreachable(_)) if tries < CONNECT_TRIES => {
                tries += 1;
                tokio::time::sleep(CONNECT_PAUSE).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// The person at the keyboard.
pub(crate) fn operator(named: Option<&str>) -> By {
    let login = || std::env::var("USER").ok().filter(|name| !name.is_empty());
    By::named(&named.map(str::to_owned).or_else(login).unwrap_or_else(|| "operator".to_owned()))
}
