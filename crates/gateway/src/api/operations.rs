//! Operations: one verb for all jobs of a filter, told in numbers first, done in the background.

use super::body::Given;
use super::headers;
use super::job::to_json;
use super::list;
use super::page::Page;
use super::query::{self, Asked};
use crate::app::{App, PoolDoor};
use crate::caller::Caller;
use crate::problem::Problem;
use crate::settings::Scope;
use crate::view::money;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use job::filter::{FILTER_BYTES_MAX, Filter};
use job::{Again, REASON_CHARS_MAX};
use seedance::Route;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use store::{ListQuery, Opened, Operation, OperationVerb, OperationWish, Order, Stored};
use survey::OperationView;
use utoipa::{IntoParams, ToSchema};

/// Pages that a dry run walks: more jobs than these are told as "at least".
const COUNT_PAGES_MAX: usize = 200;
/// Left of a filter for the instant that bounds an operation.
const WHERE_ROOM_BYTES: usize = 64;
/// Operations of one answer.
const LIST_MAX: usize = 200;

/// What shall be done to which jobs.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    verb: Verb,
    /// Which jobs; docs/filters.md has the grammar. Never empty.
    #[serde(rename = "where")]
    #[schema(min_length = 1)]
    which: String,
    /// Tell how many jobs it would touch and what it would cost; nothing is done.
    #[serde(default)]
    dry_run: bool,
    /// Must be `true` for `retry`, unless it is a dry run: each new job buys a new task.
    #[serde(default)]
    accept_charge: bool,
    /// Jobs at most, those first that were taken in first; all if you give none.
    #[serde(default)]
    #[schema(minimum = 1)]
    limit: Option<u64>,
    /// Why; needed unless it is a dry run. Kept in the audit and in the timeline of every job it touches.
    #[serde(default)]
    #[schema(max_length = 500)]
    reason: Option<String>,
}

/// What is done to each job.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Verb {
    /// Stop it: unpaid at once, at the provider if it has not begun.
    Cancel,
    /// A queued job waits until it is resumed.
    Pause,
    /// A paused job goes on.
    Resume,
    /// The request of a job that ended failed, expired, cancelled, output_lost or timed_out becomes a new job.
    Retry,
    /// A failure is left out of lists of failures; it stands as it ended, and may be made again.
    Dismiss,
}

impl From<Verb> for OperationVerb {
    fn from(verb: Verb) -> Self {
        match verb {
            Verb::Cancel => Self::Cancel,
            Verb::Pause => Self::Pause,
            Verb::Resume => Self::Resume,
            Verb::Retry => Self::Retry,
            Verb::Dismiss => Self::Dismiss,
        }
    }
}

/// Begin an operation.
///
/// With `dry_run` it only counts; for `retry` it also tells what the new jobs would cost, and how many of the old ones may
/// have been paid already (`paid_again`) or were not (`unpaid_before`). A real one is written down with its reason and carried out in the background; jobs
/// taken in after it began are left alone. The same `Idempotency-Key` names the same operation.
#[utoipa::path(
    post,
    path = "/v1/operations",
    operation_id = "create_operation",
    tag = "operations",
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[!-~]+$",
            description = "Your own name for this operation.")),
    request_body(content = Wish),
    responses(
        (status = 202, description = "A new operation.", body = OperationView),
        (status = 200, description = "The operation of an equal request, or the count of a dry run.",
         body = OperationOrCount),
    )
)]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    Given(wish): Given<Wish>,
) -> Result<Response, Problem> {
    let door = app.enter(&caller, Scope::JobsWrite)?;
    let store = &door.pool.store;
    let key = headers::idempotency_key(&headers)?;
    if wish.which.trim().is_empty() {
        return Err(refused("where", "say which jobs: an operation on all of them is never meant"));
    }
    let filter = list::filter(Some(&wish.which), &caller.tenant)?;
    let verb = OperationVerb::from(wish.verb);
    // What is added to it must be readable with it.
    if verb.changeable(filter.clone()).to_string().len() + WHERE_ROOM_BYTES > FILTER_BYTES_MAX {
        return Err(refused("where", "it is too long"));
    }
    if wish.limit == Some(0) {
        return Err(refused("limit", "1 job at least; leave it out for all of them"));
    }
    if wish.dry_run {
        let counted = count(door, verb, filter, wish.limit).await?;
        return Ok(Json(OperationOrCount::Count(counted.told(verb))).into_response());
    }
    if verb == OperationVerb::Retry && !wish.accept_charge {
        let why =
            "each new job buys a new task: ask with dry_run what they cost, then set it to true";
        return Err(refused("accept_charge", why));
    }
    let reason = wish.reason.as_deref().map(str::trim).unwrap_or_default();
    if reason.is_empty() || reason.chars().count() > REASON_CHARS_MAX {
        let why = format!("1 to {REASON_CHARS_MAX} characters are needed: it stays in the audit");
        return Err(refused("reason", &why));
    }
    let id = new_id(key.map(|key| (caller.tenant.as_str(), key)));
    let wish = OperationWish {
        id,
        verb,
        filter,
        tenant: Some(caller.tenant.clone()),
        by: caller.name.clone(),
        reason: reason.to_owned(),
        limit: wish.limit,
    };
    let opened = store.open_operation(wish).await?;
    let (status, operation) = told(opened)?;
    let view = OperationOrCount::Operation(OperationView::from(&operation));
    Ok((status, Json(to_json(&view)?)).into_response())
}

pub(super) fn refused(field: &str, why: &str) -> Problem {
    let title = format!("{field}: {why}");
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-operation", title)
}

/// A reason as the audit keeps it.
pub(super) fn reason_of(text: &str) -> Result<&str, Problem> {
    job::reason(text).ok_or_else(|| {
        let needed = format!("1 to {REASON_CHARS_MAX} characters on one line are needed");
        refused("reason", &format!("{needed}: it stays in the audit"))
    })
}

/// A fresh id, or that of a caller's key.
pub(super) fn new_id(key: Option<(&str, &str)>) -> String {
    let Some((tenant, key)) = key else { return format!("op_{}", ulid::Ulid::generate()) };
    let hash = access::digest(&format!("{}:{tenant}{key}", tenant.len()));
    format!("op_{}", &hash.hex()[..32])
}

/// What became of a wish, for its caller.
pub(super) fn told(opened: Opened) -> Result<(StatusCode, Operation), Problem> {
    match opened {
        Opened::New(operation) => Ok((StatusCode::ACCEPTED, *operation)),
        Opened::Known(operation) => Ok((StatusCode::OK, *operation)),
        Opened::Other(_) => {
            let title = "the idempotency key was used for another operation";
            Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency-key-reused", title))
        }
        Opened::Full => {
            let title = "too many operations wait already; send it again when some have ended";
            Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-operations", title))
        }
    }
}

/// What an operation would do.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OperationCount)]
struct CountView {
    /// `operation`.
    object: &'static str,
    /// Nothing was done.
    dry_run: bool,
    verb: &'static str,
    /// Jobs it would touch.
    matched: u64,
    /// All of them were counted; if not, there are more.
    matched_is_exact: bool,
    /// What new jobs would cost, by currency, as a decimal number; empty if it buys nothing.
    cost: BTreeMap<String, String>,
    /// Of jobs made again: the task before may have been paid.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    paid_again: Option<u64>,
    /// Of jobs made again: nothing was paid for the task before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    unpaid_before: Option<u64>,
}

/// Either, by `dry_run`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
enum OperationOrCount {
    Operation(OperationView),
    Count(CountView),
}

/// Jobs that a verb would touch.
#[derive(Default)]
struct Counted {
    matched: u64,
    /// All of them were counted.
    whole: bool,
    /// Of those to be made again: the task before may have been paid, or was not.
    paid_again: u64,
    unpaid_before: u64,
    /// What the new jobs would cost, in millionths by currency.
    micros: BTreeMap<String, u64>,
}

impl Counted {
    fn add(&mut self, stored: &Stored, verb: OperationVerb, route: Route) {
        self.matched += 1;
        if verb != OperationVerb::Retry {
            return;
        }
        let Some(again) = Again::of(&stored.record) else { return };
        let count = if again.paid_again { &mut self.paid_again } else { &mut self.unpaid_before };
        *count += 1;
        if let Some(cost) = reconcile::doubt::cost(route, stored) {
            *self.micros.entry(cost.currency.to_string()).or_default() += cost.micros;
        }
    }

    fn told(self, verb: OperationVerb) -> CountView {
        let buys = verb == OperationVerb::Retry;
        CountView {
            object: "operation",
            dry_run: true,
            verb: verb.word(),
            matched: self.matched,
            matched_is_exact: self.whole,
            cost: self.micros.into_iter().map(|(currency, n)| (currency, money(n))).collect(),
            paid_again: buys.then_some(self.paid_again),
            unpaid_before: buys.then_some(self.unpaid_before),
        }
    }
}

async fn count(
    door: &PoolDoor,
    verb: OperationVerb,
    filter: Filter,
    limit: Option<u64>,
) -> Result<Counted, Problem> {
    let most = limit.unwrap_or(u64::MAX);
    // In the order in which the operation takes them, since a limit leaves out the last of them.
    let mut query = ListQuery { order: Order::Oldest, ..ListQuery::of(verb.changeable(filter)) };
    let mut counted = Counted::default();
    for _ in 0..COUNT_PAGES_MAX {
        let left = usize::try_from(most - counted.matched).unwrap_or(usize::MAX);
        query.limit = left.min(store::LIST_MAX);
        let page = door.pool.store.list(&query).await?;
        for stored in &page.items {
            counted.add(stored, verb, door.pool.settings.route);
        }
        match page.next {
            Some(next) if counted.matched < most => query.cursor = Some(next),
            Some(_) | None => return Ok(Counted { whole: true, ..counted }),
        }
    }
    Ok(counted)
}

/// Look at an operation.
///
/// `jobs` tells how many it has looked at, changed, and left as they were: some may have moved on by themselves.
#[utoipa::path(
    get,
    path = "/v1/operations/{id}",
    operation_id = "get_operation",
    tag = "operations",
    params(("id" = String, Path, description = "The operation.")),
    responses((status = 200, description = "How far it has come.", body = OperationView))
)]
pub(super) async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let store = &app.enter(&caller, Scope::JobsRead)?.pool.store;
    let found = store.operation(&id).await?;
    let own = found.filter(|found| found.asked.tenant.as_ref() == Some(&caller.tenant));
    let own = own.ok_or_else(|| {
        Problem::new(StatusCode::NOT_FOUND, "not-found", "there is no such operation")
    })?;
    Ok(Json(to_json(&OperationView::from(&own))?).into_response())
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct OperationsAsked {
    /// Operations at most.
    #[serde(default)]
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<usize>,
}

/// List operations.
///
/// The caller's newest ones of the last 90 days.
#[utoipa::path(
    get,
    path = "/v1/operations",
    operation_id = "list_operations",
    tag = "operations",
    params(OperationsAsked),
    responses((status = 200, description = "Newest first.", body = Page<OperationView>))
)]
pub(super) async fn list_all(
    State(app): State<Arc<App>>,
    caller: Caller,
    Asked(asked): Asked<OperationsAsked>,
) -> Result<Response, Problem> {
    let store = &app.enter(&caller, Scope::JobsRead)?.pool.store;
    let limit = query::limit(asked.limit)?;
    let all = store.operations(LIST_MAX).await?;
    let own = all.iter().filter(|found| found.asked.tenant.as_ref() == Some(&caller.tenant));
    let items: Vec<OperationView> = own.take(limit).map(OperationView::from).collect();
    Ok(Json(to_json(&Page::whole(items))?).into_response())
}
