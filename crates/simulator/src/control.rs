//! The simulator's own interface, on a listener of its own: faults, clock, limits, counters and the
//! ledger. `docs/simulator.md` is its manual.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::doubts::Doubts;
use crate::faults::{Connect, Plan};
use crate::ledger::Contents;
use crate::limits::LimitPlan;
use crate::options::Key;
use crate::world::{State, World};

/// What the handlers share.
#[derive(Clone, Debug)]
pub(crate) struct Control {
    pub(crate) world: Arc<World>,
    /// Orders the API to stop listening for a while.
    pub(crate) refuse: watch::Sender<Duration>,
}

/// All routes below `/_sim/`.
pub(crate) fn router(control: Control) -> Router {
    Router::new()
        .route("/_sim/health", get(|| async { "ok" }))
        .route("/_sim/ledger", get(ledger))
        .route("/_sim/stats", get(stats))
        .route("/_sim/faults", get(show_faults).put(set_faults))
        .route("/_sim/doubts", get(show_doubts).put(set_doubts))
        .route("/_sim/clock", get(show_clock).put(set_clock))
        .route("/_sim/limits", get(show_limits).put(set_limits))
        .route("/_sim/keys", put(set_keys))
        .with_state(control)
}

/// A request that cannot be understood: 400 with the reason.
struct Complaint(String);

impl IntoResponse for Complaint {
    fn into_response(self) -> Response {
        (StatusCode::BAD_REQUEST, Json(json!({"error": self.0}))).into_response()
    }
}

fn parsed<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Complaint> {
    serde_json::from_slice(body).map_err(|error| Complaint(error.to_string()))
}

async fn ledger(Shared(control): Shared<Control>) -> Response {
    let head = [("content-type", "application/x-ndjson")];
    match control.world.ledger.contents() {
        Contents::Memory(bytes) => (head, bytes).into_response(),
        Contents::File(path) => match tokio::fs::File::open(&path).await {
            Ok(file) => {
                (head, Body::from_stream(tokio_util::io::ReaderStream::new(file))).into_response()
            }
            Err(error) => {
                let text = format!("{}: {error}", path.display());
                (StatusCode::INTERNAL_SERVER_ERROR, text).into_response()
            }
        },
    }
}

async fn stats(Shared(control): Shared<Control>) -> Json<Value> {
    Json(control.world.with(|state| state.report()))
}

async fn show_faults(Shared(control): Shared<Control>) -> Json<Plan> {
    Json(control.world.with(|state| state.faults.clone()))
}

async fn set_faults(
    Shared(control): Shared<Control>,
    body: bytes::Bytes,
) -> Result<Json<Plan>, Complaint> {
    let plan: Plan = parsed(&body)?;
    if let Some(complaint) = plan.complaint() {
        return Err(Complaint(complaint));
    }
    let refusal = plan.connect.iter().find(|rule| rule.kind == Connect::Refuse);
    if let Some(rule) = refusal {
        let gap = Duration::from_millis(rule.ms.unwrap_or(1_000));
        // Fails only while the simulator shuts down, when connections are refused anyway.
        let _ = control.refuse.send(gap);
    }
    let plan = control.world.with(|state| {
        state.faults = plan;
        state.faults.clone()
    });
    Ok(Json(plan))
}

async fn show_doubts(Shared(control): Shared<Control>) -> Json<Doubts> {
    Json(control.world.with(|state| state.doubts.clone()))
}

async fn set_doubts(
    Shared(control): Shared<Control>,
    body: bytes::Bytes,
) -> Result<Json<Doubts>, Complaint> {
    let doubts: Doubts = parsed(&body)?;
    Ok(Json(control.world.with(|state| {
        state.doubts = doubts;
        state.doubts.clone()
    })))
}

/// What can be changed about time.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockOrder {
    /// Simulated seconds of work per real second from now on.
    scale: Option<f64>,
    /// Seconds that pass at once.
    advance_s: Option<f64>,
    /// Shortest and longest queue time of new tasks, simulated ms.
    queue_ms: Option<(u64, u64)>,
    /// Shortest and longest run time of new tasks, simulated ms.
    run_ms: Option<(u64, u64)>,
}

async fn show_clock(Shared(control): Shared<Control>) -> Json<Value> {
    Json(control.world.with(|state| clock(state)))
}

fn clock(state: &State) -> Value {
    json!({
        "scale": state.clock.scale(),
        "calendar_ms": state.clock.calendar_ms(),
        "advanced_ms": state.clock.advanced_ms(),
        "work_ms": state.clock.work_ms(),
        "queue_ms": state.queue_ms,
        "run_ms": state.run_ms,
    })
}

async fn set_clock(
    Shared(control): Shared<Control>,
    body: bytes::Bytes,
) -> Result<Json<Value>, Complaint> {
    let order: ClockOrder = parsed(&body)?;
    if order.scale.is_some_and(|scale| !(scale.is_finite() && scale > 0.0)) {
        return Err(Complaint("scale must be above 0".into()));
    }
    if order.advance_s.is_some_and(|seconds| !(0.0..=1e9).contains(&seconds)) {
        return Err(Complaint("advance_s must be from 0 to 1e9: time does not run back".into()));
    }
    Ok(Json(control.world.with(|state| {
        if let Some(scale) = order.scale {
            state.clock.set_scale(scale);
        }
        if let Some(seconds) = order.advance_s {
            state.clock.advance((seconds * 1000.0) as i64);
        }
        state.queue_ms = order.queue_ms.unwrap_or(state.queue_ms);
        state.run_ms = order.run_ms.unwrap_or(state.run_ms);
        state.clock_changed();
        clock(state)
    })))
}

async fn show_limits(Shared(control): Shared<Control>) -> Json<LimitPlan> {
    Json(control.world.with(|state| state.limits.clone()))
}

async fn set_limits(
    Shared(control): Shared<Control>,
    body: bytes::Bytes,
) -> Result<Json<LimitPlan>, Complaint> {
    let limits: LimitPlan = parsed(&body)?;
    Ok(Json(control.world.with(|state| {
        state.limits = limits;
        state.fill_all_slots();
        state.limits.clone()
    })))
}

/// Which keys are known from now on.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeysOrder {
    /// In the words of `--api-key`; every other key is refused.
    accepted: Vec<String>,
}

async fn set_keys(
    Shared(control): Shared<Control>,
    body: bytes::Bytes,
) -> Result<Json<Value>, Complaint> {
    let order: KeysOrder = parsed(&body)?;
    let keys: Vec<Key> = order.accepted.iter().map(|words| Key::parse(words)).collect();
    control.world.with(|state| state.accept_only(&keys));
    Ok(Json(json!({"accepted": keys.len()})))
}
