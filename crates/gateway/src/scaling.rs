//! `/internal/scaling` of the admin listener: how many processes of each role are of use, and why, for an
//! autoscaler.
//!
//! A look at all pools every `scaling.every`; who asks is told the last one, so asking costs Redis nothing. A
//! look that is too old is told to nobody: an autoscaler that is answered 503 falls back on what it was
//! configured with, and one that is told old numbers would act on them.

use crate::problem::Problem;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures::future::try_join_all;
use job::Timestamp;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use store::StoreError;
use survey::{ScalingSettings, Wanted};
use worker::{Fleet, Live, Pool};

/// What of section `scaling` this room reads; the rest is the arithmetic's.
#[derive(Debug, Clone, Deserialize)]
pub struct ScalingLooks {
    #[serde(with = "humantime_serde")]
    every: Duration,
    #[serde(with = "humantime_serde")]
    stale_after: Duration,
    #[serde(default)]
    token_file: PathBuf,
}

/// The answer.
#[derive(Debug, Clone, Serialize)]
struct Answer {
    #[serde(flatten)]
    wanted: Wanted,
    /// The server's clock at the look.
    as_of: String,
    /// Never true in an answer: who is told old numbers hears 503.
    stale: bool,
}

/// The last look.
pub(crate) struct Desk {
    stale_after: Duration,
    token: Option<access::Sha256Hex>,
    last: Mutex<Option<(Instant, Answer)>>,
}

/// Begins to look, and serves what was seen.
///
/// # Errors
///
/// In words, with the configuration key.
pub(crate) fn open(fleet: &Fleet, desk: &Arc<Desk>, lookahead: u32) -> anyhow::Result<()> {
    let settings: ScalingLooks = fleet.section("scaling")?;
    let arithmetic: ScalingSettings = fleet.section("scaling")?;
    let (pools, live) = (fleet.pools().to_vec(), fleet.live());
    tokio::spawn(keep(Arc::clone(desk), pools, lookahead, settings, (arithmetic, live)));
    fleet.serve_admin(routes(Arc::clone(desk)));
    Ok(())
}

fn token(settings: &ScalingLooks) -> anyhow::Result<Option<access::Sha256Hex>> {
    let path = &settings.token_file;
    if path.as_os_str().is_empty() {
        return Ok(None);
    }
    let token = std::fs::read_to_string(path).map_err(|error| {
        anyhow::anyhow!("scaling.token_file: cannot read {}: {error}", path.display())
    })?;
    anyhow::ensure!(token.trim().len() >= 16, "scaling.token_file: 16 characters at least");
    Ok(Some(access::digest(token.trim())))
}

/// Looks until the process ends.
async fn keep(
    desk: Arc<Desk>,
    pools: Vec<Pool>,
    lookahead: u32,
    settings: ScalingLooks,
    (mut arithmetic, mut live): (ScalingSettings, Live),
) {
    let mut turn = tokio::time::interval(settings.every);
    turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut told = false;
    loop {
        turn.tick().await;
        arithmetic = live.newer("scaling").unwrap_or(arithmetic);
        match look(&pools, lookahead, &arithmetic).await {
            Ok(answer) => {
                told = false;
                for (role, desired, ..) in answer.wanted.roles() {
                    telemetry::metrics().desired_replicas.set(f64::from(desired), [role]);
                }
                *desk.last() = Some((Instant::now(), answer));
            }
            Err(error) => {
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(%error, "how many processes are of use cannot be reckoned; trying again");
                }
            }
        }
    }
}

async fn look(
    pools: &[Pool],
    lookahead: u32,
    arithmetic: &ScalingSettings,
) -> Result<Answer, StoreError> {
    let facts = try_join_all(pools.iter().map(|pool| {
        let steady = pool.policy.poll.steady;
        survey::pool_facts(&pool.store, &pool.settings, lookahead, steady)
    }));
    // Every process has at least one pool.
    let once = async {
        let Some(pool) = pools.first() else {
            return Ok((Timestamp::default(), survey::Staff::default()));
        };
        let fleet = pool.store.fleet();
        tokio::try_join!(pool.store.now(), survey::staff(&fleet))
    };
    let (facts, (now, staff)) = tokio::try_join!(facts, once)?;
    let wanted = survey::wanted(&facts, arithmetic, &staff);
    Ok(Answer { wanted, as_of: now.rfc3339(), stale: false })
}

fn routes(desk: Arc<Desk>) -> Router {
    Router::new().route("/internal/scaling", get(tell)).with_state(desk)
}

async fn tell(State(desk): State<Arc<Desk>>, headers: HeaderMap) -> Response {
    match desk.answer(&headers) {
        Ok(answer) => Json(answer).into_response(),
        Err(problem) => problem.into_response(),
    }
}

impl Desk {
    /// A desk that nobody has looked from yet.
    ///
    /// # Errors
    ///
    /// In words, with the configuration key.
    pub(crate) fn new(fleet: &Fleet) -> anyhow::Result<Self> {
        let settings: ScalingLooks = fleet.section("scaling")?;
        let (stale_after, token) = (settings.stale_after, token(&settings)?);
        Ok(Self { stale_after, token, last: Mutex::default() })
    }

    /// What was seen last.
    ///
    /// # Errors
    ///
    /// It is too old, or nobody has looked.
    pub(crate) fn wanted(&self) -> Result<Wanted, Problem> {
        self.fresh().map(|answer| answer.wanted)
    }

    fn last(&self) -> MutexGuard<'_, Option<(Instant, Answer)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, headers: &HeaderMap) -> Result<Answer, Problem> {
        if let Some(token) = &self.token {
            let sent = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
            let sent = sent.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
            if !token.is(&access::digest(sent.trim())) {
                return Err(Problem::unauthorized());
            }
        }
        self.fresh()
    }

    fn fresh(&self) -> Result<Answer, Problem> {
        match &*self.last() {
            Some((at, answer)) if at.elapsed() <= self.stale_after => Ok(answer.clone()),
            Some((_, answer)) => Err(stale(&format!("the last look was at {}", answer.as_of))),
            None => Err(stale("nobody has looked yet")),
        }
    }
}

fn stale(why: &str) -> Problem {
    let title = "how many processes are of use is not known now";
    let detail = format!("{why}; Redis is read again every `scaling.every`");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", title).detail(detail).retryable()
}
