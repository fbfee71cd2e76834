//! The gateway: the HTTP door for platforms and for the provider's callbacks.
//!
//! It decides nothing about a job. New jobs go through `admission`, wishes and news become events that
//! `store` commits, and a callback only makes a ticket due: what is true is what the poller reads.
//!
//! Must not know: how tasks are bought or read, where outputs come from.
#![forbid(unsafe_code)]

mod app;
mod callbacks;
mod jobs;
mod keys;
mod problem;
mod settings;
mod stream;
mod view;
mod watch;

use app::App;
use settings::read_keys;
pub use settings::{CallbackLimits, GatewaySettings};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use worker::{Fleet, Role};

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
    let app = Arc::new(App::build(&fleet, &settings, keys)?);
    let listener = TcpListener::bind(&settings.listen).await.map_err(|error| {
        anyhow::anyhow!("gateway.listen: cannot listen on {}: {error}", settings.listen)
    })?;
    tracing::info!(listen = %listener.local_addr()?, "the gateway listens");
    fleet.health().set_ready();
    let router = app::router(Arc::clone(&app), &settings);
    let drain = fleet.drain().clone();
    let serve =
        axum::serve(listener, router.into_make_service_with_connect_info::<std::net::SocketAddr>())
            .with_graceful_shutdown(async move { drain.wait().await });
    let grace = async {
        fleet.drain().wait().await;
        fleet.set_draining();
        tokio::time::sleep(ROLE.grace).await;
    };
    tokio::select! {
        ended = serve => ended?,
        () = grace => tracing::warn!("requests still ran when the grace was over"),
    }
    Ok(())
}
