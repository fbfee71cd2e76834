//! `/ui/jobs/{id}`.

use super::answer::{Shown, page};
use super::session::Visitor;
use super::{jobs, money, sight};
use crate::app::{App, PoolDoor};
use axum::extract::{Path, Query, State};
use dashboard::screens::job::{Again, Beside, Job, Line};
use futures::TryStreamExt;
use job::{End, Record, State as JobState, Timestamp};
use seedance::{Day, ErrorTable, PriceTable, TaskStatus};
use serde_json::Value;
use std::sync::Arc;
use store::{Endpoint, StoreError};

/// The largest payload shown, bytes.
const PAYLOAD_BYTES_MAX: u64 = 256 << 10;
/// Newest lines of a delivery log that are looked through for one job's.
const DELIVERIES_READ: usize = 200;

pub(super) async fn show(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(id): Path<String>,
    Query(said): Query<jobs::Said>,
) -> Shown {
    let viewer = &visitor.viewer;
    let (door, stored) = sight::find(&app, viewer, &id).await?;
    let record = &stored.record;
    let timeline = door.pool.store.timeline(&record.id).await?;
    let timeline: Vec<Line> = timeline.into_iter().map(line).collect();
    let payload = payload(&app, record).await;
    let beside = Beside {
        made_at: payload.as_deref().and_then(made_at),
        told_at: told_at(door, record, stored.now).await?,
    };
    let screen = Job {
        viewer,
        notice: said.notice(),
        now: stored.now,
        record,
        timeline: &timeline,
        beside,
        cost: cost(door, record),
        payload,
        advice: advice(record),
        again: again(door, record),
    };
    Ok(page(screen.page()))
}

fn line(line: store::TimelineLine) -> Line {
    let store::TimelineLine { at, from, to, what, by, .. } = line;
    Line { at, from, to, what, by }
}

/// When the provider had made the film: a finished task does not change any more.
fn made_at(payload: &str) -> Option<Timestamp> {
    let payload: Value = serde_json::from_str(payload).ok()?;
    let is_made = payload["status"].as_str() == Some(TaskStatus::Succeeded.word());
    payload["updated_at"].as_i64().filter(|_| is_made).map(Timestamp::from_unix_s)
}

/// When the job's own webhook took the news of its end; now, while it has not.
async fn told_at(
    door: &PoolDoor,
    record: &Record,
    now: Timestamp,
) -> Result<Option<Timestamp>, StoreError> {
    let (Some(hook), JobState::Finished { .. }) = (&record.spec.webhook, &record.life.state) else {
        return Ok(None);
    };
    let id = Endpoint::own_id(&record.spec.tenant, &hook.url, hook.secret_ref.as_deref());
    let lines = door.pool.store.deliveries(&id, None, DELIVERIES_READ).await?;
    let mut of_this_end = lines.iter().filter(|line| {
        line.event.job.as_deref() == Some(record.id.as_str())
            && line.event.state.as_deref() == Some(record.life.state.word().as_str())
    });
    // An old end whose lines have passed says nothing.
    Ok(match of_this_end.clone().find(|line| line.result == "delivered") {
        Some(line) => Some(line.at),
        None => of_this_end.next().map(|_| now),
    })
}

/// What the job costs: billed where that is known, else expected.
pub(super) fn cost(door: &PoolDoor, record: &Record) -> Option<String> {
    let (tokens, word) = match &record.life.state {
        JobState::Finished { end: End::Stored { output }, .. } => (output.tokens?, ""),
        JobState::Finished { .. } => return None,
        JobState::Held { .. }
        | JobState::Queued { .. }
        | JobState::Submitting { .. }
        | JobState::InDoubt { .. }
        | JobState::Parked { .. }
        | JobState::Generating { .. }
        | JobState::Overdue { .. }
        | JobState::Downloading { .. } => (record.spec.estimate_tokens, "about "),
    };
    let day = Day::from_unix_s(record.created_at.unix_ms().div_euclid(1_000));
    let route = door.pool.settings.route;
    let cost = PriceTable::in_force().cost(route, &record.spec.request, tokens, day).ok()?;
    Some(format!("{word}{}", money::of_cost(&cost)))
}

/// Whether the job may be made again, and what that would cost.
pub(super) fn again(door: &PoolDoor, record: &Record) -> Again {
    let Some(again) = job::Again::of(record) else { return Again::No };
    let day = Day::from_unix_s(record.life.updated_at.unix_ms().div_euclid(1_000));
    let (route, tokens) = (door.pool.settings.route, record.spec.estimate_tokens);
    let cost = PriceTable::in_force().cost(route, &record.spec.request, tokens, day).ok();
    let cost = cost.map(|cost| format!("about {}", money::of_cost(&cost)));
    Again::Possible { cost, paid_again: again.paid_again }
}

fn advice(record: &Record) -> Option<String> {
    let JobState::Finished { end, .. } = &record.life.state else { return None };
    let table = ErrorTable::builtin();
    match end {
        End::Failed { cause } => {
            Some(table.classify_task(Some(&cause.code), &cause.message).advice)
        }
        End::OutputLost { .. } => table.own("output-lost").map(|rule| rule.advice.clone()),
        End::Stored { .. }
        | End::Expired { .. }
        | End::Cancelled { .. }
        | End::Rejected { .. }
        | End::NotUseful
        | End::GivenUp { .. }
        | End::TimedOut => None,
    }
}

/// The provider's last word on the task, from the record or from the bucket. A file that cannot be read
/// is no reason not to show the job.
async fn payload(app: &App, record: &Record) -> Option<String> {
    if let Some(payload) = &record.life.payload {
        return Some(without_signatures(payload));
    }
    let output = record.life.state.output()?;
    let assets = app.bucket(&record.spec.tenant);
    let manifest = assets.read_manifest_at(&output.manifest).await.ok()??;
    if manifest.task.length_bytes > PAYLOAD_BYTES_MAX {
        return None;
    }
    let (_, stream) = assets.read(&manifest.task.path, None).await.ok()?;
    let pieces: Vec<_> = stream.try_collect().await.ok()?;
    Some(without_signatures(&String::from_utf8_lossy(&pieces.concat())))
}

/// Set in lines, and every link cut before its query: signatures are for the downloader alone.
fn without_signatures(text: &str) -> String {
    let Ok(mut value) = serde_json::from_str::<Value>(text) else {
        return "(it cannot be read)".to_owned();
    };
    cut_links(&mut value);
    serde_json::to_string_pretty(&value).unwrap_or_default()
}

fn cut_links(value: &mut Value) {
    match value {
        Value::String(text) if text.starts_with("http://") || text.starts_with("https://") => {
            if let Some(at) = text.find('?') {
                text.truncate(at);
                text.push_str("?…");
            }
        }
        Value::Array(items) => items.iter_mut().for_each(cut_links),
        Value::Object(fields) => fields.values_mut().for_each(cut_links),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lose_their_signatures_and_nothing_else_is_lost() {
        let payload = r#"{"id":"cgt-1","content":{"video_url":"https://h/v.mp4?X-Tos-Signature=abc"},"list":["http://a?b"],"seed":7}"#;
        let shown = without_signatures(payload);
        assert!(!shown.contains("Signature") && !shown.contains("?b"), "{shown}");
        assert!(shown.contains("https://h/v.mp4?…") && shown.contains("\"seed\": 7"));
        assert_eq!(without_signatures("<html>"), "(it cannot be read)");
    }
}
