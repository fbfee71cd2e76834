//! `/ui/webhooks`: who hears the news, what each was told, and telling it again.

use super::answer::{Shown, Trouble, done, page};
use super::session::{Deed, Visitor};
use super::{jobs, sight};
use crate::app::{App, PoolDoor};
use crate::hooks::delivery_parts;
use axum::extract::{Path, Query, State};
use dashboard::screens::webhooks::{Delivery, Endpoint, Row, Webhooks};
use dashboard::{Notice, Viewer};
use job::JobId;
use std::collections::BTreeSet;
use std::sync::Arc;
use store::{DeliveryLine, EndpointState, HookEvent};

/// Tenants whose endpoints are looked up for one page.
const TENANTS_MAX: usize = 200;
/// Deliveries on an endpoint's page.
const DELIVERIES: usize = 100;

pub(super) async fn list(State(app): State<Arc<App>>, visitor: Visitor) -> Shown {
    let viewer = &visitor.viewer;
    let doors = sight::pools(&app, viewer)?;
    let now = sight::now(&doors).await?;
    let mut tenants: BTreeSet<String> = viewer.tenant.iter().cloned().collect();
    if viewer.tenant.is_none() {
        tenants.extend(app.tenant_names());
        for door in &doors {
            tenants.extend(door.pool.store.tenants().await?.into_keys());
        }
    }
    let mut rows = Vec::new();
    for tenant in tenants.iter().take(TENANTS_MAX) {
        for door in &doors {
            rows.extend(door.pool.store.endpoints(tenant).await?.into_iter().map(row));
        }
    }
    Ok(page(Webhooks { viewer, now, rows: &rows }.page()))
}

/// How an endpoint stands. Its query may hold what only its owner should know.
fn row(state: EndpointState) -> Row {
    let EndpointState { endpoint, off, why, waiting, next_at, .. } = state;
    let word = |why: &str| match why {
        "gone" => "it answered that it is gone".to_owned(),
        "failing" => "every try of a day failed".to_owned(),
        "full" => "too much waited for it".to_owned(),
        "asked" => "switched off by a person".to_owned(),
        "secret" => "the secret it names is no more".to_owned(),
        other => other.to_owned(),
    };
    Row {
        url: endpoint.url.split(['?', '#']).next().unwrap_or_default().to_owned(),
        id: endpoint.id,
        tenant: endpoint.tenant,
        description: endpoint.description,
        types: endpoint.types,
        off: off.map(|off| (word(&off.why), off.at)),
        waiting,
        trouble: why.filter(|why| !why.is_empty()),
        next_at,
    }
}

/// An endpoint this person may see; any other is as good as none.
async fn find<'a>(
    app: &'a App,
    viewer: &Viewer,
    id: &str,
) -> Result<(&'a PoolDoor, EndpointState), Trouble> {
    for door in sight::pools(app, viewer)? {
        let found = door.pool.store.endpoints_by_id(&[id.to_owned()]).await?.pop().flatten();
        if let Some(state) = found
            && viewer.tenant.as_ref().is_none_or(|tenant| state.endpoint.tenant == *tenant)
        {
            return Ok((door, state));
        }
    }
    Err(Trouble::missing())
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(id): Path<String>,
    Query(said): Query<jobs::Said>,
) -> Shown {
    let viewer = &visitor.viewer;
    let (door, state) = find(&app, viewer, &id).await?;
    let store = &door.pool.store;
    let deliveries = store.deliveries(&id, None, DELIVERIES).await?;
    let deliveries: Vec<Delivery> = deliveries.into_iter().map(delivery).collect();
    let (now, row, notice) = (store.now().await?, row(state), said.notice());
    Ok(page(Endpoint { viewer, notice, now, row: &row, deliveries: &deliveries }.page()))
}

fn delivery(line: DeliveryLine) -> Delivery {
    let DeliveryLine { id, at, event, status, took, attempt, result, why, .. } = line;
    Delivery {
        id,
        at,
        kind: event.kind,
        job: event.job.and_then(|job| JobId::parse(&job).ok()),
        result,
        status,
        took,
        attempt,
        why,
        replayed: event.replayed,
    }
}

pub(super) async fn act(
    State(app): State<Arc<App>>,
    Path((id, verb)): Path<(String, String)>,
    Deed { visitor, form }: Deed,
) -> Shown {
    let (door, state) = find(&app, &visitor.viewer, &id).await?;
    let (store, tenant) = (&door.pool.store, &state.endpoint.tenant);
    let told = |told: bool| if told { Notice::Telling } else { Notice::NotTold };
    let notice = match verb.as_str() {
        "enable" => {
            store.enable_endpoint(&id, tenant).await?;
            Notice::Enabled
        }
        "disable" => {
            store.disable_endpoint(&id, tenant).await?;
            Notice::Disabled
        }
        "test" => {
            let event = HookEvent::test(&id, store.now().await?);
            told(store.tell_endpoint(&id, event).await?)
        }
        "again" => {
            let parts = delivery_parts(form.get("delivery"));
            let (_, mark) = parts.filter(|(of, _)| *of == id).ok_or_else(Trouble::missing)?;
            let line = store.delivery(&id, mark).await?.ok_or_else(Trouble::missing)?;
            let event = HookEvent { replayed: true, ..line.event };
            told(store.tell_endpoint(&id, event).await?)
        }
        _ => return Err(Trouble::missing()),
    };
    tracing::info!(endpoint = %id, verb, by = visitor.viewer.name, "an endpoint was changed");
    Ok(done(&format!("/webhooks/{id}"), notice))
}
