//! The provider as a program: the same wire as the real service, faults on demand, and a ledger of
//! what it billed.
//!
//! It imports no other room. The wire contract (`docs/provider.md`) is written down a second time
//! here on purpose: the fleet's client and this simulator each catch the other's misreading. Three
//! listeners: the API, the object host behind result links, and the simulator's own control
//! interface (`docs/simulator.md`).

#![forbid(unsafe_code)]

mod options;

mod doubts;
mod faults;
mod limits;

mod models;
mod refusal;
mod validate;

mod task;
mod world;

mod api;
mod arrival;
mod callback;
mod control;
mod media;

mod clip;
mod link;

mod clock;
mod dice;
mod ledger;
mod line;
mod serve;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use self::doubts::Doubts;
pub use self::faults::{Callback, Connect, Create, Match, Media, Outcome, Plan, Read, Rule};
pub use self::limits::{LimitPlan, Limits};
pub use self::options::{Key, Options, Route};

use self::dice::Dice;
use self::ledger::Ledger;
use self::link::Signer;
use self::world::World;

/// Starts simulators.
#[derive(Debug)]
pub struct Simulator;

impl Simulator {
    /// Binds all listeners, then serves until the answer is dropped.
    ///
    /// # Errors
    ///
    /// An address cannot be bound, or the ledger cannot be opened.
    pub async fn start(options: Options) -> io::Result<Running> {
        let ledger = Arc::new(Ledger::open(options.ledger.as_deref())?);
        let api = TcpListener::bind(options.listen).await?;
        let media = TcpListener::bind(options.media_listen).await?;
        let control = TcpListener::bind(options.control_listen).await?;
        let (api_address, media_address) = (api.local_addr()?, media.local_addr()?);
        let control_address = control.local_addr()?;
        let base_url =
            options.media_base_url.clone().unwrap_or_else(|| format!("http://{media_address}"));
        let signer = Signer::new(Dice::new(options.seed), base_url);
        let world = Arc::new(World::new(&options, ledger, signer));
        let (refuse, refusals) = watch::channel(Duration::ZERO);
        let mut parts = JoinSet::new();
        parts.spawn(serve::serve(world.clone(), api, Some(refusals), api::handle));
        parts.spawn(serve::serve(world.clone(), media, None, media::handle));
        let router = control::router(control::Control { world: world.clone(), refuse });
        parts.spawn(async move {
            if let Err(error) = axum::serve(control, router).await {
                tracing::error!(%error, "the control listener ended");
            }
        });
        parts.spawn(keep_time(world.clone()));
        let timeout = Duration::from_millis(options.callback_timeout_ms);
        for _ in 0..callback::SENDERS {
            parts.spawn(callback::send_all(world.clone(), timeout));
        }
        Ok(Running { api: api_address, media: media_address, control: control_address, parts })
    }
}

/// A simulator at work. Dropping it stops everything at once, open connections included.
#[derive(Debug)]
pub struct Running {
    /// Where the API listens.
    pub api: SocketAddr,
    /// Where finished files are served.
    pub media: SocketAddr,
    /// Where `/_sim/` listens.
    pub control: SocketAddr,
    parts: JoinSet<()>,
}

impl Running {
    /// The base URL a client is configured with, `/api/v3` included.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}/api/v3", self.api)
    }

    /// The address of a control resource such as `faults`.
    #[must_use]
    pub fn control_url(&self, resource: &str) -> String {
        format!("http://{}/_sim/{resource}", self.control)
    }

    /// Stops and waits until nothing runs any more.
    pub async fn shutdown(mut self) {
        self.parts.shutdown().await;
    }
}

/// Lets time pass: one future for all tasks.
async fn keep_time(world: Arc<World>) {
    loop {
        let moved = world.timers_moved.notified();
        match world.with(|state| state.run_due()) {
            Some(wait) if wait.is_zero() => tokio::task::yield_now().await,
            Some(wait) => {
                // An early look costs nothing; a missed timer would.
                let _ = tokio::time::timeout(wait, moved).await;
            }
            None => moved.await,
        }
    }
}
