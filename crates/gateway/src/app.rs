//! What every request may ask, and which path leads where.

use crate::callbacks::{self, CallbackDoor};
use crate::caller::{Caller, Callers, tell_rate};
use crate::guard::guard;
use crate::keys::Keys;
use crate::pages::{self, Flow, Visits};
use crate::problem::Problem;
use crate::room::Room;
use crate::scaling::Desk;
use crate::settings::{GatewaySettings, Scope};
use crate::stream::Seats;
use crate::watch::Watch;
use access::Mode;
use admission::Door;
use assets::{Assets, Buckets, FenceSettings, Intents};
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::middleware::from_fn;
use axum::routing::post;
use erasure::Eraser;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use store::{Caps, TenantCaps};
use survey::LimitsSettings;
use tower_http::timeout::{RequestBodyTimeoutLayer, TimeoutLayer};
use worker::{Fleet, Pool};

/// Whose jobs those are that name no tenant.
const DEFAULT_TENANT: &str = "default";
/// No callback takes longer.
const CALLBACK_TIME_MAX: Duration = Duration::from_secs(60);

/// One pool with its door for new jobs.
pub(crate) struct PoolDoor {
    pub(crate) pool: Pool,
    pub(crate) door: Door,
    /// Tells who waits here what becomes of the pool's jobs.
    pub(crate) watch: Watch,
    pub(crate) eraser: Eraser,
}

/// Sections `limits` and `provider`, and what of `submit` bounds an account.
pub(crate) struct DeskSettings {
    pub(crate) feed: limiter::Feed,
    pub(crate) limits: limiter::Settings,
    pub(crate) provider: provider::Settings,
    judged_by: LimitsSettings,
}

/// The gateway's state.
pub(crate) struct App {
    pub(crate) callers: Callers,
    pub(crate) public_url: String,
    pub(crate) pools: BTreeMap<String, PoolDoor>,
    pub(crate) callbacks: Option<CallbackDoor>,
    pub(crate) seats: Seats,
    /// The OpenAPI document.
    pub(crate) document: String,
    /// Where what was made lies.
    pub(crate) buckets: Buckets,
    pub(crate) wait_max: Duration,
    pub(crate) row_bytes_max: usize,
    pub(crate) body_bytes_max: usize,
    /// For bodies in memory.
    pub(crate) room: Room,
    /// Which addresses webhooks may have.
    pub(crate) webhook_rules: egress::Rules,
    /// Who looks at the dashboard; none where it is off.
    pub(crate) visits: Option<Visits>,
    /// What came in and went out of late.
    pub(crate) flow: Flow,
    pub(crate) drain: worker::Drain,
    /// What reads of the provider are made with, for a person who decides a doubt.
    pub(crate) desk: DeskSettings,
    /// How many processes are of use.
    pub(crate) scaling: Arc<Desk>,
    /// The rules of the door, and who may approve what.
    pub(crate) admission: admission::Settings,
    /// How long a task is taken to last where nothing is learned.
    pub(crate) generate: Duration,
    caps: TenantCaps,
    simulated: BTreeMap<String, bool>,
}

impl App {
    pub(crate) fn build(
        fleet: &Fleet,
        settings: &GatewaySettings,
        keys: Keys,
        document: String,
    ) -> anyhow::Result<Self> {
        let buckets = worker::buckets(fleet.loaded())?;
        let fence: FenceSettings = fleet.section("fence")?;
        let intents = Intents::open(&fence, &fleet.section("store")?)?;
        let admission = admission::Settings::from_loaded(fleet.loaded())?;
        let scaling: survey::ScalingSettings = fleet.section("scaling")?;
        let flow = Flow::default();
        let mut pools = BTreeMap::new();
        for pool in fleet.pools() {
            let store = pool.store.clone();
            let door = Door::new(store, buckets.clone(), &pool.settings, admission.clone());
            let watch =
                Watch::start(&pool.store, settings.dashboard.then(|| flow.clone()), fleet.drain());
            let policy = (*pool.policy).clone();
            let store = pool.store.clone();
            let eraser = Eraser::new(store, buckets.clone(), intents.clone(), policy);
            let opened = PoolDoor { pool: pool.clone(), door, watch, eraser };
            pools.insert(pool.name.clone(), opened);
        }
        // Every process has at least one pool: it would not have started without.
        let first = fleet.pools().first();
        let first = first.ok_or_else(|| anyhow::anyhow!("no pool is configured"))?;
        let simulated = |pool: &Pool| (pool.name.clone(), pool.settings.simulated);
        let memory = fleet.pools().first().map(|pool| pool.store.fleet());
        let visits = memory.filter(|_| settings.dashboard);
        Ok(Self {
            visits: visits.map(|memory| Visits::open(memory, settings)),
            flow,
            drain: fleet.drain().clone(),
            desk: DeskSettings {
                feed: fleet.section("submit")?,
                limits: fleet.section("limits")?,
                provider: fleet.section("provider")?,
                judged_by: LimitsSettings::from_loaded(fleet.loaded())?,
            },
            scaling: Arc::new(Desk::new(fleet)?),
            callers: Callers::new(settings, keys, first.store.fleet()),
            document,
            buckets,
            wait_max: settings.wait_max,
            row_bytes_max: settings.row_bytes_max,
            body_bytes_max: settings.body_bytes_max,
            room: Room::new(settings.bodies_bytes_max),
            public_url: settings.public_url.clone(),
            callbacks: CallbackDoor::open(fleet)?,
            seats: Seats::new(fleet.section("events")?, fleet.drain().clone()),
            webhook_rules: webhook_rules(fleet)?,
            pools,
            admission,
            generate: scaling.generate,
            caps: worker::tenant_caps(fleet.loaded())?,
            simulated: fleet.pools().iter().map(simulated).collect(),
        })
    }

    /// Where a tenant's videos and media lie.
    pub(crate) fn bucket(&self, tenant: &str) -> &Assets {
        self.buckets.of(tenant)
    }

    /// What of the configuration decides what limits a pool, as it is in force.
    pub(crate) fn judged_by(&self, door: &PoolDoor) -> LimitsSettings {
        let intake_stop_ratio = door.door.intake_stop_ratio();
        LimitsSettings { intake_stop_ratio, ..self.desk.judged_by }
    }

    /// The tenants of the configuration; those without a section of their own share the default one.
    pub(crate) fn tenant_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.admission.tenants.keys().cloned().collect();
        if !self.admission.tenants.contains_key(DEFAULT_TENANT) {
            names.push(DEFAULT_TENANT.to_owned());
        }
        names
    }

    /// The pool that carries what a caller makes.
    pub(crate) fn pool_of(&self, caller: &Caller) -> Result<&PoolDoor, Problem> {
        self.pool_for(caller.own_tenant()?, caller.mode)
    }

    /// The pool that carries what a caller makes, for one that may do this.
    pub(crate) fn enter(&self, caller: &Caller, needs: Scope) -> Result<&PoolDoor, Problem> {
        caller.needs(needs)?;
        self.pool_of(caller)
    }

    /// The pool of a tenant's keys of one mode.
    pub(crate) fn pool_for(&self, tenant: &str, mode: Option<Mode>) -> Result<&PoolDoor, Problem> {
        let found = self.admission.pool_for(tenant, mode, &self.simulated);
        found.map_or_else(Err, |name| self.pools.get(&name).ok_or(name)).map_err(|why| {
            let title = format!("no pool takes jobs of tenant {tenant} with this key");
            Problem::new(StatusCode::FORBIDDEN, "no-pool", title).detail(why)
        })
    }

    /// The pools a caller may look into.
    pub(crate) fn pools_for(&self, caller: &Caller) -> impl Iterator<Item = &PoolDoor> {
        self.pools.values().filter(|door| caller.reaches(door.pool.settings.simulated))
    }

    /// What a tenant may take.
    pub(crate) fn caps_of(&self, tenant: &str) -> Caps {
        self.caps.of(tenant)
    }
}

fn webhook_rules(fleet: &Fleet) -> anyhow::Result<egress::Rules> {
    /// The rest of the section is the notifier's.
    #[derive(serde::Deserialize)]
    struct Webhooks {
        allow_origins: Vec<String>,
    }
    let Webhooks { allow_origins } = fleet.section("webhooks")?;
    egress::Rules::for_webhooks(&allow_origins)
        .map_err(|error| anyhow::anyhow!("webhooks.allow_origins: {error}"))
}

/// Everything the public listener serves; what it serves of the API is described by the API itself.
pub(crate) fn router(
    app: Arc<App>,
    routes: Router<Arc<App>>,
    settings: &GatewaySettings,
) -> Router {
    let silent = RequestBodyTimeoutLayer::new(settings.body_idle_max);
    let api = routes.layer(DefaultBodyLimit::max(settings.body_bytes_max)).layer(silent);
    let late = TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, CALLBACK_TIME_MAX);
    let callback =
        Router::new().route("/cb/v1/{attempt}/{token}", post(callbacks::receive)).layer(late);
    let pages = if app.visits.is_some() { pages::routes() } else { Router::new() };
    Router::new()
        .merge(api)
        .merge(callback)
        .merge(pages)
        .fallback(async || {
            Problem::new(StatusCode::NOT_FOUND, "no-such-route", "there is no such route")
        })
        .method_not_allowed_fallback(async || {
            let title = "this address takes other methods; Allow names them";
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", title)
        })
        .layer(from_fn(tell_rate))
        .layer(from_fn(guard))
        .with_state(app)
}
