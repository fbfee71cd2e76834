//! `/ui/batches`.

use super::answer::{Shown, Trouble, page};
use super::jobs;
use super::session::Visitor;
use super::sight::{self, Search};
use crate::app::{App, PoolDoor};
use axum::extract::{Path, Query, State};
use dashboard::Viewer;
use dashboard::screens::batches::{Batch, Batches, Row};
use job::{End, State as JobState, StateWord};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Batches on the page.
const ROWS: usize = 50;
/// Pictures on a batch's page.
const POSTERS: usize = 24;
/// Failed jobs whose codes are counted.
const FAILED: usize = 500;

pub(super) async fn list(State(app): State<Arc<App>>, visitor: Visitor) -> Shown {
    let viewer = &visitor.viewer;
    let doors = sight::pools(&app, viewer)?;
    let now = sight::now(&doors).await?;
    let mut rows = Vec::new();
    let mut more = false;
    for door in &doors {
        let found = door.pool.store.batches(viewer.tenant.as_deref(), 0, ROWS + 1).await?;
        more |= found.len() > ROWS;
        rows.extend(found.into_iter().take(ROWS));
    }
    rows.sort_by_key(|batch| std::cmp::Reverse(batch.created_at));
    more |= rows.len() > ROWS;
    rows.truncate(ROWS);
    let row = |batch: store::Batch| Row {
        tenant: batch.tenant,
        name: batch.name,
        counts: batch.counts.into_iter().collect(),
    };
    let rows: Vec<Row> = rows.into_iter().map(row).collect();
    Ok(page(Batches { viewer, now, rows: &rows, more }.page()))
}

async fn counts(
    doors: &[&PoolDoor],
    tenant: &str,
    name: &str,
) -> Result<Vec<(StateWord, u64)>, Trouble> {
    let mut sums: BTreeMap<StateWord, u64> = BTreeMap::new();
    for door in doors {
        for (word, n) in door.pool.store.batch_counts(tenant, name).await? {
            *sums.entry(word).or_insert(0) += n;
        }
    }
    Ok(StateWord::ALL.into_iter().filter_map(|word| Some((word, *sums.get(&word)?))).collect())
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

pub(super) async fn show(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(name): Path<String>,
    Query(said): Query<jobs::Said>,
    Query(whose): Query<Whose>,
) -> Shown {
    let viewer = &visitor.viewer;
    let doors = sight::pools(&app, viewer)?;
    let tenant = owner(&doors, viewer, whose.tenant, &name).await?;
    let search = Search::of_batch(&tenant, &name, viewer);
    // A batch is there for whoever owns a job of it.
    if search.newest(&doors, 1).await?.items.is_empty() {
        return Err(Trouble::missing());
    }
    let mut codes: BTreeMap<String, u64> = BTreeMap::new();
    for word in [StateWord::Failed, StateWord::OutputLost] {
        for stored in search.clone().with_state(word).newest(&doors, FAILED).await?.items {
            let code = stored.record.life.state.failure_code().unwrap_or("unknown").to_owned();
            *codes.entry(code).or_insert(0) += 1;
        }
    }
    let mut failures: Vec<(String, u64)> = codes.into_iter().collect();
    failures.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    let stored = search.with_state(StateWord::Succeeded).newest(&doors, POSTERS).await?.items;
    let posters = stored.into_iter().filter_map(|stored| match &stored.record.life.state {
        JobState::Finished { end: End::Stored { output }, .. } if output.last_frame.is_some() => {
            Some(stored.record.id)
        }
        _ => None,
    });
    let batch = Batch {
        viewer,
        notice: said.notice(),
        tenant: &tenant,
        name: &name,
        counts: counts(&doors, &tenant, &name).await?,
        left: None,
        spent: None,
        failures,
        posters: posters.collect(),
    };
    Ok(page(batch.page()))
}
