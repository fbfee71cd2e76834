//! What a job made: its video, its last frame, and what the provider said of its task. Our copies, always.

use super::job::find;
use super::query::Asked;
use crate::app::App;
use crate::caller::Caller;
use crate::problem::Problem;
use crate::range::{self, Wanted};
use crate::settings::Scope;
use assets::{Assets, Manifest, Place, StoredObject};
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use job::Record;
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use utoipa::{IntoParams, ToSchema};

/// How long a signed link opens.
const LINK_LIVES: Duration = Duration::from_secs(300);

/// Bytes as they are.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
struct Bytes(#[allow(dead_code, reason = "told of in the document only")] ());

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct OutputAsked {
    /// `?inline` or `?inline=true`: send the bytes here instead of pointing to the bucket. `Range` and `If-Range` are honoured.
    #[serde(default)]
    #[param(value_type = Option<String>, pattern = "^(true|false)?$")]
    inline: Option<Inline>,
}

/// `?inline`, `?inline=true` or `?inline=false`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
enum Inline {
    #[serde(rename = "")]
    Named,
    #[serde(rename = "true")]
    Yes,
    #[serde(rename = "false")]
    No,
}

impl OutputAsked {
    fn is_inline(&self) -> bool {
        matches!(self.inline, Some(Inline::Named | Inline::Yes))
    }
}

/// The video.
///
/// 302 to a link into the bucket that opens for five minutes, or the bytes themselves: with `?inline`, and always where
/// the bucket cannot sign links. The entity tag is the SHA-256 of the bytes.
#[utoipa::path(
    get,
    path = "/v1/jobs/{id}/output",
    operation_id = "get_output",
    tag = "outputs",
    params(("id" = String, Path, description = "The job."), OutputAsked),
    responses(
        (status = 200, description = "The video.", content_type = "video/mp4", body = Bytes),
        (status = 206, description = "The range asked for.", content_type = "video/mp4", body = Bytes),
        (status = 302, description = "Where the video lies, for five minutes."),
        (status = 304, description = "It is what you have."),
        (status = 416, response = Problem),
    )
)]
pub(super) async fn video(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    Asked(asked): Asked<OutputAsked>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (bucket, manifest) = manifest(&app, &caller, &id).await?;
    let object = manifest.output().ok_or_else(no_output)?;
    give(bucket, object, asked.is_inline(), &headers).await
}

/// The last frame.
///
/// As the video is given.
#[utoipa::path(
    get,
    path = "/v1/jobs/{id}/last-frame",
    operation_id = "get_last_frame",
    tag = "outputs",
    params(("id" = String, Path, description = "The job."), OutputAsked),
    responses(
        (status = 200, description = "The picture.", content_type = "image/png", body = Bytes),
        (status = 206, description = "The range asked for.", content_type = "image/png", body = Bytes),
        (status = 302, description = "Where the picture lies, for five minutes."),
        (status = 304, description = "It is what you have."),
        (status = 416, response = Problem),
    )
)]
pub(super) async fn last_frame(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    Asked(asked): Asked<OutputAsked>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (bucket, manifest) = manifest(&app, &caller, &id).await?;
    let frame = manifest.video().and_then(|video| video.last_frame.as_ref());
    give(bucket, frame.ok_or_else(no_output)?, asked.is_inline(), &headers).await
}

/// What the provider said of the task in the end.
///
/// Its payload as we filed it, without the links in it: they are the provider's and die within a day.
#[utoipa::path(
    get,
    path = "/v1/jobs/{id}/payload",
    operation_id = "get_payload",
    tag = "outputs",
    params(("id" = String, Path, description = "The job.")),
    responses((status = 200, description = "The payload.", body = Value))
)]
pub(super) async fn payload(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let (bucket, manifest) = manifest(&app, &caller, &id).await?;
    let bytes = bucket.read_whole(&manifest.task.path).await.map_err(|e| away(&e))?;
    let mut payload: Value = serde_json::from_slice(&bytes).map_err(|error| {
        away(&assets::Error::Damaged { path: manifest.task.path, why: error.to_string() })
    })?;
    take_out_links(&mut payload);
    Ok(Json(payload).into_response())
}

/// The bucket and the manifest of the caller's own job.
async fn manifest<'a>(
    app: &'a App,
    caller: &Caller,
    id: &str,
) -> Result<(&'a Assets, Manifest), Problem> {
    caller.needs(Scope::JobsRead)?;
    let (_, stored) = find(app, caller, id).await?;
    let Record { id, spec, .. } = &stored.record;
    let place = Place {
        tenant: &spec.tenant,
        job_id: id.as_str(),
        created_at_ms: stored.record.created_at.unix_ms(),
        prefix: spec.output_prefix.as_deref(),
    };
    let bucket = app.buckets.of(&spec.tenant);
    let folder = bucket.layout().folder(&place).map_err(|_| no_output())?;
    let manifest = bucket.read_manifest(&folder).await.map_err(|error| away(&error))?;
    let manifest = manifest.ok_or_else(|| {
        let problem = no_output();
        if stored.record.life.state.word().is_finished() { problem } else { problem.retryable() }
    })?;
    Ok((bucket, manifest))
}

async fn give(
    bucket: &Assets,
    object: &StoredObject,
    inline: bool,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let signed = if inline { None } else { bucket.link(&object.path, LINK_LIVES).await };
    match signed {
        None => {}
        Some(Ok(link)) => {
            let link =
                HeaderValue::from_str(&link).map_err(|error| Problem::unavailable(&error))?;
            let no_store = HeaderValue::from_static("no-store");
            let headers = [(header::LOCATION, link), (header::CACHE_CONTROL, no_store)];
            return Ok((StatusCode::FOUND, headers).into_response());
        }
        Some(Err(error)) => return Err(away(&error)),
    }
    let etag = format!("\"{}\"", object.sha256);
    let mut about = HeaderMap::new();
    let text = |text: &str| HeaderValue::from_str(text).map_err(|e| Problem::unavailable(&e));
    about.insert(header::ETAG, text(&etag)?);
    about.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    about.insert(header::CONTENT_TYPE, text(&object.content_type)?);
    about.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=86400"));
    about.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if range::is_known(headers, &etag) {
        return Ok((StatusCode::NOT_MODIFIED, about).into_response());
    }
    let whole = object.length_bytes;
    let (status, range) = match range::wanted(headers, &etag, whole) {
        Wanted::Whole => (StatusCode::OK, 0..whole),
        Wanted::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Wanted::Nothing => {
            let title = format!("the range lies outside of {whole} bytes");
            let problem = Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, "bad-range", title);
            let mut response = problem.into_response();
            let allowed = text(&format!("bytes */{whole}"))?;
            response.headers_mut().insert(header::CONTENT_RANGE, allowed);
            return Ok(response);
        }
    };
    if status == StatusCode::PARTIAL_CONTENT {
        let part = format!("bytes {}-{}/{whole}", range.start, range.end - 1);
        about.insert(header::CONTENT_RANGE, text(&part)?);
    }
    about.insert(header::CONTENT_LENGTH, HeaderValue::from(range.end - range.start));
    let read = bucket.read(&object.path, Some(range)).await;
    let (_, bytes) = read.map_err(|error| away(&error))?;
    Ok((status, about, Body::from_stream(bytes)).into_response())
}

fn no_output() -> Problem {
    let title = "the job has nothing of this kind";
    Problem::new(StatusCode::NOT_FOUND, "no-output", title)
}

fn away(error: &assets::Error) -> Problem {
    match error {
        assets::Error::Missing { .. } => no_output(),
        other => Problem::unavailable(other),
    }
}

/// A text that opens something is no text of ours to hand out.
fn take_out_links(value: &mut Value) {
    match value {
        Value::String(text) if text.contains("://") => *value = Value::Null,
        Value::Array(list) => list.iter_mut().for_each(take_out_links),
        Value::Object(object) => object.values_mut().for_each(take_out_links),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
