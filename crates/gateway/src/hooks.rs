//! Webhook endpoints: `/v1/webhook-endpoints`, their deliveries, and telling them again.

mod checks;
mod forms;

use crate::api::{Asked, Given, MayGive, Page, PageAsked};
use crate::app::{App, PoolDoor};
use crate::caller::Caller;
use crate::problem::Problem;
use crate::settings::Scope;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use checks::{check_description, default_types, invalid, secret, types};
use forms::{
    DeliveryView, EndpointPatch, EndpointView, NewEndpoint, ReplayAsked, ReplayView, Rotation,
    TestView,
};
use job::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use store::{ENDPOINTS_MAX, Endpoint, EndpointPut, EndpointState, HookEvent, HookSecret, Mark};

/// How long the old secret signs beside the new one, unless a rotation says otherwise.
const OVERLAP: Duration = Duration::from_secs(24 * 3_600);
/// The longest it may.
const OVERLAP_MAX: Duration = Duration::from_secs(30 * 24 * 3_600);
/// Changes that may come between our look and our write before we give up.
const RACES_MAX: u32 = 4;

/// Make a webhook endpoint.
///
/// The secret is told in this answer and never again.
#[utoipa::path(
    post,
    path = "/v1/webhook-endpoints",
    operation_id = "create_webhook_endpoint",
    tag = "webhooks",
    request_body = NewEndpoint,
    responses((status = 201, description = "A new endpoint, with its secret.", body = EndpointView), (status = 409, response = Problem)),
)]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    Given(asked): Given<NewEndpoint>,
) -> Result<Response, Problem> {
    let door = app.enter(&caller, Scope::JobsWrite)?;
    check_url(&app, &asked.url)?;
    check_description(&asked.description)?;
    let secret = secret(asked.secret)?;
    let now = door.pool.store.now().await?;
    let endpoint = Endpoint {
        id: format!("whe_{}", ulid::Ulid::generate()),
        tenant: caller.tenant.clone(),
        url: asked.url,
        types: types(asked.types)?.unwrap_or_else(default_types),
        description: asked.description,
        secrets: vec![HookSecret { text: secret.clone(), until: None }],
        secret_ref: None,
        created_by: caller.name.clone(),
        created_at: now,
    };
    match door.pool.store.put_endpoint(&endpoint, 0).await? {
        EndpointPut::Done(_) | EndpointPut::Stale => {}
        EndpointPut::Full | EndpointPut::Gone => {
            let title = format!("a tenant has {ENDPOINTS_MAX} webhook endpoints at most");
            return Err(Problem::new(StatusCode::CONFLICT, "too-many-endpoints", title)
                .detail("remove one that is not needed any more"));
        }
    }
    let path =
        format!("{}/v1/webhook-endpoints/{}", app.public_url.trim_end_matches('/'), endpoint.id);
    let mut view = shown(door, &caller, &endpoint.id).await?;
    view.secret = Some(secret);
    let mut response = (StatusCode::CREATED, Json(view)).into_response();
    if let Ok(location) = HeaderValue::from_str(&path) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// List your webhook endpoints.
#[utoipa::path(
    get,
    path = "/v1/webhook-endpoints",
    operation_id = "list_webhook_endpoints",
    tag = "webhooks",
    responses((status = 200, description = "All of them, oldest first.", body = Page<EndpointView>)),
)]
pub(crate) async fn list(State(app): State<Arc<App>>, caller: Caller) -> Result<Response, Problem> {
    let door = app.enter(&caller, Scope::JobsRead)?;
    let states = door.pool.store.endpoints(&caller.tenant).await?;
    let now = door.pool.store.now().await?;
    let endpoints = states.iter().map(|state| EndpointView::of(state, now)).collect();
    Ok(Json(Page::whole(endpoints)).into_response())
}

/// Look at a webhook endpoint.
#[utoipa::path(
    get,
    path = "/v1/webhook-endpoints/{id}",
    operation_id = "get_webhook_endpoint",
    tag = "webhooks",
    params(("id" = String, Path, description = "The endpoint.")),
    responses((status = 200, description = "The endpoint and how it stands.", body = EndpointView)),
)]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let door = app.enter(&caller, Scope::JobsRead)?;
    Ok(Json(shown(door, &caller, &id).await?).into_response())
}

/// Change a webhook endpoint.
#[utoipa::path(
    patch,
    path = "/v1/webhook-endpoints/{id}",
    operation_id = "change_webhook_endpoint",
    tag = "webhooks",
    params(("id" = String, Path, description = "The endpoint.")),
    request_body = EndpointPatch,
    responses((status = 200, description = "As it is from here on.", body = EndpointView), (status = 409, response = Problem)),
)]
pub(crate) async fn change(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    Given(asked): Given<EndpointPatch>,
) -> Result<Response, Problem> {
    let door = app.enter(&caller, Scope::JobsWrite)?;
    if let Some(url) = &asked.url {
        check_url(&app, url)?;
    }
    check_description(asked.description.as_deref().unwrap_or_default())?;
    let types = types(asked.types)?;
    edit(door, &caller, &id, |endpoint| {
        endpoint.url = asked.url.clone().unwrap_or_else(|| endpoint.url.clone());
        endpoint.types = types.clone().unwrap_or_else(|| endpoint.types.clone());
        if let Some(description) = &asked.description {
            endpoint.description.clone_from(description);
        }
    })
    .await?;
    let store = &door.pool.store;
    match asked.disabled {
        Some(true) => drop(store.disable_endpoint(&id, &caller.tenant).await?),
        Some(false) => drop(store.enable_endpoint(&id, &caller.tenant).await?),
        None => {}
    }
    Ok(Json(shown(door, &caller, &id).await?).into_response())
}

/// Remove a webhook endpoint, with what it has still to be told.
#[utoipa::path(
    delete,
    path = "/v1/webhook-endpoints/{id}",
    operation_id = "remove_webhook_endpoint",
    tag = "webhooks",
    params(("id" = String, Path, description = "The endpoint.")),
    responses((status = 204, description = "It is gone.")),
)]
pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let door = app.enter(&caller, Scope::JobsWrite)?;
    find(door, &caller, &id).await?;
    door.pool.store.drop_endpoint(&id, &caller.tenant).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Give a webhook endpoint a new secret.
///
/// The old one signs beside it for a day, or as long as you say.
#[utoipa::path(
    post,
    path = "/v1/webhook-endpoints/{id}:rotate",
    operation_id = "rotate_webhook_secret",
    tag = "webhooks",
    params(("id" = String, Path, description = "The endpoint.")),
    request_body = Option<Rotation>,
    responses((status = 200, description = "The endpoint, with its new secret.", body = EndpointView), (status = 409, response = Problem)),
)]
pub(crate) async fn rotate(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    MayGive(asked): MayGive<Rotation>,
) -> Result<Response, Problem> {
    let door = app.enter(&caller, Scope::JobsWrite)?;
    let overlap = asked.overlap_s.map_or(OVERLAP, Duration::from_secs);
    if overlap > OVERLAP_MAX {
        let most = OVERLAP_MAX.as_secs();
        return Err(invalid("overlap_s", format!("0 to {most} seconds are allowed")));
    }
    let secret = secret(asked.secret)?;
    let until = door.pool.store.now().await? + overlap;
    edit(door, &caller, &id, |endpoint| {
        // Two sign at most: the newest of the old ones, and the new one.
        endpoint.secrets.truncate(1);
        for old in &mut endpoint.secrets {
            old.until = Some(until);
        }
        endpoint.secrets.insert(0, HookSecret { text: secret.clone(), until: None });
    })
    .await?;
    let mut view = shown(door, &caller, &id).await?;
    view.secret = Some(secret);
    Ok(Json(view).into_response())
}

/// Send a webhook endpoint a test event.
#[utoipa::path(
    post,
    path = "/v1/webhook-endpoints/{id}:test",
    operation_id = "test_webhook_endpoint",
    tag = "webhooks",
    params(("id" = String, Path, description = "The endpoint.")),
    responses((status = 202, description = "It is on its way.", body = TestView), (status = 409, response = Problem)),
)]
pub(crate) async fn test(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let door = app.enter(&caller, Scope::JobsWrite)?;
    find(door, &caller, &id).await?;
    let at = door.pool.store.now().await?;
    let event = HookEvent::test(&id, at);
    let told = TestView {
        object: "webhook_test",
        event: event.id.clone(),
        deliveries: deliveries_path(&id),
    };
    tell(door, &id, event).await?;
    Ok((StatusCode::ACCEPTED, Json(told)).into_response())
}

/// Switch a webhook endpoint on; what waits for it is sent.
#[utoipa::path(
    post,
    path = "/v1/webhook-endpoints/{id}:enable",
    operation_id = "enable_webhook_endpoint",
    tag = "webhooks",
    params(("id" = String, Path, description = "The endpoint.")),
    responses((status = 200, description = "As it is from here on.", body = EndpointView)),
)]
pub(crate) async fn enable(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let door = app.enter(&caller, Scope::JobsWrite)?;
    find(door, &caller, &id).await?;
    door.pool.store.enable_endpoint(&id, &caller.tenant).await?;
    Ok(Json(shown(door, &caller, &id).await?).into_response())
}

/// Tell a webhook endpoint again what happened.
///
/// The stream of events is kept for a day; `kept_from` tells when it does not reach back so far.
#[utoipa::path(
    post,
    path = "/v1/webhook-endpoints/{id}:replay",
    operation_id = "replay_webhook_events",
    tag = "webhooks",
    params(("id" = String, Path, description = "The endpoint.")),
    request_body = ReplayAsked,
    responses((status = 202, description = "So many events are on their way.", body = ReplayView)),
)]
pub(crate) async fn replay(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    Given(asked): Given<ReplayAsked>,
) -> Result<Response, Problem> {
    let door = app.enter(&caller, Scope::JobsWrite)?;
    let instant =
        |name: &str, text: &str| Timestamp::parse_rfc3339(text).map_err(|why| invalid(name, why));
    let state = find(door, &caller, &id).await?;
    let since = instant("since", &asked.since)?;
    let until = match &asked.until {
        Some(until) => instant("until", until)?,
        None => door.pool.store.now().await?,
    };
    let chosen = types(asked.types)?.unwrap_or_else(|| state.endpoint.types.clone());
    let chooser = Endpoint { types: chosen, ..state.endpoint.clone() };
    let done = door.pool.store.replay(&state.endpoint, (since, until), |kind| chooser.takes(kind));
    let done = done.await?;
    let told = ReplayView::of(&done, deliveries_path(&id));
    Ok((StatusCode::ACCEPTED, Json(told)).into_response())
}

/// Look at the deliveries of a webhook endpoint, newest first.
#[utoipa::path(
    get,
    path = "/v1/webhook-endpoints/{id}/deliveries",
    operation_id = "list_webhook_deliveries",
    tag = "webhooks",
    params(("id" = String, Path, description = "The endpoint."), PageAsked),
    responses((status = 200, description = "One page.", body = Page<DeliveryView>)),
)]
pub(crate) async fn deliveries(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    Asked(page): Asked<PageAsked>,
) -> Result<Response, Problem> {
    let door = app.enter(&caller, Scope::JobsRead)?;
    find(door, &caller, &id).await?;
    let (limit, before) = (page.limit()?, page.place::<Mark>()?);
    let lines = door.pool.store.deliveries(&id, before, limit).await?;
    let full = lines.len() == limit;
    let next = lines.last().and_then(|line| delivery_parts(&line.id)).filter(|_| full);
    let next = next.map(|(_, mark)| mark.to_string());
    let items = lines.into_iter().map(DeliveryView::from).collect();
    Ok(Json(Page::new(items, next)).into_response())
}

/// Send one delivery again.
#[utoipa::path(
    post,
    path = "/v1/deliveries/{id}:replay",
    operation_id = "replay_webhook_delivery",
    tag = "webhooks",
    params(("id" = String, Path, description = "The delivery.")),
    responses((status = 202, description = "It is on its way.", body = ReplayView), (status = 409, response = Problem)),
)]
pub(crate) async fn deliver_again(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let door = app.enter(&caller, Scope::JobsWrite)?;
    let no_such = || Problem::new(StatusCode::NOT_FOUND, "not-found", "there is no such delivery");
    let (endpoint, mark) = delivery_parts(&id).ok_or_else(no_such)?;
    find(door, &caller, endpoint).await.map_err(|_| no_such())?;
    let line = door.pool.store.delivery(endpoint, mark).await?.ok_or_else(no_such)?;
    let told = ReplayView::one(line.event.id.clone(), deliveries_path(endpoint));
    tell(door, endpoint, HookEvent { replayed: true, ..line.event }).await?;
    Ok((StatusCode::ACCEPTED, Json(told)).into_response())
}

async fn find(door: &PoolDoor, caller: &Caller, id: &str) -> Result<EndpointState, Problem> {
    let found = door.pool.store.endpoint(id, &caller.tenant).await?;
    found.ok_or_else(|| {
        Problem::new(StatusCode::NOT_FOUND, "not-found", "there is no such webhook endpoint")
    })
}

async fn shown(door: &PoolDoor, caller: &Caller, id: &str) -> Result<EndpointView, Problem> {
    let state = find(door, caller, id).await?;
    let now = door.pool.store.now().await?;
    Ok(EndpointView::of(&state, now))
}

/// Reads, changes and writes; again if somebody else did so meanwhile.
async fn edit(
    door: &PoolDoor,
    caller: &Caller,
    id: &str,
    change: impl Fn(&mut Endpoint),
) -> Result<(), Problem> {
    for _ in 0..RACES_MAX {
        let EndpointState { mut endpoint, revision, .. } = find(door, caller, id).await?;
        change(&mut endpoint);
        match door.pool.store.put_endpoint(&endpoint, revision).await? {
            EndpointPut::Done(_) => return Ok(()),
            EndpointPut::Stale | EndpointPut::Full | EndpointPut::Gone => {}
        }
    }
    let title = "others are changing this endpoint";
    Err(Problem::new(StatusCode::CONFLICT, "conflict", title).detail("try again").retryable())
}

async fn tell(door: &PoolDoor, id: &str, event: HookEvent) -> Result<(), Problem> {
    if door.pool.store.tell_endpoint(id, event).await? {
        return Ok(());
    }
    let title = "this endpoint is disabled, or its outbox is full";
    Err(Problem::new(StatusCode::CONFLICT, "endpoint-disabled", title)
        .detail(format!("mend what is wrong, then POST /v1/webhook-endpoints/{id}:enable")))
}

/// The endpoint and the place in its log.
pub(crate) fn delivery_parts(id: &str) -> Option<(&str, Mark)> {
    let (endpoint, mark) = id.strip_prefix("dlv_")?.rsplit_once('_')?;
    Some((endpoint, mark.parse().ok()?))
}

fn deliveries_path(id: &str) -> String {
    format!("/v1/webhook-endpoints/{id}/deliveries")
}

fn check_url(app: &App, url: &str) -> Result<(), Problem> {
    app.webhook_rules.check(url).map_err(|refused| invalid("url", refused.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_is_found_by_its_id() {
        let parts = delivery_parts("dlv_whe_01J_1790000000000-3").unwrap();
        assert_eq!((parts.0, parts.1.to_string().as_str()), ("whe_01J", "1790000000000-3"));
        assert!(delivery_parts("dlv_whe").is_none() && delivery_parts("x").is_none());
    }
}
