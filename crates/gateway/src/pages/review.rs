//! `/ui/review`: what waits for a person before anything is paid.

use super::answer::{Shown, Trouble, again, done, page};
use super::job::cost;
use super::jobs;
use super::session::{Signed, Visitor};
use super::sight::{self, Fault, Search};
use crate::app::App;
use crate::settings::Scope;
use axum::extract::{Path, Query, State};
use dashboard::screens::review::Review;
use dashboard::{Notice, Role, Viewer};
use job::{By, Event, HeldWhy, StateWord};
use serde_json::{Value, json};
use std::sync::Arc;
use store::{Decided, Reported, Stored};

/// Held jobs on the page.
const CARDS: usize = 30;
/// Held jobs read at once, and looked through for those that wait for a person.
const PAGE: usize = 100;
const LOOKED_AT: usize = 1_000;

/// What is paused, or waits for budget, waits for nobody's judgment.
fn waits(stored: &Stored) -> bool {
    let state = &stored.record.life.state;
    !matches!(state, job::State::Held { why: HeldWhy::Paused { .. } | HeldWhy::Budget { .. } })
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Query(said): Query<jobs::Said>,
) -> Shown {
    Ok(page(written(&app, &visitor.viewer, said.notice(), None).await?))
}

async fn written(
    app: &App,
    viewer: &Viewer,
    notice: Option<Notice>,
    fault: Option<&str>,
) -> Result<String, Trouble> {
    let doors = sight::pools(app, viewer)?;
    let now = sight::now(&doors).await?;
    let held = Search::of_state(StateWord::Held, viewer);
    let (mut items, mut cursor, mut looked_at) = (Vec::new(), None, 0);
    loop {
        let found = held.page(&doors, cursor.as_deref(), PAGE).await?;
        let found = found.map_err(|Fault(fault)| Trouble::refused(fault))?;
        looked_at += found.items.len();
        cursor = found.next;
        items.extend(found.items.into_iter().filter(waits).map(|stored| {
            let door = app.pools.get(&stored.record.spec.pool);
            let cost = door.and_then(|door| cost(door, &stored.record));
            (stored.record, cost)
        }));
        if cursor.is_none() || items.len() >= CARDS || looked_at >= LOOKED_AT {
            break;
        }
    }
    let more = cursor.is_some() || items.len() > CARDS;
    items.truncate(CARDS);
    Ok(Review { viewer, notice, now, items: &items, more, fault }.page())
}

pub(super) async fn decide(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Signed { visitor, form }: Signed,
) -> Shown {
    visitor.needs(Role::reviews, Scope::Review)?;
    let viewer = &visitor.viewer;
    let (door, stored) = sight::find(&app, viewer, &id).await?;
    let Some(reason) = form.reason() else {
        let fault = "A reason is needed, for approving as well as for rejecting.";
        return Ok(again(written(&app, viewer, None, Some(fault)).await?));
    };
    let made_by = stored.record.spec.made_by.as_deref();
    if form.get("verb") == "approve" && !app.admission.may_approve(&viewer.name, made_by) {
        let fault = "You made this job: somebody else must approve it.";
        return Ok(again(written(&app, viewer, None, Some(fault)).await?));
    }
    let by = By::named(&viewer.name);
    let (event, verb, notice) = match form.get("verb") {
        "approve" => (Event::Approved { by: by.clone() }, "review approve", Notice::Approved),
        "reject" => {
            let event = Event::ReviewRejected { by: by.clone(), reason: reason.clone() };
            (event, "review reject", Notice::Rejected)
        }
        _ => return Err(Trouble::refused("A held job is approved or rejected, nothing else.")),
    };
    let shown = shown(&stored);
    let decided = Decided { by: &by, verb, reason: &reason, evidence: &shown };
    let pool = &door.pool;
    // What was asked never changes; only whether the job still waits can.
    let still = |now: &Stored| now.record.life.state.word() == StateWord::Held;
    let told = pool.store.decide(&stored.record.id, &event, &pool.policy, &decided, &still).await?;
    match told {
        Reported::Written { .. } => Ok(done("/review", notice)),
        Reported::Ignored { stored, .. } => {
            let word = stored.record.life.state.word().as_str();
            let fault = format!("This job does not wait any more: it is {word}.");
            Ok(again(written(&app, viewer, None, Some(&fault)).await?))
        }
        Reported::Gone | Reported::Fenced | Reported::Owned { .. } => Err(Trouble::missing()),
    }
}

/// What the person saw, for the audit: without prompt and consent, which an erasure must find in one place only.
fn shown(stored: &Stored) -> Value {
    let spec = &stored.record.spec;
    json!({
        "fingerprint": spec.fingerprint,
        "people": spec.people,
        "consent_stated": spec.consent_ref.is_some(),
    })
}
