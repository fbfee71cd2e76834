//! The pool's client: its HTTP clients, its keys, and what every call has in common.

use std::sync::Arc;
use std::time::Duration;

use egress::{BuildError, CreateClient, HeaderMap, HeaderName, RouteClient, Secret, Trust, Url};
use job::{Facts, PoolSettings};
use limiter::{Permit, Spent};
use seedance::{Call, Class, ErrorTable, Route, TASKS_PATH};

use crate::{
    KeyFault, Keys, Settings,
    sort::{OUR_CODES, Trouble},
};

/// Where a call goes and whose key it carries. Comes from the facts frozen in a job's record, so a
/// task is read where it was made, whatever the configuration says by then.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Site {
    /// Absolute URL of the task collection, without a trailing slash.
    pub tasks_url: String,
    /// The account.
    pub account: String,
}

impl Site {
    /// Where the task of a job with these facts is created.
    #[must_use]
    pub fn for_create(facts: &Facts) -> Self {
        Self { tasks_url: facts.create_url.clone(), account: facts.account.clone() }
    }

    /// Where the task of a job with these facts is read, listed and deleted.
    #[must_use]
    pub fn for_reads(facts: &Facts) -> Self {
        Self { tasks_url: facts.retrieve_url.clone(), account: facts.account.clone() }
    }

    /// Where an account's tasks are by today's configuration; for calls that concern no job.
    #[must_use]
    pub fn configured(settings: &PoolSettings, account: &str) -> Self {
        let tasks_url = format!("{}{TASKS_PATH}", settings.base_url());
        Self { tasks_url, account: account.to_owned() }
    }
}

/// Why a pool's client cannot be made. Said at start; no job is touched.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A key file is missing or bad.
    #[error(transparent)]
    Key(#[from] KeyFault),
    /// The HTTP clients cannot be built.
    #[error(transparent)]
    Http(#[from] BuildError),
    /// The pool's address is not usable.
    #[error("pools.{pool}.base_url: {problem}")]
    BaseUrl {
        /// The pool.
        pool: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// Talks to one pool's route with its accounts' keys. Share it; it is made once per process.
#[derive(Debug)]
pub struct Client {
    pub(crate) pool: String,
    pub(crate) creates: CreateClient,
    pub(crate) reads: RouteClient,
    route: Route,
    keys: Arc<Keys>,
    simulated: bool,
}

/// A call that may go out: checked address and key.
pub(crate) struct Cleared {
    pub(crate) url: Url,
    pub(crate) key: Secret,
    /// Told how the call is answered.
    pub(crate) spent: Spent,
}

impl Client {
    /// Reads the keys and builds the HTTP clients. Opens no connection.
    ///
    /// # Errors
    ///
    /// [`OpenError`], one sentence that names the configuration key.
    pub fn open(
        pool: &str,
        settings: &PoolSettings,
        provider: &Settings,
    ) -> Result<Self, OpenError> {
        let bad = |problem| OpenError::BaseUrl { pool: pool.to_owned(), problem };
        let base = Url::parse(settings.base_url()).map_err(|_| bad("not a URL"))?;
        match (base.scheme(), settings.simulated) {
            ("https", _) | ("http", true) => {}
            ("http", false) => return Err(bad("plain http is allowed for simulated pools only")),
            _ => return Err(bad("only https, and http for simulated pools")),
        }
        let trust = Trust::for_url(&base);
        declare_codes();
        Ok(Self {
            pool: pool.to_owned(),
            creates: CreateClient::new(&provider.creates(), trust)?,
            reads: RouteClient::new(&provider.reads(), trust)?,
            keys: Arc::new(Keys::open(pool, settings)?),
            route: settings.route,
            simulated: settings.simulated,
        })
    }

    /// Counts one call that was made. `outcome` is one of ok, refused, not_sent, unclear, failed.
    pub(crate) fn count(&self, call: Call, outcome: &'static str, took: Duration) {
        let labels = [call.word(), outcome, self.route.word()];
        telemetry::metrics().provider_request_duration.record(took, labels);
    }

    /// The accounts' keys, for whoever keeps them fresh ([`crate::keep`]).
    #[must_use]
    pub fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.keys)
    }

    /// Spends the permit and checks that the call is the one it was given for, that there is a key,
    /// and that the key would not travel in clear.
    pub(crate) fn clear(
        &self,
        permit: Permit,
        call: Call,
        site: &Site,
    ) -> Result<Cleared, Trouble> {
        if permit.call() != call || permit.account() != site.account {
            let reason = format!(
                "a permit for {} on account {:?} was given to {call} on account {:?}",
                permit.call(),
                permit.account(),
                site.account
            );
            return Err(Trouble::not_asked(Class::State, reason));
        }
        if permit.is_over() {
            let reason = "the right to this call had passed before it was made".to_owned();
            return Err(Trouble::ours(Class::Server, "not-asked", reason));
        }
        let Some(key) = self.keys.of(&site.account) else {
            let reason = format!(
                "pools.{}.accounts has no {:?}: put the account back while its tasks run",
                self.pool, site.account
            );
            return Err(Trouble::not_asked(Class::Auth, reason));
        };
        let url = Url::parse(&site.tasks_url).ok();
        let safe =
            |url: &Url| url.scheme() == "https" || (url.scheme() == "http" && self.simulated);
        match url.filter(|url| safe(url) && url.has_host()) {
            Some(url) => Ok(Cleared { url, key, spent: permit.spend() }),
            None => {
                let reason = "the recorded address is not an https URL; no key is sent there";
                Err(Trouble::not_asked(Class::Account, reason.to_owned()))
            }
        }
    }
}

/// Tells the metrics which error codes there are: the rows of the error table and our own words.
fn declare_codes() {
    let table = ErrorTable::builtin();
    let codes = table.rules().iter().map(|rule| rule.code.clone());
    let statuses = table.status_rules().iter().map(|rule| rule.name.clone());
    let ours = OUR_CODES.iter().map(|code| (*code).to_owned());
    telemetry::declare("code", codes.chain(statuses).chain(ours));
}

/// The header by which the provider's support finds a call. A trace id: it makes nothing
/// idempotent (`docs/provider.md`, headers).
pub(crate) fn client_request_id(id: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let name = HeaderName::from_static("x-client-request-id");
    if let Ok(value) = id.parse() {
        headers.insert(name, value);
    }
    headers
}
