//! Tasks bought elsewhere: taken over by their id.

use super::body::Sent;
use super::job::{load, to_json};
use crate::app::App;
use crate::caller::Caller;
use crate::problem::Problem;
use crate::settings::Scope;
use crate::view::{JobView, job_path};
use admission::{AdoptRefusal, AdoptWish};
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use utoipa::ToSchema;

/// A task to take over.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = Adoption)]
#[allow(dead_code, reason = "the door reads the document itself and tells every fault of it")]
pub(super) struct AdoptBody {
    /// The provider's id of the task.
    task_id: String,
    /// The account whose key bought it, where the pool has several.
    account: Option<String>,
    /// Its model, if you know; the provider tells it with the end.
    model: Option<String>,
    /// Its resolution, if you know.
    resolution: Option<String>,
    /// Your own id.
    custom_id: Option<String>,
    /// Your own notes.
    metadata: Option<std::collections::BTreeMap<String, Option<String>>>,
    /// Where its files go, as for a job.
    output: Option<Value>,
}

/// Take over a task that was bought elsewhere.
///
/// It is watched and its video is fetched; nothing is bought. Whether the provider knows it is found out afterwards: a
/// task that does not exist ends its job as failed with the code `task-unknown`. The same task is the same job.
#[utoipa::path(
    post,
    path = "/v1/jobs:adopt",
    operation_id = "adopt_task",
    tag = "jobs",
    request_body(content = AdoptBody, description = "The task."),
    responses(
        (status = 202, description = "A new job that watches the task.", body = JobView),
        (status = 200, description = "The job that watches it already.", body = JobView),
        (status = 409, description = "The task belongs to a job that bought it, or to somebody else.",
         body = crate::problem::Document, content_type = "application/problem+json"),
    )
)]
pub(super) async fn adopt(
    State(app): State<Arc<App>>,
    caller: Caller,
    Sent(body, _share): Sent,
) -> Result<Response, Problem> {
    let door = app.enter(&caller, Scope::JobsWrite)?;
    let tenant = caller.tenant.clone();
    let wish = AdoptWish { body, tenant, made_by: Some(caller.name.clone()) };
    let watch = door.pool.policy.poll.deadline;
    let taken = door.door.adopt(wish, watch).await.map_err(|refusal| match refusal {
        AdoptRefusal::Refused(refusal) => Problem::refused(&refusal),
        // Whose it is, is nobody else's business.
        AdoptRefusal::Owned { .. } => {
            let title = "the task has an owner here";
            Problem::new(StatusCode::CONFLICT, "task-owned", title)
                .detail("it was bought by a job of this fleet, or is another tenant's")
        }
    })?;
    let view = match load(door, &taken.id).await? {
        Some(stored) => to_json(&JobView::of(&stored.record, &app.public_url))?,
        None => json!({"id": taken.id.as_str(), "object": "job"}),
    };
    let status = if taken.new { StatusCode::ACCEPTED } else { StatusCode::OK };
    let mut response = (status, Json(view)).into_response();
    if let Ok(location) = HeaderValue::from_str(&job_path(&app.public_url, taken.id.as_str())) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}
