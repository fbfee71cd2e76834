//! Deeds on jobs: one, or all that a filter finds.

use super::answer::{Shown, Trouble, again, done, page};
use super::session::{Deed, Fields};
use super::sight::{self, Fault, Search};
use crate::app::{App, PoolDoor};
use axum::extract::{Path, State};
use dashboard::screens::jobs::{Bulk, Confirm};
use dashboard::{Notice, Viewer};
use job::{By, Event, StateWord};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use store::{Decided, Reported, Stored};

/// Jobs that one form changes; the next form takes the rest.
const DEEDS_MAX: u64 = 5_000;
/// Jobs read at once.
const PAGE: usize = 200;

pub(super) async fn cancel(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Deed { visitor, form }: Deed,
) -> Shown {
    let (door, stored) = sight::find(&app, &visitor.viewer, &id).await?;
    let Some(reason) = form.reason() else {
        return Err(Trouble::refused("A reason is needed. Go back and give one."));
    };
    let notice = match ask(door, &stored, &visitor.viewer, &reason, "cancel").await? {
        Some(after) if after.record.life.state.word() == StateWord::Cancelled => Notice::Cancelled,
        Some(after) if after.record.life.cancel.is_some() => Notice::CancelAsked,
        Some(_) | None => Notice::TooLate,
    };
    Ok(done(&format!("/jobs/{}", stored.record.id), notice))
}

/// The wish to cancel, with its line in the audit; the record afterwards, where there is one.
async fn ask(
    door: &PoolDoor,
    stored: &Stored,
    viewer: &Viewer,
    reason: &str,
    verb: &str,
) -> Result<Option<Stored>, Trouble> {
    let by = By::named(&viewer.name);
    let event = Event::CancelAsked { by: by.clone() };
    let evidence = json!({ "state": stored.record.life.state.word().as_str() });
    let decided = Decided { by: &by, verb, reason, evidence: &evidence };
    let pool = &door.pool;
    let id = &stored.record.id;
    let told = pool.store.decide(id, &event, &pool.policy, &decided, &|_: &Stored| true).await?;
    Ok(match told {
        Reported::Written { stored, .. } | Reported::Ignored { stored, .. } => Some(*stored),
        Reported::Gone | Reported::Fenced | Reported::Owned { .. } => None,
    })
}

/// First the count, then, with a reason, the deed.
pub(super) async fn many(State(app): State<Arc<App>>, Deed { visitor, form }: Deed) -> Shown {
    let viewer = &visitor.viewer;
    let filter = form.get("where");
    let bulk = Bulk::parse(form.get("verb"))
        .ok_or_else(|| Trouble::refused("There is no such verb for many jobs."))?;
    let search = Search::read(filter, viewer).map_err(|Fault(fault)| Trouble::refused(fault))?;
    let doors = sight::pools(&app, viewer)?;
    if form.get("confirmed").is_empty() {
        return Ok(page(confirm(viewer, bulk, filter, &search, &doors, None).await?));
    }
    let Some(reason) = form.reason() else {
        let fault = Some("A reason is needed.");
        return Ok(again(confirm(viewer, bulk, filter, &search, &doors, fault).await?));
    };
    let (did, of) = cancel_all(viewer, &search, &doors, &reason, &form).await?;
    let path = format!("/jobs?where={}", super::answer::url_encoded(filter));
    Ok(done(&path, Notice::Many(did, of)))
}

/// Whether a wish to cancel can still change a job.
fn cancellable(stored: &Stored) -> bool {
    let life = &stored.record.life;
    !life.state.word().is_finished() && life.cancel.is_none()
}

async fn confirm(
    viewer: &Viewer,
    bulk: Bulk,
    filter: &str,
    search: &Search,
    doors: &[&PoolDoor],
    fault: Option<&str>,
) -> Result<String, Trouble> {
    let mut counts: BTreeMap<StateWord, u64> = BTreeMap::new();
    let (mut matching, mut cursor, mut more) = (0, None, false);
    loop {
        let found = search.page(doors, cursor.as_deref(), PAGE).await?;
        let found = found.map_err(|Fault(fault)| Trouble::refused(fault))?;
        matching += found.items.len() as u64;
        for stored in found.items.iter().filter(|stored| cancellable(stored)) {
            *counts.entry(stored.record.life.state.word()).or_default() += 1;
        }
        cursor = found.next;
        if cursor.is_none() {
            break;
        }
        if matching >= DEEDS_MAX {
            more = true;
            break;
        }
    }
    let counts = counts.into_iter().collect();
    Ok(Confirm { viewer, bulk, filter, matching, more, counts, fault }.page())
}

/// Those that stand as they were counted: at most as many as the person confirmed.
async fn cancel_all(
    viewer: &Viewer,
    search: &Search,
    doors: &[&PoolDoor],
    reason: &str,
    form: &Fields,
) -> Result<(u64, u64), Trouble> {
    let confirmed: u64 = form.get("confirmed").parse().unwrap_or(0).min(DEEDS_MAX);
    let (mut did, mut of, mut cursor) = (0, 0, None);
    'pages: loop {
        let found = search.page(doors, cursor.as_deref(), PAGE).await?;
        let found = found.map_err(|Fault(fault)| Trouble::refused(fault))?;
        for stored in found.items.iter().filter(|stored| cancellable(stored)) {
            if of == confirmed {
                break 'pages;
            }
            of += 1;
            let pool = &stored.record.spec.pool;
            let Some(door) = doors.iter().find(|door| door.pool.name == *pool) else { continue };
            let after = ask(door, stored, viewer, reason, "cancel all").await?;
            let moved = after.is_some_and(|after| {
                let life = &after.record.life;
                life.state.word() == StateWord::Cancelled || life.cancel.is_some()
            });
            did += u64::from(moved);
        }
        cursor = found.next;
        if cursor.is_none() {
            break;
        }
    }
    Ok((did, of))
}
