//! The models we sell requests to, and what each can do (§2.2, §8.1).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{DurationChoice, Ratio, Resolution, Route};

/// A model by our own word, independent of the route that runs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ModelKey {
    /// Seedance 2.0
    #[serde(rename = "2.0")]
    V20,
    /// Seedance 2.0 fast
    #[serde(rename = "2.0-fast")]
    V20Fast,
    /// Seedance 2.0 mini
    #[serde(rename = "2.0-mini")]
    V20Mini,
}

/// What a model takes and makes (§2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Resolutions, smallest first.
    pub resolutions: &'static [Resolution],
    /// Used when the request names none.
    pub resolution_default: Resolution,
    /// Used when the request names none.
    pub ratio_default: Ratio,
    /// Shortest video in whole seconds.
    pub duration_min_s: u8,
    /// Longest video in whole seconds; also what [`DurationChoice::ModelChooses`] may reach.
    pub duration_max_s: u8,
    /// Used when the request names none.
    pub duration_default: DurationChoice,
    /// Most pictures as references.
    pub reference_images_max: usize,
    /// Most videos as references; 0 where the model takes no video.
    pub reference_videos_max: usize,
    /// Most sounds as references.
    pub reference_audios_max: usize,
}

const UP_TO_720P: &[Resolution] = &[Resolution::P480, Resolution::P720];

const V20: Capabilities = Capabilities {
    resolutions: &Resolution::ALL,
    resolution_default: Resolution::P720,
    ratio_default: Ratio::Adaptive,
    duration_min_s: 4,
    duration_max_s: 15,
    duration_default: DurationChoice::Seconds(5),
    reference_images_max: 9,
    reference_videos_max: 3,
    reference_audios_max: 3,
};
const V20_FAST: Capabilities = Capabilities { resolutions: UP_TO_720P, ..V20 };
const V20_MINI: Capabilities = Capabilities { resolutions: UP_TO_720P, ..V20 };

impl ModelKey {
    /// Every model we accept.
    pub const ALL: [ModelKey; 3] = [ModelKey::V20, ModelKey::V20Fast, ModelKey::V20Mini];

    /// Our word for it, as used in configuration, records and metrics.
    pub const fn word(self) -> &'static str {
        match self {
            ModelKey::V20 => "2.0",
            ModelKey::V20Fast => "2.0-fast",
            ModelKey::V20Mini => "2.0-mini",
        }
    }

    /// The route-free name callers may use.
    pub const fn alias(self) -> &'static str {
        match self {
            ModelKey::V20 => "seedance-2.0",
            ModelKey::V20Fast => "seedance-2.0-fast",
            ModelKey::V20Mini => "seedance-2.0-mini",
        }
    }

    /// The model id that `route` expects on the wire (§2.2).
    pub const fn wire_id(self, route: Route) -> &'static str {
        match (route, self) {
            (Route::Byteplus, ModelKey::V20) => "dreamina-seedance-2-0-260128",
            (Route::Byteplus, ModelKey::V20Fast) => "dreamina-seedance-2-0-fast-260128",
            (Route::Byteplus, ModelKey::V20Mini) => "dreamina-seedance-2-0-mini-260615",
            (Route::Volcengine, ModelKey::V20) => "doubao-seedance-2-0-260128",
            (Route::Volcengine, ModelKey::V20Fast) => "doubao-seedance-2-0-fast-260128",
            (Route::Volcengine, ModelKey::V20Mini) => "doubao-seedance-2-0-mini-260615",
        }
    }

    /// What it can do.
    pub const fn capabilities(self) -> &'static Capabilities {
        match self {
            ModelKey::V20 => &V20,
            ModelKey::V20Fast => &V20_FAST,
            ModelKey::V20Mini => &V20_MINI,
        }
    }
}

impl fmt::Display for ModelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// The quota a request counts against: the provider limits each of these per account (§8.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum SlotClass {
    /// 2.0 below 4k
    #[serde(rename = "2.0")]
    V20,
    /// 2.0 at 4k, with a much smaller quota of its own
    #[serde(rename = "2.0-4k")]
    V20At4k,
    /// 2.0 fast
    #[serde(rename = "2.0-fast")]
    V20Fast,
    /// 2.0 mini
    #[serde(rename = "2.0-mini")]
    V20Mini,
}

/// The kind of contract an account has; the provider's default quotas differ by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// A company account.
    Enterprise,
    /// A personal account.
    Individual,
}

/// What an account may do in one [`SlotClass`] unless the provider raised it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Create calls per minute.
    pub create_per_minute: u32,
    /// Tasks that run at the same time; more are accepted and wait at the provider.
    pub running: u32,
}

impl SlotClass {
    /// Every class.
    pub const ALL: [SlotClass; 4] =
        [SlotClass::V20, SlotClass::V20At4k, SlotClass::V20Fast, SlotClass::V20Mini];

    /// The word used in configuration, Redis and metrics.
    pub const fn word(self) -> &'static str {
        match self {
            SlotClass::V20 => "2.0",
            SlotClass::V20At4k => "2.0-4k",
            SlotClass::V20Fast => "2.0-fast",
            SlotClass::V20Mini => "2.0-mini",
        }
    }

    /// Reads [`SlotClass::word`].
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.word() == word)
    }

    /// The class of a request.
    pub const fn of(model: ModelKey, resolution: Resolution) -> Self {
        match (model, resolution) {
            (ModelKey::V20, Resolution::P4k) => SlotClass::V20At4k,
            (ModelKey::V20, Resolution::P480 | Resolution::P720 | Resolution::P1080) => {
                SlotClass::V20
            }
            (ModelKey::V20Fast, _) => SlotClass::V20Fast,
            (ModelKey::V20Mini, _) => SlotClass::V20Mini,
        }
    }

    /// The quota the provider gives a new account (§8.1).
    pub const fn default_quota(self, tier: Tier) -> Quota {
        match (self, tier) {
            (SlotClass::V20At4k, _) => Quota { create_per_minute: 15, running: 1 },
            (SlotClass::V20 | SlotClass::V20Fast | SlotClass::V20Mini, Tier::Enterprise) => {
                Quota { create_per_minute: 600, running: 10 }
            }
            (SlotClass::V20 | SlotClass::V20Fast | SlotClass::V20Mini, Tier::Individual) => {
                Quota { create_per_minute: 180, running: 3 }
            }
        }
    }
}

impl fmt::Display for SlotClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
