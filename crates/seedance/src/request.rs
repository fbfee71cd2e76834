//! A generation request in normal form: everything said, nothing left to a default.

use serde::{Deserialize, Serialize};

use crate::{
    Capabilities, ContentItem, DurationChoice, FrameSize, ImageRole, MediaSource, Mode, ModelKey,
    Ratio, Resolution, SlotClass,
};

/// What the caller wants made, after [`validate`](crate::validate()) filled in the defaults.
///
/// Two requests that mean the same are equal and serialise to the same bytes: fields are written in
/// the order below, and nothing the fleet adds on its own (callback address, expiry, end user)
/// is part of it. Changing a field's name, order or form changes fingerprints, so it needs a new
/// fingerprint version in `job`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The model by our word.
    pub model: ModelKey,
    /// The model by the route's wire id; it also binds the request to that route.
    pub model_id: String,
    /// Prompt and media in the caller's order.
    pub content: Vec<ContentItem>,
    /// Height class of the video.
    pub resolution: Resolution,
    /// Shape of the video.
    pub ratio: Ratio,
    /// Whole seconds, or the model's choice.
    pub duration_s: DurationChoice,
    /// Whether the video has sound.
    pub generate_audio: bool,
    /// Whether the provider puts its visible mark on the video.
    pub watermark: bool,
    /// Set only where [`Rules::allow_seed`](crate::Rules) lets one through; the wire's -1 is `None`.
    pub seed: Option<u32>,
    /// 0–9, larger first among this account's waiting tasks at the provider; not our own lane.
    pub priority: u8,
    /// Whether the model may search the web.
    pub web_search: bool,
}

impl Request {
    /// What the model of this request can do.
    pub fn capabilities(&self) -> &'static Capabilities {
        self.model.capabilities()
    }

    /// The mode the content array amounts to (§2.4).
    pub fn mode(&self) -> Mode {
        let mut mode = Mode::Text;
        for item in &self.content {
            match item {
                ContentItem::Text { .. } => {}
                ContentItem::Image { role: ImageRole::FirstFrame, .. } => {
                    mode = mode.max(Mode::FirstFrame);
                }
                ContentItem::Image { role: ImageRole::LastFrame, .. } => {
                    mode = mode.max(Mode::FirstAndLast);
                }
                ContentItem::Image { role: ImageRole::ReferenceImage, .. }
                | ContentItem::Video { .. }
                | ContentItem::Audio { .. } => return Mode::References,
            }
        }
        mode
    }

    /// The provider quota this request counts against.
    pub fn slot_class(&self) -> SlotClass {
        SlotClass::of(self.model, self.resolution)
    }

    /// The frame size, or `None` while the shape is the model's choice.
    pub fn output_size(&self) -> Option<FrameSize> {
        self.resolution.frame_size(self.ratio)
    }

    /// The longest video, in seconds, this request can lead to.
    pub fn duration_max_s(&self) -> u8 {
        match self.duration_s {
            DurationChoice::Seconds(seconds) => seconds,
            DurationChoice::ModelChooses => self.capabilities().duration_max_s,
        }
    }

    /// The shortest video, in seconds, this request can lead to.
    pub fn duration_min_s(&self) -> u8 {
        match self.duration_s {
            DurationChoice::Seconds(seconds) => seconds,
            DurationChoice::ModelChooses => self.capabilities().duration_min_s,
        }
    }

    /// The same without words and addresses: the kinds of media and their roles stay, since prices and
    /// modes follow from them. No provider takes it for a request.
    #[must_use]
    pub fn without_content(&self) -> Self {
        let gone = || MediaSource::Asset("erased".to_owned());
        let content = self.content.iter().map(|item| match item {
            ContentItem::Text { .. } => ContentItem::Text { text: String::new() },
            ContentItem::Image { role, .. } => ContentItem::Image { source: gone(), role: *role },
            ContentItem::Video { .. } => ContentItem::Video { source: gone() },
            ContentItem::Audio { .. } => ContentItem::Audio { source: gone() },
        });
        Self { content: content.collect(), seed: None, ..self.clone() }
    }

    /// The prompt, if there is one.
    pub fn prompt(&self) -> Option<&str> {
        self.content.iter().find_map(|item| match item {
            ContentItem::Text { text } => Some(text.as_str()),
            ContentItem::Image { .. } | ContentItem::Video { .. } | ContentItem::Audio { .. } => {
                None
            }
        })
    }

    /// Whether any reference video goes in, which changes tokens and price (§9).
    pub fn has_video_input(&self) -> bool {
        self.content.iter().any(|item| matches!(item, ContentItem::Video { .. }))
    }

    /// Whether any picture or video goes in; the review gate asks this (M21).
    pub fn has_image_or_video(&self) -> bool {
        self.content
            .iter()
            .any(|item| matches!(item, ContentItem::Image { .. } | ContentItem::Video { .. }))
    }
}
