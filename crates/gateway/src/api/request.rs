//! The form of a request for a job, for the document only. The door judges the body itself, field by field, so that it
//! can tell every fault at once; a test holds the names here against the door's.

#![allow(dead_code, reason = "described, never built")]

use serde::Deserialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A generation wanted. `null` means absent everywhere.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct JobRequest {
    /// `seedance-2.0`, `seedance-2.0-fast`, `seedance-2.0-mini`, or the id of your route.
    #[schema(
        pattern = r"^(seedance-2\.0(-fast|-mini)?|(dreamina|doubao)-seedance-2-0(-fast|-mini)?-[0-9]{6})$"
    )]
    #[schema(example = "seedance-2.0")]
    model: String,
    /// The prompt and the media, in the order the prompt counts them.
    #[schema(min_items = 1)]
    content: Vec<ContentEntry>,
    resolution: Option<ResolutionWord>,
    ratio: Option<RatioWord>,
    /// Whole seconds from 4 to 15, or -1: the model chooses.
    #[schema(minimum = -1, maximum = 15)]
    duration: Option<i32>,
    generate_audio: Option<bool>,
    watermark: Option<bool>,
    /// A word: order among your own jobs. A number: the provider's own priority.
    priority: Option<PriorityGiven>,
    /// Your own name for the request.
    #[schema(min_length = 1, max_length = 200)]
    custom_id: Option<String>,
    /// Your own customer; hashed before it leaves.
    #[schema(min_length = 1, max_length = 256)]
    end_user: Option<String>,
    /// After this instant the video is not worth buying.
    #[schema(format = DateTime)]
    useful_until: Option<String>,
    /// 1, 2, 3 …: a wanted repeat of the same request.
    #[schema(minimum = 1, maximum = 1000)]
    take: Option<u32>,
    /// Notes of yours: up to 16 pairs.
    metadata: Option<BTreeMap<String, Option<String>>>,
    /// Where you want to hear of the end.
    webhook: Option<WebhookGiven>,
    /// Real people are shown; then `consent_ref` says where their consent is written down.
    people: Option<bool>,
    #[schema(min_length = 1, max_length = 512)]
    consent_ref: Option<String>,
    /// Let a person look first.
    review: Option<bool>,
    output: Option<OutputGiven>,
}

/// One entry of `content`.
#[derive(Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ContentEntry {
    Text {
        #[schema(min_length = 1, example = "a red boat at dawn")]
        text: String,
    },
    ImageUrl {
        image_url: Address,
        role: Option<ImageRoleWord>,
    },
    VideoUrl {
        video_url: Address,
        role: VideoRoleWord,
    },
    AudioUrl {
        audio_url: Address,
        role: AudioRoleWord,
    },
}

#[derive(Deserialize, ToSchema)]
struct Address {
    /// https, an asset id (`asset://…`), or inline media (`data:…;base64,…`).
    #[schema(min_length = 1)]
    url: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ImageRoleWord {
    FirstFrame,
    LastFrame,
    ReferenceImage,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum VideoRoleWord {
    ReferenceVideo,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum AudioRoleWord {
    ReferenceAudio,
}

#[derive(Deserialize, ToSchema)]
enum ResolutionWord {
    #[serde(rename = "480p")]
    P480,
    #[serde(rename = "720p")]
    P720,
    #[serde(rename = "1080p")]
    P1080,
    #[serde(rename = "4k")]
    P4k,
}

#[derive(Deserialize, ToSchema)]
enum RatioWord {
    #[serde(rename = "16:9")]
    R16x9,
    #[serde(rename = "4:3")]
    R4x3,
    #[serde(rename = "1:1")]
    R1x1,
    #[serde(rename = "3:4")]
    R3x4,
    #[serde(rename = "9:16")]
    R9x16,
    #[serde(rename = "21:9")]
    R21x9,
    #[serde(rename = "adaptive")]
    Adaptive,
}

#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
enum PriorityGiven {
    Word(LaneWord),
    Number(u8),
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum LaneWord {
    High,
    Normal,
    Low,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct WebhookGiven {
    #[schema(pattern = "^https://")]
    url: String,
    #[schema(min_length = 1, max_length = 128)]
    secret_ref: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct OutputGiven {
    /// Folder in front of the usual path.
    #[schema(max_length = 1024)]
    prefix: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use utoipa::PartialSchema as _;

    #[test]
    fn every_field_of_the_door_is_described() {
        let schema = serde_json::to_value(JobRequest::schema()).unwrap();
        let described = schema["properties"].as_object().unwrap();
        for field in admission::FIELDS {
            assert!(described.contains_key(field), "{field}");
        }
    }
}
