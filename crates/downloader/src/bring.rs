//! One turn of bringing an output home: find what an earlier turn left, else copy; then publish.

use assets::{
    Adopted, Assets, Error, Filed, Folder, Manifest, ManifestLinks, Published, StoredObject,
    StoredVideo, host_of,
};
use bytes::Bytes;
use egress::GuardedClient;
use job::{Links, Record, StoredOutput, TaskRef, Timestamp};
use seedance::Task;

use crate::copy::{At, CopyError, Moment, Order, copy_video, read_small};
use crate::filing;

/// Turns that insist on the ordered length of the film. After them a whole film of another length
/// is kept with a note: it has been paid for, and the link dies.
const STRICT_TURNS: u32 = 2;

/// Turns that go on as long as each request brings at least a part, and the requests of each. All
/// turns together stay below the 100 fetches that one link allows (`docs/provider.md` §8.2).
const PATIENT_TURNS: u32 = 3;
const REQUESTS_MAX: u32 = 12;

/// A job whose output is due.
#[derive(Debug, Clone, Copy)]
pub struct Errand<'a> {
    /// The job.
    pub record: &'a Record,
    /// Its task.
    pub task: &'a TaskRef,
    /// Where the output can be fetched.
    pub links: &'a Links,
    /// Turns that failed before this one.
    pub tries: u32,
    /// A fresh name for this turn's copy.
    pub download_attempt_id: &'a str,
    /// Requests to one link that this turn may make.
    pub fetches_max: u32,
    /// Now, by Redis's clock.
    pub now: Timestamp,
}

/// How a turn ended; each is one event of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Brought {
    /// The result is real.
    Stored(StoredOutput),
    /// Ask the provider for fresh links, once.
    LinkDead {
        /// In words, without the link.
        reason: String,
    },
    /// Our own bucket refused or did not answer: again later, and nothing is held against the link.
    BucketTroubled {
        /// In words.
        reason: String,
    },
    /// Try again later.
    Troubled {
        /// In words, without the link.
        reason: String,
    },
}

/// Does one turn. Safe to repeat at any point: what an earlier turn finished is found, not redone.
pub async fn bring(
    client: &GuardedClient,
    assets: &Assets,
    errand: &Errand<'_>,
    at: At<'_>,
) -> Brought {
    match try_bring(client, assets, errand, at).await {
        Ok(manifest) => stored(errand, assets, &manifest),
        Err(CopyError::LinkDead { status }) => {
            Brought::LinkDead { reason: format!("the link answers HTTP {status}") }
        }
        Err(CopyError::Bucket(error @ (Error::Denied { .. } | Error::Unavailable { .. }))) => {
            Brought::BucketTroubled { reason: error.to_string() }
        }
        Err(error @ (CopyError::Trouble(_) | CopyError::Bucket(_))) => {
            Brought::Troubled { reason: error.to_string() }
        }
    }
}

async fn try_bring(
    client: &GuardedClient,
    assets: &Assets,
    errand: &Errand<'_>,
    at: At<'_>,
) -> Result<Manifest, CopyError> {
    let folder = filing::folder(assets, errand.record).map_err(Error::from)?;
    let payload = payload(errand);
    let task = Task::parse(payload.as_bytes()).ok();
    let ordered_s = filing::expected_duration_s(errand.record, task.as_ref());
    if let Some(done) = published_before(assets, &folder, errand).await? {
        return Ok(done);
    }
    let insisted_s = ordered_s.filter(|_| errand.tries < STRICT_TURNS);
    let mut video = match adopt(assets, &folder, errand, insisted_s).await? {
        Some(video) => video,
        None => copy(client, assets, &folder, errand, &payload, insisted_s, at).await?,
    };
    let mut findings = filing::findings(video.stored.video_duration_ms, ordered_s);
    bring_frame(client, assets, &folder, errand, &mut video, &mut findings).await?;
    at(Moment::BeforeManifest).await;

    let filed = Filed::Stored(Box::new(video.stored));
    let mut ours = filing::manifest(
        errand.record,
        errand.task,
        task.as_ref(),
        video.payload,
        filed,
        errand.now,
    );
    ours.findings = findings;
    let published = assets.publish(&folder, &ours).await?;
    at(Moment::Published).await;
    Ok(match published {
        Published::New => ours,
        Published::Already(theirs) => *theirs,
    })
}

/// A video in the bucket with its payload, not published.
struct Video {
    stored: StoredVideo,
    payload: StoredObject,
}

/// The provider's words; a record without them still gets a file that names its task.
fn payload(errand: &Errand<'_>) -> String {
    errand.record.life.payload.clone().unwrap_or_else(|| {
        let id = errand.task.id.as_str();
        serde_json::json!({ "id": id, "status": "succeeded" }).to_string()
    })
}

/// A turn that died between the manifest and its report.
async fn published_before(
    assets: &Assets,
    folder: &Folder,
    errand: &Errand<'_>,
) -> Result<Option<Manifest>, Error> {
    let Some(found) = assets.read_manifest(folder).await? else { return Ok(None) };
    // Another task's manifest is left to `publish`, which says so.
    let ours = found.task_id == errand.task.id.as_str() && found.output().is_some();
    if ours {
        assets.verify_lengths(&found).await?;
    }
    Ok(ours.then_some(found))
}

/// A turn that died between the bytes and the manifest.
async fn adopt(
    assets: &Assets,
    folder: &Folder,
    errand: &Errand<'_>,
    insisted_s: Option<u32>,
) -> Result<Option<Video>, Error> {
    let found = assets.find_unpublished(folder, errand.task.id.as_str(), insisted_s).await?;
    Ok(found.map(|Adopted { download_attempt_id, output, video, last_frame, task }| Video {
        stored: StoredVideo {
            download_attempt_id,
            output,
            last_frame,
            video_duration_ms: video.duration_ms,
            source: source(errand.links, None),
        },
        payload: task,
    }))
}

async fn copy(
    client: &GuardedClient,
    assets: &Assets,
    folder: &Folder,
    errand: &Errand<'_>,
    payload: &str,
    insisted_s: Option<u32>,
    at: At<'_>,
) -> Result<Video, CopyError> {
    let attempt = errand.download_attempt_id;
    // The payload first: a video beside it can be adopted, one without belongs to nobody.
    let bytes = Bytes::copy_from_slice(payload.as_bytes());
    let payload = assets.put_task(folder, attempt, bytes).await?;
    let order = Order {
        link: &errand.links.video,
        folder,
        download_attempt_id: attempt,
        expected_duration_s: insisted_s,
        fetches_max: errand.fetches_max,
        requests_max: if errand.tries < PATIENT_TURNS { REQUESTS_MAX } else { errand.fetches_max },
    };
    let copied = copy_video(client, assets, &order, at).await?;
    let stored = StoredVideo {
        download_attempt_id: attempt.to_owned(),
        output: copied.output.object,
        last_frame: None,
        video_duration_ms: copied.output.video.duration_ms,
        source: source(errand.links, copied.host_etag),
    };
    Ok(Video { stored, payload })
}

/// Adds the last frame (M13). A host in trouble gets another turn, in which the video is found
/// again; a frame that is gone for good or no picture is a note, never the loss of a paid video.
async fn bring_frame(
    client: &GuardedClient,
    assets: &Assets,
    folder: &Folder,
    errand: &Errand<'_>,
    video: &mut Video,
    findings: &mut Vec<String>,
) -> Result<(), CopyError> {
    let Some(link) = errand.links.last_frame.as_deref() else { return Ok(()) };
    if video.stored.last_frame.is_some() {
        return Ok(());
    }
    let bytes_max = assets.small_object_bytes_max();
    let fetched = read_small(client, link, bytes_max, errand.fetches_max).await;
    let bytes = match fetched {
        Ok(bytes) => bytes,
        Err(CopyError::Trouble(reason)) if errand.tries < STRICT_TURNS => {
            return Err(CopyError::Trouble(format!("last frame: {reason}")));
        }
        Err(error) => {
            findings.push(format!("no last frame: {error}"));
            return Ok(());
        }
    };
    let attempt = &video.stored.download_attempt_id;
    match assets.put_last_frame(folder, attempt, bytes).await {
        Ok(frame) => video.stored.last_frame = Some(frame),
        Err(error @ (Error::NotImage { .. } | Error::TooBig { .. })) => {
            findings.push(format!("no last frame: {error}"));
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

fn source(links: &Links, output_etag: Option<String>) -> ManifestLinks {
    ManifestLinks {
        output_host: host_of(&links.video),
        output_etag,
        last_frame_host: links.last_frame.as_deref().and_then(host_of),
    }
}

fn stored(errand: &Errand<'_>, assets: &Assets, manifest: &Manifest) -> Brought {
    let (Some(video), Ok(folder)) = (manifest.video(), filing::folder(assets, errand.record))
    else {
        // `publish` refuses a manifest of another outcome, so this one has a video.
        return Brought::Troubled { reason: "the published manifest names no video".to_owned() };
    };
    Brought::Stored(StoredOutput {
        manifest: folder.manifest_path(),
        video: video.output.path.clone(),
        video_sha256: video.output.sha256.clone(),
        video_bytes: video.output.length_bytes,
        last_frame: video.last_frame.as_ref().map(|frame| frame.path.clone()),
        tokens: manifest.facts.completion_tokens.or(manifest.facts.total_tokens),
    })
}
