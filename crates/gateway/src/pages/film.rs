//! Stored videos, their last frames, and pictures that came with a request, from our bucket.

use super::answer::{Shown, Trouble};
use super::session::Visitor;
use super::sight;
use crate::app::App;
use assets::Assets;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use seedance::MediaSource;
use std::ops::Range;
use std::sync::Arc;

/// One person's browser may keep what never changes.
const KEPT: &str = "private, max-age=86400";
/// A file shown inside a page must not become a page.
const PLAIN: &str = "default-src 'none'; sandbox";

pub(super) async fn video(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Shown {
    let (_, stored) = sight::find(&app, &visitor.viewer, &id).await?;
    let output = stored.record.life.state.output().filter(|output| output.is_here());
    let output = output.ok_or_else(Trouble::missing)?;
    let range = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    let assets = app.bucket(&stored.record.spec.tenant);
    send(assets, &output.video, "video/mp4", output.video_bytes, range).await
}

pub(super) async fn poster(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Shown {
    let (_, stored) = sight::find(&app, &visitor.viewer, &id).await?;
    let output = stored.record.life.state.output().ok_or_else(Trouble::missing)?;
    let frame = output.last_frame.as_deref().ok_or_else(Trouble::missing)?;
    let kind = match frame.rsplit('.').next() {
        Some("png") => "image/png",
        Some("webp") => "image/webp",
        Some(_) | None => "image/jpeg",
    };
    let assets = app.bucket(&stored.record.spec.tenant);
    send(assets, frame, kind, 0, None).await
}

/// A picture that came inside the request.
pub(super) async fn medium(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path((id, wanted)): Path<(String, String)>,
) -> Shown {
    let (_, stored) = sight::find(&app, &visitor.viewer, &id).await?;
    let spec = &stored.record.spec;
    let mut sources = spec.request.content.iter().filter_map(|item| item.source());
    let kind = sources.find_map(|source| match source {
        MediaSource::Inline { sha256, mime, .. } if *sha256 == wanted => Some(mime),
        MediaSource::Inline { .. } | MediaSource::Url(_) | MediaSource::Asset(_) => None,
    });
    let kind = kind.filter(|kind| kind.starts_with("image/")).ok_or_else(Trouble::missing)?;
    let bytes = app.bucket(&spec.tenant).get_media(&spec.tenant, &wanted).await?;
    let headers = [(header::CONTENT_TYPE, kind.clone()), (header::CACHE_CONTROL, KEPT.to_owned())];
    Ok((headers, bytes).into_response())
}

async fn send(
    assets: &Assets,
    path: &str,
    kind: &'static str,
    length_bytes: u64,
    asked: Option<&str>,
) -> Shown {
    let range = match asked.map(|asked| wanted(asked, length_bytes)) {
        None | Some(Wanted::Everything) => None,
        Some(Wanted::Part(range)) => Some(range),
        Some(Wanted::Nothing) => {
            let told = [(header::CONTENT_RANGE, format!("bytes */{length_bytes}"))];
            return Ok((StatusCode::RANGE_NOT_SATISFIABLE, told).into_response());
        }
    };
    let (whole, stream) = assets.read(path, range.clone()).await?;
    let (status, sent) = match &range {
        Some(range) => (StatusCode::PARTIAL_CONTENT, range.clone()),
        None => (StatusCode::OK, 0..whole),
    };
    let mut response = Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, kind)
        .header(header::CONTENT_LENGTH, sent.end - sent.start)
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::CACHE_CONTROL, KEPT)
        .header(header::CONTENT_SECURITY_POLICY, PLAIN);
    if range.is_some() {
        let told = format!("bytes {}-{}/{whole}", sent.start, sent.end.saturating_sub(1));
        response = response.header(header::CONTENT_RANGE, told);
    }
    response.body(Body::from_stream(stream)).map_err(|error| {
        tracing::error!(%error, "an answer cannot be built");
        Trouble::missing()
    })
}

/// What a `Range` header asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wanted {
    /// It may be ignored: several parts, or another unit.
    Everything,
    Part(Range<u64>),
    /// Nothing of it is there.
    Nothing,
}

fn wanted(header: &str, length: u64) -> Wanted {
    let Some(part) = header.strip_prefix("bytes=").filter(|part| !part.contains(',')) else {
        return Wanted::Everything;
    };
    let Some((first, last)) = part.trim().split_once('-') else { return Wanted::Everything };
    let range = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => first..last.saturating_add(1).min(length),
        (Ok(first), Err(_)) if last.is_empty() => first..length,
        (Err(_), Ok(tail)) if first.is_empty() => length.saturating_sub(tail)..length,
        (Ok(_) | Err(_), Ok(_) | Err(_)) => return Wanted::Everything,
    };
    if range.start < range.end { Wanted::Part(range) } else { Wanted::Nothing }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_browsers_write_them() {
        let part = Wanted::Part;
        assert_eq!(wanted("bytes=0-", 100), part(0..100));
        assert_eq!(wanted("bytes=0-0", 100), part(0..1));
        assert_eq!(wanted("bytes=50-999", 100), part(50..100));
        assert_eq!(wanted("bytes=-10", 100), part(90..100));
        assert_eq!(wanted("bytes=-999", 100), part(0..100));
        assert_eq!(wanted("bytes=100-", 100), Wanted::Nothing);
        assert_eq!(wanted("bytes=-0", 100), Wanted::Nothing);
        for odd in ["bytes=5-2", "bytes=a-b", "lines=1-2", "bytes=0-1,3-4", "bytes=", "bytes=-"] {
            assert_eq!(wanted(odd, 100), Wanted::Everything, "{odd}");
        }
    }
}
