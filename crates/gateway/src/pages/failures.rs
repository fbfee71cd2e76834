//! `/ui/failures`: what went wrong and was not dismissed, by code, as the counters have it.

use super::answer::{Shown, Trouble, page};
use super::session::Visitor;
use super::sight::{self, Search};
use crate::app::{App, PoolDoor};
use axum::extract::State;
use dashboard::Viewer;
use dashboard::screens::failures::{Failures, Group, Sample};
use job::filter::Filter;
use std::collections::BTreeMap;
use std::sync::Arc;
use store::{Scope, Stored};

/// Samples of one group.
const SAMPLES: usize = 3;
/// Groups that have some, the most frequent ones.
const SAMPLED: usize = 20;

pub(super) async fn show(State(app): State<Arc<App>>, visitor: Visitor) -> Shown {
    let viewer = &visitor.viewer;
    let doors = sight::pools(&app, viewer)?;
    let now = sight::now(&doors).await?;
    let mut groups = groups(&doors, viewer).await?;
    for group in groups.iter_mut().take(SAMPLED) {
        let search = Search::of(Filter::all().code(&group.code).dismissed(false), viewer);
        let newest = search.newest(&doors, SAMPLES).await?.items;
        group.samples = newest.iter().map(sample).collect();
    }
    let whole = sight::counts(&doors, viewer).await?.iter().map(|(_, n)| n).sum();
    Ok(page(Failures { viewer, now, groups: &groups, whole }.page()))
}

/// Over all pools, most frequent first.
async fn groups(doors: &[&PoolDoor], viewer: &Viewer) -> Result<Vec<Group>, Trouble> {
    let scope = viewer.tenant.as_deref().map_or(Scope::Pool, Scope::Tenant);
    let mut by_code: BTreeMap<String, Group> = BTreeMap::new();
    for door in doors {
        for view in survey::failures(&door.pool.store, scope).await? {
            let shown = view.jobs.saturating_sub(view.dismissed);
            if shown == 0 {
                continue;
            }
            let (first, last) = view.seen;
            let group = by_code.entry(view.code.clone()).or_insert_with(|| Group {
                code: view.code,
                class: view.class,
                jobs: 0,
                first,
                last,
                paid: view.paid,
                retryable: view.retryable,
                advice: view.advice,
                samples: Vec::new(),
            });
            group.jobs += shown;
            group.first = group.first.min(first);
            group.last = group.last.max(last);
        }
    }
    let mut groups: Vec<Group> = by_code.into_values().collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.jobs));
    Ok(groups)
}

fn sample(stored: &Stored) -> Sample {
    let record = &stored.record;
    Sample {
        id: record.id.clone(),
        prompt: record.spec.request.prompt().unwrap_or("(no text)").to_owned(),
        message: record.life.state.failure().map(|cause| cause.message.clone()).unwrap_or_default(),
    }
}
