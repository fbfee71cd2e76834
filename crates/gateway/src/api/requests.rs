//! What jobs were asked for, whole: for copies, and to mend what failed.

use super::job::{find, to_json};
use super::query::Asked;
use super::results::WhichAsked;
use crate::app::App;
use crate::caller::Caller;
use crate::problem::Problem;
use crate::room::Share;
use crate::settings::Scope;
use admission::whole_document;
use assets::Buckets;
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use erasure::{EraseError, Everywhere};
use job::{Record, Spec, Timestamp};
use seedance::{ContentItem, MediaSource};
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::VecDeque;
use std::sync::Arc;
use store::Store;
use survey::FailedView;
use utoipa::ToSchema;

/// What a job was asked for.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AskedFor)]
pub(super) struct RequestView {
    #[schema(example = "request")]
    object: &'static str,
    job_id: String,
    state: &'static str,
    /// The ended job in whose place it was asked for.
    retry_of: Option<String>,
    /// What was wrong, of a job that failed.
    failure: Option<FailedView>,
    /// A body of `POST /v1/jobs`: every setting said, inline media in it, without a `useful_until` that has passed.
    #[schema(value_type = Option<serde_json::Value>)]
    request: Option<Map<String, Value>>,
    /// Why the request cannot be told: it was erased, was never known, or a medium of it is gone.
    why: Option<String>,
}

impl RequestView {
    /// Of a record, where there is room for its media.
    async fn of(
        buckets: &Buckets,
        record: &Record,
        now: Timestamp,
        share: &mut Share,
    ) -> Result<Self, Problem> {
        share.hold(weight(&record.spec))?;
        let (request, why) = match whole_document(buckets, &record.spec, now).await {
            Ok(request) => (Some(request), None),
            Err(why) => (None, Some(why)),
        };
        Ok(Self::told(record, request, why))
    }

    fn told(record: &Record, request: Option<Map<String, Value>>, why: Option<String>) -> Self {
        Self {
            object: "request",
            job_id: record.id.to_string(),
            state: record.life.state.word().as_str(),
            retry_of: record.spec.retry_of.as_ref().map(ToString::to_string),
            failure: FailedView::of(record),
            request,
            why,
        }
    }
}

/// What telling a request takes of memory: its media as they are, and encoded in body, document and answer.
fn weight(spec: &Spec) -> usize {
    let sources = spec.request.content.iter().filter_map(ContentItem::source);
    let media = sources.map(|source| match source {
        MediaSource::Inline { bytes, .. } => *bytes,
        MediaSource::Url(_) | MediaSource::Asset(_) => 0,
    });
    usize::try_from(media.sum::<u64>().saturating_mul(5)).unwrap_or(usize::MAX)
}

/// The request of a job.
///
/// As it would be sent today, to send it again as it was or with fields changed.
#[utoipa::path(
    get,
    path = "/v1/jobs/{id}/request",
    operation_id = "get_request",
    tag = "jobs",
    params(("id" = String, Path, description = "The job.")),
    responses((status = 200, description = "What it was asked for.", body = RequestView))
)]
pub(super) async fn of_job(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    caller.needs(Scope::JobsRead)?;
    let (door, stored) = find(&app, &caller, &id).await?;
    let now = door.pool.store.now().await?;
    let mut share = app.room.share();
    let view = RequestView::of(&app.buckets, &stored.record, now, &mut share).await?;
    Ok(Json(to_json(&view)?).into_response())
}

/// The requests of jobs.
///
/// One line of JSON for each job of the filter, newest first, as a stream: the whole request, and of a failed job what was
/// wrong with it. Jobs whose records have left Redis for the bucket come behind the others. Where no job fits for a while,
/// an empty line says that the search goes on.
#[utoipa::path(
    get,
    path = "/v1/requests",
    operation_id = "get_requests",
    tag = "jobs",
    params(WhichAsked),
    responses((status = 200, description = "The requests.", content_type = "application/x-ndjson", body = String))
)]
pub(super) async fn of_jobs(
    State(app): State<Arc<App>>,
    caller: Caller,
    Asked(which): Asked<WhichAsked>,
) -> Result<Response, Problem> {
    let door = app.enter(&caller, Scope::JobsRead)?;
    let walk = which.walk(&app, door, &caller)?;
    let (store, buckets) = (door.pool.store.clone(), app.buckets.clone());
    let (read, share, now) = (VecDeque::new(), app.room.share(), store.now().await?);
    let source = Source { store, buckets, walk, read, now, share };
    let lines = futures::stream::try_unfold(source, |mut source| async move {
        let line = source.line().await?;
        Ok::<_, EraseError>(line.map(|line| (Bytes::from(line), source)))
    });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response())
}

/// Where requests come from. They are made one by one: each may hold media.
struct Source {
    store: Store,
    buckets: Buckets,
    walk: Everywhere,
    read: VecDeque<Record>,
    /// When the records were read.
    now: Timestamp,
    share: Share,
}

impl Source {
    /// The next line, empty where none was found among the records of a page; none at the end.
    async fn line(&mut self) -> Result<Option<String>, EraseError> {
        if self.read.is_empty() {
            let Some(records) = self.walk.next().await? else { return Ok(None) };
            self.read.extend(records);
            self.now = self.store.now().await?;
        }
        let Some(record) = self.read.pop_front() else { return Ok(Some("\n".to_owned())) };
        let view = RequestView::of(&self.buckets, &record, self.now, &mut self.share).await;
        // The others may be smaller, so this one alone goes without.
        let no_room = |_| {
            let why = "this gateway has no room for its media now: ask again in a moment";
            RequestView::told(&record, None, Some(why.to_owned()))
        };
        let view = view.unwrap_or_else(no_room);
        let line = serde_json::to_string(&view).map_err(|error| EraseError::Record {
            job: record.id.clone(),
            why: error.to_string(),
        })?;
        Ok(Some(line + "\n"))
    }
}
