//! Screens about the whole: audit, workers, limits, and the switch that stops all creates.

use super::answer::{Shown, Trouble, done, page};
use super::fleet::stop;
use super::session::{Signed, Visitor};
use super::{jobs, operations, sight};
use crate::app::App;
use crate::settings::Scope;
use axum::extract::{Path, Query, State};
use dashboard::screens::audit::{Audit, Line};
use dashboard::screens::limits::{self, Limits};
use dashboard::screens::workers::{self, Workers};
use dashboard::{Notice, Role, Viewer};
use job::Step;
use std::sync::Arc;
use store::{Freeze, FreezeKind};

/// Told where no click may end a freeze.
const LOOK_FIRST: &str = "The fleet froze itself because Redis had lost data: whether a video would be bought \
     twice must be found out first, by `seedfleet reconcile --after-restore`.";
/// Decisions on the page.
const LINES: usize = 200;
/// Operations on the page.
const OPERATIONS: usize = 20;

pub(super) async fn audit(State(app): State<Arc<App>>, visitor: Visitor) -> Shown {
    let viewer = &visitor.viewer;
    let doors = sight::pools(&app, viewer)?;
    let now = sight::now(&doors).await?;
    let mut lines = Vec::new();
    for door in &doors {
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
    if viewer.tenant.is_none() {
        for door in &doors {
            lines.extend(door.pool.store.audit(LINES).await?.into_iter().filter_map(of_pool));
        }
    }
    lines.sort_by_key(|line| std::cmp::Reverse(line.at));
    lines.truncate(LINES);
    let operations = operations::newest(&doors, viewer, OPERATIONS, |_| true).await?;
    Ok(page(Audit { viewer, now, operations: &operations, lines: &lines }.page()))
}

/// What somebody did to a whole pool; alarms and operations are shown elsewhere.
fn of_pool(line: store::AuditLine) -> Option<Line> {
    let store::AuditLine { at, job, alarm, by, reason } = line;
    let by = by.filter(|by| !by.is_empty() && alarm != "operation")?;
    let reason = reason.unwrap_or_default();
    Some(Line { at, by, verb: alarm, job, reason, result: String::new() })
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
            let step = depth.queue.step();
            // The rest of the word says which step it is, which the program says as well.
            let word = depth.queue.word();
            let queue = depth.queue.class().map_or(word, |class| class.word().to_owned());
            rows.push(workers::Row {
                pool: door.pool.name.clone(),
                queue,
                program: program(step),
                waiting: depth.waiting,
                due: depth.due,
                leased: depth.leased,
            });
        }
    }
    // In the order of a job's way.
    rows.sort_by_key(|row| WAY.iter().position(|program| *program == row.program));
    Ok(page(Workers { viewer, rows: &rows }.page()))
}

const WAY: [&str; 4] = ["submitter", "poller", "downloader", "notifier"];

const fn program(step: Step) -> &'static str {
    match step {
        Step::Submit => "submitter",
        Step::Settle | Step::Poll => "poller",
        Step::Download => "downloader",
        Step::Notify => "notifier",
    }
}

pub(super) async fn limits(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Query(said): Query<jobs::Said>,
) -> Shown {
    let viewer = &visitor.viewer;
    fleet_wide(viewer)?;
    let doors = sight::pools(&app, viewer)?;
    let now = sight::now(&doors).await?;
    let (mut pools, mut rows, mut stops) = (Vec::new(), Vec::new(), Vec::new());
    let mut lowered = Vec::new();
    for door in doors {
        let (store, pool) = (&door.pool.store, &door.pool.name);
        let frozen = store.watch().await?.frozen;
        let settings = &door.pool.settings;
        pools.push(limits::Pool {
            name: pool.clone(),
            route: settings.route.word(),
            simulated: settings.simulated,
            frozen: frozen.map(frozen_since),
        });
        for account in survey::accounts(store, settings, app.desk.feed.lookahead).await? {
            lowered.extend(account.lowered().into_iter().map(|told| format!("{pool}: {told}")));
            rows.extend(account.classes.iter().map(|class| limits::Row {
                pool: pool.clone(),
                account: account.account.clone(),
                class: class.class.to_owned(),
                used: class.slots_used,
                limit: u64::from(class.slots),
                configured: u64::from(class.configured.slots),
                create_rpm: class.create_rpm,
                configured_rpm: u64::from(class.configured.create_rpm),
            }));
        }
        stops.extend(store.stops().await?.into_iter().map(stop));
    }
    let (notice, pools, rows) = (said.notice(), pools.as_slice(), rows.as_slice());
    let (lowered, stops) = (lowered.as_slice(), stops.as_slice());
    Ok(page(Limits { viewer, notice, now, pools, rows, lowered, stops }.page()))
}

fn frozen_since(freeze: Freeze) -> limits::Frozen {
    limits::Frozen {
        since: freeze.since,
        why: freeze.why,
        by: freeze.by,
        asked: freeze.kind == FreezeKind::Asked,
    }
}

/// Stops all creates of a pool, or lets them go on.
pub(super) async fn switch(
    State(app): State<Arc<App>>,
    Path((pool, verb)): Path<(String, String)>,
    Signed { visitor, form }: Signed,
) -> Shown {
    visitor.needs(Role::rules, Scope::Admin)?;
    let viewer = &visitor.viewer;
    let doors = sight::pools(&app, viewer)?;
    let door = doors.into_iter().find(|door| door.pool.name == pool);
    let store = &door.ok_or_else(Trouble::missing)?.pool.store;
    let reason = form.needed_reason()?;
    let notice = match (verb.as_str(), store.watch().await?.frozen) {
        ("freeze", _) => {
            store.freeze(&reason, &viewer.name).await?;
            Notice::Frozen
        }
        ("thaw", Some(freeze)) if freeze.kind == FreezeKind::Asked => {
            store.thaw_only(&freeze, &viewer.name, &reason).await?;
            Notice::Thawed
        }
        ("thaw", None) => Notice::Thawed,
        ("thaw", Some(_)) => return Err(Trouble::refused(LOOK_FIRST)),
        _ => return Err(Trouble::missing()),
    };
    Ok(done("/limits", notice))
}
