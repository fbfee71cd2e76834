//! `POST /cb/v1/<attempt>/<token>`: the provider says that a task has changed.
//!
//! The body is a hint. Whoever can forge one makes us read a task once, and nothing else: see
//! `docs/decisions/0002-callbacks-are-hints.md`.

use crate::app::{App, PoolDoor};
use crate::settings::CallbackLimits;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use job::{AttemptId, JobId, StateWord, TaskId};
use limiter::Flood;
use provider::{CallbackSettings, Callbacks};
use seedance::{Task, TaskStatus};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use store::{HintOutcome, StoreError, Stored};
use worker::Fleet;

/// Deepest nesting of a callback body; a task has three levels.
const DEPTH_MAX: usize = 16;
/// How often a job is read anew that moves on while a callback is judged.
const NOTE_TRIES: u32 = 3;
/// Longest wait for our own memory once a callback was read.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// A job id nobody has: the token of an unknown attempt is checked against it, so that the answer
/// takes as long as for a known one.
const NOBODY: &str = "job_00000000000000000000000000";

/// Everything the callback route needs.
pub(crate) struct CallbackDoor {
    callbacks: Callbacks,
    limits: CallbackLimits,
    total: Flood<()>,
    per_source: Flood<IpAddr>,
    per_attempt: Flood<AttemptId>,
    /// One look per attempt, task and time: a burst of news is one piece of news.
    coalesce: Flood<(AttemptId, Option<TaskId>, bool)>,
}

impl CallbackDoor {
    /// `None` when callbacks are off.
    pub(crate) fn open(fleet: &Fleet) -> anyhow::Result<Option<Self>> {
        let settings: CallbackSettings = fleet.section("callbacks")?;
        let limits: CallbackLimits = fleet.section("callbacks")?;
        let pools = fleet.pools().iter().map(|pool| &pool.settings);
        let Some(callbacks) = Callbacks::open(&settings, pools)? else {
            return Ok(None);
        };
        let second = Duration::from_secs(1);
        Ok(Some(Self {
            callbacks,
            total: Flood::new(limits.total_qps, second),
            per_source: Flood::new(limits.source_qps, second),
            per_attempt: Flood::new(limits.attempt_rpm, 60 * second),
            coalesce: Flood::new(1, limits.coalesce.max(Duration::from_millis(1))),
            limits,
        }))
    }
}

pub(crate) async fn receive(
    State(app): State<Arc<App>>,
    ConnectInfo(source): ConnectInfo<SocketAddr>,
    Path((attempt, token)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> impl IntoResponse {
    let source = app.callers.origin().of(source.ip(), &headers);
    let (status, word) = match &app.callbacks {
        Some(door) => answer(&app, door, source, &attempt, &token, body).await,
        None => (StatusCode::NOT_FOUND, "unknown_job"),
    };
    telemetry::metrics().callbacks.add(1, [word]);
    // The path is a secret: neither attempt nor token is logged here.
    tracing::debug!(result = word, "callback");
    (status, [(header::REFERRER_POLICY, "no-referrer")])
}

async fn answer(
    app: &App,
    door: &CallbackDoor,
    source: IpAddr,
    attempt: &str,
    token: &str,
    body: Body,
) -> (StatusCode, &'static str) {
    // The source first: a flood from one address must take nothing of what all share.
    if !door.per_source.passes(&source) || !door.total.passes(&()) {
        return (StatusCode::TOO_MANY_REQUESTS, "throttled");
    }
    let attempt = AttemptId::parse(attempt).ok();
    let known = match &attempt {
        Some(attempt) => match find(app, attempt).await {
            Ok(known) => known,
            Err(status) => return (status, "stale"),
        },
        None => None,
    };
    let Some((pool, job, attempt)) = authentic(app, door, known, attempt, token) else {
        return (StatusCode::NOT_FOUND, "bad_token");
    };
    if !door.per_attempt.passes(&attempt) {
        return (StatusCode::TOO_MANY_REQUESTS, "throttled");
    }
    let read = to_bytes(body, door.limits.body_bytes_max);
    let Ok(Ok(bytes)) = tokio::time::timeout(door.limits.read_timeout, read).await else {
        return (StatusCode::PAYLOAD_TOO_LARGE, "malformed");
    };
    let Ok(task) = told(&bytes) else {
        return (StatusCode::BAD_REQUEST, "malformed");
    };
    let noted = note(pool, door, &job, &attempt, task.as_ref());
    // A provider that waits longer delivers again anyway.
    let late = (StatusCode::SERVICE_UNAVAILABLE, "stale");
    tokio::time::timeout(ANSWER_MAX, noted).await.unwrap_or(late)
}

/// The job an attempt belongs to, in whichever pool.
async fn find<'a>(
    app: &'a App,
    attempt: &AttemptId,
) -> Result<Option<(&'a PoolDoor, JobId)>, StatusCode> {
    // All of them at once, so that the time taken does not tell where it was found.
    let asked = app
        .pools
        .values()
        .map(|pool| async move { (pool, pool.pool.store.job_of_attempt(attempt).await) });
    let mut known = None;
    for (pool, found) in futures::future::join_all(asked).await {
        match found {
            Ok(Some(job)) => known = Some((pool, job)),
            Ok(None) => {}
            // Not ours to lose: the provider delivers again, and the poller reads anyway.
            Err(error) => {
                tracing::warn!(%error, "a callback cannot be looked up");
                return Err(StatusCode::SERVICE_UNAVAILABLE);
            }
        }
    }
    Ok(known)
}

/// Checks the token, also when there is nothing to check it for.
fn authentic<'a>(
    app: &'a App,
    door: &CallbackDoor,
    known: Option<(&'a PoolDoor, JobId)>,
    attempt: Option<AttemptId>,
    token: &str,
) -> Option<(&'a PoolDoor, JobId, AttemptId)> {
    let nobody = || JobId::parse(NOBODY).ok();
    let some_attempt = || AttemptId::parse("att_00000000000000000000000000").ok();
    let pool = known.as_ref().map(|(pool, _)| *pool).or_else(|| app.pools.values().next())?;
    let (checked_job, exists) = match known {
        Some((_, job)) => (job, true),
        None => (nobody()?, false),
    };
    let checked_attempt = attempt.or_else(some_attempt)?;
    let route = pool.pool.settings.route;
    let good = door.callbacks.verify(&checked_attempt, &checked_job, route, token);
    (good && exists).then_some((pool, checked_job, checked_attempt))
}

async fn note(
    pool: &PoolDoor,
    door: &CallbackDoor,
    job: &JobId,
    attempt: &AttemptId,
    task: Option<&Task>,
) -> (StatusCode, &'static str) {
    for tries_left in (0..NOTE_TRIES).rev() {
        let stored = match pool.pool.store.load(job).await {
            Ok(Some(stored)) => stored,
            Ok(None) => return (StatusCode::OK, "stale"),
            Err(error) => return unwritten(&error),
        };
        let first = tries_left + 1 == NOTE_TRIES;
        if first && task.is_some_and(|t| t.status == TaskStatus::Queued) {
            note_order(pool, &stored).await;
        }
        let ended = task.is_some_and(|t| t.status.is_terminal());
        let id = task.and_then(named);
        note_end(pool, &stored, id.as_ref().filter(|_| ended)).await;
        let look = worth_a_look(&stored, task, id.as_ref(), ended);
        let news = (attempt.clone(), id.clone(), ended);
        if look == Look::No || (first && !door.coalesce.passes(&news)) {
            return (StatusCode::OK, "duplicate");
        }
        // That a task was made is news until it is known, which it may be in a moment.
        let passing = !ended && task.is_some() && tries_left > 0;
        let store = &pool.pool.store;
        let hinted = match (look, &id) {
            (Look::Late, Some(id)) => {
                store.late_hint(attempt, id, stored.record.life.state.word()).await
            }
            (Look::Yes, id) if passing => {
                store.hint_at(attempt, id.as_ref(), stored.revision).await
            }
            (Look::Late | Look::Yes | Look::No, id) => store.hint(attempt, id.as_ref()).await,
        };
        return match hinted {
            Ok(HintOutcome::Moved(_)) => continue,
            Ok(HintOutcome::Noted(_)) if stored.record.life.state.open_attempt().is_some() => {
                (StatusCode::OK, "adopted")
            }
            Ok(HintOutcome::Noted(_)) => (StatusCode::OK, "applied"),
            Ok(HintOutcome::Finished(_) | HintOutcome::Unknown) => (StatusCode::OK, "stale"),
            Err(error) => unwritten(&error),
        };
    }
    // The last try takes any revision.
    (StatusCode::SERVICE_UNAVAILABLE, "stale")
}

fn unwritten(error: &StoreError) -> (StatusCode, &'static str) {
    tracing::warn!(%error, "a callback cannot be written down");
    (StatusCode::SERVICE_UNAVAILABLE, "stale")
}

/// The first callback of a task: did it overtake the reply to its create, as far as we had written
/// that down? Evidence only, so a failure costs nothing.
async fn note_order(pool: &PoolDoor, stored: &Stored) {
    let (account, before_reply) = match &stored.record.life.state {
        job::State::Submitting { attempt, .. } => (&attempt.facts.account, true),
        job::State::Generating { task, .. } => (&task.facts.account, false),
        // No reply came, or all of this is long past.
        job::State::Held { .. }
        | job::State::Queued { .. }
        | job::State::InDoubt { .. }
        | job::State::Parked { .. }
        | job::State::Overdue { .. }
        | job::State::Downloading { .. }
        | job::State::Finished { .. } => return,
    };
    if let Err(error) = pool.pool.store.note_callback(account, before_reply).await {
        tracing::debug!(%error, "the order of a callback is not noted");
    }
}

/// A callback told the end of the job's own task. Whoever looks at tasks looks rarely while this works.
async fn note_end(pool: &PoolDoor, stored: &Stored, told: Option<&TaskId>) {
    let owned = stored.record.life.state.task();
    let Some(owned) = owned.filter(|owned| Some(&owned.id) == told) else { return };
    let store = &pool.pool.store;
    if let Err(error) = store.note_told(&owned.facts.account, &owned.id, stored.now).await {
        tracing::debug!(%error, "a told end is not noted");
    }
}

/// What a callback is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// We know as much.
    No,
    /// The job's next look comes at once.
    Yes,
    /// Nobody may be looking any more: the job gets a look of its own.
    Late,
}

/// Whether a read would tell us anything. A job that is finished or being downloaded has been read;
/// `queued` and `running` are news only while we do not know the task.
fn worth_a_look(stored: &Stored, task: Option<&Task>, id: Option<&TaskId>, ended: bool) -> Look {
    let (life, word) = (&stored.record.life, stored.record.life.state.word());
    // Evidence of a task nobody knows: whatever became of the job, somebody must look.
    let unknown = id.is_some_and(|id| !life.tasks().any(|task| task == id));
    let owned = life.state.task();
    if unknown && owned.is_some() {
        tracing::error!(job.id = %stored.record.id, "a callback names a second task for one attempt");
        telemetry::metrics().duplicate_submissions.add(1, ["callback"]);
    }
    let late_success = word == StateWord::TimedOut
        && task.is_some_and(|task| task.status == TaskStatus::Succeeded);
    match owned {
        _ if word.is_finished() && (unknown || late_success) => Look::Late,
        _ if word.is_finished() => Look::No,
        None if word == StateWord::Parked => Look::Late,
        None => Look::Yes,
        Some(owned) => {
            let other = task.is_some_and(|t| t.id != owned.id.as_str());
            if ended || other || task.is_none() { Look::Yes } else { Look::No }
        }
    }
}

/// No honest sender nests like that.
#[derive(Debug)]
struct TooDeep;

/// The task a body tells of; `None` where it cannot be read, which is still a sign that something
/// happened.
fn told(bytes: &[u8]) -> Result<Option<Task>, TooDeep> {
    if depth(bytes) > DEPTH_MAX {
        return Err(TooDeep);
    }
    Ok(Task::parse(bytes).ok())
}

/// The task's id, if it may become part of an address.
fn named(task: &Task) -> Option<TaskId> {
    TaskId::parse(&task.id).ok()
}

/// Deepest nesting of a JSON text, counted without building it.
fn depth(bytes: &[u8]) -> usize {
    let (mut now, mut deepest, mut in_text, mut escaped) = (0_usize, 0, false, false);
    for byte in bytes {
        match (in_text, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (true, b'"') => in_text = false,
            (false, b'"') => in_text = true,
            (false, b'{' | b'[') => {
                now += 1;
                deepest = deepest.max(now);
            }
            (false, b'}' | b']') => now = now.saturating_sub(1),
            (true | false, _) => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nesting of a value that was built.
    fn levels(value: &serde_json::Value) -> usize {
        let inner = |values: &mut dyn Iterator<Item = &serde_json::Value>| {
            1 + values.map(levels).max().unwrap_or(0)
        };
        match value {
            serde_json::Value::Array(list) => inner(&mut list.iter()),
            serde_json::Value::Object(object) => inner(&mut object.values()),
            serde_json::Value::Null
            | serde_json::Value::Bool(_)
            | serde_json::Value::Number(_)
            | serde_json::Value::String(_) => 0,
        }
    }

    #[test]
    fn fuzz_callback_body() {
        let words = ["\"id\":", "\"status\":", "succeeded", "cgt-", "{", "[", "}", "]", ",", "../"];
        fuzz::run("callback_body", &words, |body| {
            let built = serde_json::from_slice::<serde_json::Value>(body).ok();
            let Ok(task) = told(body) else {
                assert!(depth(body) > DEPTH_MAX);
                return "too deep".to_owned();
            };
            if let Some(value) = &built {
                assert!(levels(value) <= DEPTH_MAX, "{} levels", levels(value));
            }
            let Some(task) = task else { return format!("no task, JSON {}", built.is_some()) };
            assert!(built.is_some(), "a task of what is no JSON");
            let id = named(&task);
            if let Some(id) = &id {
                let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
                assert!((1..=128).contains(&id.as_str().len()) && id.as_str().bytes().all(plain));
                assert_eq!(TaskId::parse(id.as_str()).as_ref(), Ok(id));
            }
            // Only a word the provider documents ends a task.
            let words = ["succeeded", "failed", "expired", "cancelled"];
            assert_eq!(task.status.is_terminal(), words.contains(&task.status.word()));
            let word = if task.status.is_terminal() { task.status.word() } else { "going on" };
            format!("{word}, named {}", id.is_some())
        });
    }

    #[test]
    fn nesting_is_counted_outside_of_texts_only() {
        assert_eq!(depth(br#"{"a":[{"b":"[[[["}]}"#), 3);
        assert_eq!(depth(br#"{"a":"\"[[["}"#), 1);
        assert_eq!(depth("[".repeat(40).as_bytes()), 40);
        assert_eq!(depth(b""), 0);
    }
}
