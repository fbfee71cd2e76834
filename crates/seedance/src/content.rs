//! The `content` array in normal form, and the mode it decides (§2.4, M15).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::MediaSource;

/// One entry of `content`. Order is kept, because prompts speak of "image 2" and "video 1".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ContentItem {
    /// The prompt; at most one per request.
    Text {
        /// As written by the caller.
        text: String,
    },
    /// A picture.
    Image {
        /// Where it comes from.
        source: MediaSource,
        /// What it is for; a lone picture without a role has become [`ImageRole::FirstFrame`].
        role: ImageRole,
    },
    /// A reference video.
    Video {
        /// Where it comes from; never inline.
        source: MediaSource,
    },
    /// A reference sound.
    Audio {
        /// Where it comes from.
        source: MediaSource,
    },
}

impl ContentItem {
    /// The media source, if this is not text.
    pub fn source(&self) -> Option<&MediaSource> {
        match self {
            ContentItem::Text { .. } => None,
            ContentItem::Image { source, .. }
            | ContentItem::Video { source }
            | ContentItem::Audio { source } => Some(source),
        }
    }
}

/// What a picture is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageRole {
    /// The video starts with it.
    FirstFrame,
    /// The video ends with it.
    LastFrame,
    /// Something to look at.
    ReferenceImage,
}

impl ImageRole {
    /// Every role a picture can have.
    pub const ALL: [ImageRole; 3] =
        [ImageRole::FirstFrame, ImageRole::LastFrame, ImageRole::ReferenceImage];

    /// The wire word.
    pub const fn word(self) -> &'static str {
        match self {
            ImageRole::FirstFrame => "first_frame",
            ImageRole::LastFrame => "last_frame",
            ImageRole::ReferenceImage => "reference_image",
        }
    }

    /// Reads a wire word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.word() == word)
    }
}

/// The four ways to ask for a video; they exclude each other (§2.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// A prompt and nothing else.
    Text,
    /// One picture to start from.
    FirstFrame,
    /// A picture to start from and one to end with.
    FirstAndLast,
    /// Pictures, videos and sounds to draw on.
    References,
}

impl Mode {
    /// The word used in records and metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Mode::Text => "text",
            Mode::FirstFrame => "first_frame",
            Mode::FirstAndLast => "first_and_last",
            Mode::References => "references",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
