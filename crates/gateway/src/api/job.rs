//! One job: how it stands, and what may be asked of it.

use super::query::Asked;
use crate::app::{App, PoolDoor};
use crate::caller::Caller;
use crate::problem::Problem;
use crate::range;
use crate::settings::Scope;
use crate::view::JobView;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use job::{AttemptOutcome, By, Event, JobId, OpenAttempt, Priority, Record, StateWord, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use store::{Reported, Stored, TimelineLine, Writer};
use utoipa::{IntoParams, ToSchema};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ShowAsked {
    /// `timeline`, `attempts`, or both with a comma between them.
    #[serde(default)]
    include: Option<String>,
}

/// Look at a job.
///
/// With `include=timeline` it brings what happened to the job, oldest first; with `include=attempts` its attempts to
/// buy a task, as `attempts_made`.
#[utoipa::path(
    get,
    path = "/v1/jobs/{id}",
    operation_id = "get_job",
    tag = "jobs",
    params(
        ("id" = String, Path, description = "The job."),
        ShowAsked,
        ("If-None-Match" = Option<String>, Header, description = "The entity tag you have."),
    ),
    responses(
        (status = 200, description = "The job as it stands.", body = JobView,
         headers(("ETag" = String, description = "Changes with the job."))),
        (status = 304, description = "It stands as you know it."),
    )
)]
pub(super) async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    Asked(asked): Asked<ShowAsked>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.needs(Scope::JobsRead)?;
    let (door, stored) = find(&app, &caller, &id).await?;
    let etag = format!("\"r{}\"", stored.revision);
    let tag = HeaderValue::from_str(&etag).map_err(|error| Problem::unavailable(&error))?;
    let about =
        [(header::ETAG, tag), (header::CACHE_CONTROL, HeaderValue::from_static("no-cache"))];
    if range::is_known(&headers, &etag) {
        return Ok((StatusCode::NOT_MODIFIED, about).into_response());
    }
    let mut view = to_json(&JobView::of(&stored.record, &app.public_url))?;
    for part in asked.include.iter().flat_map(|parts| parts.split(',')) {
        match part.trim() {
            "timeline" => view["timeline"] = timeline(door, &stored.record.id).await?,
            "attempts" => view["attempts_made"] = attempts(&stored.record),
            other => {
                let shown: String = other.chars().take(40).collect();
                let title = format!("include has no value {shown:?}");
                let problem = Problem::new(StatusCode::BAD_REQUEST, "bad-query", title);
                return Err(problem.detail("allowed are: timeline, attempts"));
            }
        }
    }
    Ok((about, Json(view)).into_response())
}

async fn timeline(door: &PoolDoor, id: &JobId) -> Result<Value, Problem> {
    let lines = door.pool.store.timeline(id).await.map_err(|error| Problem::unavailable(&error))?;
    let line = |line: &TimelineLine| {
        json!({"at": line.at.rfc3339(), "from": line.from.as_str(), "to": line.to.as_str(),
               "what": line.what})
    };
    Ok(lines.iter().rev().map(line).collect())
}

/// Closed attempts, oldest first, then the open one.
fn attempts(record: &Record) -> Value {
    let life = &record.life;
    let closed = life.attempts.iter().map(|closed| {
        let (outcome, told) = match &closed.outcome {
            AttemptOutcome::NotSent { reason } => ("not_sent", Some(reason.as_str())),
            AttemptOutcome::Refused { code } => ("refused", Some(code.as_str())),
            AttemptOutcome::Accepted { task } => ("accepted", Some(task.as_str())),
            AttemptOutcome::Absent => ("absent", None),
            AttemptOutcome::Abandoned { reason, .. } => ("abandoned", Some(reason.as_str())),
        };
        attempt(&closed.open, outcome, told, Some(closed.closed_at))
    });
    let open = life.state.open_attempt().map(|open| attempt(open, "open", None, None));
    closed.chain(open).collect()
}

fn attempt(
    open: &OpenAttempt,
    outcome: &str,
    told: Option<&str>,
    closed_at: Option<Timestamp>,
) -> Value {
    json!({
        "id": open.id, "number": open.number, "account": open.facts.account,
        "begun_at": open.begun_at.rfc3339(), "closed_at": closed_at.map(Timestamp::rfc3339),
        "outcome": outcome, "told": told,
    })
}

/// Cancel a job.
///
/// `outcome` says what it came to: `cancelled`, `cancel_requested`, `too_late_running` or `already_terminal`.
#[utoipa::path(
    post,
    path = "/v1/jobs/{id}:cancel",
    operation_id = "cancel_job",
    tag = "jobs",
    params(("id" = String, Path, description = "The job.")),
    responses(
        (status = 200, description = "It is cancelled, and was not paid.", body = JobView),
        (status = 202, description = "It will be as soon as the provider lets it.", body = JobView),
        (status = 409, description = "It is too late; the job as it stands.", body = JobView),
    )
)]
pub(super) async fn cancel(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    caller.needs(Scope::JobsWrite)?;
    let (door, before) = find(&app, &caller, &id).await?;
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

pub(super) async fn load(door: &PoolDoor, id: &JobId) -> Result<Option<Stored>, Problem> {
    door.pool.store.load(id).await.map_err(|error| Problem::unavailable(&error))
}

/// The caller's own job; anybody else's is as good as none.
pub(crate) async fn find<'a>(
    app: &'a App,
    caller: &Caller,
    id: &str,
) -> Result<(&'a PoolDoor, Stored), Problem> {
    let id = JobId::parse(id).map_err(|_| Problem::not_found())?;
    for door in app.pools_for(caller) {
        if let Some(stored) = load(door, &id).await?
            && caller.speaks_for(&stored.record.spec.tenant)
        {
            return Ok((door, stored));
        }
    }
    Err(Problem::not_found())
}

/// Order inside the tenant.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Rank {
    High,
    Normal,
    Low,
}

impl From<Rank> for Priority {
    fn from(rank: Rank) -> Self {
        match rank {
            Rank::High => Self::High,
            Rank::Normal => Self::Normal,
            Rank::Low => Self::Low,
        }
    }
}

pub(super) fn to_json(value: &impl serde::Serialize) -> Result<Value, Problem> {
    serde_json::to_value(value).map_err(|error| {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the job cannot be shown")
            .detail(error.to_string())
    })
}
