//! `/v1/keys`: an admin's keys for its tenant, and an operator's for every tenant.

use super::body::{Given, MayGive};
use super::page::Page;
use super::query::Asked;
use crate::app::App;
use crate::caller::Caller;
use crate::problem::Problem;
use access::{ANY_TENANT, ApiKey, KeyId, KeySpec, Mode, NAME_CHARS_MAX, Scope, Secret, Source};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use job::Timestamp;
use seedance::Fault;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use store::{EndWhy, KnownKey, Minted, Revoked};
use utoipa::{IntoParams, ToSchema};

/// How long the older key of a rotation lives on unless said otherwise.
const OVERLAP_S: u64 = 24 * 3_600;
/// Longest overlap: a rotation that never ends is none.
const OVERLAP_S_MAX: u64 = 30 * 24 * 3_600;
const SOURCES_MAX: usize = 50;

/// An API key. Its secret is shown by the answer that made it and never again.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Key)]
pub(super) struct KeyView {
    /// Its public part.
    id: String,
    /// Always `key`.
    object: &'static str,
    name: String,
    /// For whom it speaks; `*`: for the fleet's operators.
    tenant: String,
    /// `live` or `test`: test keys reach simulated pools only, live keys all others only.
    mode: String,
    /// What it may do.
    scopes: Vec<String>,
    /// Where it may be used from; empty: everywhere.
    sources: Vec<String>,
    /// `live`, or why it has ended: `expires`, `rotated` or `revoked`.
    state: String,
    #[schema(nullable = true, format = DateTime)]
    ends_at: Option<String>,
    /// To the minute.
    #[schema(nullable = true, format = DateTime)]
    used_at: Option<String>,
    #[schema(nullable = true, format = DateTime)]
    created_at: Option<String>,
    created_by: String,
    /// The key it took over from.
    rotated_from: Option<String>,
    /// The whole key, in the answer that made it only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    key: Option<String>,
    /// When the key it took over from ends, in the answer to a rotation.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    old_ends_at: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListAsked {
    /// Keys of this tenant only; an operator's question.
    tenant: Option<String>,
}

/// A key that is wanted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewKey)]
pub(super) struct Wanted {
    /// What it is for.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// For whom it speaks; the caller's own tenant if not given. Only an operator may name another.
    #[schema(nullable = true, pattern = r"^(\*|[A-Za-z0-9._-]{1,64})$")]
    tenant: Option<String>,
    #[schema(value_type = ModeWord, inline)]
    mode: String,
    /// What it may do; at least one.
    #[schema(value_type = Vec<ScopeWord>, inline, min_items = 1, max_items = 8)]
    scopes: Vec<String>,
    /// Addresses or ranges it may be used from.
    #[serde(default)]
    #[schema(max_items = 50)]
    sources: Vec<String>,
    /// When it ends by itself.
    #[schema(nullable = true, format = DateTime)]
    expires_at: Option<String>,
}

/// Test keys reach simulated pools only, live keys all others only.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[allow(dead_code, reason = "describes a word, which is read by hand to tell its fault")]
enum ModeWord {
    Live,
    Test,
}

#[derive(ToSchema)]
#[allow(dead_code, reason = "describes a word, which is read by hand to tell its fault")]
enum ScopeWord {
    #[schema(rename = "jobs:write")]
    JobsWrite,
    #[schema(rename = "jobs:read")]
    JobsRead,
    #[schema(rename = "review")]
    Review,
    #[schema(rename = "admin")]
    Admin,
}

/// How to rotate.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = KeyRotation)]
pub(super) struct Rotation {
    /// Seconds for which the older key lives on; a day if not given.
    #[schema(nullable = true, minimum = 0, maximum = 2_592_000)]
    overlap_s: Option<u64>,
}

/// List keys.
///
/// Newest first, ended ones included for 90 days.
#[utoipa::path(
    get,
    path = "/v1/keys",
    operation_id = "list_keys",
    tag = "keys",
    params(ListAsked),
    responses((status = 200, description = "The tenant's keys; to an operator all.", body = Page<KeyView>))
)]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Asked(asked): Asked<ListAsked>,
) -> Result<Response, Problem> {
    caller.needs(Scope::Admin)?;
    let known = app.callers.fleet().api_keys().await;
    let known = known.map_err(|error| Problem::unavailable(&error))?;
    let wanted = |key: &&KnownKey| {
        let tenant = &key.key.spec.tenant;
        caller.manages(&key.key.spec) && asked.tenant.as_ref().is_none_or(|asked| asked == tenant)
    };
    let keys = known.iter().filter(wanted).map(view).collect();
    Ok(Json(Page::whole(keys)).into_response())
}

/// Make a key.
///
/// The answer shows it once; it is not stored and cannot be shown again.
#[utoipa::path(
    post,
    path = "/v1/keys",
    operation_id = "create_key",
    tag = "keys",
    request_body = Wanted,
    responses(
        (status = 201, description = "The key, with its secret.", body = KeyView),
        (status = 409, response = Problem),
    )
)]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    Given(wanted): Given<Wanted>,
) -> Result<Response, Problem> {
    caller.needs(Scope::Admin)?;
    let (spec, ends) = judged(&caller, wanted)?;
    let secret = Secret::draw(spec.mode);
    let key = ApiKey { id: secret.id().clone(), sha256: secret.sha256(), spec, rotated_from: None };
    let now = app.callers.fleet().now().await.map_err(|error| Problem::unavailable(&error))?;
    if ends.is_some_and(|at| at <= now) {
        let fault =
            fault("/expires_at", "out-of-range", "the instant has passed", "give a later one");
        return Err(Problem::faults(&[fault]));
    }
    made(&app, &caller, &secret, &key, ends, Duration::ZERO).await
}

/// Rotate a key.
///
/// Makes a key that takes over its name, tenant, mode, scopes and sources. Both live until the overlap is over; then the
/// older one ends by itself.
#[utoipa::path(
    post,
    path = "/v1/keys/{id}:rotate",
    operation_id = "rotate_key",
    tag = "keys",
    params(("id" = String, Path, description = "The key's id.")),
    request_body = Option<Rotation>,
    responses(
        (status = 201, description = "The new key, with its secret.", body = KeyView),
        (status = 409, response = Problem),
    )
)]
pub(super) async fn rotate(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    MayGive(wanted): MayGive<Rotation>,
) -> Result<Response, Problem> {
    caller.needs(Scope::Admin)?;
    let overlap_s = wanted.overlap_s.unwrap_or(OVERLAP_S);
    if overlap_s > OVERLAP_S_MAX {
        let what = format!("{overlap_s} is too long");
        let fault = fault("/overlap_s", "out-of-range", &what, "choose a shorter overlap");
        return Err(Problem::faults(&[fault.allowing(format!("0 to {OVERLAP_S_MAX} seconds"))]));
    }
    let old = own(&app, &caller, &id).await?;
    let spec = KeySpec { created_by: caller.name.clone(), ..old.key.spec.clone() };
    let secret = Secret::draw(spec.mode);
    let (id, sha256) = (secret.id().clone(), secret.sha256());
    let key = ApiKey { id, sha256, spec, rotated_from: Some(old.key.id) };
    let overlap = Duration::from_secs(overlap_s);
    made(&app, &caller, &secret, &key, None, overlap).await
}

/// Revoke a key.
///
/// Every gateway refuses it within 2 seconds. Doing it twice is the same as once.
#[utoipa::path(
    delete,
    path = "/v1/keys/{id}",
    operation_id = "revoke_key",
    tag = "keys",
    params(("id" = String, Path, description = "The key's id.")),
    responses((status = 204, description = "It has ended."))
)]
pub(super) async fn revoke(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    caller.needs(Scope::Admin)?;
    let key = own(&app, &caller, &id).await?;
    let revoked = app.callers.fleet().revoke(&key.key.id).await;
    match revoked.map_err(|error| Problem::unavailable(&error))? {
        Revoked::Now | Revoked::Before => {
            told(&caller, &key.key, "a key was revoked");
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        Revoked::Gone => Err(no_such_key()),
    }
}

/// Writes the key down and shows it, once.
async fn made(
    app: &App,
    caller: &Caller,
    secret: &Secret,
    key: &ApiKey,
    ends: Option<Timestamp>,
    overlap: Duration,
) -> Result<Response, Problem> {
    let minted = app.callers.fleet().mint(key, ends, overlap).await;
    match minted.map_err(|error| Problem::unavailable(&error))? {
        Minted::Done { at, old_ends } => {
            told(caller, key, "a key was made");
            let end = ends.map(|at| (at, EndWhy::Expires));
            let (created_at, used_at) = (Some(at), None);
            let known = KnownKey { key: key.clone(), created_at, end, used_at, now: at };
            let mut shown = view(&known);
            shown.key = Some(secret.reveal().to_owned());
            shown.old_ends_at = old_ends.map(Timestamp::rfc3339);
            let mut response = (StatusCode::CREATED, Json(shown)).into_response();
            let no_store = HeaderValue::from_static("no-store");
            response.headers_mut().insert(header::CACHE_CONTROL, no_store);
            Ok(response)
        }
        Minted::Gone => Err(no_such_key()),
        Minted::Ended => {
            let title = "the key has an end already: rotate its successor, or make a new key";
            Err(Problem::new(StatusCode::CONFLICT, "key-ended", title))
        }
        Minted::Full => {
            let title = "there are as many keys as may be; ended ones are forgotten after 90 days";
            Err(Problem::new(StatusCode::CONFLICT, "too-many-keys", title))
        }
    }
}

/// Who did what to which key, for the log.
fn told(caller: &Caller, key: &ApiKey, what: &str) {
    let by_key = caller.key.as_ref().map_or("configured", KeyId::as_str);
    let (tenant, by) = (&key.spec.tenant, &caller.name);
    tracing::info!(key = %key.id, tenant, by, by_key, source = %caller.source, "{what}");
}

/// A key the caller may manage; those of others are as good as not there.
async fn own(app: &App, caller: &Caller, id: &str) -> Result<KnownKey, Problem> {
    let id = KeyId::parse(id).map_err(|_| no_such_key())?;
    let known = app.callers.fleet().api_key(&id).await;
    let known = known.map_err(|error| Problem::unavailable(&error))?.ok_or_else(no_such_key)?;
    if caller.manages(&known.key.spec) { Ok(known) } else { Err(no_such_key()) }
}

fn no_such_key() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not-found", "there is no such key")
}

/// Every fault at once.
fn judged(caller: &Caller, wanted: Wanted) -> Result<(KeySpec, Option<Timestamp>), Problem> {
    let mut faults = Vec::new();
    let name = wanted.name.trim().to_owned();
    if name.is_empty()
        || name.chars().count() > NAME_CHARS_MAX
        || name.chars().any(char::is_control)
    {
        let allowed = format!("1 to {NAME_CHARS_MAX} characters without control characters");
        let what = "the name is not usable";
        faults.push(fault("/name", "name-invalid", what, "choose another").allowing(allowed));
    }
    let tenant = wanted.tenant.unwrap_or_else(|| caller.tenant.clone());
    if tenant != ANY_TENANT && !access::is_tenant(&tenant) {
        let what = format!("{tenant:?} names no tenant");
        let allowed = "1 to 64 of letters, digits and . _ -";
        faults.push(fault("/tenant", "name-invalid", &what, "choose another").allowing(allowed));
    } else if !caller.speaks_for(&tenant) {
        let title = "only a key of tenant * makes keys for other tenants";
        return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", title));
    }
    let mode = Mode::parse(&wanted.mode);
    if mode.is_none() {
        let what = format!("{:?} is no mode", shortened(&wanted.mode));
        faults.push(
            fault("/mode", "value-not-allowed", &what, "choose one").allowing("live or test"),
        );
    }
    let scopes = scopes(&wanted.scopes, &mut faults);
    let sources = sources(&wanted.sources, &mut faults);
    let ends = wanted.expires_at.as_deref().and_then(|text| {
        let at = Timestamp::parse_rfc3339(text).ok();
        if at.is_none() {
            let what = "this is no instant";
            faults.push(fault(
                "/expires_at",
                "wrong-type",
                what,
                "write it like 2027-01-31T00:00:00Z",
            ));
        }
        at
    });
    match mode {
        Some(mode) if faults.is_empty() => {
            let created_by = caller.name.clone();
            let spec = KeySpec { name, tenant, mode, scopes, sources, created_by };
            if caller.manages(&spec) {
                return Ok((spec, ends));
            }
            let title = "a test key manages test keys only";
            Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", title))
        }
        Some(_) | None => Err(Problem::faults(&faults)),
    }
}

fn scopes(wanted: &[String], faults: &mut Vec<Fault>) -> Vec<Scope> {
    let mut scopes = Vec::new();
    for (at, word) in wanted.iter().take(2 * Scope::ALL.len()).enumerate() {
        match Scope::parse(word) {
            Ok(scope) => scopes.push(scope),
            Err(error) => {
                let (at, what) = (format!("/scopes/{at}"), error.to_string());
                faults.push(fault(&at, "value-not-allowed", &what, "choose among them"));
            }
        }
    }
    if wanted.is_empty() || wanted.len() > 2 * Scope::ALL.len() {
        let what = "a key has one to four scopes";
        faults.push(fault("/scopes", "out-of-range", what, "name those it needs"));
    }
    scopes.sort();
    scopes.dedup();
    scopes
}

fn sources(wanted: &[String], faults: &mut Vec<Fault>) -> Vec<Source> {
    if wanted.len() > SOURCES_MAX {
        let what = format!("more than {SOURCES_MAX} ranges");
        faults.push(fault("/sources", "too-many-entries", &what, "join ranges"));
    }
    let mut sources = Vec::new();
    for (at, text) in wanted.iter().take(SOURCES_MAX).enumerate() {
        match Source::parse(text) {
            Ok(source) => sources.push(source),
            Err(error) => {
                let (at, what) = (format!("/sources/{at}"), error.to_string());
                faults.push(fault(&at, "value-not-allowed", &what, "mend it"));
            }
        }
    }
    sources
}

fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}

fn fault(pointer: &str, code: &'static str, message: &str, fix: &str) -> Fault {
    Fault::new(pointer, code, message, fix)
}

fn view(known: &KnownKey) -> KeyView {
    let spec = &known.key.spec;
    let state = match known.end {
        Some((at, why)) if at <= known.now => why.word(),
        Some(_) | None => "live",
    };
    KeyView {
        id: known.key.id.to_string(),
        object: "key",
        name: spec.name.clone(),
        tenant: spec.tenant.clone(),
        mode: spec.mode.word().to_owned(),
        scopes: spec.scopes.iter().map(|scope| scope.word().to_owned()).collect(),
        sources: spec.sources.iter().map(ToString::to_string).collect(),
        state: state.to_owned(),
        ends_at: known.end.map(|end| end.0.rfc3339()),
        used_at: known.used_at.map(Timestamp::rfc3339),
        created_at: known.created_at.map(Timestamp::rfc3339),
        created_by: spec.created_by.clone(),
        rotated_from: known.key.rotated_from.as_ref().map(ToString::to_string),
        key: None,
        old_ends_at: None,
    }
}
