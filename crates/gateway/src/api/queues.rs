//! What waits in each queue of a pool, and pauses of its parts.

use super::body::Given;
use super::job::to_json;
use super::operations::{reason_of, refused};
use super::operator::operated;
use super::query::Asked;
use crate::app::App;
use crate::caller::Caller;
use crate::problem::Problem;
use crate::settings::Scope;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use job::By;
use seedance::SlotClass;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use store::{PAUSE_FOR, PAUSES_MAX, PauseScope};
use survey::{PartView, QueuesView};
use utoipa::{IntoParams, ToSchema};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct QueuesAsked {
    /// The pool, where the key reaches several.
    #[serde(default)]
    pool: Option<String>,
}

/// The queues.
///
/// What waits in each queue of a pool, what people paused, and what of a paused part is still in hand. A key of tenant `*`.
#[utoipa::path(
    get,
    path = "/v1/queues",
    operation_id = "get_queues",
    tag = "totals",
    params(QueuesAsked),
    responses((status = 200, description = "How they stand.", body = QueuesView))
)]
pub(super) async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    Asked(asked): Asked<QueuesAsked>,
) -> Result<Response, Problem> {
    let door = operated(&app, &caller, Scope::JobsRead, asked.pool.as_deref())?;
    Ok(Json(to_json(&survey::queues(&door.pool.store).await?)?).into_response())
}

/// A part of a pool, and for how long. Every create if none of `tenant`, `model` and `stage` is given.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = PauseWish)]
#[serde(deny_unknown_fields)]
pub(super) struct PauseBody {
    /// The pool, where the key reaches several.
    #[serde(default)]
    pool: Option<String>,
    /// The creates of one tenant.
    #[serde(default)]
    tenant: Option<String>,
    /// The creates of one class of models: `2.0`, `2.0-4k`, `2.0-fast` or `2.0-mini`.
    #[serde(default)]
    model: Option<String>,
    /// One stage of all jobs.
    #[serde(default)]
    stage: Option<Stage>,
    /// For how many seconds; an hour if left out. Polls are paused for 12 hours at most, and all else for 30 days.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 2_592_000)]
    for_s: Option<u64>,
    /// It does not end by itself. Not of polls.
    #[serde(default)]
    until_resumed: bool,
    /// Why; it stays in the audit.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

/// A part of a pool. Every create if none of `tenant`, `model` and `stage` is given.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ResumeWish)]
#[serde(deny_unknown_fields)]
pub(super) struct ResumeBody {
    /// The pool, where the key reaches several.
    #[serde(default)]
    pool: Option<String>,
    /// The creates of one tenant.
    #[serde(default)]
    tenant: Option<String>,
    /// The creates of one class of models: `2.0`, `2.0-4k`, `2.0-fast` or `2.0-mini`.
    #[serde(default)]
    model: Option<String>,
    /// One stage of all jobs.
    #[serde(default)]
    stage: Option<Stage>,
    /// Why; it stays in the audit.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

/// What can be paused of all jobs.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Stage {
    /// Creates. Doubts are settled all the same.
    Submit,
    /// Looks at tasks. Callbacks are heard all the same.
    Poll,
    /// Copies into the bucket, save those whose link dies within two hours.
    Download,
}

/// Pause a part of a pool.
///
/// Nothing new of it is handed out; what was begun goes on. One that is paused already is paused anew. A key of tenant `*`
/// with the scope `admin`: all tenants share the provider's accounts.
#[utoipa::path(
    post,
    path = "/v1/queues:pause",
    operation_id = "pause_queues",
    tag = "totals",
    request_body(content = PauseBody),
    responses(
        (status = 200, description = "How the part stands.", body = PartView),
        (status = 409, response = Problem),
    )
)]
pub(super) async fn pause(
    State(app): State<Arc<App>>,
    caller: Caller,
    Given(body): Given<PauseBody>,
) -> Result<Response, Problem> {
    let store = &operated(&app, &caller, Scope::Admin, body.pool.as_deref())?.pool.store;
    let scope = scope(body.tenant, body.model.as_deref(), body.stage)?;
    let lasts = match (body.for_s, body.until_resumed) {
        (Some(_), true) => return Err(refused("for_s", "leave it out with until_resumed")),
        (None, true) => None,
        (seconds, false) => Some(seconds.map_or(PAUSE_FOR, Duration::from_secs)),
    };
    if let Some(why) = scope.refuses(lasts) {
        return Err(refused("for_s", &why));
    }
    let (by, reason) = (By::named(&caller.name), reason_of(&body.reason)?);
    if !store.pause(&scope, lasts, &by, reason).await? {
        let title = format!("{PAUSES_MAX} pauses hold already: resume one");
        return Err(Problem::new(StatusCode::CONFLICT, "too-many-pauses", title));
    }
    Ok(Json(to_json(&survey::part(store, &scope).await?)?).into_response())
}

/// Let a part of a pool go on.
///
/// A key of tenant `*` with the scope `admin`. 409: nobody paused it.
#[utoipa::path(
    post,
    path = "/v1/queues:resume",
    operation_id = "resume_queues",
    tag = "totals",
    request_body(content = ResumeBody),
    responses(
        (status = 200, description = "How the part stands.", body = PartView),
        (status = 409, response = Problem),
    )
)]
pub(super) async fn resume(
    State(app): State<Arc<App>>,
    caller: Caller,
    Given(body): Given<ResumeBody>,
) -> Result<Response, Problem> {
    let store = &operated(&app, &caller, Scope::Admin, body.pool.as_deref())?.pool.store;
    let scope = scope(body.tenant, body.model.as_deref(), body.stage)?;
    let (by, reason) = (By::named(&caller.name), reason_of(&body.reason)?);
    if !store.resume(&scope, &by, reason).await? {
        let title = format!("{scope}: nobody paused that");
        return Err(Problem::new(StatusCode::CONFLICT, "not-paused", title));
    }
    Ok(Json(to_json(&survey::part(store, &scope).await?)?).into_response())
}

/// The part that is meant.
fn scope(
    tenant: Option<String>,
    model: Option<&str>,
    stage: Option<Stage>,
) -> Result<PauseScope, Problem> {
    match (tenant, model, stage) {
        (Some(tenant), None, None) if access::is_tenant(&tenant) => Ok(PauseScope::Tenant(tenant)),
        (Some(_), None, None) => Err(refused("tenant", "that is no name of a tenant")),
        (None, Some(word), None) => {
            SlotClass::from_word(word).map(PauseScope::Model).ok_or_else(|| {
                let known = SlotClass::ALL.map(SlotClass::word).join(", ");
                refused("model", &format!("it is no class of models; there are {known}"))
            })
        }
        (None, None, Some(Stage::Poll)) => Ok(PauseScope::Poll),
        (None, None, Some(Stage::Download)) => Ok(PauseScope::Download),
        (None, None, Some(Stage::Submit) | None) => Ok(PauseScope::Submit),
        (_, _, _) => Err(refused("stage", "give one of tenant, model and stage, or none")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_part_is_meant_or_every_create() {
        let acme = || Some("acme".to_owned());
        assert_eq!(scope(None, None, None).unwrap(), PauseScope::Submit);
        assert_eq!(scope(None, None, Some(Stage::Poll)).unwrap(), PauseScope::Poll);
        assert_eq!(scope(acme(), None, None).unwrap(), PauseScope::Tenant("acme".to_owned()));
        let class = SlotClass::ALL[0];
        assert_eq!(scope(None, Some(class.word()), None).unwrap(), PauseScope::Model(class));
        for wrong in [
            scope(acme(), None, Some(Stage::Submit)),
            scope(acme(), Some("2.0"), None),
            scope(None, Some("3.0"), None),
            scope(Some("a b".to_owned()), None, None),
        ] {
            assert_eq!(wrong.unwrap_err().status(), 422);
        }
    }
}
