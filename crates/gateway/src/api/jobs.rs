//! `POST /v1/jobs`: a new job, or what would become of one.

use super::body::Sent;
use super::estimate::{self, Weighed};
use super::headers;
use super::job::{load, to_json};
use super::query::Asked;
use crate::app::App;
use crate::caller::Caller;
use crate::problem::Problem;
use crate::settings::Scope;
use crate::view::{JobView, job_path};
use crate::wait;
use admission::{Admitted, How, Intake};
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use job::Source;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use store::{Match, Stored};
use utoipa::{IntoParams, ToSchema};

/// Longest `traceparent`, bytes: the format has 55, and room for its next version.
const TRACEPARENT_BYTES_MAX: usize = 128;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct CreateAsked {
    /// Check and estimate only: nothing is stored.
    #[serde(default)]
    dry_run: bool,
}

/// A job, or what would become of one.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "describes the two forms of one answer")]
#[allow(clippy::large_enum_variant, reason = "never built")]
enum JobOrEstimate<'a> {
    Job(Box<JobView<'a>>),
    Weighed(Weighed),
}

/// Make a job.
///
/// The body is the provider's create request with fields of ours beside it. The same request makes one job however often
/// it is sent: 202 for a new job, 200 for the one that exists. With `Prefer: wait=N` the answer comes when the job has
/// ended, with 200, or after N seconds with the job as it stands then.
#[utoipa::path(
    post,
    path = "/v1/jobs",
    operation_id = "create_job",
    tag = "jobs",
    params(
        CreateAsked,
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[!-~]+$",
         description = "Your own name for this request, kept as long as the job. With another body it is refused."),
        ("Prefer" = Option<String>, Header, description = "`wait=N`: wait up to N seconds for the job's end."),
        ("traceparent" = Option<String>, Header, description = "W3C trace context."),
    ),
    request_body = super::request::JobRequest,
    responses(
        (status = 202, description = "A new job.", body = JobView),
        (status = 200, description = "The job of an equal request, a job that ended while you waited, or the answer to a dry run.",
         body = JobOrEstimate),
    )
)]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    Asked(asked): Asked<CreateAsked>,
    headers: HeaderMap,
    Sent(body, _share): Sent,
) -> Result<Response, Problem> {
    let door = app.enter(&caller, Scope::JobsWrite)?;
    let mut intake = Intake::new(body, Source::Api);
    intake.tenant.clone_from(&caller.tenant);
    intake.made_by = Some(caller.name.clone());
    intake.idempotency_key = headers::idempotency_key(&headers)?.map(str::to_owned);
    // A trace context that is not one is not worth refusing a job for.
    let traced = headers::text(&headers, "traceparent", TRACEPARENT_BYTES_MAX);
    intake.traceparent = traced.ok().flatten().map(str::to_owned);
    if asked.dry_run {
        return Ok(Json(estimate::weigh(door, intake).await?).into_response());
    }
    let admitted = door.door.admit(intake).await.map_err(|refusal| Problem::refused(&refusal))?;
    let waited = wait::preferred(&headers).map(|wanted| wanted.min(app.wait_max));
    let stored = match waited {
        None => load(door, &admitted.id).await?,
        Some(within) => {
            let ended = door.watch.ended(&door.pool.store, &admitted.id, within).await;
            ended.map_err(|error| Problem::unavailable(&error))?
        }
    };
    answer(&app, stored.as_ref(), &admitted, waited)
}

fn answer(
    app: &App,
    stored: Option<&Stored>,
    admitted: &Admitted,
    waited: Option<Duration>,
) -> Result<Response, Problem> {
    let replayed = match admitted.how {
        How::Created => None,
        How::Deduplicated { by } => Some(by),
    };
    let ended = stored.is_some_and(|s| s.record.life.state.word().is_finished());
    let is_ok = replayed.is_some() || (waited.is_some() && ended);
    let status = if is_ok { StatusCode::OK } else { StatusCode::ACCEPTED };
    let mut view = match stored {
        Some(stored) => to_json(&JobView::of(&stored.record, &app.public_url))?,
        None => json!({"id": admitted.id.as_str(), "object": "job"}),
    };
    view["deduplicated"] = Value::Bool(replayed.is_some());
    if !admitted.warnings.is_empty() {
        view["warnings"] = to_json(&admitted.warnings)?;
    }
    let mut response = (status, Json(view)).into_response();
    let headers = response.headers_mut();
    let path = job_path(&app.public_url, admitted.id.as_str());
    if let Ok(location) = HeaderValue::from_str(&path) {
        headers.insert(header::LOCATION, location);
    }
    if replayed == Some(Match::Key) {
        let name = HeaderName::from_static("idempotent-replayed");
        headers.insert(name, HeaderValue::from_static("true"));
    }
    if let Some(waited) = waited
        && let Ok(applied) = HeaderValue::from_str(&format!("wait={}", waited.as_secs()))
    {
        headers.insert(HeaderName::from_static("preference-applied"), applied);
    }
    Ok(response)
}
