//! Copying one video into the bucket as it streams in.
//!
//! Bytes are hashed, walked and counted on the way and leave memory part by part. Nothing is
//! visible at the path until [`OutputWriter::finish`] has found the copy whole.

use crate::error::explain;
use crate::objects::object_path;
use crate::{Assets, Error, Folder, Mp4Facts, Mp4Walker, Sha256Hex, StoredObject};
use bytes::{Bytes, BytesMut};
use object_store::{MultipartUpload, PutMultipartOptions, PutPayload};
use std::sync::{Mutex, PoisonError};
use tokio::task::JoinSet;

/// Content type of every output.
pub(crate) const MP4: &str = "video/mp4";

/// What the body must turn out to be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expected {
    /// Announced by the host, if it was.
    pub length_bytes: Option<u64>,
    /// Ordered by the job, in whole seconds; `None` when the job does not know (frames, automatic).
    pub duration_s: Option<u32>,
}

/// A video whose bytes are in the bucket, not yet published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenOutput {
    /// The object.
    pub object: StoredObject,
    /// What the file says about itself.
    pub video: Mp4Facts,
}

/// A copy under way. Holds at most one part plus `store.parts_in_flight_max` parts on their way.
///
/// Dropping it unfinished gives the upload up in the background; [`OutputWriter::abort`] waits.
/// A killed process leaves an upload behind that only a lifecycle rule of the bucket removes.
#[derive(Debug)]
pub struct OutputWriter {
    assets: Assets,
    path: String,
    buffer: BytesMut,
    hash: Sha256Hex,
    walker: Mp4Walker,
    upload: Option<Upload>,
    /// A part or a check failed, or a write was dropped half-way: the copy can only be given up.
    broken: bool,
}

#[derive(Debug)]
struct Upload {
    multipart: Box<dyn MultipartUpload>,
    in_flight: JoinSet<object_store::Result<()>>,
}

impl Assets {
    /// Begins a copy to `<folder>/<attempt>/output.mp4`. Sends nothing before one part is full.
    ///
    /// # Errors
    ///
    /// [`Error::Layout`] if the attempt id is not a plain name.
    pub fn write_output(&self, folder: &Folder, attempt_id: &str) -> Result<OutputWriter, Error> {
        Ok(OutputWriter {
            assets: self.clone(),
            path: folder.attempt_path(attempt_id, "output.mp4")?,
            buffer: BytesMut::new(),
            hash: Sha256Hex::default(),
            walker: Mp4Walker::new(),
            upload: None,
            broken: false,
        })
    }
}

impl OutputWriter {
    /// Bytes taken so far.
    #[must_use]
    pub fn length_bytes(&self) -> u64 {
        self.hash.length_bytes()
    }

    /// Takes the next bytes. Waits while too many parts are on their way, which in turn slows the
    /// reader down.
    ///
    /// # Errors
    ///
    /// [`Error::NotVideo`] as soon as the bytes cannot become a whole file, [`Error::TooBig`] past
    /// `store.output_bytes_max`, [`Error::Denied`] or [`Error::Unavailable`]. After any error the
    /// copy can only be aborted.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.refuse_broken()?;
        // Broken until proven otherwise: a caller that drops this future may leave a part unsent.
        self.broken = true;
        self.take(bytes).await?;
        self.broken = false;
        Ok(())
    }

    /// Ends the copy: checks it, then makes it visible at its path. A copy that fails a check is
    /// given up and leaves nothing behind.
    ///
    /// # Errors
    ///
    /// [`Error::WrongLength`], [`Error::NotVideo`] (of which
    /// [`WrongDuration`](crate::Mp4Fault::WrongDuration) means that the file itself is whole), or as
    /// [`OutputWriter::write`].
    pub async fn finish(mut self, expected: Expected) -> Result<WrittenOutput, Error> {
        let finished = self.check_and_complete(expected).await;
        if finished.is_err() {
            self.give_up().await;
        }
        finished
    }

    /// Gives the copy up and waits until the bucket has forgotten its parts, as far as it can.
    pub async fn abort(mut self) {
        self.give_up().await;
    }

    async fn take(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        let limit_bytes = self.assets.inner.settings.output_bytes_max;
        if self.hash.length_bytes().saturating_add(bytes.len() as u64) > limit_bytes {
            return Err(Error::TooBig { path: self.path.clone(), limit_bytes });
        }
        self.walker.feed(bytes)?;
        self.hash.update(bytes);
        let part_bytes = self.part_bytes();
        while !bytes.is_empty() {
            // A full buffer waits for one more byte: a file of one part needs no multipart upload.
            if self.buffer.len() == part_bytes {
                self.send_part().await?;
            }
            if self.buffer.capacity() == 0 {
                self.buffer = self.assets.inner.spares.take(part_bytes);
            }
            let room = part_bytes - self.buffer.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.buffer.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    async fn check_and_complete(&mut self, expected: Expected) -> Result<WrittenOutput, Error> {
        self.refuse_broken()?;
        let length_bytes = self.hash.length_bytes();
        if let Some(expected_bytes) = expected.length_bytes
            && expected_bytes != length_bytes
        {
            return Err(Error::WrongLength { expected_bytes, got_bytes: length_bytes });
        }
        let video = std::mem::take(&mut self.walker).finish(expected.duration_s)?;
        let etag = self.complete().await?;
        let stored_bytes = self.assets.head(&self.path).await?.size;
        if stored_bytes != length_bytes {
            let why = format!("{stored_bytes} bytes are stored, {length_bytes} were written");
            return Err(Error::Damaged { path: self.path.clone(), why });
        }
        let sha256 = std::mem::take(&mut self.hash).finish();
        let path = self.path.clone();
        let object =
            StoredObject { path, length_bytes, sha256, etag, content_type: MP4.to_owned() };
        Ok(WrittenOutput { object, video })
    }

    async fn complete(&mut self) -> Result<Option<String>, Error> {
        if self.upload.is_none() {
            let bytes = std::mem::take(&mut self.buffer).freeze();
            let put = self.assets.put(&self.path, MP4, bytes.clone()).await;
            self.assets.inner.spares.give_back(bytes);
            return put;
        }
        if !self.buffer.is_empty() {
            self.send_part().await?;
        }
        let path = self.path.clone();
        let Some(upload) = &mut self.upload else { return Ok(None) };
        upload.wait_until(&path, 0).await?;
        let done = upload.multipart.complete().await;
        let done = done.map_err(|e| Error::from_store(&path, e))?;
        self.upload = None;
        Ok(done.e_tag)
    }

    /// Sends the buffer as the next part, once fewer than the allowed number are on their way.
    async fn send_part(&mut self) -> Result<(), Error> {
        let part = std::mem::take(&mut self.buffer).freeze();
        let (assets, path) = (self.assets.clone(), self.path.clone());
        let upload = self.upload().await?;
        upload.wait_until(&path, assets.inner.settings.parts_in_flight_max - 1).await?;
        let sending = upload.multipart.put_part(PutPayload::from(part.clone()));
        upload.in_flight.spawn(async move {
            let sent = sending.await;
            assets.inner.spares.give_back(part);
            sent
        });
        Ok(())
    }

    async fn upload(&mut self) -> Result<&mut Upload, Error> {
        if self.upload.is_none() {
            let options = PutMultipartOptions {
                attributes: self.assets.attributes(MP4),
                ..PutMultipartOptions::default()
            };
            let location = object_path(&self.path)?;
            let opened = self.assets.inner.bucket.put_multipart_opts(&location, options).await;
            let multipart = opened.map_err(|e| Error::from_store(&self.path, e))?;
            self.upload = Some(Upload { multipart, in_flight: JoinSet::new() });
        }
        Ok(self.upload.as_mut().expect("it was set above"))
    }

    async fn give_up(&mut self) {
        self.broken = true;
        if let Some(upload) = self.upload.take() {
            upload.abort(&self.path).await;
        }
    }

    fn refuse_broken(&self) -> Result<(), Error> {
        if self.broken {
            let why = "an earlier part of this copy failed".to_owned();
            return Err(Error::Unavailable { path: self.path.clone(), why });
        }
        Ok(())
    }

    fn part_bytes(&self) -> usize {
        usize::try_from(self.assets.inner.settings.part_size_bytes)
            .expect("settings bound a part to 512 MiB")
    }
}

/// Buffers of one part that are not in use. Allocated anew for each part they would come from another
/// thread's heap each time, and a copy would take twice the memory it uses.
#[derive(Debug, Default)]
pub(crate) struct Spares(Mutex<Vec<BytesMut>>);

/// As many as the default number of copies uses at once.
const SPARES_MAX: usize = 24;

impl Spares {
    fn take(&self, part_bytes: usize) -> BytesMut {
        let spare = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        spare.unwrap_or_else(|| BytesMut::with_capacity(part_bytes))
    }

    /// Keeps the buffer, unless somebody still holds it.
    fn give_back(&self, part: Bytes) {
        let Ok(mut buffer) = part.try_into_mut() else { return };
        buffer.clear();
        let mut spares = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if spares.len() < SPARES_MAX {
            spares.push(buffer);
        }
    }
}

impl Upload {
    /// Waits until at most `left_max` parts are on their way; the first failure wins.
    async fn wait_until(&mut self, path: &str, left_max: usize) -> Result<(), Error> {
        while self.in_flight.len() > left_max {
            match self.in_flight.join_next().await {
                Some(Ok(Ok(()))) => {}
                Some(Ok(Err(e))) => return Err(Error::from_store(path, e)),
                Some(Err(e)) => {
                    return Err(Error::Unavailable { path: path.to_owned(), why: explain(&e) });
                }
                None => break,
            }
        }
        Ok(())
    }

    async fn abort(mut self, path: &str) {
        self.in_flight.shutdown().await;
        if let Err(error) = self.multipart.abort().await {
            tracing::warn!(path, %error, "the parts of an unfinished upload stay until the bucket's lifecycle rule");
        }
    }
}

impl Drop for OutputWriter {
    fn drop(&mut self) {
        let Some(upload) = self.upload.take() else { return };
        // Outside a runtime nothing can be sent; the lifecycle rule remains.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let path = std::mem::take(&mut self.path);
            runtime.spawn(async move { upload.abort(&path).await });
        }
    }
}
