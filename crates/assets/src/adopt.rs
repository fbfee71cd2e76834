//! Bytes without a manifest: a worker died between the copy and its publication.
//!
//! The copy is finished and paid for, and the link may be dead by now, so it is looked for before
//! anything is fetched again. What is found is believed only after its bytes were read once more.

use crate::objects::{object_path, payload_task_id};
use crate::writer::MP4;
use crate::{Assets, Error, Folder, ImageKind, Mp4Facts, Mp4Walker, StoredObject};
use futures::stream::{StreamExt, TryStreamExt};

/// Objects looked at in one folder: three per download attempt, and attempts are few.
const OBJECTS_MAX: usize = 300;

/// A finished copy found without a manifest, ready to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adopted {
    /// The download attempt that made it.
    pub download_attempt_id: String,
    /// The video, hashed from its stored bytes.
    pub output: StoredObject,
    /// What the file says about itself.
    pub video: Mp4Facts,
    /// The last frame, if it had been stored.
    pub last_frame: Option<StoredObject>,
    /// The payload stored with it.
    pub task: StoredObject,
}

impl Assets {
    /// Looks in a folder for a whole copy of `task_id`'s video that nobody published.
    ///
    /// A copy counts if the payload beside it names the task and its bytes are one whole MP4 file
    /// of the ordered length. Anything else is passed over, not deleted.
    ///
    /// # Errors
    ///
    /// [`Error::Denied`] or [`Error::Unavailable`]. Damaged copies are no error.
    pub async fn find_unpublished(
        &self,
        folder: &Folder,
        task_id: &str,
        expected_duration_s: Option<u32>,
    ) -> Result<Option<Adopted>, Error> {
        let paths = self.list(folder).await?;
        for path in &paths {
            let Some(base) = path.strip_suffix("/output.mp4") else { continue };
            let Some(attempt_id) = base.strip_prefix(folder.as_str()) else { continue };
            let attempt_id = attempt_id.trim_start_matches('/');
            if attempt_id.is_empty() || attempt_id.contains('/') {
                continue;
            }
            let Some(task) = self.payload_of(&format!("{base}/task.json"), task_id).await? else {
                continue;
            };
            let Some((output, video)) = self.whole_video(path, expected_duration_s).await? else {
                continue;
            };
            let last_frame = self.frame_of(&paths, base).await?;
            let download_attempt_id = attempt_id.to_owned();
            return Ok(Some(Adopted { download_attempt_id, output, video, last_frame, task }));
        }
        Ok(None)
    }

    /// Paths in a folder, sorted, so that two finders try the same copy first.
    async fn list(&self, folder: &Folder) -> Result<Vec<String>, Error> {
        let prefix = object_path(folder.as_str())?;
        let listed = self.inner.bucket.list(Some(&prefix)).take(OBJECTS_MAX);
        let mut paths: Vec<String> = listed
            .map_ok(|meta| meta.location.to_string())
            .try_collect()
            .await
            .map_err(|e| Error::from_store(folder.as_str(), e))?;
        paths.sort_unstable();
        Ok(paths)
    }

    async fn payload_of(&self, path: &str, task_id: &str) -> Result<Option<StoredObject>, Error> {
        let (payload, meta) = match self.read_small(path).await {
            Ok(found) => found,
            Err(Error::Missing { .. } | Error::TooBig { .. }) => return Ok(None),
            Err(e) => return Err(e),
        };
        if payload_task_id(&payload).as_deref() != Some(task_id) {
            return Ok(None);
        }
        let mut task = StoredObject::of(path.to_owned(), crate::objects::JSON, &payload);
        task.etag = meta.e_tag;
        Ok(Some(task))
    }

    async fn whole_video(
        &self,
        path: &str,
        expected_duration_s: Option<u32>,
    ) -> Result<Option<(StoredObject, Mp4Facts)>, Error> {
        let mut walker = Mp4Walker::new();
        let hashed = match self.hash(path, Some(&mut walker)).await {
            Ok(hashed) => hashed,
            Err(Error::NotVideo(_) | Error::Missing { .. }) => return Ok(None),
            Err(e) => return Err(e),
        };
        let Ok(video) = walker.finish(expected_duration_s) else { return Ok(None) };
        let output = StoredObject {
            path: path.to_owned(),
            length_bytes: hashed.length_bytes,
            sha256: hashed.sha256,
            etag: hashed.etag,
            content_type: MP4.to_owned(),
        };
        Ok(Some((output, video)))
    }

    async fn frame_of(&self, paths: &[String], base: &str) -> Result<Option<StoredObject>, Error> {
        let start = format!("{base}/last-frame.");
        let Some(path) = paths.iter().find(|path| path.starts_with(&start)) else {
            return Ok(None);
        };
        let (bytes, meta) = match self.read_small(path).await {
            Ok(found) => found,
            Err(Error::Missing { .. } | Error::TooBig { .. }) => return Ok(None),
            Err(e) => return Err(e),
        };
        Ok(ImageKind::sniff(&bytes).map(|kind| {
            let mut frame = StoredObject::of(path.clone(), kind.content_type(), &bytes);
            frame.etag = meta.e_tag;
            frame
        }))
    }
}
