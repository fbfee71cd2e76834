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
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Jobs among which the newest batches are looked for.
const LOOKED_AT: usize = 500;
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
    let all = Search::read("", viewer).map_err(|_| Trouble::missing())?;
    let found = all.newest(&doors, LOOKED_AT).await?;
    let (mut rows, mut known) = (Vec::new(), BTreeSet::new());
    for stored in &found.items {
        let Some(name) = stored.record.spec.batch.clone() else { continue };
        if rows.len() < ROWS && known.insert(name.clone()) {
            let counts = counts(&doors, viewer, &name).await?;
            rows.push(Row { name, counts, newest: Some(stored.record.created_at) });
        }
    }
    let more = found.next.is_some();
    Ok(page(Batches { viewer, now, rows: &rows, more }.page()))
}

async fn counts(
    doors: &[&PoolDoor],
    viewer: &Viewer,
    name: &str,
) -> Result<Vec<(StateWord, u64)>, Trouble> {
    let mut sums: BTreeMap<StateWord, u64> = BTreeMap::new();
    for door in doors {
        for (word, n) in door.pool.store.batch_counts(name).await? {
            *sums.entry(word).or_insert(0) += n;
        }
    }
    let _ = viewer;
    Ok(StateWord::ALL.into_iter().filter_map(|word| Some((word, *sums.get(&word)?))).collect())
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(name): Path<String>,
    Query(said): Query<jobs::Said>,
) -> Shown {
    let viewer = &visitor.viewer;
    let doors = sight::pools(&app, viewer)?;
    let search = Search::of_batch(&name, viewer);
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
        name: &name,
        counts: counts(&doors, viewer, &name).await?,
        left: None,
        spent: None,
        failures,
        posters: posters.collect(),
    };
    Ok(page(batch.page()))
}
