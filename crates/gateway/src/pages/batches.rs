//! `/ui/batches`: what the counters say of each, and verbs on all of its jobs.

use super::answer::{Shown, Trouble, done, page};
use super::session::{Deed, Visitor};
use super::sight::{self, Search};
use super::{jobs, money, operations};
use crate::app::{App, PoolDoor};
use axum::extract::{Path, Query, State};
use dashboard::screens::batches::{Batch as Screen, Batches, Failure, Pause, Row};
use dashboard::screens::jobs::Bulk;
use dashboard::{Notice, Viewer};
use job::filter::{Field, Filter};
use job::{JobId, StateWord};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use store::{Batch, Scope};
use survey::batch_eta;

/// Batches of each pool on one page.
const ROWS: usize = 50;
/// Pictures on a batch's page.
const POSTERS: usize = 24;
/// Operations on a batch's page.
const OPERATIONS: usize = 10;

#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    skip: usize,
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Query(asked): Query<Asked>,
) -> Shown {
    let viewer = &visitor.viewer;
    let doors = sight::pools(&app, viewer)?;
    let now = sight::now(&doors).await?;
    let (mut found, mut more) = (Vec::new(), false);
    for door in doors {
        // One more than is shown tells whether there is a next page.
        let of_pool =
            door.pool.store.batches(viewer.tenant.as_deref(), asked.skip, ROWS + 1).await?;
        more |= of_pool.len() > ROWS;
        found.extend(of_pool.into_iter().take(ROWS));
    }
    found.sort_by_key(|batch| std::cmp::Reverse(batch.created_at));
    let rows: Vec<Row> = found.iter().map(row).collect();
    let next = more.then_some(asked.skip + ROWS);
    Ok(page(Batches { viewer, now, rows: &rows, skipped: asked.skip, next }.page()))
}

fn row(batch: &Batch) -> Row {
    Row {
        name: batch.name.clone(),
        tenant: batch.tenant.clone(),
        word: batch.word(),
        counts: batch.counts.iter().map(|(word, n)| (*word, *n)).collect(),
        rejects: batch.rejects,
        created_at: batch.created_at,
        spent: money::of_spent(&batch.spent),
    }
}

/// Whose batch is meant; those of one name are their tenants' own.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Whose {
    #[serde(default)]
    tenant: Option<String>,
}

/// The tenant of a batch, as far as the person may see it: their own, the one they name, or else the first
/// that has one of this name.
async fn owner(
    doors: &[&PoolDoor],
    viewer: &Viewer,
    named: Option<String>,
    name: &str,
) -> Result<String, Trouble> {
    if let Some(tenant) = viewer.tenant.clone().or(named) {
        return Ok(tenant);
    }
    for door in doors {
        if let Some(owner) = door.pool.store.batch_owners(name).await?.into_iter().next() {
            return Ok(owner);
        }
    }
    Err(Trouble::missing())
}

/// The batch in every pool that holds jobs of it.
async fn find<'a>(
    doors: &[&'a PoolDoor],
    tenant: &str,
    name: &str,
) -> Result<Vec<(&'a PoolDoor, Batch)>, Trouble> {
    let mut found = Vec::new();
    for door in doors {
        if let Some(batch) = door.pool.store.batch(tenant, name).await? {
            found.push((*door, batch));
        }
    }
    if found.is_empty() { Err(Trouble::missing()) } else { Ok(found) }
}

/// The parts as one.
fn joined(parts: &[(&PoolDoor, Batch)]) -> Option<Batch> {
    let mut parts = parts.iter().map(|(_, batch)| batch);
    let mut whole = parts.next()?.clone();
    for part in parts {
        for (word, n) in &part.counts {
            *whole.counts.entry(*word).or_insert(0) += n;
        }
        whole.rejects += part.rejects;
        whole.spent.join(&part.spent);
        whole.created_at = whole.created_at.min(part.created_at);
        whole.ended = match (whole.ended, part.ended) {
            (Some((first, last)), Some((a, b))) => Some((first.min(a), last.max(b))),
            (one, other) => one.or(other),
        };
        whole.paused = whole.paused.or_else(|| part.paused.clone());
        whole.uploading |= part.uploading;
    }
    Some(whole)
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(name): Path<String>,
    Query(said): Query<jobs::Said>,
    Query(whose): Query<Whose>,
) -> Shown {
    let viewer = &visitor.viewer;
    let doors = sight::pools(&app, viewer)?;
    let now = sight::now(&doors).await?;
    let tenant = owner(&doors, viewer, whose.tenant, &name).await?;
    let parts = find(&doors, &tenant, &name).await?;
    let batch = joined(&parts).ok_or_else(Trouble::missing)?;
    let doors: Vec<&PoolDoor> = parts.iter().map(|(door, _)| *door).collect();
    let stored = batch.counts.get(&StateWord::Succeeded).copied().unwrap_or(0);
    let ended = batch.ended.filter(|_| batch.finished() == batch.jobs());
    let screen = Screen {
        viewer,
        notice: said.notice(),
        now,
        row: &row(&batch),
        eta: eta(&parts).await?,
        took: ended.map(|(_, last)| last.since(batch.created_at)),
        each: money::of_each(&batch.spent, stored),
        paused: batch.paused.as_ref().map(|paused| Pause {
            by: paused.by.as_str().to_owned(),
            reason: paused.reason.clone(),
            at: paused.at,
        }),
        budget: budget(&parts),
        failures: &failures(&doors, &tenant, &name).await?,
        operations: &operations::newest(&doors, viewer, OPERATIONS, |filter| {
            let of =
                |field, value: &str| filter.one_of(field).is_some_and(|all| all.contains(value));
            of(Field::Batch, &name) && of(Field::Tenant, &tenant)
        })
        .await?,
        posters: &posters(&doors, viewer, &tenant, &name).await?,
    };
    Ok(page(screen.page()))
}

/// The batch's caps, what of them is gone, and how many jobs wait for more; none without a cap.
fn budget(parts: &[(&PoolDoor, Batch)]) -> Option<String> {
    let (door, batch) = parts.iter().find(|(_, batch)| batch.purse.left().is_some())?;
    let (purse, currency) = (&batch.purse, door.pool.settings.route.currency().to_string());
    let spans = [("today", purse.day), ("in all", purse.total)];
    let each = spans.into_iter().filter(|(_, cap)| cap.max_micros > 0).map(|(span, cap)| {
        let [spent, max] =
            [cap.spent_micros, cap.max_micros].map(|micros| money::written(&currency, micros));
        format!("{spent} of {max} {span}")
    });
    let each: Vec<String> = each.collect();
    let waits = match purse.held {
        0 => String::new(),
        1 => "; 1 job waits for more".to_owned(),
        held => format!("; {held} jobs wait for more"),
    };
    Some(format!("Budget: spent {}{waits}.", each.join(", ")))
}

/// When the last of its parts will have ended, in words; that of a part of which it is not known goes before.
async fn eta(parts: &[(&PoolDoor, Batch)]) -> Result<Option<String>, Trouble> {
    let mut etas = Vec::with_capacity(parts.len());
    for (door, batch) in parts {
        etas.extend(batch_eta(&door.pool.store, &door.pool.settings, batch).await?);
    }
    let last = etas.into_iter().max_by_key(|eta| match eta.seconds {
        None => (true, 0),
        Some(seconds) => (false, seconds.middle),
    });
    Ok(last.map(|eta| eta.says))
}

async fn failures(doors: &[&PoolDoor], tenant: &str, name: &str) -> Result<Vec<Failure>, Trouble> {
    let mut by_code: BTreeMap<String, Failure> = BTreeMap::new();
    for door in doors {
        for view in survey::failures(&door.pool.store, Scope::Batch(tenant, name)).await? {
            let survey::FailureView { code, jobs, paid, advice, .. } = view;
            let new = || Failure { code: code.clone(), jobs: 0, paid, advice };
            by_code.entry(code.clone()).or_insert_with(new).jobs += jobs;
        }
    }
    let mut failures: Vec<Failure> = by_code.into_values().collect();
    failures.sort_by_key(|failure| std::cmp::Reverse(failure.jobs));
    Ok(failures)
}

async fn posters(
    doors: &[&PoolDoor],
    viewer: &Viewer,
    tenant: &str,
    name: &str,
) -> Result<Vec<JobId>, Trouble> {
    let search = Search::of_batch(tenant, name, viewer).with_state(StateWord::Succeeded);
    let stored = search.newest(doors, POSTERS).await?.items;
    let pictured = stored.into_iter().filter_map(|stored| {
        let frame = stored.record.life.state.output()?.last_frame.as_ref();
        frame.map(|_| stored.record.id.clone())
    });
    Ok(pictured.collect())
}

pub(super) async fn act(
    State(app): State<Arc<App>>,
    Path((name, verb)): Path<(String, String)>,
    Query(whose): Query<Whose>,
    Deed { visitor, form }: Deed,
) -> Shown {
    let viewer = &visitor.viewer;
    let bulk = Bulk::parse(&verb).ok_or_else(Trouble::missing)?;
    let doors = sight::pools(&app, viewer)?;
    let tenant = owner(&doors, viewer, whose.tenant, &name).await?;
    let parts = find(&doors, &tenant, &name).await?;
    let reason = form.needed_reason()?;
    let mut notice = match bulk {
        Bulk::Pause => Notice::Paused,
        Bulk::Resume => Notice::Resumed,
        Bulk::Cancel => Notice::Stopping,
        // These are counted, and new jobs priced, first: by the filter that finds the old ones.
        Bulk::Retry | Bulk::Dismiss => return Err(Trouble::missing()),
    };
    for (door, _) in parts {
        let wish = operations::wish(viewer, bulk, Filter::all(), &reason);
        if !operations::begun(&door.pool.store.turn_batch(&tenant, &name, wish).await?) {
            notice = Notice::Full;
        }
    }
    let [tenant, name] = [&tenant, &name].map(|text| super::answer::url_encoded_part(text));
    Ok(done(&format!("/batches/{name}?tenant={tenant}"), notice))
}
