//! The gateway: the HTTP door for platforms and for the provider's callbacks.
//!
//! It decides nothing about a job. New jobs go through `admission`, wishes and news become events that
//! `store` commits, and a callback only makes a ticket due: what is true is what the poller reads.
//!
//! Must not know: how tasks are bought or read, where outputs come from.
#![forbid(unsafe_code)]

mod api;
mod app;
mod callbacks;
mod caller;
mod doubts;
mod guard;
mod hooks;
mod keys;
mod pages;
mod problem;
mod range;
mod room;
mod scaling;
mod server;
mod settings;
mod stream;
mod view;
mod wait;
mod watch;

pub use api::openapi;
use app::App;
pub use scaling::ScalingLooks;
use server::Patience;
use settings::read_keys;
pub use settings::{CallbackLimits, GatewaySettings};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use worker::{Fleet, Live, Role};

/// The binary.
pub const ROLE: Role = Role { name: "gateway", grace: Duration::from_secs(45) };

/// Serves until a signal comes, then lets running requests end.
///
/// # Errors
///
/// In words, with the configuration key where one is at fault.
pub async fn run(fleet: Fleet) -> anyhow::Result<()> {
    let settings: GatewaySettings = fleet.section("gateway")?;
    let keys = read_keys(&settings)?;
    let (routes, document) = api::routes();
    let app = Arc::new(App::build(&fleet, &settings, keys, document)?);
    scaling::open(&fleet, &app.scaling, app.desk.feed.lookahead)?;
    let erasers = app.pools.values().map(|door| door.eraser.clone()).collect();
    let retention = erasure::Settings::from_loaded(fleet.loaded())?;
    tokio::spawn(erasure::keep(erasers, retention, worker::fault::archiving));
    let listener = TcpListener::bind(&settings.listen).await.map_err(|error| {
        anyhow::anyhow!("gateway.listen: cannot listen on {}: {error}", settings.listen)
    })?;
    tracing::info!(listen = %listener.local_addr()?, "the gateway listens");
    fleet.health().set_ready();
    for door in app.pools.values() {
        let (pool, jobs) = (door.pool.clone(), door.door.clone());
        tokio::spawn(worker::serve_operations(pool, jobs, fleet.drain().clone()));
    }
    tokio::spawn(retune(app.pools.values().map(|door| door.door.clone()).collect(), fleet.live()));
    let router = app::router(app, routes, &settings);
    let drain = fleet.drain().clone();
    let patience =
        Patience { head: settings.body_idle_max, connections_max: settings.connections_max };
    let serve = server::serve(listener, router, patience, async move { drain.wait().await });
    let grace = async {
        fleet.drain().wait().await;
        fleet.set_draining();
        tokio::time::sleep(ROLE.grace).await;
    };
    tokio::select! {
        () = serve => {}
        () = grace => tracing::warn!("requests still ran when the grace was over"),
    }
    Ok(())
}

/// Takes over what the doors may, whenever the configuration changes.
async fn retune(doors: Vec<admission::Door>, mut live: Live) {
    while let Some(newer) = live.changed().await {
        match admission::Settings::from_loaded(&newer) {
            Ok(newer) => doors.iter().for_each(|door| door.retune(&newer)),
            Err(fault) => tracing::error!(error = %fault, "the doors stay as they were"),
        }
    }
}
