//! What must go, and its receipts.

use super::body::Sent;
use super::job::{find, to_json};
use super::query::Asked;
use crate::app::App;
use crate::caller::Caller;
use crate::problem::Problem;
use crate::settings::Scope;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use erasure::{Eraser, Erasure, Progress, Removed, Subject, Wish};
use job::{By, ErasureId, REASON_CHARS_MAX};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use store::keys::user_hash;
use utoipa::{IntoParams, ToSchema};

/// How long a request waits for its erasure to be done; the fleet goes on with it in any case.
const WAIT_MAX: Duration = Duration::from_secs(20);
const NAME_CHARS_MAX: usize = 256;
/// What stands in the receipt of a job whose removal nobody gave a reason for.
const NO_REASON: &str = "asked for by its caller";

/// What is asked of the removal of a job.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DeleteAsked {
    /// Stop the job first, as far as it can be stopped.
    cancel: bool,
    /// Why: 1 to 500 characters on one line. It stays in the receipt, so it must not quote what goes.
    #[param(min_length = 1, max_length = 500)]
    reason: Option<String>,
}

/// Whose content.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ErasureWish)]
#[serde(deny_unknown_fields)]
pub(super) struct WishBody {
    /// Every job of this customer of yours, as the jobs named it; or
    #[serde(default)]
    end_user: Option<String>,
    /// every job of your tenant, by its name: a key with the scope `admin`.
    #[serde(default)]
    tenant: Option<String>,
    /// Why. It stays in the receipt, so it must not quote what goes.
    #[serde(default)]
    reason: Option<String>,
    /// Stop jobs that have not ended, as far as they can be stopped, instead of waiting for their end.
    #[serde(default)]
    cancel: bool,
}

/// An erasure; when it is done, its receipt.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Erasure)]
pub(super) struct ErasureView {
    id: String,
    object: &'static str,
    /// `working`; `waiting` for jobs that have not ended; `done`.
    progress: &'static str,
    /// `job`, `end_user`, `tenant` or `retention`.
    subject: &'static str,
    /// The job, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    job: Option<String>,
    asked_at: String,
    /// When everything was gone.
    done_at: Option<String>,
    by: String,
    reason: String,
    /// One of the things it waits for.
    waits_for: Option<String>,
    /// Jobs that are waited for.
    jobs_waiting: u64,
    /// Jobs that had no content left before.
    jobs_before: u64,
    /// How often the work on it broke off and was taken up again: objects, media and intents that went at that very
    /// moment may be missing in the numbers. That of jobs is exact.
    interruptions: u32,
    removed: RemovedView,
}

/// What was removed so far.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Removed)]
pub(super) struct RemovedView {
    /// Jobs whose content is gone.
    jobs: u64,
    /// Videos, last frames, payloads, manifests.
    objects: u64,
    /// Their bytes, inline media included.
    bytes: u64,
    /// Inline media that no other job needs.
    media: u64,
    /// Intents of the second fence, kept without content.
    intents: u64,
    /// Lines of timelines without words from here on.
    timeline_lines: u64,
    /// Refused rows of uploads, where a whole tenant is erased.
    rejects: u64,
}

/// Erase a job's content.
///
/// Prompt, references, outputs, the provider's payload and the words of its timeline go; a bill without content stays,
/// and an equal request still finds the job. A job that has not ended is refused, unless `cancel=true` stops it as far
/// as it can be; one in doubt or parked loses its content at once and keeps what identifies its task.
#[utoipa::path(
    delete,
    path = "/v1/jobs/{id}",
    operation_id = "erase_job",
    tag = "erasures",
    params(("id" = String, Path, description = "The job."), DeleteAsked),
    responses(
        (status = 200, description = "The receipt: everything is gone.", body = ErasureView),
        (status = 202, description = "It goes as soon as nobody writes it any more.", body = ErasureView),
        (status = 409, description = "It has not ended: cancel it first.",
         body = crate::problem::Document, content_type = "application/problem+json"),
    )
)]
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    Asked(asked): Asked<DeleteAsked>,
) -> Result<Response, Problem> {
    caller.needs(Scope::JobsWrite)?;
    let (door, stored) = find(&app, &caller, &id).await?;
    let record = &stored.record;
    if let Some(erased) = &record.life.erased
        && let Some(receipt) = look(&app, &caller, &erased.erasure).await?
        && receipt.progress == Progress::Done
    {
        return answer(&receipt);
    }
    let reason = match asked.reason.as_deref() {
        Some(reason) => job::reason(reason).ok_or_else(no_reason)?,
        None => NO_REASON,
    };
    let word = record.life.state.word();
    if !word.is_finished() && !word.is_in_doubt() && !asked.cancel {
        let title = "the job has not ended";
        return Err(Problem::new(StatusCode::CONFLICT, "not-ended", title).detail(format!(
            "it is {}: wait for its end, cancel it first, or add ?cancel=true",
            word.as_str()
        )));
    }
    let wish = Wish {
        tenant: record.spec.tenant.clone(),
        subject: Subject::Job { job: record.id.clone() },
        by: By::named(&caller.name),
        reason: reason.to_owned(),
        cancel: asked.cancel,
    };
    let eraser = &door.eraser;
    let asked = eraser.ask(Eraser::draw(), wish).await.map_err(away)?;
    answer(&worked(eraser, asked).await?)
}

/// Erase the content of many jobs.
///
/// Name an `end_user`, or your tenant. Answers at once with what was done so far; `GET /v1/erasures/{id}` tells the rest
/// and is the receipt when it is done.
#[utoipa::path(
    post,
    path = "/v1/erasures",
    operation_id = "create_erasure",
    tag = "erasures",
    request_body(content = WishBody, description = "Whose content."),
    responses(
        (status = 200, description = "The receipt: everything is gone.", body = ErasureView),
        (status = 202, description = "It is under way, and survives any restart.", body = ErasureView),
    )
)]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    Sent(body, _share): Sent,
) -> Result<Response, Problem> {
    let body: WishBody =
        serde_json::from_value(body).map_err(|error| faulty(&error.to_string()))?;
    let scope = if body.tenant.is_some() { Scope::Admin } else { Scope::JobsWrite };
    caller.needs(scope)?;
    let sized = |text: &str| (1..=NAME_CHARS_MAX).contains(&text.chars().count());
    let (tenant, subject) = match (body.end_user, body.tenant) {
        (Some(user), None) if sized(&user) => {
            let tenant = caller.own_tenant()?;
            (tenant.to_owned(), Subject::EndUser { hash: user_hash(tenant, &user) })
        }
        (None, Some(named)) if caller.speaks_for(&named) => (named, Subject::Tenant),
        (None, Some(_)) => return Err(faulty("a key erases its own tenant only")),
        (Some(_) | None, _) => return Err(faulty("name either an end_user or your tenant")),
    };
    let reason = body.reason.unwrap_or_default();
    if reason.chars().count() > NAME_CHARS_MAX || reason.chars().any(char::is_control) {
        return Err(faulty("the reason is too long, or no line"));
    }
    let (by, id, cancel) = (By::named(&caller.name), Eraser::draw(), body.cancel);
    let wish = Wish { tenant, subject, by, reason, cancel };
    let mut all: Option<Erasure> = None;
    for door in app.pools_for(&caller) {
        let asked = door.eraser.ask(id.clone(), wish.clone()).await.map_err(away)?;
        let worked = worked(&door.eraser, asked).await?;
        all = Some(match all {
            Some(sum) => sum.with(&worked),
            None => worked,
        });
    }
    answer(&all.ok_or_else(Problem::not_found)?)
}

/// Look at an erasure.
///
/// When it is done, this is its receipt.
#[utoipa::path(
    get,
    path = "/v1/erasures/{id}",
    operation_id = "get_erasure",
    tag = "erasures",
    params(("id" = String, Path, description = "The erasure.")),
    responses((status = 200, description = "How it stands.", body = ErasureView))
)]
pub(super) async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    caller.needs(Scope::JobsRead)?;
    let id = ErasureId::parse(&id).map_err(|_| Problem::not_found())?;
    let found = look(&app, &caller, &id).await?.ok_or_else(Problem::not_found)?;
    Ok(Json(to_json(&view(&found))?).into_response())
}

/// Works a wish off for as long as a caller waits. The turn goes on without it, and whatever is left behind that, or
/// fails, is the keeper's.
async fn worked(eraser: &Eraser, asked: Erasure) -> Result<Erasure, Problem> {
    let (worker, id) = (eraser.clone(), asked.id.clone());
    let turn = tokio::spawn(async move { worker.work(&id).await });
    match tokio::time::timeout(WAIT_MAX, turn).await {
        Ok(Ok(Ok(Some(worked)))) => return Ok(worked),
        Ok(Ok(Ok(None))) | Err(_) => {}
        Ok(Ok(Err(error))) => {
            tracing::warn!(erasure = %asked.id, %error, "an erasure goes on later");
        }
        Ok(Err(error)) => {
            tracing::error!(erasure = %asked.id, %error, "a turn of an erasure panicked; it goes on later");
        }
    }
    Ok(eraser.look(&asked.id).await.map_err(away)?.unwrap_or(asked))
}

async fn look(app: &App, caller: &Caller, id: &ErasureId) -> Result<Option<Erasure>, Problem> {
    let mut all: Option<Erasure> = None;
    for door in app.pools_for(caller) {
        let found = door.eraser.look(id).await.map_err(away)?;
        let Some(found) = found.filter(|erasure| caller.speaks_for(&erasure.tenant)) else {
            continue;
        };
        all = Some(match all {
            Some(sum) => sum.with(&found),
            None => found,
        });
    }
    Ok(all)
}

fn answer(erasure: &Erasure) -> Result<Response, Problem> {
    let status = match erasure.progress {
        Progress::Done => StatusCode::OK,
        Progress::Working | Progress::Waiting => StatusCode::ACCEPTED,
    };
    Ok((status, Json(to_json(&view(erasure))?)).into_response())
}

fn view(erasure: &Erasure) -> ErasureView {
    let (subject, job) = match &erasure.subject {
        Subject::Job { job } => ("job", Some(job.to_string())),
        Subject::EndUser { .. } => ("end_user", None),
        Subject::Tenant => ("tenant", None),
        Subject::Retention { .. } => ("retention", None),
    };
    let Removed { jobs, objects, bytes, media, intents, lines, rejects } = erasure.removed;
    ErasureView {
        id: erasure.id.to_string(),
        object: "erasure",
        progress: match erasure.progress {
            Progress::Working => "working",
            Progress::Waiting => "waiting",
            Progress::Done => "done",
        },
        subject,
        job,
        asked_at: erasure.asked_at.rfc3339(),
        done_at: erasure.done_at.map(job::Timestamp::rfc3339),
        by: erasure.by.as_str().to_owned(),
        reason: erasure.reason.clone(),
        waits_for: erasure.waits_for.clone(),
        jobs_waiting: erasure.jobs_waiting,
        jobs_before: erasure.jobs_before,
        interruptions: erasure.interruptions,
        removed: RemovedView {
            jobs,
            objects,
            bytes,
            media,
            intents,
            timeline_lines: lines,
            rejects,
        },
    }
}

fn no_reason() -> Problem {
    let title = format!("reason: 1 to {REASON_CHARS_MAX} characters on one line");
    Problem::new(StatusCode::BAD_REQUEST, "bad-query", title)
        .detail("it stays in the receipt; leave it out if there is none")
}

fn faulty(why: &str) -> Problem {
    let title = "the wish is not told as it should be";
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-request", title).detail(format!(
        "{why}; write {{\"end_user\": \"…\"}} or {{\"tenant\": \"…\"}}, with \"reason\" and \"cancel\" if you like"
    ))
}

/// Redis does not answer: the wish may be written down, and is harmless when it is written twice.
fn away(error: erasure::EraseError) -> Problem {
    Problem::unavailable(&error)
}
