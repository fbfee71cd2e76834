//! Server-sent events: `GET /v1/jobs/{id}/events` and `GET /v1/events`.
//!
//! A follower that was cut off comes back with `Last-Event-ID` and misses nothing for as long as the
//! timeline and the stream keep it. One that does not read fast enough is told to do so; nothing is
//! gathered for it. The last block of a stream that we end carries `retry:`, so that the followers of a
//! gateway that stops do not all come back in the same instant.

mod seats;

use crate::api::{Asked, find};
use crate::app::App;
use crate::caller::Caller;
use crate::problem::Problem;
use crate::settings::Scope;
use crate::watch::{About, News, Watch};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use job::{JobId, StateWord, Timestamp};
pub(crate) use seats::Seat;
pub(crate) use seats::Seats;
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use store::{Change, Mark, Store, TimelineLine};
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior};
use tokio_stream::wrappers::ReceiverStream;
use utoipa::{IntoParams, ToSchema};
use worker::Drain;

/// A line goes out at least this often: proxies cut what is silent.
const BEAT: Duration = Duration::from_secs(15);
/// How long one block may wait for a follower that does not read.
const SEND_MAX: Duration = Duration::from_secs(30);
/// Blocks that wait for the connection.
const BLOCKS_MAX: usize = 16;
/// When to come back: after an end of ours, and how far apart the followers are spread.
const RETRY: Duration = Duration::from_millis(1_000);
const RETRY_SPREAD_MS: u64 = 4_000;
/// Entries of one look into the past.
const PAGE: usize = 500;
/// Longest `Last-Event-ID`, bytes.
const ID_BYTES_MAX: usize = 48;
/// Longest list of types, bytes.
const TYPES_BYTES_MAX: usize = 1_024;

/// One event as followers read it.
#[derive(Debug, Serialize)]
struct Told<'a> {
    object: &'static str,
    #[serde(rename = "type")]
    kind: &'a str,
    job: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch: Option<&'a str>,
    from: Option<&'static str>,
    state: &'static str,
    seq: u64,
    at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    what: Option<&'a str>,
}

/// One block of a stream of events. Comments come between, every 15 seconds at least.
#[derive(ToSchema)]
#[schema(as = EventBlock)]
#[allow(dead_code, reason = "describes what is written as text")]
struct BlockForm {
    /// For `Last-Event-ID`.
    #[schema(nullable = false)]
    id: Option<String>,
    /// The type, such as `job.succeeded`.
    #[schema(nullable = false)]
    event: Option<String>,
    /// A JSON object: `type`, `job`, `from`, `state`, `seq`, `at`, and `what` of a job's own stream.
    #[schema(nullable = false)]
    data: Option<String>,
    /// Milliseconds after which to come back.
    #[schema(nullable = false)]
    retry: Option<u64>,
}

/// Follow a job.
///
/// Server-sent events, from the job's first state on; the stream ends when the job has ended. Come back with
/// `Last-Event-ID` and nothing is missed.
#[utoipa::path(
    get,
    path = "/v1/jobs/{id}/events",
    operation_id = "follow_job",
    tag = "events",
    params(
        ("id" = String, Path, description = "The job."),
        ("Last-Event-ID" = Option<String>, Header, description = "The last event you have."),
    ),
    responses(
        (status = 200, description = "Events.", content_type = "text/event-stream", body = BlockForm),
        (status = 204, description = "The job has ended and you have heard it all."),
    )
)]
pub(crate) async fn job(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.needs(Scope::JobsRead)?;
    let after: Option<u64> = last_id(&headers)?;
    let (door, stored) = find(&app, &caller, &id).await?;
    if stored.record.life.state.word().is_finished()
        && let Some(after) = after
    {
        let lines = door.pool.store.timeline(&stored.record.id).await;
        let lines = lines.map_err(|error| Problem::unavailable(&error))?;
        if lines.first().is_none_or(|newest| newest.rev <= after) {
            // The one answer after which a browser does not come back.
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
    }
    let seat = app.seats.take(&caller.tenant)?;
    let (watch, store) = (door.watch.clone(), door.pool.store.clone());
    let (out, blocks) = Out::new(app.seats.drain.clone(), seat);
    tokio::spawn(follow_job(watch, store, stored.record.id, after.unwrap_or(0), out));
    Ok(answer(blocks))
}

/// What of a tenant's events is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// Types with commas between, such as `job.succeeded,job.failed`; all, if left out.
    types: Option<String>,
}

/// Follow all jobs.
///
/// Server-sent events of all your jobs, from now on or behind `Last-Event-ID`, which is kept for a day.
#[utoipa::path(
    get,
    path = "/v1/events",
    operation_id = "follow_jobs",
    tag = "events",
    params(
        Wanted,
        ("Last-Event-ID" = Option<String>, Header, description = "The last event you have."),
    ),
    responses((status = 200, description = "Events.", content_type = "text/event-stream", body = BlockForm))
)]
pub(crate) async fn tenant(
    State(app): State<Arc<App>>,
    caller: Caller,
    Asked(wanted): Asked<Wanted>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.needs(Scope::JobsRead)?;
    let types = Types::parse(wanted.types.as_deref().unwrap_or_default())?;
    let after: Option<Mark> = last_id(&headers)?;
    let door = app.pool_of(&caller)?;
    let seat = app.seats.take(&caller.tenant)?;
    let news = door.watch.subscribe(About::Tenant(caller.tenant.clone()));
    let (out, blocks) = Out::new(app.seats.drain.clone(), seat);
    let follower = Follower {
        store: door.pool.store.clone(),
        tenant: caller.tenant.clone(),
        types,
        after,
        out,
    };
    tokio::spawn(follower.follow(news));
    Ok(answer(blocks))
}

fn answer(blocks: mpsc::Receiver<Event>) -> Response {
    let blocks = tokio_stream::StreamExt::map(ReceiverStream::new(blocks), Ok::<_, Infallible>);
    let mut response = Sse::new(blocks).into_response();
    // A proxy that gathers an answer before it passes it on would turn news into history.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn last_id<T: FromStr>(headers: &HeaderMap) -> Result<Option<T>, Problem> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let text = value.to_str().ok().map(str::trim).filter(|text| text.len() <= ID_BYTES_MAX);
    let parsed = text.filter(|text| !text.is_empty()).map(str::parse).transpose();
    parsed.map_err(|_| {
        let title = "Last-Event-ID is not an id of this stream";
        Problem::new(StatusCode::BAD_REQUEST, "bad-header", title)
            .detail("send the `id` of the last event that came, or leave the header out")
    })
}

/// Types of events about jobs.
fn job_types() -> impl Iterator<Item = &'static str> {
    ["*", "job.*", "job.submitted"].into_iter().chain(StateWord::ALL.map(Change::kind_of))
}

/// Every type that a webhook endpoint may ask for.
pub(crate) fn known_types() -> Vec<&'static str> {
    let batches = ["batch.*", "batch.completed", "batch.paused"];
    let others = ["endpoint.*", "endpoint.disabled", "webhook.*"];
    job_types().chain(batches).chain(others).collect()
}

/// Which types of events; empty: all.
struct Types(Vec<String>);

impl Types {
    fn parse(text: &str) -> Result<Self, Problem> {
        let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
        let words: Vec<String> = words.map(str::to_owned).collect();
        let known = |word: &str| job_types().any(|kind| kind == word);
        match words.iter().find(|word| text.len() > TYPES_BYTES_MAX || !known(word)) {
            None => Ok(Self(words)),
            Some(word) => {
                let word: String = word.chars().take(64).collect();
                let title = format!("there is no type of events called {word:?}");
                let allowed = job_types().collect::<Vec<_>>().join(", ");
                Err(Problem::new(StatusCode::BAD_REQUEST, "no-such-type", title)
                    .detail(format!("allowed are {allowed}")))
            }
        }
    }

    fn takes(&self, kind: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|t| t == kind || t == "*" || t == "job.*")
    }
}

/// Where the blocks of one stream go.
struct Out {
    sender: mpsc::Sender<Event>,
    drain: Drain,
    beat: Interval,
    _seat: Seat,
}

/// What ends a wait.
enum Next<T> {
    /// Something came.
    Came(T),
    /// The follower is gone, or this process stops: no more is to be said.
    Over,
}

impl Out {
    fn new(drain: Drain, seat: Seat) -> (Self, mpsc::Receiver<Event>) {
        let (sender, blocks) = mpsc::channel(BLOCKS_MAX);
        let mut beat = tokio::time::interval_at(tokio::time::Instant::now() + BEAT, BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        (Self { sender, drain, beat, _seat: seat }, blocks)
    }

    /// False: the follower is gone, or reads nothing.
    async fn send(&self, block: Event) -> bool {
        self.sender.send_timeout(block, SEND_MAX).await.is_ok()
    }

    /// Waits for something, and meanwhile shows that the stream lives. `id` is repeated, so that who is
    /// cut off need not look through again what did not concern it.
    async fn wait<T>(&mut self, id: Option<String>, what: impl Future<Output = T>) -> Next<T> {
        tokio::pin!(what);
        loop {
            tokio::select! {
                came = &mut what => return Next::Came(came),
                () = self.sender.closed() => return Next::Over,
                () = self.drain.wait() => {
                    self.end("this gateway stops").await;
                    return Next::Over;
                }
                _ = self.beat.tick() => {
                    let alive = Event::default().comment("alive");
                    let alive = match &id { Some(id) => alive.id(id), None => alive };
                    if !self.send(alive).await {
                        return Next::Over;
                    }
                }
            }
        }
    }

    /// The last block: when to come back, and why.
    async fn end(&self, why: &str) {
        let spread = u64::from(ulid::Ulid::generate().random() as u32) % RETRY_SPREAD_MS;
        let retry = RETRY + Duration::from_millis(spread);
        // Nobody reads it: nobody comes back.
        let _ = self.sender.try_send(Event::default().retry(retry).comment(why));
    }
}

/// The timeline is the one source: news only say when to look at it.
async fn follow_job(watch: Watch, store: Store, id: JobId, mut after: u64, mut out: Out) {
    loop {
        let mut news = watch.subscribe(About::Job(id.clone()));
        let looked = match store.load(&id).await {
            // The record first: whatever ended it stands in the timeline by then.
            Ok(stored) => store.timeline(&id).await.map(|lines| (stored, lines)),
            Err(error) => Err(error),
        };
        let Ok((stored, lines)) = looked else {
            return out.end("the fleet's memory is away").await;
        };
        let fresh = lines.iter().rev().filter(|line| line.rev > after).collect::<Vec<_>>();
        for line in fresh {
            after = line.rev;
            if !out.send(block(&line.rev.to_string(), &line_told(&id, line))).await {
                return;
            }
        }
        if stored.is_none_or(|stored| stored.record.life.state.word().is_finished()) {
            return;
        }
        if let Next::Over = out.wait(None, news.next()).await {
            return;
        }
    }
}

fn line_told<'a>(id: &'a JobId, line: &'a TimelineLine) -> Told<'a> {
    let kind = match line.rev {
        1 => "job.submitted",
        _ if line.from == line.to => "job.note",
        _ => Change::kind_of(line.to),
    };
    Told {
        object: "event",
        kind,
        job: id.as_str(),
        batch: None,
        from: (line.rev > 1).then_some(line.from.as_str()),
        state: line.to.as_str(),
        seq: line.rev,
        at: line.at.rfc3339(),
        what: Some(&line.what),
    }
}

fn block(id: &str, told: &Told<'_>) -> Event {
    let data = serde_json::to_string(told).expect("plain data always serialises");
    Event::default().id(id).event(told.kind).data(data)
}

/// Follows all jobs of a tenant.
struct Follower {
    store: Store,
    tenant: String,
    types: Types,
    after: Option<Mark>,
    out: Out,
}

impl Follower {
    async fn follow(mut self, mut news: News) {
        if !self.catch_up().await {
            return;
        }
        loop {
            let id = self.after.map(|mark| mark.to_string());
            match self.out.wait(id, news.next()).await {
                Next::Came(Some(change)) => {
                    if !self.tell(&change).await {
                        return;
                    }
                }
                Next::Came(None) => return self.out.end("you read too slowly: resume").await,
                Next::Over => return,
            }
        }
    }

    /// What was committed before this follower came back.
    async fn catch_up(&mut self) -> bool {
        let Some(mut after) = self.after else { return true };
        match self.store.first_change().await {
            Ok(Some(first)) if after < first => {
                let kept = first.to_string();
                let since = Timestamp::rfc3339(first.at());
                let gap = serde_json::json!({"object": "gap", "kept_from": kept, "at": since});
                let gap = Event::default().event("gap").data(gap.to_string());
                if !self.out.send(gap).await {
                    return false;
                }
            }
            Ok(_) => {}
            Err(_) => {
                self.out.end("the fleet's memory is away").await;
                return false;
            }
        }
        loop {
            let Ok(changes) = self.store.changes_after(after, PAGE).await else {
                self.out.end("the fleet's memory is away").await;
                return false;
            };
            let Some(last) = changes.last().map(|change| change.mark) else { return true };
            for change in &changes {
                if change.tenant == self.tenant && !self.tell(change).await {
                    return false;
                }
            }
            after = last;
            self.after = Some(last);
        }
    }

    async fn tell(&mut self, change: &Change) -> bool {
        if self.after.is_some_and(|after| change.mark <= after) {
            return true;
        }
        self.after = Some(change.mark);
        if !self.types.takes(change.kind()) {
            return true;
        }
        let told = Told {
            object: "event",
            kind: change.kind(),
            job: change.job.as_str(),
            batch: change.batch.as_deref(),
            from: change.from.map(StateWord::as_str),
            state: change.to.as_str(),
            seq: change.seq,
            at: change.mark.at().rfc3339(),
            what: None,
        };
        self.out.send(block(&change.mark.to_string(), &told)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_known_ones_and_none_means_all() {
        let types = |text: &str| Types::parse(text).map_err(|problem| problem.status());
        assert!(types("").unwrap().takes("job.held"));
        let two = types("job.succeeded, job.failed").unwrap();
        assert!(two.takes("job.failed") && !two.takes("job.running"));
        assert!(types("job.*").unwrap().takes("job.running"));
        assert_eq!(types("job.exploded").err(), Some(400));
    }

    #[test]
    fn an_id_of_another_stream_is_refused() {
        let with = |text: &str| {
            HeaderMap::from_iter([(
                header::HeaderName::from_static("last-event-id"),
                HeaderValue::from_str(text).unwrap(),
            )])
        };
        assert_eq!(last_id::<u64>(&with("7")).unwrap(), Some(7));
        assert_eq!(last_id::<u64>(&HeaderMap::new()).unwrap(), None);
        assert!(last_id::<u64>(&with("1790000000000-0")).is_err());
        assert!(last_id::<Mark>(&with("7")).is_err());
    }
}
