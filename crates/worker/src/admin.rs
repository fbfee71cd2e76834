//! The admin listener of every process: `/livez`, `/readyz`, `/metrics`, and what a binary adds. Never on a
//! public address.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;
use tokio::net::TcpListener;
use tower_service::Service as _;

use crate::health::Health;

/// Section `admin`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdminSettings {
    /// IP and port; port 0 takes a free one, which is logged.
    pub listen: SocketAddr,
}

impl Default for AdminSettings {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 0)) }
    }
}

/// Prints the metrics in the text format of Prometheus.
pub(crate) type Print = Arc<dyn Fn() -> String + Send + Sync>;

/// Pages that a binary adds once it knows them: the listener is up before its pools are connected.
#[derive(Clone, Default)]
pub(crate) struct Added(Arc<OnceLock<Router>>);

impl Added {
    /// Serves them from now on. Only the first call counts.
    pub(crate) fn set(&self, router: Router) {
        // Who calls twice serves the first ones.
        let _ = self.0.set(router);
    }
}

#[derive(Clone)]
struct Shown {
    health: Health,
    metrics: Print,
    added: Added,
}

/// Serves until the process ends: it must answer during a drain as well.
pub(crate) fn serve(listener: TcpListener, health: Health, metrics: Print, added: Added) {
    let router = Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(print))
        .fallback(more)
        .with_state(Shown { health, metrics, added });
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(error = %error, "the admin listener ended");
        }
    });
}

async fn livez(State(shown): State<Shown>) -> impl IntoResponse {
    match shown.health.stuck() {
        None => (StatusCode::OK, "alive\n".to_owned()),
        Some(what) => (StatusCode::SERVICE_UNAVAILABLE, format!("{what}\n")),
    }
}

async fn readyz(State(shown): State<Shown>) -> impl IntoResponse {
    match shown.health.not_ready() {
        None => {
            let frozen = shown.health.frozen().into_iter();
            let lines = std::iter::once("ready".to_owned()).chain(frozen);
            (StatusCode::OK, lines.map(|line| line + "\n").collect())
        }
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

async fn print(State(shown): State<Shown>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], (shown.metrics)())
}

async fn more(State(shown): State<Shown>, request: Request) -> Response {
    match shown.added.0.get() {
        Some(router) => router.clone().call(request).await.into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
