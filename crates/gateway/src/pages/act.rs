//! Deeds on jobs: one, or all that a filter finds.

use super::answer::{Shown, Trouble, again, done, page};
use super::session::Deed;
use super::sight::{self, Fault, Search};
use super::{job, money, operations};
use crate::app::{App, PoolDoor};
use crate::problem::Problem;
use ::job::filter::Filter;
use ::job::{By, Event, Source, StateWord};
use admission::How;
use axum::extract::{Path, State};
use dashboard::screens::job::Again;
use dashboard::screens::jobs::{Bulk, Confirm};
use dashboard::{Notice, Viewer};
use seedance::Route;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use store::{Decided, Reported, Spent, Stored};

/// Jobs that are counted for a question, and pages read for it; there may be more of them.
const COUNTED_MAX: u64 = 5_000;
const COUNT_PAGES_MAX: usize = 50;
/// Jobs read at once.
const PAGE: usize = 200;

pub(super) async fn cancel(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Deed { visitor, form }: Deed,
) -> Shown {
    let (door, stored) = sight::find(&app, &visitor.viewer, &id).await?;
    let reason = form.needed_reason()?;
    let notice = match ask(door, &stored, &visitor.viewer, &reason).await? {
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
) -> Result<Option<Stored>, Trouble> {
    let by = By::named(&viewer.name);
    let event = Event::CancelAsked { by: by.clone() };
    let evidence = json!({ "state": stored.record.life.state.word().as_str() });
    let decided = Decided { by: &by, verb: "cancel", reason, evidence: &evidence };
    let pool = &door.pool;
    let id = &stored.record.id;
    let told = pool.store.decide(id, &event, &pool.policy, &decided, &|_: &Stored| true).await?;
    Ok(match told {
        Reported::Written { stored, .. } | Reported::Ignored { stored, .. } => Some(*stored),
        Reported::Gone | Reported::Fenced | Reported::Owned { .. } => None,
    })
}

/// The same request as a new job that buys a task of its own.
pub(super) async fn retry(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Deed { visitor, form }: Deed,
) -> Shown {
    let (door, stored) = sight::find(&app, &visitor.viewer, &id).await?;
    let reason = form.needed_reason()?;
    if form.get("accept_charge") != "true" {
        return Err(Trouble::refused("It may be charged, and that was not accepted."));
    }
    let old = &stored.record;
    if job::again(door, old) == Again::No {
        let word = old.life.state.word().as_str();
        return Err(Trouble::refused(format!("A job that is {word} cannot be run again.")));
    }
    let admitted = door.door.retry(old, Source::Api, Some(&visitor.viewer.name)).await;
    let admitted = admitted.map_err(|refusal| Problem::refused(&refusal))?;
    let by = By::named(&visitor.viewer.name);
    let evidence = json!({ "state": old.life.state.word().as_str() });
    let decided = Decided { by: &by, verb: "retry", reason: &reason, evidence: &evidence };
    door.pool.store.note_deed(&old.id, &decided, &format!("made again as {}", admitted.id)).await?;
    let notice = if admitted.how == How::Created { Notice::Retried } else { Notice::RetriedBefore };
    Ok(done(&format!("/jobs/{}", admitted.id), notice))
}

/// First the count, then, with a reason, the deed.
pub(super) async fn many(State(app): State<Arc<App>>, Deed { visitor, form }: Deed) -> Shown {
    let viewer = &visitor.viewer;
    let filter = form.get("where");
    let bulk = Bulk::parse(form.get("verb"))
        .ok_or_else(|| Trouble::refused("There is no such verb for many jobs."))?;
    if filter.is_empty() {
        return Err(Trouble::refused("Say which jobs: a verb on all of them is never meant."));
    }
    let wanted = Filter::parse(filter).map_err(|error| Trouble::refused(error.to_string()))?;
    let doors = sight::pools(&app, viewer)?;
    if form.get("counted").is_empty() {
        return Ok(page(confirm(viewer, bulk, filter, &wanted, &doors, None).await?));
    }
    let Some(reason) = form.reason() else {
        let fault = Some("A reason is needed.");
        return Ok(again(confirm(viewer, bulk, filter, &wanted, &doors, fault).await?));
    };
    if bulk == Bulk::Retry && form.get("accept_charge") != "true" {
        let fault = Some("New jobs may be charged, and that was not accepted.");
        return Ok(again(confirm(viewer, bulk, filter, &wanted, &doors, fault).await?));
    }
    let mut notice = Notice::Begun(form.get("counted").parse().unwrap_or(0));
    for door in doors {
        let wish = operations::wish(viewer, bulk, wanted.clone(), &reason);
        if !operations::begun(&door.pool.store.open_operation(wish).await?) {
            notice = Notice::Full;
        }
    }
    let path = format!("/jobs?where={}", super::answer::url_encoded(filter));
    Ok(done(&path, notice))
}

/// Counts what fits and what of it the verb can change, up to a bound.
async fn confirm(
    viewer: &Viewer,
    bulk: Bulk,
    filter: &str,
    wanted: &Filter,
    doors: &[&PoolDoor],
    fault: Option<&str>,
) -> Result<String, Trouble> {
    let changeable = operations::verb(bulk).changeable(wanted.clone());
    let matching = count(&Search::of(wanted.clone(), viewer), doors).await?;
    let able = count(&Search::of(changeable, viewer), doors).await?;
    let confirm = Confirm {
        viewer,
        bulk,
        filter,
        matching: matching.jobs,
        more: matching.more || able.more,
        charge: (bulk == Bulk::Retry).then(|| able.charge()),
        counts: able.states.into_iter().collect(),
        fault,
    };
    Ok(confirm.page())
}

/// Jobs that fit, as far as they were counted.
#[derive(Default)]
struct Count {
    jobs: u64,
    states: BTreeMap<StateWord, u64>,
    /// What they would cost if they were made again, and how many of them may have been paid before.
    cost: Spent,
    paid_again: u64,
    more: bool,
}

impl Count {
    fn add(&mut self, stored: &Stored, route: Option<Route>) {
        self.jobs += 1;
        *self.states.entry(stored.record.life.state.word()).or_default() += 1;
        let Some(again) = ::job::Again::of(&stored.record) else { return };
        self.paid_again += u64::from(again.paid_again);
        if let Some(cost) = route.and_then(|route| reconcile::doubt::cost(route, stored)) {
            *self.cost.micros.entry(cost.currency.to_string()).or_default() += cost.micros;
        }
    }

    fn charge(&self) -> (String, u64) {
        let cost = money::of_spent(&self.cost).map(|cost| format!("about {cost}"));
        (cost.unwrap_or_else(|| "what is not in the table of prices".to_owned()), self.paid_again)
    }
}

async fn count(search: &Search, doors: &[&PoolDoor]) -> Result<Count, Trouble> {
    let (mut count, mut cursor) = (Count::default(), None);
    for _ in 0..COUNT_PAGES_MAX {
        let found = search.page(doors, cursor.as_deref(), PAGE).await?;
        let found = found.map_err(|Fault(fault)| Trouble::refused(fault))?;
        for stored in &found.items {
            let door = doors.iter().find(|door| door.pool.name == stored.record.spec.pool);
            count.add(stored, door.map(|door| door.pool.settings.route));
        }
        cursor = found.next;
        count.more = cursor.is_some();
        if cursor.is_none() || count.jobs >= COUNTED_MAX {
            break;
        }
    }
    Ok(count)
}
