//! The `content` array: items, roles, modes and addresses (`docs/provider.md` §2.4).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::doubts::{Doubts, ImageBounds};
use crate::models;
use crate::refusal::Refusal;

const IMAGE_BYTES_MAX: usize = 30 << 20;
const AUDIO_BYTES_MAX: usize = 15 << 20;

/// What the items of one request add up to.
#[derive(Debug, Default)]
pub(super) struct Content {
    /// Texts given, blank ones included.
    texts: usize,
    has_words: bool,
    first_frames: usize,
    last_frames: usize,
    bare_images: usize,
    reference_images: usize,
    pub(super) videos: usize,
    audios: usize,
    /// Ratio of the first inline picture; pictures behind an address are not fetched.
    pub(super) shape: Option<&'static str>,
}

impl Content {
    /// Reads all items, then checks that together they make one mode.
    pub(super) fn read(items: &[Value], doubts: &Doubts) -> Result<Self, Refusal> {
        let mut content = Self::default();
        for (at, item) in items.iter().enumerate() {
            content.add(at, item, doubts.image_bounds)?;
        }
        content.check_counts(usize::from(doubts.references_max))?;
        content.check_mode()?;
        Ok(content)
    }

    pub(super) fn has_media(&self) -> bool {
        self.images() + self.videos + self.audios > 0
    }

    fn images(&self) -> usize {
        self.first_frames + self.last_frames + self.bare_images + self.reference_images
    }

    fn add(&mut self, at: usize, item: &Value, bounds: ImageBounds) -> Result<(), Refusal> {
        let role = item.get("role").and_then(Value::as_str).filter(|role| !role.is_empty());
        let bad_role = |kind: &str| {
            let detail = format!("invalid role for {kind} content");
            Err(Refusal::parameter(&format!("content[{at}].role"), &detail))
        };
        match item.get("type").and_then(Value::as_str) {
            Some("text") => {
                let text = item.get("text").and_then(Value::as_str).ok_or_else(|| {
                    Refusal::parameter(&format!("content[{at}].text"), "expected a string")
                })?;
                self.texts += 1;
                self.has_words |= !text.trim().is_empty();
            }
            Some("image_url") => {
                let shape = check_image(&address(at, item, "image_url")?, bounds)?;
                self.shape = self.shape.or(shape);
                match role {
                    None => self.bare_images += 1,
                    Some("first_frame") => self.first_frames += 1,
                    Some("last_frame") => self.last_frames += 1,
                    Some("reference_image") => self.reference_images += 1,
                    Some(_) => return bad_role("image"),
                }
            }
            Some("video_url") => {
                check_video(&address(at, item, "video_url")?)?;
                if role.is_some_and(|role| role != "reference_video") {
                    return bad_role("video");
                }
                self.videos += 1;
            }
            Some("audio_url") => {
                check_audio(&address(at, item, "audio_url")?)?;
                if role.is_some_and(|role| role != "reference_audio") {
                    return bad_role("audio");
                }
                self.audios += 1;
            }
            _ => {
                let param = format!("content[{at}].type");
                return Err(Refusal::parameter(&param, "the type of content is not supported"));
            }
        }
        Ok(())
    }

    fn check_counts(&self, references_max: usize) -> Result<(), Refusal> {
        let wrong = |detail: String| Err(Refusal::parameter("content", &detail));
        if self.texts > 1 {
            return wrong(format!("at most one text expected, got {}", self.texts));
        }
        if self.reference_images > 9 {
            return wrong(format!("at most 9 images expected, got {}", self.reference_images));
        }
        for (kind, count) in [("videos", self.videos), ("audios", self.audios)] {
            if count > 3 {
                return wrong(format!("at most 3 {kind} expected, got {count}"));
            }
        }
        let references = self.reference_images + self.videos + self.audios;
        if references > references_max {
            let detail = format!("at most {references_max} references expected, got {references}");
            return wrong(detail);
        }
        if self.first_frames > 1 {
            return wrong("at most one first frame expected".into());
        }
        if self.last_frames > 1 {
            return wrong("at most one last frame expected".into());
        }
        Ok(())
    }

    fn check_mode(&self) -> Result<(), Refusal> {
        let wrong = |detail: &str| Err(Refusal::parameter("content", detail));
        let frames = self.first_frames + self.last_frames;
        let references = self.reference_images + self.videos + self.audios;
        if !self.has_media() {
            return match self.has_words {
                true => Ok(()),
                false => wrong("a text is needed where no media is given"),
            };
        }
        if frames > 0 && references > 0 {
            return wrong("first/last frame content cannot be mixed with reference media content");
        }
        if references > 0 {
            if self.bare_images > 0 {
                return wrong("the role of all images must be reference_image");
            }
            if self.reference_images + self.videos == 0 {
                return wrong("reference_audio cannot be the only reference input");
            }
            return Ok(());
        }
        if self.bare_images > 1 || (self.bare_images == 1 && frames > 0) {
            return wrong("each image needs a role where more than one is given");
        }
        if self.last_frames == 1 && self.first_frames == 0 {
            return wrong("a last frame needs a first frame");
        }
        Ok(())
    }
}

/// Where in the request an address stands, and the address.
struct Address<'a> {
    param: String,
    url: &'a str,
}

impl Address<'_> {
    fn wrong(&self, detail: &str) -> Refusal {
        Refusal::parameter(&self.param, detail)
    }

    /// Web addresses and assets; `Ok(false)` leaves data URLs to the caller.
    fn check_remote(&self) -> Result<bool, Refusal> {
        if let Some(asset) = self.url.strip_prefix("asset://") {
            // A convention of this simulator: no asset of such a name exists.
            return match asset.is_empty() || asset.starts_with("missing") {
                true => Err(self.wrong("the specified asset not found")),
                false => Ok(true),
            };
        }
        if self.url.starts_with("data:") {
            return Ok(false);
        }
        let parsed = url::Url::parse(self.url).ok();
        let Some(url) = parsed.filter(|url| matches!(url.scheme(), "http" | "https")) else {
            return Err(self.wrong("expected a web url, a data url or an asset url"));
        };
        // No name below `.invalid` ever resolves (RFC 2606), so here is media out of reach.
        if url.host_str().is_some_and(|host| host.ends_with(".invalid")) {
            return Err(self.wrong("the media could not be downloaded"));
        }
        Ok(true)
    }

    /// Format and bytes of a data URL of `kind` (`image`, `audio`).
    fn inline(&self, kind: &str) -> Result<Vec<u8>, Refusal> {
        let head = format!("data:{kind}/");
        let parts = self.url.strip_prefix(&head).and_then(|rest| rest.split_once(";base64,"));
        let Some((format, text)) = parts else {
            return Err(self.wrong(&format!("expected data:{kind}/FORMAT;base64,DATA")));
        };
        if format.chars().any(|letter| letter.is_ascii_uppercase()) {
            return Err(self.wrong("the format of a data url must be in lower case"));
        }
        STANDARD.decode(text).map_err(|_| self.wrong("the data is not valid base64"))
    }
}

fn address<'a>(at: usize, item: &'a Value, payload: &str) -> Result<Address<'a>, Refusal> {
    let Some(inner) = item.get(payload).filter(|inner| inner.is_object()) else {
        let detail = format!("expected an object `{payload}`");
        return Err(Refusal::parameter(&format!("content[{at}].{payload}"), &detail));
    };
    let param = format!("content[{at}].{payload}.url");
    match inner.get("url").and_then(Value::as_str) {
        Some(url) if !url.is_empty() => Ok(Address { param, url }),
        _ => Err(Refusal::parameter(&param, "the url must not be empty")),
    }
}

/// Checks a picture; the ratio nearest to its shape where its bytes came along.
fn check_image(
    address: &Address<'_>,
    bounds: ImageBounds,
) -> Result<Option<&'static str>, Refusal> {
    if address.check_remote()? {
        return Ok(None);
    }
    let bytes = address.inline("image")?;
    if bytes.len() >= IMAGE_BYTES_MAX {
        return Err(address.wrong("the image must be smaller than 30 MB"));
    }
    let size = imagesize::blob_size(&bytes)
        .map_err(|_| address.wrong("the data is not an image of a supported format"))?;
    let (Ok(width), Ok(height)) = (u32::try_from(size.width), u32::try_from(size.height)) else {
        return Err(address.wrong("the image is too large"));
    };
    let is_open = bounds == ImageBounds::Open;
    let at_bound = |side: &u32| is_open && [300, 6000].contains(side);
    if [width, height].iter().any(|side| !(300..=6000).contains(side) || at_bound(side)) {
        return Err(address.wrong("each side of the image must have 300 to 6000 pixels"));
    }
    let shape = f64::from(width) / f64::from(height);
    if !(0.4..=2.5).contains(&shape) || (is_open && [0.4, 2.5].contains(&shape)) {
        return Err(address.wrong("width by height of the image must be from 0.4 to 2.5"));
    }
    Ok(Some(models::nearest_ratio(width, height)))
}

fn check_video(address: &Address<'_>) -> Result<(), Refusal> {
    match address.check_remote()? {
        true => Ok(()),
        false => Err(address.wrong("a video must be provided as a web url")),
    }
}

fn check_audio(address: &Address<'_>) -> Result<(), Refusal> {
    if address.check_remote()? {
        return Ok(());
    }
    match address.inline("audio")?.len() {
        0..=AUDIO_BYTES_MAX => Ok(()),
        _ => Err(address.wrong("the audio must have at most 15 MB")),
    }
}
