//! `/ui/failures`: what went wrong, by code.

use super::answer::{Shown, page};
use super::session::Visitor;
use super::sight::{self, Search};
use crate::app::App;
use axum::extract::State;
use dashboard::screens::failures::{Failures, Group, Sample};
use job::{Cause, End, State as JobState, StateWord};
use seedance::ErrorTable;
use std::collections::BTreeMap;
use std::sync::Arc;
use store::Stored;

/// The newest failures, of each kind, that are sorted.
const LOOKED_AT: usize = 500;
/// Samples of one group.
const SAMPLES: usize = 3;

pub(super) async fn show(State(app): State<Arc<App>>, visitor: Visitor) -> Shown {
    let viewer = &visitor.viewer;
    let doors = sight::pools(&app, viewer)?;
    let now = sight::now(&doors).await?;
    let (mut groups, mut partial) = (BTreeMap::new(), false);
    for word in [StateWord::Failed, StateWord::OutputLost] {
        let found = Search::of_state(word, viewer).newest(&doors, LOOKED_AT).await?;
        partial |= found.next.is_some();
        for stored in &found.items {
            add(&mut groups, stored);
        }
    }
    let mut groups: Vec<Group> = groups.into_values().collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.jobs));
    Ok(page(Failures { viewer, now, groups: &groups, partial }.page()))
}

fn add(groups: &mut BTreeMap<String, Group>, stored: &Stored) {
    let state = &stored.record.life.state;
    let Some(code) = state.failure_code() else { return };
    let cause = cause(state);
    let group = groups.entry(code.to_owned()).or_insert_with(|| Group {
        code: code.to_owned(),
        class: cause.map_or("ours", |cause| cause.class.word()).to_owned(),
        jobs: 0,
        last: None,
        advice: advice(code, cause),
        samples: Vec::new(),
    });
    group.jobs += 1;
    group.last = group.last.max(Some(stored.record.life.updated_at));
    if group.samples.len() < SAMPLES {
        group.samples.push(Sample {
            id: stored.record.id.clone(),
            prompt: stored.record.spec.request.prompt().unwrap_or("(no text)").to_owned(),
            message: cause.map(|cause| cause.message.clone()).unwrap_or_default(),
        });
    }
}

fn cause(state: &JobState) -> Option<&Cause> {
    let JobState::Finished { end: End::Failed { cause }, .. } = state else { return None };
    Some(cause)
}

/// What the tables say about a code: of a task that failed, of ours, or of a refused create.
fn advice(code: &str, cause: Option<&Cause>) -> String {
    let table = ErrorTable::builtin();
    if let Some(rule) = table.own(code) {
        return rule.advice.clone();
    }
    match cause {
        Some(cause) if !cause.task_existed => {
            let rule = table.rules().iter().find(|rule| rule.code == code);
            rule.map(|rule| rule.advice.clone()).unwrap_or_default()
        }
        Some(cause) => table.classify_task(Some(code), &cause.message).advice,
        None => String::new(),
    }
}
