//! Media that go into a request: where they come from, and what their first bytes say they are.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Where a picture, video or sound comes from (§2.4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MediaSource {
    /// A public `http` or `https` address, kept as the caller wrote it.
    Url(String),
    /// An asset of the provider's library, without the `asset://` in front.
    Asset(String),
    /// Bytes that came inside the request. Only this reference is kept; the bytes live elsewhere,
    /// under their hash.
    Inline {
        /// SHA-256 of the decoded bytes, lower-case hex.
        sha256: String,
        /// For example `image/png`; what the data URL will say again on the wire.
        mime: String,
        /// Decoded length.
        bytes: u64,
    },
}

/// Bytes that came inside a request, decoded and checked. Each distinct content appears once.
#[derive(Clone, PartialEq, Eq)]
pub struct InlineMedia {
    /// SHA-256 of `bytes`, lower-case hex.
    pub sha256_hex: String,
    /// For example `audio/wav`.
    pub mime: String,
    /// The decoded content.
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for InlineMedia {
    // Thirty megabytes of picture do not belong into a log line.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InlineMedia")
            .field("sha256_hex", &self.sha256_hex)
            .field("mime", &self.mime)
            .field("bytes", &self.bytes.len())
            .finish()
    }
}

/// SHA-256 as lower-case hex.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// A picture format the provider reads (§2.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ImageFormat {
    /// `image/jpeg`
    Jpeg,
    /// `image/png`
    Png,
    /// `image/webp`
    Webp,
    /// `image/bmp`
    Bmp,
    /// `image/tiff`
    Tiff,
    /// `image/gif`
    Gif,
    /// `image/heic`
    Heic,
    /// `image/heif`, the same container as HEIC
    Heif,
}

/// What the ISO container says of itself where it holds pictures of any coding (ISO/IEC 23008-12).
const PICTURE_BRANDS: [&[u8]; 4] = [b"mif1", b"mif2", b"msf1", b"miaf"];

impl ImageFormat {
    /// Every format, as listed in the contract.
    pub const ALL: [ImageFormat; 8] = [
        ImageFormat::Jpeg,
        ImageFormat::Png,
        ImageFormat::Webp,
        ImageFormat::Bmp,
        ImageFormat::Tiff,
        ImageFormat::Gif,
        ImageFormat::Heic,
        ImageFormat::Heif,
    ];

    /// The word after `image/`.
    pub const fn word(self) -> &'static str {
        match self {
            ImageFormat::Jpeg => "jpeg",
            ImageFormat::Png => "png",
            ImageFormat::Webp => "webp",
            ImageFormat::Bmp => "bmp",
            ImageFormat::Tiff => "tiff",
            ImageFormat::Gif => "gif",
            ImageFormat::Heic => "heic",
            ImageFormat::Heif => "heif",
        }
    }

    /// Reads the word after `image/`. The two short spellings in wide use are understood; the wire
    /// gets the contract's word either way.
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "jpg" => Some(ImageFormat::Jpeg),
            "tif" => Some(ImageFormat::Tiff),
            _ => Self::ALL.into_iter().find(|format| format.word() == word),
        }
    }

    /// What the content is, judged by the content alone.
    pub fn sniff(bytes: &[u8]) -> Option<Self> {
        use imagesize::{Compression, ImageType};
        match imagesize::image_type(bytes).ok()? {
            ImageType::Jpeg => Some(ImageFormat::Jpeg),
            ImageType::Png => Some(ImageFormat::Png),
            ImageType::Webp => Some(ImageFormat::Webp),
            ImageType::Bmp => Some(ImageFormat::Bmp),
            ImageType::Tiff => Some(ImageFormat::Tiff),
            ImageType::Gif => Some(ImageFormat::Gif),
            // AVIF shares the container but is not on the provider's list.
            ImageType::Heif(Compression::Av1) => None,
            // So do films and sounds; a picture without a known coding has one of these marks.
            ImageType::Heif(Compression::Unknown) => bytes
                .get(8..12)
                .filter(|brand| PICTURE_BRANDS.iter().any(|known| known == brand))
                .map(|_| ImageFormat::Heif),
            ImageType::Heif(_) => Some(ImageFormat::Heif),
            _ => None,
        }
    }

    /// Whether content sniffed as `found` may be declared as `self`.
    pub fn admits(self, found: ImageFormat) -> bool {
        let same_container = |format| matches!(format, ImageFormat::Heic | ImageFormat::Heif);
        self == found || (same_container(self) && same_container(found))
    }
}

/// A sound format the provider reads (§2.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AudioFormat {
    /// `audio/wav`
    Wav,
    /// `audio/mp3`
    Mp3,
}

impl AudioFormat {
    /// Both formats.
    pub const ALL: [AudioFormat; 2] = [AudioFormat::Wav, AudioFormat::Mp3];

    /// The word after `audio/`.
    pub const fn word(self) -> &'static str {
        match self {
            AudioFormat::Wav => "wav",
            AudioFormat::Mp3 => "mp3",
        }
    }

    /// Reads the word after `audio/`, with the registered names understood as well.
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "wav" | "x-wav" | "wave" => Some(AudioFormat::Wav),
            "mp3" | "mpeg" => Some(AudioFormat::Mp3),
            _ => None,
        }
    }

    /// What the content is, judged by the content alone.
    pub fn sniff(bytes: &[u8]) -> Option<Self> {
        if bytes.len() >= 12 && bytes.starts_with(b"RIFF") && &bytes[8..12] == b"WAVE" {
            return Some(AudioFormat::Wav);
        }
        if bytes.starts_with(b"ID3") {
            return Some(AudioFormat::Mp3);
        }
        // An MPEG audio frame header: eleven sync bits, a defined version, layer III, and neither
        // the bad bit rate nor the reserved sampling rate.
        match bytes {
            [0xFF, b, c, ..] if b & 0xE0 == 0xE0 => {
                let version_defined = b & 0x18 != 0x08;
                let layer_three = b & 0x06 == 0x02;
                let rates_defined = c & 0xF0 != 0xF0 && c & 0x0C != 0x0C;
                (version_defined && layer_three && rates_defined).then_some(AudioFormat::Mp3)
            }
            _ => None,
        }
    }
}

/// Whether the content is one of the two film containers the provider reads, MP4 and MOV (§2.4), judged by
/// the first box: files of both begin with one of these.
pub(crate) fn is_video(bytes: &[u8]) -> bool {
    const FIRST_BOXES: [&[u8]; 6] = [b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"];
    let is_first = |kind: &[u8]| FIRST_BOXES.contains(&kind);
    bytes.get(4..8).is_some_and(is_first)
}

/// Length of a WAV in milliseconds, if its first bytes allow to tell; `file_bytes` is the length of the whole
/// file where it is known.
///
/// Writers that stream leave the data length at zero or at its maximum; the bytes of the file are
/// counted then, as they are when the header promises more than there is.
pub(crate) fn wav_duration_ms(head: &[u8], file_bytes: Option<u64>) -> Option<u64> {
    let le_u32 = |at: usize| -> Option<u32> {
        Some(u32::from_le_bytes(head.get(at..at.checked_add(4)?)?.try_into().ok()?))
    };
    let mut at = 12_usize;
    let mut bytes_per_second = None;
    // Each turn moves at least eight bytes on, so the walk ends.
    loop {
        let id = head.get(at..at.checked_add(4)?)?;
        let length = le_u32(at + 4)?;
        let body = at + 8;
        match id {
            b"fmt " => bytes_per_second = Some(u64::from(le_u32(body + 8)?)),
            b"data" => {
                let is_said = !matches!(length, 0 | u32::MAX);
                let said = is_said.then_some(u64::from(length));
                let present = file_bytes.map(|bytes| bytes.saturating_sub(body as u64));
                let length = [said, present].into_iter().flatten().min()?;
                let rate = bytes_per_second.filter(|rate| *rate > 0)?;
                return Some(length.saturating_mul(1000) / rate);
            }
            _ => {}
        }
        let length = length as usize;
        at = body.checked_add(length)?.checked_add(length % 2)?;
    }
}
