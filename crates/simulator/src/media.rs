//! The object host that serves finished files behind signed links (`docs/provider.md` §8.3).
//!
//! It answers in the store's manner, not the API's: XML errors, ranges, entity tags. A request that
//! carries credentials is refused and counted, for a client must not show its key to this host.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method, Response};

use crate::clip::{self, sha256_hex};
use crate::faults::{Facts, Media, Rule};
use crate::ledger::Entry;
use crate::link::{Artefact, LinkFault, seq_of_path};
use crate::serve::{Answer, Body, Exchange, Hangup, cut, slow, whole};
use crate::task::Status;
use crate::world::{State, World};

/// A file found, with what shall go wrong on its way.
struct Found {
    file: Bytes,
    /// Says as much as a checksum: the file is made from it.
    tag: String,
    artefact: Artefact,
    rule: Option<Rule<Media>>,
}

/// An answer that is no file.
struct Refused {
    status: u16,
    code: &'static str,
    message: &'static str,
}

const fn refused(status: u16, code: &'static str, message: &'static str) -> Refused {
    Refused { status, code, message }
}

const EXPIRED: Refused = refused(403, "AccessDenied", "Request has expired");

/// Answers one request to the object host.
pub(crate) async fn handle(exchange: Exchange) -> Answer {
    let (parts, _) = exchange.request.into_parts();
    let (world, path) = (exchange.world, parts.uri.path().to_owned());
    let found = match find(&world, &parts, &path) {
        Ok(found) => found,
        Err(refused) => {
            note(&world, &path, refused.status, 0, None);
            return Ok(xml(&refused));
        }
    };
    let kind = found.rule.as_ref().map(|rule| rule.kind);
    if let Some(answer) = found.rule.as_ref().and_then(no_file) {
        note(&world, &path, answer.status().as_u16(), 0, kind);
        return Ok(answer);
    }
    let (etag, file) = as_shown(&world, &found);
    let wish = if kind == Some(Media::IgnoreRange) {
        Wish::All
    } else {
        Wish::read(&parts.headers, file.len(), &etag)
    };
    let (status, range) = match wish {
        Wish::All => (200, 0..file.len()),
        Wish::Part(range) => (206, range),
        Wish::Unsatisfiable => {
            note(&world, &path, 416, 0, kind);
            let refused = refused(416, "InvalidRange", "The requested range cannot be satisfied.");
            let mut answer = xml(&refused);
            let value = format!("bytes */{}", file.len());
            let value = http::HeaderValue::try_from(value).map_err(|_| Hangup)?;
            answer.headers_mut().insert("content-range", value);
            return Ok(answer);
        }
    };
    if range.start == 0 && found.artefact == Artefact::Video {
        count_download(&world, &path);
    }
    note(&world, &path, status, range.len(), kind);
    let head = head_of(status, &etag, found.artefact, &range, &file);
    let too_long = found.rule.as_ref().filter(|rule| rule.kind == Media::WrongLength);
    let extra = too_long.map_or(0, |rule| rule.count.unwrap_or(64) as usize);
    let head = head.header("content-length", range.len() + extra);
    let body = body_of(file.slice(range), found.rule.as_ref(), &exchange.sabotage);
    head.body(body).map_err(|_| Hangup)
}

/// The answer's head but for its length, which a fault may falsify.
fn head_of(
    status: u16,
    etag: &str,
    artefact: Artefact,
    range: &std::ops::Range<usize>,
    file: &[u8],
) -> http::response::Builder {
    let file_bytes = file.len();
    let is_jpeg = file.starts_with(&[0xff, 0xd8]);
    let content_type = match artefact {
        Artefact::Video => "video/mp4",
        Artefact::LastFrame if is_jpeg => "image/jpeg",
        Artefact::LastFrame => "image/png",
    };
    let head = Response::builder()
        .status(status)
        .header("accept-ranges", "bytes")
        .header("etag", etag)
        .header("content-type", content_type);
    if status == 206 {
        let part = format!("bytes {}-{}/{file_bytes}", range.start, range.end - 1);
        head.header("content-range", part)
    } else {
        head
    }
}

/// Entity tag and content as this request is to see them.
fn as_shown(world: &World, found: &Found) -> (String, Bytes) {
    let kind = found.rule.as_ref().map(|rule| rule.kind);
    let etag = if kind == Some(Media::EtagChanges) {
        world.with(|state| format!("\"{}\"", state.request_id()))
    } else {
        format!("\"{}\"", &sha256_hex(found.tag.as_bytes())[..32])
    };
    let file = if kind == Some(Media::ShortFile) {
        found.file.slice(..found.file.len() / 2)
    } else if kind == Some(Media::Corrupt) {
        corrupted(&found.file, found.rule.as_ref())
    } else {
        found.file.clone()
    };
    (etag, file)
}

/// The answer of a fault that sends no file at all.
fn no_file(rule: &Rule<Media>) -> Option<Response<Body>> {
    match rule.kind {
        Media::Expired => Some(xml(&EXPIRED)),
        Media::Answer => {
            let status = rule.status.unwrap_or(503);
            Some(xml(&refused(status, "ServiceUnavailable", "Please reduce your request rate.")))
        }
        Media::Redirect => {
            let url = rule.url.as_deref().unwrap_or("http://127.0.0.1:9/elsewhere");
            let mut answer = xml(&refused(rule.status.unwrap_or(302), "Redirect", "Look there."));
            let url = http::HeaderValue::try_from(url).ok()?;
            answer.headers_mut().insert("location", url);
            Some(answer)
        }
        Media::Truncated
        | Media::ShortFile
        | Media::Corrupt
        | Media::WrongLength
        | Media::IgnoreRange
        | Media::Slow
        | Media::Stall
        | Media::Reset
        | Media::EtagChanges => None,
    }
}

fn body_of(bytes: Bytes, rule: Option<&Rule<Media>>, sabotage: &crate::line::Sabotage) -> Body {
    let pause = Duration::from_millis(30);
    let Some(rule) = rule else {
        return whole(bytes);
    };
    let half = bytes.slice(..bytes.len() / 2);
    match rule.kind {
        Media::Truncated => cut(half, pause),
        Media::WrongLength => cut(bytes, pause),
        Media::Stall => cut(half, Duration::from_millis(rule.ms.unwrap_or(60_000))),
        Media::Reset => {
            sabotage.reset_on_close();
            cut(half, pause)
        }
        Media::Slow => slow(bytes, rule.bytes_per_s.unwrap_or(1_024)),
        Media::ShortFile
        | Media::Corrupt
        | Media::IgnoreRange
        | Media::EtagChanges
        | Media::Expired
        | Media::Redirect
        | Media::Answer => whole(bytes),
    }
}

/// Looks a file up, or says why not; redirects and plain refusals by fault come from here too.
fn find(world: &World, parts: &Parts, path: &str) -> Result<Found, Refused> {
    if parts.headers.contains_key("authorization") {
        world.with(|state| state.stats.authorization_at_media += 1);
        let message = "Only one auth mechanism is allowed; an Authorization header is refused.";
        return Err(refused(400, "InvalidRequest", message));
    }
    let host = parts.headers.get("host").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let query = parts.uri.query().unwrap_or_default();
    let (spec, artefact, rule) = world.with(|state| {
        let now_ms = state.clock.calendar_ms();
        // Links are signed for GET, so any other method fails the signature.
        if parts.method != Method::GET {
            return Err(bad_signature());
        }
        match state.signer().check(host, path, query, now_ms) {
            Ok(()) => {}
            Err(LinkFault::Expired) => return Err(EXPIRED),
            Err(LinkFault::BadSignature) => return Err(bad_signature()),
        }
        lookup(state, path)
    })?;
    let file = match artefact {
        Artefact::Video => clip::video(&spec),
        Artefact::LastFrame => clip::last_frame(&spec),
    };
    let tag = format!("{}.{}", spec.tag, artefact.extension());
    Ok(Found { file, tag, artefact, rule })
}

fn bad_signature() -> Refused {
    let message = "The signature does not match the one computed by the server.";
    refused(403, "SignatureDoesNotMatch", message)
}

fn lookup(
    state: &mut State,
    path: &str,
) -> Result<(clip::ClipSpec, Artefact, Option<Rule<Media>>), Refused> {
    let missing = || refused(404, "NoSuchKey", "The specified key does not exist.");
    let artefact = match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("mp4") => Artefact::Video,
        Some("png") => Artefact::LastFrame,
        _ => return Err(missing()),
    };
    let seq = seq_of_path(path).ok_or_else(missing)?;
    let task = state.task(seq).filter(|task| task.status == Status::Succeeded);
    let task = task.ok_or_else(missing)?;
    if !state.leaves(task, artefact) || state.signer().path(task, artefact) != path {
        return Err(missing());
    }
    let most = state.limits_of(&task.account).downloads;
    if artefact == Artefact::Video && most.is_some_and(|most| task.video_downloads >= most) {
        return Err(refused(403, "AccessDenied", "The link was used too often."));
    }
    let (spec, id, account) = (state.clip(task), task.id.clone(), task.account.clone());
    let (model, nonce) = (task.model_name, task.expires_after_s);
    let facts = Facts {
        model: Some(model),
        account: Some(&account),
        id: Some(&id),
        nonce: Some(nonce),
        file: Some(artefact.extension()),
        ..Facts::default()
    };
    let rule = state.chance.draw(&mut state.faults.media, &facts, |_| true);
    Ok((spec, artefact, rule))
}

fn count_download(world: &World, path: &str) {
    world.with(|state| {
        let Some(task) = seq_of_path(path).and_then(|seq| state.task_mut(seq)) else {
            return;
        };
        task.video_downloads += 1;
        let count = task.video_downloads;
        let most = &mut state.stats.downloads_of_one_video_max;
        *most = (*most).max(count);
    });
}

fn note(world: &World, path: &str, status: u16, bytes: usize, fault: Option<Media>) {
    world.with(|state| {
        state.stats.call("media", status);
        state.stats.media_bytes += bytes as u64;
        let task = seq_of_path(path).and_then(|seq| state.task(seq)).map(|task| task.id.clone());
        let entry = Entry::new()
            .with("call", "media")
            .with("task", task)
            .with("http_status", status)
            .with("bytes", bytes)
            .with("fault", fault);
        state.note("call", entry);
    });
}

/// An error in the store's manner.
fn xml(refused: &Refused) -> Response<Body> {
    let Refused { status, code, message } = refused;
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    );
    Response::builder()
        .status(*status)
        .header("content-type", "application/xml")
        .body(whole(text))
        .expect("a fixed status and header make an answer")
}

/// The same length, some bytes in the middle turned over.
fn corrupted(file: &Bytes, rule: Option<&Rule<Media>>) -> Bytes {
    let count = rule.and_then(|rule| rule.count).unwrap_or(16) as usize;
    let mut bytes = file.to_vec();
    let from = bytes.len() / 2;
    bytes.iter_mut().skip(from).take(count).for_each(|byte| *byte = !*byte);
    Bytes::from(bytes)
}

/// Which part of a file is asked for.
#[derive(Debug, PartialEq, Eq)]
enum Wish {
    All,
    Part(Range<usize>),
    Unsatisfiable,
}

impl Wish {
    fn read(headers: &HeaderMap, length: usize, etag: &str) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        if text("if-range").is_some_and(|known| known != etag) {
            return Self::All;
        }
        let Some((first, last)) = text("range")
            .and_then(|range| range.strip_prefix("bytes="))
            .filter(|range| !range.contains(','))
            .and_then(|range| range.split_once('-'))
        else {
            return Self::All;
        };
        let range = match (first.parse::<usize>().ok(), last.parse::<usize>().ok()) {
            (Some(first), Some(last)) => first..last.saturating_add(1).min(length),
            (Some(first), None) if last.is_empty() => first..length,
            (None, Some(count)) if first.is_empty() => length.saturating_sub(count)..length,
            _ => return Self::All,
        };
        match range.is_empty() {
            true => Self::Unsatisfiable,
            false => Self::Part(range),
        }
    }
}
