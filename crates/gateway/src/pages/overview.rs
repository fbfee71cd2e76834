//! Screens to read: audit, webhooks, workers, limits.

use super::answer::{Shown, Trouble, page};
use super::fleet::stop;
use super::session::Visitor;
use super::sight;
use crate::app::App;
use axum::extract::State;
use dashboard::Viewer;
use dashboard::screens::audit::{Audit, Line};
use dashboard::screens::limits::{self, Limits};
use dashboard::screens::webhooks::{Row, Webhooks};
use dashboard::screens::workers::{self, Workers};
use job::Step;
use seedance::SlotClass;
use std::sync::Arc;

/// Decisions on the page.
const LINES: usize = 200;

pub(super) async fn audit(State(app): State<Arc<App>>, visitor: Visitor) -> Shown {
    let viewer = &visitor.viewer;
    let doors = sight::pools(&app, viewer)?;
    let now = sight::now(&doors).await?;
    let mut lines = Vec::new();
    for door in doors {
        let decisions = door.pool.store.decisions(None, LINES).await?;
        let ids: Vec<_> = decisions.iter().map(|line| line.job.clone()).collect();
        let owned = door.pool.store.load_many(&ids).await?;
        for (line, owner) in decisions.into_iter().zip(owned) {
            // Whose decision this was about: a record that is gone is shown to those who see all.
            let tenant = owner.ok().flatten().map(|stored| stored.record.spec.tenant);
            if viewer.tenant.is_none() || viewer.tenant == tenant {
                let store::DecisionLine { at, by, verb, job, reason, result, .. } = line;
                lines.push(Line { at, by, verb, job: Some(job), reason, result });
            }
        }
    }
    lines.sort_by_key(|line| std::cmp::Reverse(line.at));
    Ok(page(Audit { viewer, now, lines: &lines }.page()))
}

pub(super) async fn webhooks(State(app): State<Arc<App>>, visitor: Visitor) -> Shown {
    let viewer = &visitor.viewer;
    let tenants = match &viewer.tenant {
        Some(tenant) => vec![tenant.clone()],
        None => app.tenant_names(),
    };
    let mut rows = Vec::new();
    for tenant in tenants {
        for door in sight::pools(&app, viewer)? {
            let states = door.pool.store.endpoints(&tenant).await?;
            rows.extend(states.into_iter().map(endpoint));
        }
    }
    Ok(page(Webhooks { viewer, rows: &rows }.page()))
}

/// How an endpoint stands. Its query may hold what only its owner should know.
fn endpoint(state: store::EndpointState) -> Row {
    let store::EndpointState { endpoint, off, why, waiting, .. } = state;
    let url = endpoint.url.split(['?', '#']).next().unwrap_or_default().to_owned();
    let word = off.map_or_else(|| "enabled".to_owned(), |off| format!("off: {}", off.why));
    Row { id: endpoint.id, tenant: endpoint.tenant, url, state: word, waiting, trouble: why }
}

/// Screens about the fleet itself are for those who run it.
fn fleet_wide(viewer: &Viewer) -> Result<(), Trouble> {
    match &viewer.tenant {
        None => Ok(()),
        Some(_) => Err(Trouble::forbidden(
            "This screen shows the whole fleet; a key that acts for one tenant does not see it.",
        )),
    }
}

pub(super) async fn workers(State(app): State<Arc<App>>, visitor: Visitor) -> Shown {
    let viewer = &visitor.viewer;
    fleet_wide(viewer)?;
    let mut rows = Vec::new();
    for door in sight::pools(&app, viewer)? {
        for depth in door.pool.store.depths().await? {
            rows.push(workers::Row {
                pool: door.pool.name.clone(),
                queue: depth.queue.word(),
                program: program(depth.queue.step()),
                waiting: depth.waiting,
                due: depth.due,
                leased: depth.leased,
            });
        }
    }
    Ok(page(Workers { viewer, rows: &rows }.page()))
}

const fn program(step: Step) -> &'static str {
    match step {
        Step::Submit => "submitter",
        Step::Settle | Step::Poll => "poller",
        Step::Download => "downloader",
        Step::Notify => "notifier",
    }
}

pub(super) async fn limits(State(app): State<Arc<App>>, visitor: Visitor) -> Shown {
    let viewer = &visitor.viewer;
    fleet_wide(viewer)?;
    let doors = sight::pools(&app, viewer)?;
    let now = sight::now(&doors).await?;
    let (mut rows, mut stops) = (Vec::new(), Vec::new());
    for door in doors {
        let used = door.pool.store.slots().await?;
        for (account, settings) in &door.pool.settings.accounts {
            for class in SlotClass::ALL {
                let allowed = settings.class_limits(class);
                let of = |slot: &job::Slot| slot.account == *account && slot.class == class;
                let own = used.iter().find(|(slot, _)| of(slot)).map_or(0, |(_, n)| *n);
                rows.push(limits::Row {
                    pool: door.pool.name.clone(),
                    account: account.clone(),
                    class: class.word().to_owned(),
                    used: u64::try_from(own).unwrap_or(0),
                    limit: u64::from(allowed.running),
                    create_rpm: u64::from(allowed.create_rpm),
                });
            }
        }
        stops.extend(door.pool.store.stops().await?.into_iter().map(stop));
    }
    Ok(page(Limits { viewer, now, rows: &rows, stops: &stops }.page()))
}
