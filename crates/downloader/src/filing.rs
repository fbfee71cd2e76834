//! What is written about a task: its manifest, from the record and the provider's payload. Pure,
//! but for the two calls that file a task without a video.

use assets::{
    Assets, Filed, Folder, Frozen, LayoutFault, MANIFEST_VERSION, Manifest, Place, Published,
    StoredObject, TaskFacts,
};
use bytes::Bytes;
use job::{End, Record, TaskRef, Timestamp};
use seedance::{DurationChoice, Task, TaskStatus};

/// Seconds by which a film may differ from the order before it is noted.
const TOLERANCE_MS: u64 = 1_000;

/// The folder of a job; a pure function of its record, whoever asks and whenever.
///
/// # Errors
///
/// [`LayoutFault`]: the tenant or the prefix must not become a path. Admission refuses both.
pub fn folder(assets: &Assets, record: &Record) -> Result<Folder, LayoutFault> {
    assets.layout().folder(&Place {
        tenant: &record.spec.tenant,
        job_id: record.id.as_str(),
        created_at_ms: record.created_at.unix_ms(),
        prefix: record.spec.output_prefix.as_deref(),
    })
}

/// The film's length to expect in whole seconds: as ordered, or as the provider chose.
#[must_use]
pub fn expected_duration_s(record: &Record, task: Option<&Task>) -> Option<u32> {
    match record.spec.request.duration_s {
        DurationChoice::Seconds(seconds) => Some(u32::from(seconds)),
        DurationChoice::ModelChooses => task.and_then(|task| task.duration_s),
    }
}

/// What the provider said, as far as the payload says it (M14).
#[must_use]
pub fn facts(task: Option<&Task>, owned: &TaskRef) -> TaskFacts {
    let Some(task) = task else {
        return TaskFacts { model: Some(owned.facts.model_id.clone()), ..TaskFacts::default() };
    };
    TaskFacts {
        model: Some(task.model.clone().unwrap_or_else(|| owned.facts.model_id.clone())),
        status: Some(task.status.word().to_owned()),
        seed: task.seed,
        ratio: task.ratio.clone(),
        resolution: task.resolution.clone(),
        duration_s: task.duration_s,
        frames: task.frames,
        generate_audio: task.generate_audio,
        completion_tokens: task.completion_tokens,
        total_tokens: task.total_tokens,
    }
}

/// Things to note about a video that was kept all the same.
#[must_use]
pub fn findings(video_duration_ms: Option<u64>, expected_s: Option<u32>) -> Vec<String> {
    match (video_duration_ms, expected_s) {
        (Some(found_ms), Some(expected_s))
            if found_ms.abs_diff(u64::from(expected_s) * 1_000) > TOLERANCE_MS =>
        {
            vec![format!("the film lasts {found_ms} ms, {expected_s} s were ordered")]
        }
        (None, Some(_)) => vec!["the film does not say how long it is".to_owned()],
        (Some(_) | None, _) => Vec::new(),
    }
}

/// Everything known about a task that has ended, ready to be published.
#[must_use]
pub fn manifest(
    record: &Record,
    owned: &TaskRef,
    task: Option<&Task>,
    payload: StoredObject,
    filed: Filed,
    now: Timestamp,
) -> Manifest {
    let frozen = &owned.facts;
    Manifest {
        manifest_version: MANIFEST_VERSION,
        job_id: record.id.as_str().to_owned(),
        tenant: record.spec.tenant.clone(),
        task_id: owned.id.as_str().to_owned(),
        attempt_id: Some(owned.attempt.as_str().to_owned()),
        frozen: Frozen {
            pool: Some(record.spec.pool.clone()),
            route: Some(frozen.route.word().to_owned()),
            create_url: Some(frozen.create_url.clone()),
            retrieve_url: Some(frozen.retrieve_url.clone()),
            account: Some(frozen.account.clone()),
            // A route is a region with its billing; they never mix.
            billing: Some(frozen.route.word().to_owned()),
            price_version: Some(frozen.price_version.clone()),
        },
        facts: facts(task, owned),
        task: payload,
        filed,
        findings: Vec::new(),
        stored_at_ms: now.unix_ms(),
    }
}

/// How a task without a video is filed: by what the provider said last. A job's own end can say
/// less, such as "timed out" for a task that failed late.
#[must_use]
pub fn filed_without_video(end: &End, task: Option<&Task>) -> Filed {
    if let End::OutputLost { reason } = end {
        return Filed::OutputLost { reason: reason.clone() };
    }
    let lost = |reason: &str| Filed::OutputLost { reason: reason.to_owned() };
    let Some(task) = task else { return lost("the provider's payload cannot be read") };
    match &task.status {
        TaskStatus::Failed => {
            let error = task.error.as_ref();
            Filed::Failed {
                code: error.and_then(|error| error.code.clone()),
                message: error.map(|error| error.message.clone()),
            }
        }
        TaskStatus::Expired => Filed::Expired,
        TaskStatus::Cancelled => Filed::Cancelled,
        TaskStatus::Succeeded => lost("the provider named no video"),
        TaskStatus::Queued | TaskStatus::Running | TaskStatus::Unknown(_) => {
            lost("the job ended before its task did")
        }
    }
}

/// Files the payload of a task that left no video: `task.json`, then the manifest (M11).
///
/// # Errors
///
/// [`assets::Error`], sorted by what to do next. Safe to repeat.
pub async fn file_payload(
    assets: &Assets,
    record: &Record,
    owned: &TaskRef,
    end: &End,
    payload: &str,
    now: Timestamp,
) -> Result<Published, assets::Error> {
    let folder = folder(assets, record)?;
    let task = Task::parse(payload.as_bytes()).ok();
    let bytes = Bytes::copy_from_slice(payload.as_bytes());
    let stored = assets.put_final_task(&folder, owned.id.as_str(), bytes).await?;
    let filed = filed_without_video(end, task.as_ref());
    let manifest = manifest(record, owned, task.as_ref(), stored, filed, now);
    assets.publish(&folder, &manifest).await
}
