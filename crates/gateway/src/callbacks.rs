//! `POST /cb/v1/<attempt>/<token>`: the provider says that a task has changed.
//!
//! The body is a hint. Whoever can forge one makes us read a task once, and nothing else: see
//! `docs/decisions/0002-callbacks-are-hints.md`.

use crate::app::{App, PoolDoor};
use crate::settings::CallbackLimits;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Path, State};
use axum::http::StatusCode;
use job::{AttemptId, JobId, TaskId};
use limiter::Flood;
use provider::{CallbackSettings, Callbacks};
use seedance::Task;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use store::{HintOutcome, Stored};
use worker::Fleet;

/// Deepest nesting of a callback body; a task has three levels.
const DEPTH_MAX: usize = 16;
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
    /// One look per attempt and time: a burst of news is one piece of news.
    coalesce: Flood<(AttemptId, bool)>,
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
    body: Body,
) -> StatusCode {
    let (status, word) = match &app.callbacks {
        Some(door) => answer(&app, door, source.ip(), &attempt, &token, body).await,
        None => (StatusCode::NOT_FOUND, "unknown_job"),
    };
    telemetry::metrics().callbacks.add(1, [word]);
    // The path is a secret: neither attempt nor token is logged here.
    tracing::debug!(result = word, "callback");
    status
}

async fn answer(
    app: &App,
    door: &CallbackDoor,
    source: IpAddr,
    attempt: &str,
    token: &str,
    body: Body,
) -> (StatusCode, &'static str) {
    if !door.total.passes(&()) || !door.per_source.passes(&source) {
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
    if depth(&bytes) > DEPTH_MAX {
        return (StatusCode::BAD_REQUEST, "malformed");
    }
    let task = Task::parse(&bytes).ok();
    note(pool, door, &job, &attempt, task.as_ref()).await
}

/// The job an attempt belongs to, in whichever pool.
async fn find<'a>(
    app: &'a App,
    attempt: &AttemptId,
) -> Result<Option<(&'a PoolDoor, JobId)>, StatusCode> {
    for pool in app.pools.values() {
        match pool.pool.store.job_of_attempt(attempt).await {
            Ok(Some(job)) => return Ok(Some((pool, job))),
            Ok(None) => {}
            // Not ours to lose: the provider delivers again, and the poller reads anyway.
            Err(error) => {
                tracing::warn!(%error, "a callback cannot be looked up");
                return Err(StatusCode::SERVICE_UNAVAILABLE);
            }
        }
    }
    Ok(None)
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
    let stored = match pool.pool.store.load(job).await {
        Ok(Some(stored)) => stored,
        Ok(None) => return (StatusCode::OK, "stale"),
        Err(error) => {
            tracing::warn!(%error, "a callback cannot be written down");
            return (StatusCode::SERVICE_UNAVAILABLE, "stale");
        }
    };
    let ended = task.is_some_and(|t| t.status.is_terminal());
    if !worth_a_look(&stored, task, ended) {
        return (StatusCode::OK, "duplicate");
    }
    if !door.coalesce.passes(&(attempt.clone(), ended)) {
        return (StatusCode::OK, "duplicate");
    }
    let id = task.and_then(|t| TaskId::parse(&t.id).ok());
    match pool.pool.store.hint(attempt, id.as_ref()).await {
        Ok(HintOutcome::Noted(_)) if stored.record.life.state.open_attempt().is_some() => {
            (StatusCode::OK, "adopted")
        }
        Ok(HintOutcome::Noted(_)) => (StatusCode::OK, "applied"),
        Ok(HintOutcome::Finished(_) | HintOutcome::Unknown) => (StatusCode::OK, "stale"),
        Err(error) => {
            tracing::warn!(%error, "a callback cannot be written down");
            (StatusCode::SERVICE_UNAVAILABLE, "stale")
        }
    }
}

/// Whether a read would tell us anything. A job that is finished or being downloaded has been read;
/// `queued` and `running` are news only while we do not know the task.
fn worth_a_look(stored: &Stored, task: Option<&Task>, ended: bool) -> bool {
    let state = &stored.record.life.state;
    if state.word().is_finished() {
        return false;
    }
    match state.task() {
        None => true,
        Some(owned) => {
            let other = task.is_some_and(|t| t.id != owned.id.as_str());
            if other {
                // Evidence of a second task: a person must look, whatever it is.
                tracing::error!(job.id = %stored.record.id, "a callback names a second task for one attempt");
                telemetry::metrics().duplicate_submissions.add(1, ["callback"]);
            }
            ended || other || task.is_none()
        }
    }
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

    #[test]
    fn nesting_is_counted_outside_of_texts_only() {
        assert_eq!(depth(br#"{"a":[{"b":"[[[["}]}"#), 3);
        assert_eq!(depth(br#"{"a":"\"[[["}"#), 1);
        assert_eq!(depth("[".repeat(40).as_bytes()), 40);
        assert_eq!(depth(b""), 0);
    }
}
