//! Creates nobody knows the outcome of, and the three decisions no program may take: for operators.
//!
//! What is shown and what is done come from [`crate::doubts`], as the dashboard's.

use super::body::Given;
use super::job::{find, to_json};
use super::list::read;
use super::operations::{reason_of, refused};
use super::operator::{is_operator, operated};
use super::page::Page;
use super::query::{Asked, PageAsked};
use crate::app::{App, PoolDoor};
use crate::caller::Caller;
use crate::doubts;
use crate::problem::Problem;
use crate::settings::Scope;
use crate::view::JobView;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use job::filter::Filter;
use job::{By, StateWord, TaskId};
use reconcile::doubt::{Deed, Doubt, DoubtError};
use seedance::{Class, Fault};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::sync::Arc;
use store::{ListQuery, ReportError, Reported, Stored};
use utoipa::{IntoParams, ToSchema};

/// What lifts a refusal to adopt what a read does not prove.
const LIFT: &str = "unverified (--unverified) takes it all the same";

/// A job whose create ended without a clear answer, with what is known.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Doubt)]
pub(super) struct DoubtView<'a> {
    /// `doubt`.
    object: &'static str,
    job: JobView<'a>,
    /// Whose job it is.
    tenant: &'a str,
    /// What is generated from what.
    mode: &'static str,
    /// What went wrong with the create, or why a person must decide; null for a job that is not in doubt.
    reason: Option<String>,
    /// Everything that is known, name and value; empty for a job that is not in doubt.
    #[schema(value_type = Object)]
    evidence: Map<String, Value>,
    /// Tasks that fit, where several do.
    tasks: Vec<&'a str>,
    /// Nothing of the attempt can show up any more.
    settled: bool,
    /// Stands for the evidence as it is shown: a decision carries it, and one on other evidence is refused. Null for a
    /// job that is not in doubt.
    grounds: Option<String>,
    /// What a decision did, in the words of the job's timeline.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    did: Option<&'static str>,
}

impl<'a> DoubtView<'a> {
    fn of(app: &App, door: &PoolDoor, stored: &'a Stored) -> Self {
        let record = &stored.record;
        let doubt = Doubt::of(record);
        let tasks = doubt.as_ref().map(Doubt::tasks).unwrap_or_default();
        let settled = |doubt: &Doubt| stored.now >= doubt.settled_from(&door.pool.policy);
        Self {
            object: "doubt",
            job: JobView::of(record, &app.public_url),
            tenant: &record.spec.tenant,
            mode: record.spec.request.mode().word(),
            reason: doubt.as_ref().and_then(Doubt::reason),
            evidence: doubts::known(door, stored),
            tasks: tasks.iter().map(TaskId::as_str).collect(),
            settled: doubt.as_ref().is_some_and(settled),
            grounds: doubts::mark(stored),
            did: None,
        }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct DoubtsAsked {
    /// The pool, where the key reaches several.
    #[serde(default)]
    pool: Option<String>,
    /// Which of them, such as `state=parked batch=foxes`; docs/filters.md has the grammar.
    #[serde(default, rename = "where")]
    which: Option<String>,
}

/// List doubts.
///
/// Jobs in doubt and parked ones of all tenants, newest first, each with its evidence. A key of tenant `*` with the scope
/// `admin`. A page can be shorter than `limit`, and even empty, and still have a `next` one.
#[utoipa::path(
    get,
    path = "/v1/doubts",
    operation_id = "list_doubts",
    tag = "doubts",
    params(DoubtsAsked, PageAsked),
    responses((status = 200, description = "One page.", body = Page<DoubtView>))
)]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Asked(asked): Asked<DoubtsAsked>,
    Asked(page): Asked<PageAsked>,
) -> Result<Response, Problem> {
    let door = operated(&app, &caller, Scope::Admin, asked.pool.as_deref())?;
    let open = Filter::all().states([StateWord::Parked, StateWord::InDoubt]);
    let filter = read(asked.which.as_deref())?.and(open);
    let query = ListQuery { limit: page.limit()?, ..ListQuery::of(filter) };
    let found = door.pool.store.list(&query.behind(page.cursor())?).await?;
    // What was settled between the index and the record is no doubt any more.
    let open = found.items.iter().filter(|stored| Doubt::of(&stored.record).is_some());
    let items: Vec<DoubtView> = open.map(|stored| DoubtView::of(&app, door, stored)).collect();
    let next = found.next.map(|cursor| cursor.to_string());
    Ok(Json(to_json(&Page::new(items, next))?).into_response())
}

/// Look at a doubt.
///
/// The evidence about one job, and the `grounds` that a decision carries. A job that is not in doubt has neither. A key
/// of tenant `*` with the scope `admin`.
#[utoipa::path(
    get,
    path = "/v1/doubts/{id}",
    operation_id = "get_doubt",
    tag = "doubts",
    params(("id" = String, Path, description = "The job.")),
    responses((status = 200, description = "What is known.", body = DoubtView))
)]
pub(super) async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    is_operator(&caller, Scope::Admin)?;
    let (door, stored) = find(&app, &caller, &id).await?;
    Ok(Json(to_json(&DoubtView::of(&app, door, &stored))?).into_response())
}

/// That a task is the job's.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = DoubtAdoption)]
#[serde(deny_unknown_fields)]
pub(super) struct AdoptBody {
    /// Which task.
    task: String,
    /// Take it even if it cannot be read or shows another mark.
    #[serde(default)]
    unverified: bool,
    /// Why; it stays in the job's timeline and in the audit.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
    /// As the evidence was shown with it.
    grounds: String,
    /// Only look whether it is possible: nothing is written.
    #[serde(default)]
    dry_run: bool,
}

/// One more create.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = DoubtResend)]
#[serde(deny_unknown_fields)]
pub(super) struct ResendBody {
    /// Must be `true`, unless it is a dry run: one more create is sent, and if the first one made a task, two are paid.
    #[serde(default)]
    accept_charge: bool,
    /// Why; it stays in the job's timeline and in the audit.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
    /// As the evidence was shown with it.
    grounds: String,
    /// Only look whether it is possible: nothing is written.
    #[serde(default)]
    dry_run: bool,
}

/// That the job is over; the other decisions say as much, and more.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = DoubtGiveUp)]
#[serde(deny_unknown_fields)]
pub(super) struct Said {
    /// Why; it stays in the job's timeline and in the audit.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
    /// As the evidence was shown with it.
    grounds: String,
    /// Only look whether it is possible: nothing is written.
    #[serde(default)]
    dry_run: bool,
}

/// Adopt a task for a job in doubt.
///
/// The task is read first, and must show the attempt's own mark; then it is watched and brought home. Nothing is bought. A
/// key of tenant `*` with the scope `admin`.
#[utoipa::path(
    post,
    path = "/v1/doubts/{id}:adopt",
    operation_id = "adopt_doubt",
    tag = "doubts",
    params(("id" = String, Path, description = "The job.")),
    request_body(content = AdoptBody, description = "The task, and why."),
    responses(
        (status = 200, description = "The job as it stands.", body = DoubtView),
        (status = 409, response = Problem),
        (status = 502, response = Problem),
    )
)]
pub(super) async fn adopt(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    Given(body): Given<AdoptBody>,
) -> Result<Response, Problem> {
    is_operator(&caller, Scope::Admin)?;
    let AdoptBody { task, unverified, reason, grounds, dry_run } = body;
    let task = TaskId::parse(&task).map_err(|error| refused("task", &error.to_string()))?;
    let deed = Deed::Adopt { task, unverified };
    decide(&app, &caller, &id, &deed, &Said { reason, grounds, dry_run }).await
}

/// Send a parked job again.
///
/// One more create. If the first one made a task after all, two are paid, so `accept_charge` must say so. A decision is
/// taken once: sent twice, the second is refused. A key of tenant `*` with the scope `admin`.
#[utoipa::path(
    post,
    path = "/v1/doubts/{id}:resend",
    operation_id = "resend_doubt",
    tag = "doubts",
    params(("id" = String, Path, description = "The job.")),
    request_body(content = ResendBody, description = "Consent to pay, and why."),
    responses(
        (status = 200, description = "The job as it stands.", body = DoubtView),
        (status = 409, response = Problem),
    )
)]
pub(super) async fn resend(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    Given(body): Given<ResendBody>,
) -> Result<Response, Problem> {
    is_operator(&caller, Scope::Admin)?;
    let ResendBody { accept_charge, reason, grounds, dry_run } = body;
    if !(accept_charge || dry_run) {
        let message = "a resend may buy a second task, and the charge is not accepted";
        let fix = "set it to true";
        let fault = Fault::new("/accept_charge", "charge-not-accepted", message, fix);
        return Err(Problem::faults(&[fault.allowing("true")]));
    }
    decide(&app, &caller, &id, &Deed::Resend, &Said { reason, grounds, dry_run }).await
}

/// Give a job in doubt up.
///
/// It ends without a result, once nothing of its attempt can show up any more. A task that exists all the same is billed,
/// and fetched when it is found. A key of tenant `*` with the scope `admin`.
#[utoipa::path(
    post,
    path = "/v1/doubts/{id}:give-up",
    operation_id = "give_up_doubt",
    tag = "doubts",
    params(("id" = String, Path, description = "The job.")),
    request_body(content = Said, description = "Why."),
    responses(
        (status = 200, description = "The job as it stands.", body = DoubtView),
        (status = 409, response = Problem),
    )
)]
pub(super) async fn give_up(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    Given(said): Given<Said>,
) -> Result<Response, Problem> {
    is_operator(&caller, Scope::Admin)?;
    decide(&app, &caller, &id, &Deed::GiveUp, &said).await
}

async fn decide(
    app: &App,
    caller: &Caller,
    id: &str,
    deed: &Deed,
    said: &Said,
) -> Result<Response, Problem> {
    let (by, reason) = (By::named(&caller.name), reason_of(&said.reason)?);
    let (door, shown) = find(app, caller, id).await?;
    // A job without a doubt is refused by the desk, which says where it stands.
    if doubts::mark(&shown).is_some_and(|mark| mark != said.grounds) {
        return Err(changed("look again, then decide".to_owned()));
    }
    if said.dry_run {
        doubts::check(app, door, &shown, deed).await.map_err(refusal)?;
        return Ok(Json(to_json(&DoubtView::of(app, door, &shown))?).into_response());
    }
    let told = doubts::decide(app, door, &shown, deed, (&by, reason)).await.map_err(refusal)?;
    match told {
        (event, Reported::Written { stored, .. }) => {
            let view = DoubtView { did: Some(event.name()), ..DoubtView::of(app, door, &stored) };
            Ok(Json(to_json(&view)?).into_response())
        }
        (_, Reported::Ignored { why, stored }) => {
            let word = stored.record.life.state.word().as_str();
            Err(changed(format!("the job is {word}: {why}")))
        }
        (_, Reported::Owned { task, by }) => Err(refusal(DoubtError::Owned { task, by })),
        (_, Reported::Gone | Reported::Fenced) => Err(Problem::not_found()),
    }
}

fn changed(detail: String) -> Problem {
    let title = "the evidence has changed since it was shown";
    Problem::new(StatusCode::CONFLICT, "evidence-changed", title).detail(detail)
}

/// Why a decision is not taken.
fn refusal(error: DoubtError) -> Problem {
    let what = error.to_string();
    match error {
        DoubtError::Not { from: Some(from), .. } => {
            Problem::new(StatusCode::CONFLICT, "not-settled", what)
                .detail(format!("possible from {} on", from.rfc3339()))
        }
        DoubtError::Not { from: None, .. } => {
            Problem::new(StatusCode::CONFLICT, "not-in-doubt", what)
        }
        DoubtError::Owned { .. } => Problem::new(StatusCode::CONFLICT, "task-owned", what),
        DoubtError::Client(error) => {
            // It names files of the gateway's machine.
            tracing::warn!(%error, "an account's key cannot be used");
            let title = "this gateway cannot use the account's key";
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "account-unusable", title)
                .detail(format!("mend its api_key_file; or {LIFT}"))
        }
        DoubtError::NoPermit { .. } => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "no-permit", what).retryable()
        }
        DoubtError::Unknown(_) => {
            Problem::new(StatusCode::NOT_FOUND, "no-such-task", what).detail(LIFT)
        }
        DoubtError::Unreadable { class: Class::Auth, .. } => {
            Problem::new(StatusCode::BAD_GATEWAY, "provider-key-refused", what).detail(LIFT)
        }
        DoubtError::Unreadable { .. } => {
            Problem::new(StatusCode::BAD_GATEWAY, "task-unreadable", what).detail(LIFT).retryable()
        }
        DoubtError::OtherMark { told, .. } => {
            Problem::new(StatusCode::CONFLICT, "other-mark", what).detail(format!("{told}\n{LIFT}"))
        }
        DoubtError::Store(error) | DoubtError::Report(ReportError::Store(error)) => error.into(),
        DoubtError::Report(ReportError::Contradiction(why)) => changed(why.to_string()),
    }
}
