//! From a temporary link into the bucket: the loop that ties fetching to writing.
//!
//! One call is one turn of the step. It resumes a broken body inside the turn, where the parts
//! already sent are still known, and makes few requests (M25); the next turn is the machine's
//! decision. Links are secrets: no text made here holds one.

use std::time::Duration;

use assets::{Answer, Ask, Assets, BodyEnd, Expected, Fetch, Folder, Plan, WrittenOutput};
use bytes::{Bytes, BytesMut};
use egress::{Chunks, FetchError, GuardedClient, Range, Response};
use futures::future::BoxFuture;

/// Pause before the second request of a turn; doubles. Long enough for a host that just reset a
/// connection, short against the job's own pauses.
const GAP_FIRST: Duration = Duration::from_millis(250);

/// Moments of a turn that its caller may want to act at, in order: tests kill the process there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The first bytes of a body are with the writer, not all of them.
    Part,
    /// The bytes lie in the bucket, the manifest does not.
    BeforeManifest,
    /// Bytes and manifest lie in the bucket; the record does not know.
    Published,
}

/// What a caller does at a [`Moment`].
pub type At<'a> = &'a (dyn Fn(Moment) -> BoxFuture<'static, ()> + Sync);

/// What to copy, and where to.
#[derive(Debug, Clone, Copy)]
pub struct Order<'a> {
    /// The signed link.
    pub link: &'a str,
    /// The job's folder.
    pub folder: &'a Folder,
    /// Names the copy; fresh for every turn.
    pub download_attempt_id: &'a str,
    /// Length of the film that was ordered; `None` accepts any.
    pub expected_duration_s: Option<u32>,
    /// Requests in a row that may bring less than a part.
    pub fetches_max: u32,
    /// Requests this turn may make in all.
    pub requests_max: u32,
}

/// A video that has arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// The object and what the file says about itself.
    pub output: WrittenOutput,
    /// The host's validator, kept for questions later.
    pub host_etag: Option<String>,
    /// Requests made.
    pub fetches: u32,
}

/// Why nothing arrived, sorted by what to do.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The link will not work any more: ask the provider for a fresh one.
    #[error("the link is dead: HTTP {status}")]
    LinkDead {
        /// What the host answered.
        status: u16,
    },
    /// Try again in another turn.
    #[error("{0}")]
    Trouble(String),
    /// The bucket failed us or the bytes were no whole video; sorted by the bucket's room.
    #[error(transparent)]
    Bucket(#[from] assets::Error),
}

/// Copies the video behind a link to `<folder>/<download attempt>/output.mp4`.
///
/// # Errors
///
/// [`CopyError`]; nothing stays visible in the bucket then.
pub async fn copy_video(
    client: &GuardedClient,
    assets: &Assets,
    order: &Order<'_>,
    at: At<'_>,
) -> Result<Copied, CopyError> {
    let mut fetch = Fetch::new(assets.output_bytes_max(), order.fetches_max)
        .while_it_grows(assets.part_size_bytes(), order.requests_max);
    let open = || assets.write_output(order.folder, order.download_attempt_id);
    let mut writer = open()?;
    let mut trouble = "no request is left for this turn".to_owned();
    while let Some(ask) = fetch.ask() {
        pause_before(fetch.fruitless()).await;
        let response = match client.get(order.link, rest(&ask).as_ref()).await {
            Ok(response) => response,
            Err(error @ FetchError::Refused(_)) => return Err(troubled(&error)),
            Err(error @ (FetchError::Unreachable { .. } | FetchError::Interrupted(_))) => {
                trouble = error.to_string();
                continue;
            }
        };
        match fetch.answer(&head(&response)) {
            Plan::Start => {
                if writer.length_bytes() > 0 {
                    std::mem::replace(&mut writer, open()?).abort().await;
                }
            }
            Plan::Continue => {}
            Plan::Done => return finish(writer, &fetch, order).await,
            // The next request starts over; its `Plan::Start` throws the old bytes away.
            Plan::Restart { why } => {
                trouble = why.to_owned();
                continue;
            }
            Plan::Later { status } => {
                trouble = format!("HTTP {status}");
                continue;
            }
            Plan::Unusable { status, why } => {
                trouble = format!("HTTP {status}: {why}");
                continue;
            }
            Plan::LinkDead { status } => return Err(CopyError::LinkDead { status }),
            Plan::TooBig { length_bytes } => return Err(too_big(length_bytes, assets)),
        }
        let clean = match pour(response.body, &mut fetch, &mut writer, at).await? {
            Poured::Ended => true,
            Poured::Interrupted(why) => {
                trouble = why;
                false
            }
            Poured::TooLong => return Err(too_long(&fetch, assets)),
        };
        match fetch.body_ended(clean) {
            BodyEnd::Whole => return finish(writer, &fetch, order).await,
            BodyEnd::Short { missing_bytes } => {
                if clean {
                    trouble = format!("the body ended {missing_bytes} bytes short");
                }
            }
            BodyEnd::TooLong => return Err(too_long(&fetch, assets)),
        }
    }
    writer.abort().await;
    Err(CopyError::Trouble(trouble))
}

/// Reads a small file, such as a last frame, whole into memory.
///
/// # Errors
///
/// [`CopyError`]; a dead link of a last frame is [`CopyError::LinkDead`] like any other.
pub async fn read_small(
    client: &GuardedClient,
    link: &str,
    length_bytes_max: u64,
    fetches_max: u32,
) -> Result<Bytes, CopyError> {
    let mut trouble = "no request is left for this turn".to_owned();
    for fetches in 1..=fetches_max {
        pause_before(fetches).await;
        // A small file is cheaper read again than resumed, so each request is a fetch of its own.
        let mut fetch = Fetch::new(length_bytes_max, 1);
        fetch.ask();
        let mut response = match client.get(link, None).await {
            Ok(response) => response,
            Err(error @ FetchError::Refused(_)) => return Err(troubled(&error)),
            Err(error @ (FetchError::Unreachable { .. } | FetchError::Interrupted(_))) => {
                trouble = error.to_string();
                continue;
            }
        };
        match fetch.answer(&head(&response)) {
            Plan::Start => {}
            Plan::LinkDead { status } => return Err(CopyError::LinkDead { status }),
            other => {
                trouble = format!("HTTP {}: {other:?}", response.status);
                continue;
            }
        }
        let mut bytes = BytesMut::new();
        let clean = loop {
            match response.body.next().await {
                Ok(Some(piece)) if fetch.received(piece.len() as u64) => {
                    bytes.extend_from_slice(&piece);
                }
                Ok(Some(_)) => return Err(CopyError::Trouble("longer than allowed".to_owned())),
                Ok(None) => break true,
                Err(error) => {
                    trouble = error.to_string();
                    break false;
                }
            }
        };
        match fetch.body_ended(clean) {
            BodyEnd::Whole => return Ok(bytes.freeze()),
            BodyEnd::Short { .. } | BodyEnd::TooLong => {}
        }
    }
    Err(CopyError::Trouble(trouble))
}

enum Poured {
    Ended,
    Interrupted(String),
    TooLong,
}

/// Pours one body into the copy. Nothing is read ahead of what the bucket takes.
async fn pour(
    mut body: Chunks,
    fetch: &mut Fetch,
    writer: &mut assets::OutputWriter,
    at: At<'_>,
) -> Result<Poured, assets::Error> {
    let mut is_first = true;
    loop {
        match body.next().await {
            Ok(Some(piece)) if fetch.received(piece.len() as u64) => {
                writer.write(&piece).await?;
                if std::mem::take(&mut is_first) {
                    at(Moment::Part).await;
                }
            }
            Ok(Some(_)) => return Ok(Poured::TooLong),
            Ok(None) => return Ok(Poured::Ended),
            Err(error) => return Ok(Poured::Interrupted(error.to_string())),
        }
    }
}

async fn finish(
    writer: assets::OutputWriter,
    fetch: &Fetch,
    order: &Order<'_>,
) -> Result<Copied, CopyError> {
    let expected =
        Expected { length_bytes: fetch.total_bytes(), duration_s: order.expected_duration_s };
    let output = writer.finish(expected).await?;
    let host_etag = fetch.etag().map(str::to_owned);
    Ok(Copied { output, host_etag, fetches: fetch.tries() })
}

async fn pause_before(request: u32) {
    if let Some(doublings) = request.checked_sub(2) {
        tokio::time::sleep(GAP_FIRST * 2_u32.pow(doublings.min(5))).await;
    }
}

fn rest(ask: &Ask) -> Option<Range> {
    match ask {
        Ask::Whole => None,
        Ask::Rest { from_bytes, etag } => {
            Some(Range { from: *from_bytes, etag: Some(etag.clone()) })
        }
    }
}

fn head(response: &Response) -> Answer<'_> {
    Answer {
        status: response.status,
        content_length_bytes: response.content_length,
        content_range: response.content_range.as_deref(),
        etag: response.etag.as_deref(),
        // The client asks for identity and undoes nothing; encoded bytes are no MP4 and fail there.
        content_encoding: None,
    }
}

fn troubled(error: &FetchError) -> CopyError {
    CopyError::Trouble(error.to_string())
}

/// More than announced is a host's mistake, more than allowed a matter for a person.
fn too_long(fetch: &Fetch, assets: &Assets) -> CopyError {
    if fetch.have_bytes() > assets.output_bytes_max() {
        return too_big(fetch.have_bytes(), assets);
    }
    CopyError::Trouble("the body is longer than announced".to_owned())
}

fn too_big(length_bytes: u64, assets: &Assets) -> CopyError {
    let limit_bytes = assets.output_bytes_max();
    let path = format!("an output of at least {length_bytes} bytes");
    CopyError::Bucket(assets::Error::TooBig { path, limit_bytes })
}
