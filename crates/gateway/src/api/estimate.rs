//! What a request would need, without making a job of it.

use super::body::Sent;
use crate::app::{App, PoolDoor};
use crate::caller::Caller;
use crate::problem::Problem;
use crate::settings::Scope;
use crate::view::Estimate;
use admission::Intake;
use axum::Json;
use axum::extract::State;
use job::Source;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// A request without a fault, weighed and not stored.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Weighed {
    #[schema(example = "estimate")]
    object: &'static str,
    /// Where its job would stand: `queued`, or `held` for a person to look at first.
    state: &'static str,
    estimate: Estimate,
    /// Seconds until it would be bought. Not told yet: always `null`.
    start_in_s: Option<u64>,
    /// Legal, but worth telling.
    warnings: Vec<Warned>,
}

/// Something legal that is worth telling.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Warning)]
pub(crate) struct Warned {
    pointer: String,
    code: String,
    message: String,
}

/// Weigh a request.
///
/// Checks it whole and says what it would need, without storing it; as `POST /v1/jobs?dry_run=true`.
#[utoipa::path(
    post,
    path = "/v1/estimate",
    operation_id = "estimate",
    tag = "jobs",
    request_body = super::request::JobRequest,
    responses((status = 200, description = "What it would need.", body = Weighed))
)]
pub(super) async fn estimate(
    State(app): State<Arc<App>>,
    caller: Caller,
    Sent(body, _share): Sent,
) -> Result<Json<Weighed>, Problem> {
    let door = app.enter(&caller, Scope::JobsRead)?;
    let mut intake = Intake::new(body, Source::Api);
    intake.tenant.clone_from(&caller.tenant);
    weigh(door, intake).await.map(Json)
}

/// Judges a request as the door would now. Whether an equal job exists is not looked up.
pub(super) async fn weigh(door: &PoolDoor, intake: Intake) -> Result<Weighed, Problem> {
    let now = door.pool.store.now().await.map_err(|error| Problem::unavailable(&error))?;
    let judge = door.door.clone();
    // Decoding inline media is no work for a thread that serves others.
    let judged = tokio::task::spawn_blocking(move || judge.check(&intake, now)).await;
    let checked = match judged {
        Ok(checked) => checked.map_err(|refusal| Problem::refused(&refusal))?,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(error) => return Err(Problem::unavailable(&error)),
    };
    let warned = |warning: seedance::Warning| Warned {
        pointer: warning.pointer,
        code: warning.code,
        message: warning.message,
    };
    Ok(Weighed {
        object: "estimate",
        state: if checked.held.is_some() { "held" } else { "queued" },
        estimate: Estimate::new(checked.estimate_tokens, &checked.cost),
        start_in_s: None,
        warnings: checked.warnings.into_iter().map(warned).collect(),
    })
}
