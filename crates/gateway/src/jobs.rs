//! `POST /v1/jobs`, `GET /v1/jobs/{id}`, `POST /v1/jobs/{id}:cancel`.

use crate::app::{App, PoolDoor};
use crate::keys::KeyEntry;
use crate::problem::Problem;
use crate::settings::Scope;
use crate::view::{JobView, job_path};
use admission::{How, Intake};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use job::{By, Event, JobId, Source, StateWord};
use serde_json::{Value, json};
use std::sync::Arc;
use store::{Match, Reported, Stored, Writer};

/// Longest `Idempotency-Key`, bytes.
const KEY_BYTES_MAX: usize = 255;
/// Longest `traceparent`, bytes: the format has 55, and room for its next version.
const TRACEPARENT_BYTES_MAX: usize = 128;

pub(crate) async fn create(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let caller = app.keys.caller(&headers, Scope::JobsWrite)?;
    let door = app.pool_of(&caller.tenant)?;
    let body: Value =
        serde_json::from_slice(&body).map_err(|error| Problem::malformed(error.to_string()))?;
    let mut intake = Intake::new(body, Source::Api);
    intake.tenant.clone_from(&caller.tenant);
    intake.idempotency_key = text(&headers, "idempotency-key", KEY_BYTES_MAX)?;
    // A trace context that is not one is not worth refusing a job for.
    intake.traceparent = text(&headers, "traceparent", TRACEPARENT_BYTES_MAX).unwrap_or(None);
    let admitted = door.door.admit(intake).await.map_err(|refusal| Problem::refused(&refusal))?;
    let stored = load(door, &admitted.id).await?;
    let replayed = match admitted.how {
        How::Created => None,
        How::Deduplicated { by } => Some(by),
    };
    let status = if replayed.is_some() { StatusCode::OK } else { StatusCode::ACCEPTED };
    let mut view = match &stored {
        Some(stored) => to_json(&JobView::of(&stored.record, &app.public_url))?,
        None => json!({"id": admitted.id.as_str(), "object": "job"}),
    };
    view["deduplicated"] = Value::Bool(replayed.is_some());
    if !admitted.warnings.is_empty() {
        view["warnings"] = to_json(&admitted.warnings)?;
    }
    let mut response = (status, Json(view)).into_response();
    let path = job_path(&app.public_url, admitted.id.as_str());
    if let Ok(location) = HeaderValue::from_str(&path) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    if replayed == Some(Match::Key) {
        let name = HeaderName::from_static("idempotent-replayed");
        response.headers_mut().insert(name, HeaderValue::from_static("true"));
    }
    Ok(response)
}

pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let caller = app.keys.caller(&headers, Scope::JobsRead)?;
    let (_, stored) = find(&app, caller, &id).await?;
    Ok(Json(to_json(&JobView::of(&stored.record, &app.public_url))?).into_response())
}

/// A verb on one job: `{id}:cancel` is the only one so far.
pub(crate) async fn act(
    State(app): State<Arc<App>>,
    Path(target): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let caller = app.keys.caller(&headers, Scope::JobsWrite)?;
    let Some(id) = target.strip_suffix(":cancel") else {
        let title = "a job takes POST only with a verb, such as :cancel";
        return Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, "no-such-verb", title));
    };
    let (door, before) = find(&app, caller, id).await?;
    let event = Event::CancelAsked { by: By::named(&caller.name) };
    let id = &before.record.id;
    let reported = door.pool.store.report(id, Writer::Outside, &event, &door.pool.policy).await;
    let stored = match reported {
        Ok(Reported::Written { stored, .. } | Reported::Ignored { stored, .. }) => stored,
        Ok(Reported::Gone | Reported::Fenced | Reported::Owned { .. }) => {
            return Err(Problem::not_found());
        }
        Err(error) => return Err(Problem::unavailable(&error)),
    };
    let (status, outcome) = outcome(&before, &stored);
    let mut view = to_json(&JobView::of(&stored.record, &app.public_url))?;
    view["outcome"] = Value::from(outcome);
    Ok((status, Json(view)).into_response())
}

/// Honest words for what a cancel came to.
fn outcome(before: &Stored, after: &Stored) -> (StatusCode, &'static str) {
    let (was, is) = (before.record.life.state.word(), after.record.life.state.word());
    match (was.is_finished(), is) {
        (true, _) => (StatusCode::CONFLICT, "already_terminal"),
        (false, StateWord::Cancelled) => (StatusCode::OK, "cancelled"),
        (false, _) if after.record.life.cancel.is_some() => {
            (StatusCode::ACCEPTED, "cancel_requested")
        }
        (false, _) => (StatusCode::CONFLICT, "too_late_running"),
    }
}

async fn load(door: &PoolDoor, id: &JobId) -> Result<Option<Stored>, Problem> {
    door.pool.store.load(id).await.map_err(|error| Problem::unavailable(&error))
}

/// The caller's own job; anybody else's is as good as none.
pub(crate) async fn find<'a>(
    app: &'a App,
    caller: &KeyEntry,
    id: &str,
) -> Result<(&'a PoolDoor, Stored), Problem> {
    let id = JobId::parse(id).map_err(|_| Problem::not_found())?;
    for door in app.pools.values() {
        if let Some(stored) = load(door, &id).await?
            && stored.record.spec.tenant == caller.tenant
        {
            return Ok((door, stored));
        }
    }
    Err(Problem::not_found())
}

fn text(headers: &HeaderMap, name: &str, bytes_max: usize) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let text = value.to_str().ok().map(str::trim).filter(|t| !t.is_empty() && t.len() <= bytes_max);
    match text {
        Some(text) => Ok(Some(text.to_owned())),
        None => {
            let title = format!("{name} must be 1 to {bytes_max} visible ASCII characters");
            Err(Problem::new(StatusCode::BAD_REQUEST, "bad-header", title))
        }
    }
}

fn to_json(value: &impl serde::Serialize) -> Result<Value, Problem> {
    serde_json::to_value(value).map_err(|error| {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the job cannot be shown")
            .detail(error.to_string())
    })
}
