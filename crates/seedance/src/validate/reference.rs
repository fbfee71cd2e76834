//! A file that a request refers to by its address, judged by its first bytes and what its server says (§2.4).
//!
//! The provider fetches references itself, after the request was taken in. Whoever looks before can tell the
//! faults that inline media are told, as far as the beginning of a file shows them. How a file is reached is
//! no business of this room.

use super::codes;
use super::fault::{Fault, Warning};
use super::media::{AUDIO_BYTES_MAX, IMAGE_BYTES_BELOW, frame_faults, length_fault};
use crate::media::{is_video, wav_duration_ms};
use crate::{AudioFormat, ImageFormat};

/// Videos may reach this; MB read as the smaller figure.
const VIDEO_BYTES_MAX: u64 = 200_000_000;
/// Enough to know every format by.
const SNIFF_BYTES: usize = 64;

/// What a reference has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// A picture.
    Image,
    /// A film.
    Video,
    /// A sound.
    Audio,
}

impl MediaKind {
    /// Every kind.
    pub const ALL: [MediaKind; 3] = [MediaKind::Image, MediaKind::Video, MediaKind::Audio];

    /// The `type` of its content item, which is also the name of the object that holds the address.
    pub const fn word(self) -> &'static str {
        match self {
            MediaKind::Image => "image_url",
            MediaKind::Video => "video_url",
            MediaKind::Audio => "audio_url",
        }
    }

    const fn noun(self) -> &'static str {
        match self {
            MediaKind::Image => "picture",
            MediaKind::Video => "video",
            MediaKind::Audio => "sound",
        }
    }

    fn formats(self) -> String {
        match self {
            MediaKind::Image => ImageFormat::ALL.map(ImageFormat::word).join(", "),
            MediaKind::Video => "mp4, mov".to_owned(),
            MediaKind::Audio => AudioFormat::ALL.map(AudioFormat::word).join(", "),
        }
    }

    const fn bytes_max(self) -> u64 {
        match self {
            MediaKind::Image => IMAGE_BYTES_BELOW as u64 - 1,
            MediaKind::Video => VIDEO_BYTES_MAX,
            MediaKind::Audio => AUDIO_BYTES_MAX as u64,
        }
    }
}

/// What a file is, by its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFormat {
    /// A picture the provider reads.
    Image(ImageFormat),
    /// A sound it reads.
    Audio(AudioFormat),
    /// An MP4 or MOV; which codecs are inside stands further back.
    Video,
    /// A web page: somebody copied the address from a browser.
    Page,
}

impl FileFormat {
    fn sniff(head: &[u8]) -> Option<Self> {
        if head.len() < 12 {
            return None;
        }
        let picture = ImageFormat::sniff(head).map(Self::Image);
        let sound = || AudioFormat::sniff(head).map(Self::Audio);
        let film = || is_video(head).then_some(Self::Video);
        let page = || is_page(head).then_some(Self::Page);
        picture.or_else(sound).or_else(film).or_else(page)
    }

    const fn word(self) -> &'static str {
        match self {
            FileFormat::Image(format) => format.word(),
            FileFormat::Audio(format) => format.word(),
            FileFormat::Video => "mp4 or mov",
            FileFormat::Page => "a web page",
        }
    }

    const fn is(self, kind: MediaKind) -> bool {
        matches!(
            (self, kind),
            (FileFormat::Image(_), MediaKind::Image)
                | (FileFormat::Audio(_), MediaKind::Audio)
                | (FileFormat::Video, MediaKind::Video)
        )
    }
}

fn is_page(head: &[u8]) -> bool {
    let text = head.trim_ascii_start();
    let begins = |word: &str| {
        text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()))
    };
    begins("<!doctype html") || begins("<html")
}

/// What the beginning of a file tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileFacts {
    /// What it is; `None`: nothing the provider reads.
    pub format: Option<FileFormat>,
    /// Width and height of a picture, where its beginning tells them.
    pub pixels: Option<(u32, u32)>,
    /// How long a WAV lasts, in milliseconds.
    pub sound_ms: Option<u64>,
    /// Length of the whole file, where the server tells it.
    pub bytes: Option<u64>,
    head_bytes: usize,
}

impl FileFacts {
    /// More of a file is never looked at: what this does not tell is not told.
    pub const HEAD_BYTES_MAX: usize = 256 << 10;

    /// Reads the first bytes of a file that has `bytes` in all, if that is known.
    pub fn read(head: &[u8], bytes: Option<u64>) -> Self {
        let format = FileFormat::sniff(head);
        let (mut pixels, mut sound_ms) = (None, None);
        match format {
            Some(FileFormat::Image(_)) => {
                let size = imagesize::blob_size(head).ok();
                let px = |side: usize| u32::try_from(side).unwrap_or(u32::MAX);
                pixels = size.map(|size| (px(size.width), px(size.height)));
            }
            Some(FileFormat::Audio(AudioFormat::Wav)) => sound_ms = wav_duration_ms(head, bytes),
            Some(FileFormat::Audio(AudioFormat::Mp3) | FileFormat::Video | FileFormat::Page)
            | None => {}
        }
        Self { format, pixels, sound_ms, bytes, head_bytes: head.len() }
    }

    /// Whether more bytes would tell no more.
    pub fn is_settled(&self) -> bool {
        if self.head_bytes >= Self::HEAD_BYTES_MAX {
            return true;
        }
        match self.format {
            // Of several pictures in one container the largest counts, and all must have been seen.
            Some(FileFormat::Image(ImageFormat::Heic | ImageFormat::Heif)) => false,
            Some(FileFormat::Image(_)) => self.pixels.is_some(),
            Some(FileFormat::Audio(AudioFormat::Wav)) => self.sound_ms.is_some(),
            Some(FileFormat::Audio(AudioFormat::Mp3) | FileFormat::Video | FileFormat::Page) => {
                true
            }
            None => self.head_bytes >= SNIFF_BYTES,
        }
    }

    /// Whether the beginning was all of it.
    fn is_whole(&self) -> bool {
        self.bytes == Some(self.head_bytes as u64)
    }

    /// Why this says less of a picture than it should.
    pub fn doubt(&self) -> Option<String> {
        let is_image = matches!(self.format, Some(FileFormat::Image(_)));
        let hidden = is_image && self.pixels.is_none() && !self.is_whole();
        hidden.then(|| {
            format!("the size of the picture does not stand in its first {} bytes", self.head_bytes)
        })
    }
}

/// What became of the question after an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// The file came, or its beginning.
    File(FileFacts),
    /// The server gives no file, with this HTTP status.
    Status(u16),
    /// The address leads into a network that the provider is not in.
    NotPublic,
}

/// What is wrong with the reference at `at`, which should be a `kind`. Nothing said means: as far as the
/// beginning of the file shows.
pub fn reference_faults(at: &str, kind: MediaKind, reached: &Reached) -> Vec<Fault> {
    match reached {
        Reached::File(facts) => file_faults(at, kind, facts),
        Reached::Status(status) => vec![Fault::new(
            at,
            codes::MEDIA_UNREACHABLE,
            format!("the server answers {status} and gives no file"),
            "give an address that anybody can read without a login; a signed one may have run out",
        )],
        Reached::NotPublic => vec![Fault::new(
            at,
            codes::MEDIA_UNREACHABLE,
            "the address leads into a private network, where the provider cannot fetch it",
            "put the file where the public internet can read it",
        )],
    }
}

fn file_faults(at: &str, kind: MediaKind, facts: &FileFacts) -> Vec<Fault> {
    if facts.bytes == Some(0) {
        let fix = "put the file there again";
        return vec![Fault::new(at, codes::MEDIA_UNREADABLE, "the file is empty", fix)];
    }
    if !facts.format.is_some_and(|format| format.is(kind)) {
        let message = match facts.format {
            Some(found) => format!("the file is {}, and not a {}", found.word(), kind.noun()),
            None => format!("the file is no {} in a format the provider reads", kind.noun()),
        };
        let fix = "check that the address leads to the file itself, or convert it";
        let fault = Fault::new(at, codes::MEDIA_FORMAT, message, fix);
        return vec![fault.allowing(kind.formats())];
    }
    let mut faults = Vec::new();
    let max = kind.bytes_max();
    if let Some(bytes) = facts.bytes.filter(|bytes| *bytes > max) {
        let message = format!("the file has {bytes} bytes");
        faults.push(
            Fault::new(at, codes::MEDIA_TOO_LARGE, message, "shrink the file")
                .allowing(format!("up to {max} bytes")),
        );
    }
    match facts.pixels {
        Some((width, height)) => faults.extend(frame_faults(at, width as usize, height as usize)),
        None if kind == MediaKind::Image && facts.is_whole() => faults.push(Fault::new(
            at,
            codes::MEDIA_UNREADABLE,
            "the picture's size cannot be read; the file is cut or damaged",
            "put the whole file there again",
        )),
        None => {}
    }
    faults.extend(facts.sound_ms.and_then(|ms| length_fault(at, ms)));
    faults
}

/// The reference at `at` could not be looked at, or not well enough; the row is none the worse for it.
pub fn reference_doubt(at: &str, why: &str) -> Warning {
    Warning {
        pointer: at.to_owned(),
        code: codes::MEDIA_NOT_CHECKED.to_owned(),
        message: format!("could not be checked: {why}"),
    }
}
