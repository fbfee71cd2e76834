//! `POST /v1/jobs/{id}:retry`: once more, as a new job that is paid.

use super::body::Sent;
use super::job::{find, load, to_json};
use crate::app::App;
use crate::caller::Caller;
use crate::problem::Problem;
use crate::settings::Scope;
use crate::view::{JobView, job_path};
use admission::How;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use job::{Again, Source};
use seedance::{Fault, unknown_key};
use serde_json::{Value, json};
use std::sync::Arc;
use utoipa::ToSchema;

/// Consent to pay.
#[derive(ToSchema)]
#[schema(as = RetryRequest)]
#[allow(dead_code, reason = "describes the body, which is read by hand to tell its faults")]
pub(super) struct RetryAsked {
    /// Must be `true`: a retry buys a new task.
    accept_charge: bool,
}

/// Make a job again.
///
/// The request of a job that ended failed, expired, cancelled, output_lost or timed_out becomes a new job: its next
/// take, linked by `retry_of`. `paid_again` says whether the old job may have been paid already. Asked twice, the same
/// new job answers.
#[utoipa::path(
    post,
    path = "/v1/jobs/{id}:retry",
    operation_id = "retry_job",
    tag = "jobs",
    params(("id" = String, Path, description = "The job that ended.")),
    request_body = RetryAsked,
    responses(
        (status = 202, description = "The new job.", body = JobView),
        (status = 200, description = "The new job of an earlier retry.", body = JobView),
        (status = 409, response = Problem),
    )
)]
pub(super) async fn retry(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    Sent(body, _share): Sent,
) -> Result<Response, Problem> {
    caller.needs(Scope::JobsWrite)?;
    let (door, old) = find(&app, &caller, &id).await?;
    let faults = faults(&body);
    if !faults.is_empty() {
        return Err(Problem::faults(&faults));
    }
    let Some(again) = Again::of(&old.record) else {
        let word = old.record.life.state.word().as_str();
        let title = format!("a job that is {word} cannot be retried");
        let allowed = match Again::WORDS.iter().any(|open| open.as_str() == word) {
            true => "nobody here knows what this one was asked for: send the request itself",
            false => "jobs that ended failed, expired, cancelled, output_lost or timed_out can",
        };
        return Err(Problem::new(StatusCode::CONFLICT, "not-retryable", title).detail(allowed));
    };
    let admitted = door.door.retry(&old.record, Source::Api, Some(&caller.name)).await;
    let admitted = admitted.map_err(|refusal| Problem::refused(&refusal))?;
    let stored = load(door, &admitted.id).await?.ok_or_else(Problem::not_found)?;
    let mut view = to_json(&JobView::of(&stored.record, &app.public_url))?;
    view["paid_again"] = Value::Bool(again.paid_again);
    view["deduplicated"] = Value::Bool(admitted.how != How::Created);
    let created = admitted.how == How::Created;
    let status = if created { StatusCode::ACCEPTED } else { StatusCode::OK };
    let mut response = (status, Json(view)).into_response();
    let path = job_path(&app.public_url, admitted.id.as_str());
    if let Ok(location) = HeaderValue::from_str(&path) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

fn faults(body: &Value) -> Vec<Fault> {
    const FIELD: &str = "accept_charge";
    let Some(object) = body.as_object() else {
        let fix = "send {\"accept_charge\": true}";
        return vec![Fault::new("", "body-not-object", "the body is not a JSON object", fix)];
    };
    let strange = object.keys().filter(|key| *key != FIELD).take(16);
    let mut faults: Vec<Fault> = strange
        .map(|key| {
            unknown_key(&format!("/{}", key.replace('~', "~0").replace('/', "~1")), key, &[FIELD])
        })
        .collect();
    if body[FIELD] != json!(true) {
        let message = "a retry buys a new task, and the charge is not accepted";
        let fault = Fault::new("/accept_charge", "charge-not-accepted", message, "set it to true");
        faults.push(fault.allowing("true"));
    }
    faults
}
