//! The create body as bytes: the one rendering of a request for the wire (§2.1).
//!
//! Pure and deterministic. The same request, envelope and media give the same bytes for as long as
//! [`RENDERER_VERSION`] stands; the sender compares their hash with the one it wrote down before.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::media::sha256_hex;
use crate::{ContentItem, DurationChoice, MediaSource, Ratio, Request, Resolution};

/// Grows whenever the same request would give other bytes.
pub const RENDERER_VERSION: u32 = 1;

/// What the fleet adds for one attempt; the caller's request never holds these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Where the provider reports to, with this attempt's token in the path; `None` without callbacks.
    pub callback_url: Option<String>,
    /// Seconds after creation at which the provider gives up; also this attempt's nonce (§4.3).
    pub execution_expires_after_s: u32,
    /// Hashed end user, with the attempt's suffix where the operator allows it; at most 64 characters.
    pub safety_identifier: Option<String>,
}

/// Inline bytes that the request refers to were not handed over, so there is nothing to send.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("inline media {sha256} {}", if *.altered { "no longer has that hash" } else { "is missing" })]
pub struct MissingMedia {
    /// The content hash the request names.
    pub sha256: String,
    /// Bytes came, but other ones.
    pub altered: bool,
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    content: Vec<Item<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    callback_url: Option<&'a str>,
    return_last_frame: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    execution_expires_after: Option<u32>,
    generate_audio: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<[Tool; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    safety_identifier: Option<&'a str>,
    // Left out at its default, because not every account may set it.
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<u8>,
    resolution: Resolution,
    ratio: Ratio,
    duration: DurationChoice,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u32>,
    watermark: bool,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Item<'a> {
    Text { text: &'a str },
    ImageUrl { image_url: Payload, role: &'static str },
    VideoUrl { video_url: Payload, role: &'static str },
    AudioUrl { audio_url: Payload, role: &'static str },
}

#[derive(Serialize)]
struct Payload {
    url: String,
}

#[derive(Serialize)]
struct Tool {
    #[serde(rename = "type")]
    kind: &'static str,
}

impl Request {
    /// Renders the create body. `inline` hands out the bytes behind a content hash.
    ///
    /// # Errors
    ///
    /// [`MissingMedia`]: bytes are gone or changed. Nothing may be sent; no attempt was spent.
    pub fn wire_body(
        &self,
        envelope: &Envelope,
        inline: &dyn Fn(&str) -> Option<Vec<u8>>,
    ) -> Result<Vec<u8>, MissingMedia> {
        let data = |sha256: &str, mime: &str| match inline(sha256) {
            Some(bytes) if sha256_hex(&bytes) == sha256 => {
                let mut url = format!("data:{mime};base64,");
                STANDARD.encode_string(&bytes, &mut url);
                Ok(url)
            }
            found => Err(MissingMedia { sha256: sha256.to_owned(), altered: found.is_some() }),
        };
        render(self, Some(envelope), &data)
    }
}

/// Length of the body without an envelope, with all media encoded, computed without encoding them.
pub(crate) fn length_bytes(request: &Request) -> u64 {
    let empty = |_: &str, mime: &str| Ok(format!("data:{mime};base64,"));
    let skeleton = render(request, None, &empty).expect("the empty rendering needs no media");
    let encoded: u64 = request
        .content
        .iter()
        .filter_map(ContentItem::source)
        .map(|source| match source {
            MediaSource::Inline { bytes, .. } => bytes.div_ceil(3) * 4,
            MediaSource::Url(_) | MediaSource::Asset(_) => 0,
        })
        .sum();
    skeleton.len() as u64 + encoded
}

type DataUrl<'a> = &'a dyn Fn(&str, &str) -> Result<String, MissingMedia>;

fn render(
    request: &Request,
    envelope: Option<&Envelope>,
    data: DataUrl<'_>,
) -> Result<Vec<u8>, MissingMedia> {
    let content =
        request.content.iter().map(|item| render_item(item, data)).collect::<Result<_, _>>()?;
    let body = Body {
        model: &request.model_id,
        content,
        callback_url: envelope.and_then(|e| e.callback_url.as_deref()),
        return_last_frame: true,
        execution_expires_after: envelope.map(|e| e.execution_expires_after_s),
        generate_audio: request.generate_audio,
        tools: request.web_search.then_some([Tool { kind: "web_search" }]),
        safety_identifier: envelope.and_then(|e| e.safety_identifier.as_deref()),
        priority: (request.priority > 0).then_some(request.priority),
        resolution: request.resolution,
        ratio: request.ratio,
        duration: request.duration_s,
        seed: request.seed,
        watermark: request.watermark,
    };
    Ok(serde_json::to_vec(&body).expect("strings, numbers and flags always serialise"))
}

fn render_item<'a>(item: &'a ContentItem, data: DataUrl<'_>) -> Result<Item<'a>, MissingMedia> {
    let payload = |source: &MediaSource| -> Result<Payload, MissingMedia> {
        let url = match source {
            MediaSource::Url(url) => url.clone(),
            MediaSource::Asset(id) => format!("asset://{id}"),
            MediaSource::Inline { sha256, mime, .. } => data(sha256, mime)?,
        };
        Ok(Payload { url })
    };
    Ok(match item {
        ContentItem::Text { text } => Item::Text { text },
        ContentItem::Image { source, role } => {
            Item::ImageUrl { image_url: payload(source)?, role: role.word() }
        }
        ContentItem::Video { source } => {
            Item::VideoUrl { video_url: payload(source)?, role: "reference_video" }
        }
        ContentItem::Audio { source } => {
            Item::AudioUrl { audio_url: payload(source)?, role: "reference_audio" }
        }
    })
}
