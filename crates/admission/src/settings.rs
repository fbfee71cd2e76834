//! Sections `review` and `tenants`, and the intake's share of `redis` and `events`.

use access::Mode;
use serde::Deserialize;
use settings::{Loaded, SettingsError};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// What the door asks the configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Section `review`.
    pub review: ReviewSettings,
    /// Section `tenants`, by tenant.
    pub tenants: BTreeMap<String, TenantSettings>,
    /// `redis.intake_stop_ratio`: above this share of the server's `maxmemory` no job is taken in.
    pub intake_stop_ratio: f64,
    /// So many entries in the pool's stream of events, and no job is taken in: nobody shares them out.
    pub events_stop_at: u64,
    /// `webhooks.allow_origins`: addresses of webhooks that need not be https.
    pub webhook_origins: Vec<String>,
}

/// Section `review`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReviewSettings {
    /// Holds wherever a tenant does not say otherwise.
    pub require: Review,
    /// Whoever made a job does not approve it.
    pub four_eyes: bool,
}

/// What the door reads of section `tenants.<tenant>`; unknown keys were refused when it was loaded.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct TenantSettings {
    /// The pool the tenant's jobs go to; `None`: the only one there is. Callers pick the door by it.
    pub pool: Option<String>,
    /// The same for its test keys.
    pub test_pool: Option<String>,
    /// In place of `review.require`.
    pub review: Option<Review>,
}

/// Which jobs wait for a person before anything is paid (M21).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Review {
    /// None.
    #[default]
    Off,
    /// Those that ask for it, or that say they show real people.
    Marked,
    /// Those, and all that bring a picture or a video.
    AnyImageOrVideo,
    /// All.
    Always,
}

impl Review {
    /// Every choice, from lax to strict.
    pub const ALL: [Self; 4] = [Self::Off, Self::Marked, Self::AnyImageOrVideo, Self::Always];

    /// Whether a job waits. `marked`: the request says that somebody should look.
    #[must_use]
    pub fn holds(self, request: &seedance::Request, marked: bool) -> bool {
        match self {
            Self::Off => false,
            Self::Marked => marked,
            Self::AnyImageOrVideo => marked || request.has_image_or_video(),
            Self::Always => true,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            review: ReviewSettings::default(),
            tenants: BTreeMap::new(),
            intake_stop_ratio: default_stop_ratio(),
            events_stop_at: store::EventSettings::default().stop_at(),
            webhook_origins: Vec::new(),
        }
    }
}

fn default_stop_ratio() -> f64 {
    0.80
}

/// The bounds of memory in force: they may change under a running door.
#[derive(Debug)]
pub(crate) struct Stops {
    /// A ratio, as bits.
    memory: AtomicU64,
    events: AtomicU64,
}

impl Stops {
    pub(crate) fn of(settings: &Settings) -> Self {
        let stops = Self { memory: AtomicU64::new(0), events: AtomicU64::new(0) };
        stops.set(settings);
        stops
    }

    pub(crate) fn set(&self, settings: &Settings) {
        self.memory.store(settings.intake_stop_ratio.to_bits(), Ordering::Relaxed);
        self.events.store(settings.events_stop_at, Ordering::Relaxed);
    }

    pub(crate) fn memory_ratio(&self) -> f64 {
        f64::from_bits(self.memory.load(Ordering::Relaxed))
    }

    pub(crate) fn events(&self) -> u64 {
        self.events.load(Ordering::Relaxed)
    }
}

impl Settings {
    /// Picks the door's keys out of a loaded configuration.
    ///
    /// # Errors
    ///
    /// A value that none of the sections takes, with its full key.
    pub fn from_loaded(loaded: &Loaded) -> Result<Self, SettingsError> {
        // The rest of the section belongs to the store, so unknown keys are not refused here.
        #[derive(Deserialize)]
        struct Redis {
            #[serde(default = "default_stop_ratio")]
            intake_stop_ratio: f64,
        }
        let redis: Redis = loaded.section("redis")?;
        #[derive(Deserialize)]
        struct Webhooks {
            allow_origins: Vec<String>,
        }
        let webhooks: Webhooks = loaded.section("webhooks")?;
        let events: store::EventSettings = loaded.section("events")?;
        Ok(Self {
            review: loaded.section("review")?,
            tenants: loaded.section("tenants")?,
            intake_stop_ratio: redis.intake_stop_ratio,
            events_stop_at: events.stop_at(),
            webhook_origins: webhooks.allow_origins,
        })
    }

    /// The gate that holds for a tenant.
    #[must_use]
    pub fn review_of(&self, tenant: &str) -> Review {
        let own = self.tenants.get(tenant).and_then(|tenant| tenant.review);
        own.unwrap_or(self.review.require)
    }

    /// Whether a person named `by` may approve what `made_by` has made.
    #[must_use]
    pub fn may_approve(&self, by: &str, made_by: Option<&str>) -> bool {
        !self.review.four_eyes || made_by != Some(by)
    }

    /// The pool a tenant is bound to, if the configuration binds it.
    #[must_use]
    pub fn pool_of(&self, tenant: &str) -> Option<&str> {
        self.tenants.get(tenant)?.pool.as_deref()
    }

    /// The pool that takes a tenant's jobs, by the mode of the key they come with. `simulated` says of
    /// every pool whether it is. A key without a mode (a configured one) takes the tenant's `pool`, or
    /// the only pool there is, simulated or not.
    ///
    /// # Errors
    ///
    /// What to set.
    pub fn pool_for(
        &self,
        tenant: &str,
        mode: Option<Mode>,
        simulated: &BTreeMap<String, bool>,
    ) -> Result<String, String> {
        let own = self.tenants.get(tenant);
        let (field, named) = match mode {
            Some(Mode::Test) => ("test_pool", own.and_then(|own| own.test_pool.as_deref())),
            Some(Mode::Live) | None => ("pool", own.and_then(|own| own.pool.as_deref())),
        };
        let fits = |is: bool| mode.is_none_or(|mode| Mode::of_pool(is) == mode);
        if let Some(named) = named {
            return match simulated.get(named) {
                Some(is) if fits(*is) => Ok(named.to_owned()),
                Some(_) => {
                    let kind = if mode == Some(Mode::Test) { "is not" } else { "is" };
                    Err(format!("tenants.{tenant}.{field} names {named}, which {kind} simulated"))
                }
                None => Err(format!("tenants.{tenant}.{field} names {named}, which is no pool")),
            };
        }
        let mut fitting = simulated.iter().filter(|(_, is)| fits(**is)).map(|(name, _)| name);
        match (fitting.next(), fitting.next()) {
            (Some(only), None) => Ok(only.clone()),
            (None, _) => {
                let kind = if mode == Some(Mode::Test) { "simulated" } else { "live" };
                Err(format!("no pool is {kind}, and this key reaches no other"))
            }
            (Some(_), Some(_)) => {
                Err(format!("set tenants.{tenant}.{field} to one of the configured pools"))
            }
        }
    }
}
