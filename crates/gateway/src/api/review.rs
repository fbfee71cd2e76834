//! Jobs that wait for a person before anything is paid (M21).

use super::body::Sent;
use super::job::{find, to_json};
use crate::app::App;
use crate::caller::Caller;
use crate::problem::Problem;
use crate::settings::Scope;
use crate::view::JobView;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use job::{By, Event, REASON_CHARS_MAX};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use store::{Decided, Reported, Stored};
use utoipa::ToSchema;

/// A decision.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = Decision)]
#[serde(deny_unknown_fields)]
pub(super) struct DecisionBody {
    /// Why; it stays in the audit, and the caller of a rejected job reads it.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

/// Approve a job that waits for review.
///
/// It is queued and will be bought. Where `review.four_eyes` is on, the key that made it may not approve it.
#[utoipa::path(
    post,
    path = "/v1/jobs/{id}:approve",
    operation_id = "approve_job",
    tag = "review",
    params(("id" = String, Path, description = "The job.")),
    request_body(content = DecisionBody, description = "Why."),
    responses(
        (status = 200, description = "The job, queued.", body = JobView),
        (status = 409, description = "It does not wait, or its maker may not approve it.",
         body = crate::problem::Document, content_type = "application/problem+json"),
    )
)]
pub(super) async fn approve(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    Sent(body, _share): Sent,
) -> Result<Response, Problem> {
    decide(&app, &caller, &id, body, true).await
}

/// Reject a job that waits for review.
///
/// It ends unpaid as `rejected`, with the reason.
#[utoipa::path(
    post,
    path = "/v1/jobs/{id}:reject",
    operation_id = "reject_job",
    tag = "review",
    params(("id" = String, Path, description = "The job.")),
    request_body(content = DecisionBody, description = "Why."),
    responses(
        (status = 200, description = "The job, rejected.", body = JobView),
        (status = 409, description = "It does not wait.",
         body = crate::problem::Document, content_type = "application/problem+json"),
    )
)]
pub(super) async fn reject(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    Sent(body, _share): Sent,
) -> Result<Response, Problem> {
    decide(&app, &caller, &id, body, false).await
}

async fn decide(
    app: &App,
    caller: &Caller,
    id: &str,
    body: Value,
    approves: bool,
) -> Result<Response, Problem> {
    caller.needs(Scope::Review)?;
    let reason = reason(body)?;
    let (door, before) = find(app, caller, id).await?;
    let spec = &before.record.spec;
    if approves && !app.admission.may_approve(&caller.name, spec.made_by.as_deref()) {
        let title = "the key that made a job may not approve it";
        return Err(Problem::new(StatusCode::CONFLICT, "four-eyes", title)
            .detail("somebody with another key must look at it"));
    }
    let by = By::named(&caller.name);
    let (event, verb) = match approves {
        true => (Event::Approved { by: by.clone() }, "review approve"),
        false => {
            (Event::ReviewRejected { by: by.clone(), reason: reason.clone() }, "review reject")
        }
    };
    let evidence = json!({"people": spec.people, "consent_stated": spec.consent_ref.is_some()});
    let decided = Decided { by: &by, verb, reason: &reason, evidence: &evidence };
    let (store, policy) = (&door.pool.store, &door.pool.policy);
    let told = store.decide(&before.record.id, &event, policy, &decided, &|_: &Stored| true).await;
    match told {
        Ok(Reported::Written { stored, .. }) => {
            Ok(Json(to_json(&JobView::of(&stored.record, &app.public_url))?).into_response())
        }
        Ok(Reported::Ignored { stored, .. }) => {
            let word = stored.record.life.state.word();
            Err(Problem::new(StatusCode::CONFLICT, "not-held", "the job does not wait for review")
                .detail(format!("it is {}", word.as_str())))
        }
        Ok(Reported::Gone | Reported::Fenced | Reported::Owned { .. }) => Err(Problem::not_found()),
        Err(error) => Err(Problem::unavailable(&error)),
    }
}

fn reason(body: Value) -> Result<String, Problem> {
    let wanted = format!("an object with \"reason\", a text of 1 to {REASON_CHARS_MAX} characters");
    let refused = |why: String| {
        let title = "the decision is not told as it should be";
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-request", title)
            .detail(format!("{why}; write {wanted}"))
    };
    let DecisionBody { reason } =
        serde_json::from_value(body).map_err(|error| refused(error.to_string()))?;
    let kept = job::reason(&reason).map(str::to_owned);
    kept.ok_or_else(|| refused("the reason is empty, too long or no line".into()))
}
