//! Media of content items: addresses, asset ids, and bytes that came inside (§2.4, M17, M18).
//!
//! Inline bytes are believed only by their content: the declared format must be what they are, and
//! pictures and sounds must fit the provider's limits before anything is paid.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::codes;
use super::fault::{Fault, Findings, below, shown};
use super::fields::{kind, present, unknown_key};
use crate::media::{sha256_hex, wav_duration_ms};
use crate::{AudioFormat, ImageFormat, InlineMedia, MediaSource};

/// Pictures must stay below this; MB read as the smaller figure, see `BODY_BYTES_MAX`.
pub(super) const IMAGE_BYTES_BELOW: usize = 30_000_000;
/// Sounds may reach this.
pub(super) const AUDIO_BYTES_MAX: usize = 15_000_000;
const IMAGE_SIDE_MIN_PX: usize = 300;
const IMAGE_SIDE_MAX_PX: usize = 6_000;
const AUDIO_MIN_MS: u64 = 2_000;
const AUDIO_MAX_MS: u64 = 15_000;
/// Our own bound on addresses, which are kept in every job's record.
const URL_BYTES_MAX: usize = 8_192;
const ASSET_ID_BYTES_MAX: usize = 256;

const URLS: &str = "http(s)://…, asset://ID";
const URLS_OR_DATA: &str = "http(s)://…, asset://ID, data:KIND/FORMAT;base64,…";

/// Collects the inline media of one request, each content once, and the sound they add up to.
#[derive(Default)]
pub(super) struct Intake {
    media: Vec<InlineMedia>,
    audio_total_ms: u64,
}

impl Intake {
    pub(super) fn image(
        &mut self,
        at: &str,
        item: &Map<String, Value>,
        findings: &mut Findings,
    ) -> Option<MediaSource> {
        let (at, url) = url_of(at, item, "image_url", findings)?;
        if !is_data(url) {
            return address(&at, url, URLS_OR_DATA, findings);
        }
        let formats = ImageFormat::ALL.map(ImageFormat::word).join(", ");
        let (word, data) = split_data(&at, url, "image", &formats, findings)?;
        let Some(format) = ImageFormat::from_word(word) else {
            findings.fault(format_fault(&at, "image", word, &formats));
            return None;
        };
        let bytes = decode(&at, data, IMAGE_BYTES_BELOW - 1, findings)?;
        check_image(&at, &bytes, format, findings)
            .then(|| self.keep(bytes, format!("image/{}", format.word())))
    }

    pub(super) fn video(
        &mut self,
        at: &str,
        item: &Map<String, Value>,
        findings: &mut Findings,
    ) -> Option<MediaSource> {
        let (at, url) = url_of(at, item, "video_url", findings)?;
        if !is_data(url) {
            return address(&at, url, URLS, findings);
        }
        findings.fault(
            Fault::new(
                at,
                codes::VIDEO_INLINE,
                "a video cannot be given inline",
                "put the file where the provider can fetch it and give the address",
            )
            .allowing(URLS),
        );
        None
    }

    pub(super) fn audio(
        &mut self,
        at: &str,
        item: &Map<String, Value>,
        findings: &mut Findings,
    ) -> Option<MediaSource> {
        let (at, url) = url_of(at, item, "audio_url", findings)?;
        if !is_data(url) {
            return address(&at, url, URLS_OR_DATA, findings);
        }
        let formats = AudioFormat::ALL.map(AudioFormat::word).join(", ");
        let (word, data) = split_data(&at, url, "audio", &formats, findings)?;
        let Some(format) = AudioFormat::from_word(word) else {
            findings.fault(format_fault(&at, "audio", word, &formats));
            return None;
        };
        let bytes = decode(&at, data, AUDIO_BYTES_MAX, findings)?;
        let (sound, length_ms) = check_audio(&at, &bytes, format, findings);
        self.audio_total_ms = self.audio_total_ms.saturating_add(length_ms);
        sound.then(|| self.keep(bytes, format!("audio/{}", format.word())))
    }

    /// The sounds together must fit the same limit as each of them; only inline ones are known.
    pub(super) fn check_total_length(&self, at: &str, findings: &mut Findings) {
        if self.audio_total_ms > AUDIO_MAX_MS {
            findings.fault(
                Fault::new(
                    at,
                    codes::AUDIO_TOTAL,
                    format!("the sounds last {} ms together", self.audio_total_ms),
                    "shorten them or take some out",
                )
                .allowing(format!("up to {AUDIO_MAX_MS} ms together")),
            );
        }
    }

    pub(super) fn into_media(self) -> Vec<InlineMedia> {
        self.media
    }

    fn keep(&mut self, bytes: Vec<u8>, mime: String) -> MediaSource {
        let sha256 = sha256_hex(&bytes);
        let source = MediaSource::Inline {
            sha256: sha256.clone(),
            mime: mime.clone(),
            bytes: bytes.len() as u64,
        };
        if !self.media.iter().any(|known| known.sha256_hex == sha256) {
            self.media.push(InlineMedia { sha256_hex: sha256, mime, bytes });
        }
        source
    }
}

/// The address inside a payload object, with its pointer.
fn url_of<'a>(
    at: &str,
    item: &'a Map<String, Value>,
    key: &str,
    findings: &mut Findings,
) -> Option<(String, &'a str)> {
    let at = below(at, key);
    let write_so = format!("write \"{key}\": {{\"url\": \"…\"}}");
    let payload = match present(item, key) {
        Some(Value::Object(payload)) => payload,
        None => {
            let message = format!("the item has no {key}");
            findings.fault(Fault::new(at, codes::MISSING_FIELD, message, write_so));
            return None;
        }
        Some(other) => {
            let message = format!("{key} is {}, not an object", kind(other));
            findings.fault(Fault::new(at, codes::WRONG_TYPE, message, write_so));
            return None;
        }
    };
    for (key, value) in payload {
        if key != "url" && !value.is_null() {
            findings.fault(unknown_key(&below(&at, key), key, &["url"]));
        }
    }
    let at = below(&at, "url");
    match present(payload, "url") {
        Some(Value::String(url)) => return Some((at, url)),
        None => findings.fault(Fault::new(at, codes::MISSING_FIELD, "there is no url", write_so)),
        Some(other) => {
            let message = format!("url is {}, not a string", kind(other));
            findings.fault(Fault::new(at, codes::WRONG_TYPE, message, write_so));
        }
    }
    None
}

fn is_data(url: &str) -> bool {
    url.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"))
}

fn address(at: &str, text: &str, allowed: &str, findings: &mut Findings) -> Option<MediaSource> {
    if let Some(id) = text.strip_prefix("asset://") {
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if id.is_empty() || id.len() > ASSET_ID_BYTES_MAX || !id.chars().all(legal) {
            findings.fault(Fault::new(
                at,
                codes::ASSET_ID,
                "this is not an asset id",
                "write asset:// followed by the id the provider's asset library shows",
            ));
            return None;
        }
        return Some(MediaSource::Asset(id.to_owned()));
    }
    // The address itself stays out of every message: it may carry a signature.
    if text.len() > URL_BYTES_MAX {
        let message = format!("the address has {} bytes", text.len());
        findings.fault(
            Fault::new(at, codes::URL_INVALID, message, "use a shorter address")
                .allowing(format!("up to {URL_BYTES_MAX} bytes")),
        );
        return None;
    }
    let spaced = text.chars().any(|c| c.is_whitespace() || c.is_control());
    let url = match url::Url::parse(text) {
        Ok(url) if !spaced => url,
        Ok(_) | Err(_) => {
            findings.fault(
                Fault::new(at, codes::URL_INVALID, "this is not an address", "write a full one")
                    .allowing(allowed),
            );
            return None;
        }
    };
    match url.scheme() {
        "https" => {}
        "http" => {
            let message = "plain http: anyone on the way can swap the file".to_owned();
            findings.warn(at, codes::PLAIN_HTTP, message);
        }
        other => {
            findings.fault(
                Fault::new(
                    at,
                    codes::URL_SCHEME,
                    format!("the provider does not fetch from {}", shown(other)),
                    "give an http or https address",
                )
                .allowing(allowed),
            );
            return None;
        }
    }
    Some(MediaSource::Url(text.to_owned()))
}

/// Takes `data:KIND/FORMAT;base64,DATA` apart.
fn split_data<'a>(
    at: &str,
    url: &'a str,
    family: &str,
    formats: &str,
    findings: &mut Findings,
) -> Option<(&'a str, &'a str)> {
    let parts = url
        .strip_prefix("data:")
        .and_then(|rest| rest.strip_prefix(family))
        .and_then(|rest| rest.strip_prefix('/'))
        .and_then(|rest| rest.split_once(";base64,"));
    if parts.is_none() {
        findings.fault(
            Fault::new(
                at,
                codes::DATA_URL,
                format!("this is not a base64 data URL of kind {family}"),
                format!("write data:{family}/FORMAT;base64, in lower case, then the data"),
            )
            .allowing(formats),
        );
    }
    parts
}

fn format_fault(at: &str, family: &str, word: &str, formats: &str) -> Fault {
    let lower = word.to_ascii_lowercase();
    let fix = if lower != word && formats.split(", ").any(|known| known == lower) {
        format!("write {lower:?} in lower case")
    } else {
        "convert the file to an allowed format".to_owned()
    };
    let message = format!("{} is not a format of {family} the provider reads", shown(word));
    Fault::new(at, codes::MEDIA_FORMAT, message, fix).allowing(formats)
}

fn decode(at: &str, data: &str, bytes_max: usize, findings: &mut Findings) -> Option<Vec<u8>> {
    // Judged by the encoded length, so that nothing oversized is ever decoded.
    let bytes_about = data.len() / 4 * 3;
    let padding = data.bytes().rev().take(2).filter(|b| *b == b'=').count();
    if bytes_about.saturating_sub(padding) > bytes_max {
        findings.fault(
            Fault::new(
                at,
                codes::MEDIA_TOO_LARGE,
                format!("about {bytes_about} bytes after decoding"),
                "shrink the file, or give its address",
            )
            .allowing(format!("up to {bytes_max} bytes")),
        );
        return None;
    }
    match STANDARD.decode(data) {
        Ok(bytes) if !bytes.is_empty() => Some(bytes),
        Ok(_) | Err(_) => {
            findings.fault(Fault::new(
                at,
                codes::DATA_URL,
                "the data after \"base64,\" is empty or not base64",
                "encode with the standard alphabet, with padding and without line breaks",
            ));
            None
        }
    }
}

fn mismatch(at: &str, declared: &str, found: Option<&str>, allowed: &str) -> Fault {
    match found {
        Some(found) => Fault::new(
            at,
            codes::MEDIA_MISMATCH,
            format!("declared as {declared}, but the content is {found}"),
            format!("declare it as {found}"),
        ),
        None => Fault::new(
            at,
            codes::MEDIA_UNREADABLE,
            format!("declared as {declared}, but the content is none of the readable formats"),
            "check that the right file was encoded",
        )
        .allowing(allowed),
    }
}

fn check_image(at: &str, bytes: &[u8], declared: ImageFormat, findings: &mut Findings) -> bool {
    let found = ImageFormat::sniff(bytes);
    if !found.is_some_and(|found| declared.admits(found)) {
        let formats = ImageFormat::ALL.map(ImageFormat::word).join(", ");
        let found = found.map(ImageFormat::word);
        findings.fault(mismatch(at, declared.word(), found, &formats));
        return false;
    }
    let Ok(size) = imagesize::blob_size(bytes) else {
        findings.fault(Fault::new(
            at,
            codes::MEDIA_UNREADABLE,
            "the picture's size cannot be read; the file is cut or damaged",
            "encode the whole file again",
        ));
        return false;
    };
    let faults = frame_faults(at, size.width, size.height);
    let fits = faults.is_empty();
    for fault in faults {
        findings.fault(fault);
    }
    fits
}

/// What is wrong with a picture of so many pixels.
pub(super) fn frame_faults(at: &str, width: usize, height: usize) -> Vec<Fault> {
    let mut faults = Vec::new();
    let sides = IMAGE_SIDE_MIN_PX..=IMAGE_SIDE_MAX_PX;
    if !(sides.contains(&width) && sides.contains(&height)) {
        faults.push(
            Fault::new(
                at,
                codes::IMAGE_SIDE,
                format!("the picture is {width}×{height} pixels"),
                "scale it",
            )
            .allowing(format!("{IMAGE_SIDE_MIN_PX} to {IMAGE_SIDE_MAX_PX} pixels on each side")),
        );
    }
    // 0.4 ≤ width/height ≤ 2.5, in whole numbers.
    let shape_fits = width.saturating_mul(5) >= height.saturating_mul(2)
        && width.saturating_mul(2) <= height.saturating_mul(5);
    if !shape_fits {
        faults.push(
            Fault::new(
                at,
                codes::IMAGE_RATIO,
                format!("the picture is {width}×{height}, too narrow or too wide"),
                "crop it",
            )
            .allowing("width / height from 0.4 to 2.5"),
        );
    }
    faults
}

/// Whether the sound is acceptable, and its length as far as it can be told (0 if it cannot).
fn check_audio(
    at: &str,
    bytes: &[u8],
    declared: AudioFormat,
    findings: &mut Findings,
) -> (bool, u64) {
    let found = AudioFormat::sniff(bytes);
    if found != Some(declared) {
        let formats = AudioFormat::ALL.map(AudioFormat::word).join(", ");
        findings.fault(mismatch(at, declared.word(), found.map(AudioFormat::word), &formats));
        return (false, 0);
    }
    let length_ms = match declared {
        AudioFormat::Wav => wav_duration_ms(bytes, Some(bytes.len() as u64)),
        // The length of an MP3 is known only after walking every frame; the provider checks it.
        AudioFormat::Mp3 => None,
    };
    let Some(length_ms) = length_ms else { return (true, 0) };
    match length_fault(at, length_ms) {
        None => (true, length_ms),
        Some(fault) => {
            findings.fault(fault);
            (false, length_ms)
        }
    }
}

/// What is wrong with a sound that lasts so long.
pub(super) fn length_fault(at: &str, length_ms: u64) -> Option<Fault> {
    let fits = (AUDIO_MIN_MS..=AUDIO_MAX_MS).contains(&length_ms);
    let fault = Fault::new(
        at,
        codes::AUDIO_LENGTH,
        format!("the sound lasts {length_ms} ms"),
        "cut or repeat it to fit",
    );
    (!fits).then(|| fault.allowing(format!("{AUDIO_MIN_MS} to {AUDIO_MAX_MS} ms")))
}
