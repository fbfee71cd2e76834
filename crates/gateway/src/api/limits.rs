//! The provider's limits: what they are, what of them is used, and what an operator lowers while the fleet runs.

use super::body::{Given, MayGive};
use super::job::to_json;
use super::operator::{operated, whole_pool};
use super::query::Asked;
use crate::app::{App, PoolDoor};
use crate::caller::Caller;
use crate::problem::Problem;
use crate::settings::Scope;
use access::ANY_TENANT;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use limiter::Wanted;
use seedance::{Fault, SlotClass};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use store::{Limit, LimitChange, LimitChanges};
use survey::LimitsView;
use utoipa::{IntoParams, ToSchema};

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct LimitsAsked {
    /// For a key of tenant `*`, where it reaches several pools: which one.
    #[serde(default)]
    pool: Option<String>,
}

/// Limits.
///
/// The provider's limits of the pool that carries the caller's jobs, as they are in force now and as they are configured,
/// what of them is in use, and in one sentence what holds jobs up now. `counts` are the caller's own jobs by state, `yours`
/// the caps of its tenant and what it uses of them; a key of tenant `*` is told the whole pool's.
#[utoipa::path(
    get,
    path = "/v1/limits",
    operation_id = "get_limits",
    tag = "totals",
    params(LimitsAsked),
    responses((status = 200, description = "Limits and their use.", body = LimitsView))
)]
pub(super) async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    Asked(asked): Asked<LimitsAsked>,
) -> Result<Response, Problem> {
    caller.needs(Scope::JobsRead)?;
    if caller.tenant == ANY_TENANT {
        return told(&app, whole_pool(&app, &caller, asked.pool.as_deref())?, None).await;
    }
    if asked.pool.is_some() {
        let title = "a tenant's key is told of its own pool: leave pool out";
        return Err(Problem::new(StatusCode::BAD_REQUEST, "bad-query", title));
    }
    told(&app, app.pool_of(&caller)?, Some(&caller.tenant)).await
}

/// What an operator sets.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = LimitsWish)]
#[serde(deny_unknown_fields)]
pub(super) struct SetBody {
    /// The pool, where the key reaches several.
    #[serde(default)]
    pool: Option<String>,
    /// The slot class, for the limits of a class: `2.0`, `2.0-4k`, `2.0-fast` or `2.0-mini`.
    #[serde(default)]
    class: Option<String>,
    /// Creates a minute of the class. A whole number from 1 to what is configured.
    #[serde(default)]
    #[schema(minimum = 1)]
    create_rpm: Option<f64>,
    /// Tasks of the class that run at once. From 0, which lets nothing begin, to what is configured.
    #[serde(default)]
    #[schema(minimum = 0)]
    running: Option<f64>,
    /// Tasks of the class that the account is fed beyond that. From 0 to what is configured.
    #[serde(default)]
    #[schema(minimum = 0)]
    lookahead: Option<f64>,
    /// Reads of single tasks a second, of the account. From 0.1 to what is configured.
    #[serde(default)]
    #[schema(minimum = 0.1)]
    retrieve_qps: Option<f64>,
    /// List pages a second, likewise.
    #[serde(default)]
    #[schema(minimum = 0.1)]
    list_qps: Option<f64>,
    /// Deletes a second, likewise.
    #[serde(default)]
    #[schema(minimum = 0.1)]
    delete_qps: Option<f64>,
    /// Why; it stays in the audit.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
    /// For how many seconds; until it is taken back if left out.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 31_622_400)]
    for_s: Option<u64>,
}

/// What an operator takes back.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = LimitsReset)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ResetBody {
    /// The pool, where the key reaches several.
    pool: Option<String>,
    /// Only limits of this slot class.
    class: Option<String>,
    /// Only these: `create_rpm`, `running`, `lookahead`, `retrieve_qps`, `list_qps`, `delete_qps`.
    limits: Vec<String>,
    /// Why; it stays in the audit.
    #[schema(max_length = 500)]
    reason: Option<String>,
}

/// Lower limits of an account.
///
/// For the whole fleet and at once: every process keeps to them with its next call, none has to be restarted. The
/// configuration is the ceiling: a value above it is refused. Running tasks are left alone; the account begins nothing
/// until it is below its limit. A key of tenant `*` with the scope `admin`: all tenants share the provider's accounts.
#[utoipa::path(
    post,
    path = "/v1/limits/{account}:set",
    operation_id = "set_limits",
    tag = "totals",
    params(("account" = String, Path, description = "The account, as the configuration names it.")),
    request_body(content = SetBody, description = "The limits from here on; those left out stay as they are."),
    responses((status = 200, description = "Limits and their use from here on.", body = LimitsView))
)]
pub(super) async fn set(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(account): Path<String>,
    Given(body): Given<SetBody>,
) -> Result<Response, Problem> {
    let door = operated(&app, &caller, Scope::Admin, body.pool.as_deref())?;
    let given = [
        (Limit::CreateRpm, body.create_rpm),
        (Limit::Running, body.running),
        (Limit::Lookahead, body.lookahead),
        (Limit::RetrieveQps, body.retrieve_qps),
        (Limit::ListQps, body.list_qps),
        (Limit::DeleteQps, body.delete_qps),
    ];
    let lasts = body.for_s.map(Duration::from_secs);
    let wanted = Wanted {
        account,
        class: class(body.class.as_deref())?,
        limits: given.into_iter().filter_map(|(limit, n)| Some((limit, n?))).collect(),
        lasts,
    };
    let changes = limiter::judge(&door.pool.settings, app.desk.feed.lookahead, &wanted);
    let changes = changes.map_err(|faults| Problem::faults(&faults))?;
    change(door, &caller, changes, lasts, &body.reason).await?;
    told(&app, door, None).await
}

/// Take back limits that were set.
///
/// From here on they are as configured. Those named, of one class or of the whole account; all if none is named. What was
/// taken away after refusals of the provider comes back by itself.
#[utoipa::path(
    post,
    path = "/v1/limits/{account}:reset",
    operation_id = "reset_limits",
    tag = "totals",
    params(("account" = String, Path, description = "The account, as the configuration names it.")),
    request_body = Option<ResetBody>,
    responses((status = 200, description = "Limits and their use from here on.", body = LimitsView))
)]
pub(super) async fn reset(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(account): Path<String>,
    MayGive(body): MayGive<ResetBody>,
) -> Result<Response, Problem> {
    let door = operated(&app, &caller, Scope::Admin, body.pool.as_deref())?;
    let mut limits = Vec::new();
    for word in &body.limits {
        let known = || Limit::ALL.map(Limit::word).join(", ");
        limits.push(Limit::parse(word).ok_or_else(|| unknown("/limits", word, known()))?);
    }
    let class = class(body.class.as_deref())?;
    let changes = limiter::taken_back(&door.pool.settings, &account, class, &limits);
    let changes = changes.map_err(|faults| Problem::faults(&faults))?;
    let reason = body.reason.as_deref().unwrap_or("asked for by the API");
    change(door, &caller, changes, None, reason).await?;
    told(&app, door, None).await
}

async fn told(app: &App, door: &PoolDoor, tenant: Option<&str>) -> Result<Response, Problem> {
    let (pool, judged_by) = (&door.pool, app.judged_by(door));
    let view = survey::limits(&pool.store, &pool.settings, &judged_by, tenant).await?;
    Ok(Json(to_json(&view)?).into_response())
}

async fn change(
    door: &PoolDoor,
    caller: &Caller,
    changes: Vec<LimitChange>,
    lasts: Option<Duration>,
    reason: &str,
) -> Result<(), Problem> {
    let store = &door.pool.store;
    let reason = limiter::reason(reason).map_err(|fault| Problem::faults(&[fault]))?.to_owned();
    let by = caller.name.clone();
    store.change_limits(&LimitChanges { changes, lasts, by, reason }).await?;
    Ok(())
}

fn class(word: Option<&str>) -> Result<Option<SlotClass>, Problem> {
    let Some(word) = word else { return Ok(None) };
    let known = || SlotClass::ALL.map(SlotClass::word).join(", ");
    SlotClass::from_word(word).map(Some).ok_or_else(|| unknown("/class", word, known()))
}

fn unknown(pointer: &str, word: &str, known: String) -> Problem {
    let what = format!("{:?} is not known", word.chars().take(40).collect::<String>());
    let fault = Fault::new(pointer, "value-not-allowed", what, "choose among them");
    Problem::faults(&[fault.allowing(known)])
}
