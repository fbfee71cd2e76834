//! The manifest: the one small object that makes a result real (reliability §6.5).
//!
//! It is created after all the objects it names, and only if absent. So a reader who sees it sees
//! everything, a repeated step finds that its work is done, and two workers with one job cannot
//! both have the last word.

use crate::objects::{Created, JSON};
use crate::{Assets, Error, Folder};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Version of the manifest's form. Grows when a reader of the old form would be misled.
pub const MANIFEST_VERSION: u32 = 1;
/// Rounds of "it exists" followed by "it is not there", as S3 answers while writers race.
const CREATE_ROUNDS_MAX: u32 = 5;
const CREATE_ROUND_GAP: Duration = Duration::from_millis(100);

/// One object the manifest vouches for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredObject {
    /// Path inside the bucket.
    pub path: String,
    /// Length.
    pub length_bytes: u64,
    /// SHA-256 of the bytes, 64 lower-case hex digits.
    pub sha256: String,
    /// What the backend called this version, where it does.
    pub etag: Option<String>,
    /// Media type.
    pub content_type: String,
}

/// What a task was frozen to at its send; later configuration never changes it (M3).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frozen {
    /// Pool.
    pub pool: Option<String>,
    /// Route, such as `byteplus`.
    pub route: Option<String>,
    /// URL of the create call.
    pub create_url: Option<String>,
    /// URL of the retrieve call.
    pub retrieve_url: Option<String>,
    /// Account.
    pub account: Option<String>,
    /// Where the route bills.
    pub billing: Option<String>,
    /// Price table in force at the send.
    pub price_version: Option<String>,
}

/// What the provider said about the task (M14). Absent is absent, never a default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskFacts {
    /// Model id as the provider names it.
    pub model: Option<String>,
    /// Status word.
    pub status: Option<String>,
    /// Seed actually used.
    pub seed: Option<i64>,
    /// Ratio actually used.
    pub ratio: Option<String>,
    /// Resolution.
    pub resolution: Option<String>,
    /// Duration in whole seconds; the provider gives this or `frames`.
    pub duration_s: Option<u32>,
    /// Number of frames.
    pub frames: Option<u32>,
    /// Whether sound was made.
    pub generate_audio: Option<bool>,
    /// Tokens of the completion: the billing quantity.
    pub completion_tokens: Option<u64>,
    /// All tokens.
    pub total_tokens: Option<u64>,
}

/// Where the bytes came from. Hosts only: the links themselves carry signatures.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestLinks {
    /// Host of the video's link; see [`host_of`].
    pub output_host: Option<String>,
    /// The validator the host gave for the video.
    pub output_etag: Option<String>,
    /// Host of the last frame's link.
    pub last_frame_host: Option<String>,
}

/// A video with what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredVideo {
    /// The download attempt whose folder holds the objects.
    pub download_attempt_id: String,
    /// The video.
    pub output: StoredObject,
    /// Its last frame, if the provider gave one.
    pub last_frame: Option<StoredObject>,
    /// Length of the film as its file says.
    pub video_duration_ms: Option<u64>,
    /// Where the bytes came from.
    pub source: ManifestLinks,
}

/// How the task ended, with what only that end has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Filed {
    /// The video is here.
    Stored(Box<StoredVideo>),
    /// The provider gave up on it.
    Failed {
        /// The provider's code.
        code: Option<String>,
        /// The provider's message.
        message: Option<String>,
    },
    /// It succeeded and was paid for, but its video could not be brought here.
    OutputLost {
        /// Why, without the link.
        reason: String,
    },
    /// It ran out of its time at the provider.
    Expired,
    /// It was cancelled while queued.
    Cancelled,
}

/// All that is known about a finished task, beside its objects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`MANIFEST_VERSION`] of the writer.
    pub manifest_version: u32,
    /// Our job.
    pub job_id: String,
    /// Its tenant.
    pub tenant: String,
    /// The provider's task.
    pub task_id: String,
    /// The submit attempt that bought the task, where known.
    pub attempt_id: Option<String>,
    /// What the task was frozen to.
    pub frozen: Frozen,
    /// What the provider said.
    pub facts: TaskFacts,
    /// The provider's payload, byte for byte.
    pub task: StoredObject,
    /// The end.
    #[serde(flatten)]
    pub filed: Filed,
    /// Things worth knowing that did not stop the result, such as a film of unexpected length.
    #[serde(default)]
    pub findings: Vec<String>,
    /// When it was filed, Unix milliseconds.
    pub stored_at_ms: i64,
}

/// What became of a publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Published {
    /// This call made the result real.
    New,
    /// Somebody, perhaps an earlier life of this step, had done it. Theirs counts.
    Already(Box<Manifest>),
}

/// Proof that stored bytes are what a manifest says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// Objects read.
    pub objects: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// The host of a link, without anything that could open it.
#[must_use]
pub fn host_of(link: &str) -> Option<String> {
    url::Url::parse(link).ok()?.host_str().map(str::to_owned)
}

impl Manifest {
    /// Every object named, the video first.
    pub fn objects(&self) -> impl Iterator<Item = &StoredObject> {
        let last_frame = self.video().and_then(|video| video.last_frame.as_ref());
        self.output().into_iter().chain(last_frame).chain([&self.task])
    }

    /// The video, if the task left one.
    #[must_use]
    pub fn output(&self) -> Option<&StoredObject> {
        self.video().map(|video| &video.output)
    }

    /// The video with what belongs to it, if the task left one.
    #[must_use]
    pub fn video(&self) -> Option<&StoredVideo> {
        match &self.filed {
            Filed::Stored(video) => Some(video),
            Filed::Failed { .. } | Filed::OutputLost { .. } | Filed::Expired | Filed::Cancelled => {
                None
            }
        }
    }

    fn outcome(&self) -> &'static str {
        match &self.filed {
            Filed::Stored(_) => "stored",
            Filed::Failed { .. } => "failed",
            Filed::OutputLost { .. } => "output_lost",
            Filed::Expired => "expired",
            Filed::Cancelled => "cancelled",
        }
    }

    /// What two manifests must share to be about the same result.
    fn subject(&self) -> String {
        format!("job {} task {} outcome {}", self.job_id, self.task_id, self.outcome())
    }

    /// A manifest must not vouch for what lies outside its folder, nor carry a signed link.
    fn check(&self, folder: &Folder) -> Result<(), Error> {
        let refuse = |why: String| Err(Error::Damaged { path: folder.manifest_path(), why });
        if let Some(stray) = self.objects().find(|object| !folder.contains(&object.path)) {
            return refuse(format!("it names {}, outside its folder", stray.path));
        }
        if let Some(video) = self.video() {
            let hosts = [&video.source.output_host, &video.source.last_frame_host];
            if hosts.into_iter().flatten().any(|host| host.contains(['/', '?', '@', '&'])) {
                return refuse("a source must be a host, never a link".to_owned());
            }
        }
        Ok(())
    }
}

impl Assets {
    /// Makes a result real: creates `<folder>/manifest.json` unless one is there.
    ///
    /// Repeating it is safe. A manifest of the same job, task and outcome that is found instead of
    /// ours counts; its objects are checked for presence and length, and ours, now orphans, removed.
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`] if another task or outcome is filed there; [`Error::Missing`] or
    /// [`Error::Damaged`] if the manifest found names objects that are gone or changed;
    /// [`Error::Denied`] or [`Error::Unavailable`].
    pub async fn publish(&self, folder: &Folder, ours: &Manifest) -> Result<Published, Error> {
        ours.check(folder)?;
        let path = folder.manifest_path();
        let body = serde_json::to_vec_pretty(ours)
            .map_err(|e| Error::Damaged { path: path.clone(), why: e.to_string() })?;
        let body = bytes::Bytes::from(body);
        for round in 0..CREATE_ROUNDS_MAX {
            if round > 0 {
                tokio::time::sleep(CREATE_ROUND_GAP).await;
            }
            if let Created::New { .. } = self.create(&path, JSON, body.clone()).await? {
                return Ok(Published::New);
            }
            if let Some(theirs) = self.read_manifest(folder).await? {
                return self.replay(folder, ours, theirs).await;
            }
        }
        let why = "it is said to exist but cannot be read".to_owned();
        Err(Error::Unavailable { path, why })
    }

    /// The manifest of a folder, if the result is real.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] if what lies there is no manifest we understand; [`Error::Denied`] or
    /// [`Error::Unavailable`].
    pub async fn read_manifest(&self, folder: &Folder) -> Result<Option<Manifest>, Error> {
        self.read_manifest_at(&folder.manifest_path()).await
    }

    /// The manifest at a path, as exports and lists know it.
    ///
    /// # Errors
    ///
    /// As [`Assets::read_manifest`].
    pub async fn read_manifest_at(&self, path: &str) -> Result<Option<Manifest>, Error> {
        let body = match self.read_small(path).await {
            Ok((body, _)) => body,
            Err(Error::Missing { .. }) => return Ok(None),
            Err(e) => return Err(e),
        };
        let damaged = |why: String| Error::Damaged { path: path.to_owned(), why };
        let manifest: Manifest =
            serde_json::from_slice(&body).map_err(|e| damaged(format!("not a manifest: {e}")))?;
        if manifest.manifest_version > MANIFEST_VERSION {
            let version = manifest.manifest_version;
            return Err(damaged(format!("version {version} is newer than this program")));
        }
        Ok(Some(manifest))
    }

    /// Reads every stored byte again and compares hash and length with the manifest.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] or [`Error::Damaged`], naming the first object that does not match;
    /// [`Error::Denied`] or [`Error::Unavailable`].
    pub async fn verify(&self, manifest: &Manifest) -> Result<Verified, Error> {
        let mut verified = Verified { objects: 0, bytes: 0 };
        for object in manifest.objects() {
            let found = self.hash(&object.path, None).await?;
            if found.length_bytes != object.length_bytes || found.sha256 != object.sha256 {
                let why = format!(
                    "{} bytes with sha256 {} are stored, the manifest says {} bytes with sha256 {}",
                    found.length_bytes, found.sha256, object.length_bytes, object.sha256
                );
                return Err(Error::Damaged { path: object.path.clone(), why });
            }
            verified.objects += 1;
            verified.bytes += found.length_bytes;
        }
        Ok(verified)
    }

    /// Checks that every object is there with the right length, reading none of them.
    ///
    /// # Errors
    ///
    /// As [`Assets::verify`].
    pub async fn verify_lengths(&self, manifest: &Manifest) -> Result<(), Error> {
        for object in manifest.objects() {
            let meta = self.head(&object.path).await?;
            if meta.size != object.length_bytes {
                let why = format!(
                    "{} bytes are stored, the manifest says {}",
                    meta.size, object.length_bytes
                );
                return Err(Error::Damaged { path: object.path.clone(), why });
            }
        }
        Ok(())
    }

    async fn replay(
        &self,
        folder: &Folder,
        ours: &Manifest,
        theirs: Manifest,
    ) -> Result<Published, Error> {
        if ours.subject() != theirs.subject() {
            return Err(Error::Conflict {
                path: folder.manifest_path(),
                ours: ours.subject(),
                theirs: theirs.subject(),
            });
        }
        self.verify_lengths(&theirs).await?;
        for orphan in ours.objects() {
            if theirs.objects().all(|kept| kept.path != orphan.path)
                && let Err(error) = self.delete(&orphan.path).await
            {
                // It costs space and nothing else; the result stands.
                tracing::warn!(path = orphan.path, %error, "an orphaned object stays behind");
            }
        }
        Ok(Published::Already(Box::new(theirs)))
    }
}
