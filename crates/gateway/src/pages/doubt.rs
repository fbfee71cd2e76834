//! `/ui/doubt`: jobs whose create ended without a clear answer, and what a person decides about one.

use super::answer::{Shown, Trouble, again, done, page};
use super::session::{Deed as Sent, Visitor};
use super::sight::{self, Search};
use super::{jobs, money};
use crate::app::{App, PoolDoor};
use crate::doubts;
use axum::extract::{Path, Query, State};
use dashboard::screens::doubt::{Doubt as Screen, Doubts, Row};
use dashboard::{Notice, Viewer};
use job::{By, StateWord, TaskId};
use reconcile::doubt::{self, Deed, Doubt, DoubtError};
use serde_json::Value;
use std::sync::Arc;
use store::{Reported, Stored};

/// Rows of each kind.
const ROWS: usize = 100;
/// Told when the record no longer shows what the person saw.
const CHANGED: &str = "The evidence has changed since it was shown. Look again, then decide.";

pub(super) async fn list(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Query(said): Query<jobs::Said>,
) -> Shown {
    let viewer = &visitor.viewer;
    let doors = sight::pools(&app, viewer)?;
    let now = sight::now(&doors).await?;
    let (mut rows, mut more) = (Vec::new(), false);
    for word in [StateWord::Parked, StateWord::InDoubt] {
        let found = Search::of_state(word, viewer).newest(&doors, ROWS).await?;
        more |= found.next.is_some();
        rows.extend(found.items.iter().filter_map(row));
    }
    Ok(page(Doubts { viewer, notice: said.notice(), now, rows: &rows, more }.page()))
}

fn row(stored: &Stored) -> Option<Row> {
    let record = &stored.record;
    let doubt = Doubt::of(record)?;
    Some(Row {
        id: record.id.clone(),
        state: record.life.state.word(),
        since: doubt.since,
        account: doubt.attempt.facts.account.clone(),
        seen: doubt.seen(stored.now),
        why: doubt.why.map(ToString::to_string),
    })
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Shown {
    let (door, stored) = sight::find(&app, &visitor.viewer, &id).await?;
    Ok(page(written(&visitor.viewer, door, &stored, None)?))
}

fn written(
    viewer: &Viewer,
    door: &PoolDoor,
    stored: &Stored,
    fault: Option<String>,
) -> Result<String, Trouble> {
    let Some((row, doubt)) = row(stored).zip(Doubt::of(&stored.record)) else {
        let word = stored.record.life.state.word().as_str();
        return Err(Trouble::refused(format!(
            "This job is {word}: there is nothing to decide about its create any more."
        )));
    };
    let evidence = doubts::known(door, stored);
    let cost = doubt::cost(door.pool.settings.route, stored);
    let screen = Screen {
        viewer,
        now: stored.now,
        row: &row,
        evidence: &told(&evidence),
        settled_from: doubt.settled_from(&door.pool.policy),
        cost: cost.map(|cost| format!("about {}", money::of_cost(&cost))),
        tasks: doubt.tasks().iter().map(ToString::to_string).collect(),
        grounds: doubts::mark(stored).unwrap_or_default(),
        fault,
    };
    Ok(screen.page())
}

/// Names and values as a person reads them; what is not known is left out.
fn told(evidence: &serde_json::Map<String, Value>) -> Vec<(String, String)> {
    let rows = evidence.iter().filter(|(name, value)| !value.is_null() && *name != "seen");
    rows.map(|(name, value)| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        (name.clone(), text)
    })
    .collect()
}

pub(super) async fn decide(
    State(app): State<Arc<App>>,
    Path((id, verb)): Path<(String, String)>,
    Sent { visitor, form }: Sent,
) -> Shown {
    let viewer = &visitor.viewer;
    let (door, stored) = sight::find(&app, viewer, &id).await?;
    let deed = match verb.as_str() {
        "adopt" => match TaskId::parse(form.get("task")) {
            Ok(task) => Deed::Adopt { task, unverified: form.get("unverified") == "true" },
            Err(error) => return refuse(viewer, door, &stored, error.to_string()),
        },
        "resend" => Deed::Resend,
        "give-up" => Deed::GiveUp,
        _ => return Err(Trouble::missing()),
    };
    let Some(reason) = form.reason() else {
        return refuse(viewer, door, &stored, "A reason is needed.".to_owned());
    };
    if doubts::mark(&stored).as_deref() != Some(form.get("grounds")) {
        return refuse(viewer, door, &stored, CHANGED.to_owned());
    }
    let by = By::named(&viewer.name);
    let told = doubts::decide(&app, door, &stored, &deed, (&by, &reason)).await;
    let fault = match told {
        Ok((_, Reported::Written { .. })) => {
            let notice = match deed {
                Deed::Adopt { .. } => Notice::Adopted,
                Deed::Resend => Notice::Resent,
                Deed::GiveUp => Notice::GivenUp,
            };
            return Ok(done(&format!("/jobs/{id}"), notice));
        }
        Ok((_, Reported::Ignored { .. })) => CHANGED.to_owned(),
        Ok((_, Reported::Owned { task, by })) => format!("{task} belongs to {by}."),
        Ok((_, Reported::Gone | Reported::Fenced)) => return Err(Trouble::missing()),
        Err(DoubtError::Store(error)) => return Err(error.into()),
        Err(DoubtError::Report(error)) => return Err(error.into()),
        Err(error) => error.to_string(),
    };
    refuse(viewer, door, &stored, fault)
}

/// The same page again, with what is wrong.
fn refuse(viewer: &Viewer, door: &PoolDoor, stored: &Stored, fault: String) -> Shown {
    Ok(again(written(viewer, door, stored, Some(fault))?))
}
