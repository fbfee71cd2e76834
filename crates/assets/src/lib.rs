//! The bucket: where videos, their payloads and inline media live for good.
//!
//! This is the only room that names `object_store`. It knows paths, streamed copies, checksums,
//! the shape of an MP4 file and the manifest that makes a result real. It must not know HTTP
//! clients, Redis, tickets or the provider's error table: the downloader brings bytes and ids,
//! this room says whether they are whole and files them.
//!
//! The rules every backend shares, so that one code path serves a local directory, S3, Azure and
//! GCS alike:
//!
//! - Bytes are written under a path that names the download attempt, then one small
//!   `manifest.json` is created if absent. Readers trust manifests only.
//! - Create-if-absent is the one conditional operation used. Compare-and-swap and conditional
//!   copies exist on some backends only, so nothing here depends on them.
//! - Attributes such as the content type are set where the backend takes them; the manifest
//!   repeats them, so no reader needs them.

#![forbid(unsafe_code)]

mod adopt;
mod buckets;
mod check;
mod erase;
mod error;
mod fetch;
mod hash;
mod image;
mod intents;
mod layout;
mod link;
mod manifest;
mod media;
mod mp4;
mod objects;
mod open;
mod records;
mod save;
mod settings;
mod writer;

pub use adopt::Adopted;
pub use buckets::{Buckets, ByTenant, url_key};
pub use check::Health;
pub use erase::{Swept, TakenMedium};
pub use error::Error;
pub use fetch::{Answer, Ask, BodyEnd, Fetch, Plan};
pub use hash::{Sha256Hex, sha256_hex};
pub use image::ImageKind;
pub use intents::{FenceSettings, IntentError, Intents, Raised, Walked};
pub use layout::{Folder, Layout, LayoutFault, Place, check_prefix};
pub use manifest::{
    Filed, Frozen, MANIFEST_VERSION, Manifest, ManifestLinks, Published, StoredObject, StoredVideo,
    TaskFacts, Verified, host_of,
};
pub use media::MediaPut;
pub use mp4::{Mp4Facts, Mp4Fault, Mp4Walker};
pub use objects::ByteStream;
pub use open::Assets;
pub use records::{RecordKind, RecordMark, RecordName, RecordPlace, day_begin, day_of};
pub use save::{SaveError, Saved};
pub use settings::{AzureSettings, GcsSettings, S3Settings, Settings};
pub use writer::{Expected, OutputWriter, WrittenOutput};
