//! Single objects: put, create if absent, read within bounds, hash. Every other file here goes
//! through these, so backends differ in one place only.

use crate::layout::check_name;
use crate::{Assets, Error, Folder, ImageKind, Mp4Walker, Sha256Hex, StoredObject, sha256_hex};
use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt};
use object_store::path::Path as ObjectPath;
use object_store::{
    Attribute, Attributes, GetOptions, GetRange, ObjectMeta, ObjectStoreExt, PutMode, PutOptions,
};
use std::ops::Range;

/// Content type of payloads and manifests.
pub(crate) const JSON: &str = "application/json";

/// Bytes of an object as they arrive.
pub type ByteStream = BoxStream<'static, Result<Bytes, Error>>;

/// What became of a create-if-absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Created {
    New {
        etag: Option<String>,
    },
    /// Something lies there. It may be ours: a reply can get lost after the write took effect.
    Exists,
}

/// An object as its bytes say, not as any manifest claims.
#[derive(Debug, Clone)]
pub(crate) struct Hashed {
    pub(crate) sha256: String,
    pub(crate) length_bytes: u64,
    pub(crate) etag: Option<String>,
}

/// The one field of a provider's payload that ties stored bytes to a task.
#[derive(serde::Deserialize)]
struct PayloadId {
    id: String,
}

/// The task id inside a provider's payload, if it is one.
pub(crate) fn payload_task_id(payload: &[u8]) -> Option<String> {
    serde_json::from_slice::<PayloadId>(payload).ok().map(|payload| payload.id)
}

pub(crate) fn object_path(path: &str) -> Result<ObjectPath, Error> {
    ObjectPath::parse(path)
        .map_err(|e| Error::Missing { path: format!("{path} (not a usable path: {e})") })
}

impl Assets {
    /// Writes the provider's payload of a download attempt, byte for byte, to
    /// `<folder>/<attempt>/task.json`. Call it before the video is written: it is what later proves
    /// whose video lies beside it.
    ///
    /// # Errors
    ///
    /// [`Error::TooBig`], [`Error::Denied`] or [`Error::Unavailable`].
    pub async fn put_task(
        &self,
        folder: &Folder,
        attempt_id: &str,
        payload: Bytes,
    ) -> Result<StoredObject, Error> {
        let path = folder.attempt_path(attempt_id, "task.json")?;
        self.put_small(path, JSON, payload).await
    }

    /// Writes the payload of a task that left no video to `<folder>/task.json`. The first payload
    /// of a task stays: a manifest may already name its hash.
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`] if another task's payload lies there; otherwise as [`Assets::put_task`].
    pub async fn put_final_task(
        &self,
        folder: &Folder,
        task_id: &str,
        payload: Bytes,
    ) -> Result<StoredObject, Error> {
        let path = folder.task_path();
        self.bound_small(&path, payload.len() as u64)?;
        let mut stored = StoredObject::of(path, JSON, &payload);
        match self.create(&stored.path, JSON, payload).await? {
            Created::New { etag } => stored.etag = etag,
            Created::Exists => {
                let (there, meta) = self.read_small(&stored.path).await?;
                let theirs = payload_task_id(&there).unwrap_or_else(|| "an unknown task".into());
                if theirs != task_id {
                    let ours = format!("task {task_id}");
                    return Err(Error::Conflict { path: stored.path, ours, theirs });
                }
                stored = StoredObject::of(stored.path, JSON, &there);
                stored.etag = meta.e_tag;
            }
        }
        Ok(stored)
    }

    /// Writes the last frame to `<folder>/<attempt>/last-frame.<ext>`, named by its content (M13).
    ///
    /// # Errors
    ///
    /// [`Error::NotImage`] if the bytes are no picture we know; otherwise as [`Assets::put_task`].
    pub async fn put_last_frame(
        &self,
        folder: &Folder,
        attempt_id: &str,
        bytes: Bytes,
    ) -> Result<StoredObject, Error> {
        let kind = ImageKind::sniff(&bytes)
            .ok_or_else(|| Error::NotImage { head: hex::encode(&bytes[..bytes.len().min(8)]) })?;
        let file = format!("last-frame.{}", kind.extension());
        let path = folder.attempt_path(attempt_id, &file)?;
        self.put_small(path, kind.content_type(), bytes).await
    }

    /// Reads an object from `range.start` (or the beginning) in pieces of at most one part, all of
    /// one version of it: a change in between ends the stream with an error.
    ///
    /// Returns the object's whole length and its bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`], [`Error::Denied`] or [`Error::Unavailable`], at once or in the stream.
    pub async fn read(
        &self,
        path: &str,
        range: Option<Range<u64>>,
    ) -> Result<(u64, ByteStream), Error> {
        let meta = self.head(path).await?;
        let whole = 0..meta.size;
        let range = range.unwrap_or(whole);
        Ok((meta.size, self.pieces(path.to_owned(), &meta, range)))
    }

    pub(crate) async fn put_small(
        &self,
        path: String,
        content_type: &str,
        bytes: Bytes,
    ) -> Result<StoredObject, Error> {
        self.bound_small(&path, bytes.len() as u64)?;
        let mut stored = StoredObject::of(path, content_type, &bytes);
        stored.etag = self.put(&stored.path, content_type, bytes).await?;
        Ok(stored)
    }

    pub(crate) fn bound_small(&self, path: &str, length_bytes: u64) -> Result<(), Error> {
        let limit_bytes = self.inner.settings.small_object_bytes_max;
        if length_bytes > limit_bytes {
            return Err(Error::TooBig { path: path.to_owned(), limit_bytes });
        }
        Ok(())
    }

    /// Writes an object, replacing what lies there. Returns the backend's ETag.
    pub(crate) async fn put(
        &self,
        path: &str,
        content_type: &str,
        bytes: Bytes,
    ) -> Result<Option<String>, Error> {
        let options = PutOptions {
            mode: PutMode::Overwrite,
            attributes: self.attributes(content_type),
            ..PutOptions::default()
        };
        let put = self.inner.bucket.put_opts(&object_path(path)?, bytes.into(), options).await;
        put.map(|done| done.e_tag).map_err(|e| Error::from_store(path, e))
    }

    /// Writes an object only where nothing lies yet: the one conditional operation used.
    pub(crate) async fn create(
        &self,
        path: &str,
        content_type: &str,
        bytes: Bytes,
    ) -> Result<Created, Error> {
        let options = PutOptions {
            mode: PutMode::Create,
            attributes: self.attributes(content_type),
            ..PutOptions::default()
        };
        match self.inner.bucket.put_opts(&object_path(path)?, bytes.into(), options).await {
            Ok(done) => Ok(Created::New { etag: done.e_tag }),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(Created::Exists),
            Err(e) => Err(Error::from_store(path, e)),
        }
    }

    /// Reads a whole object that must be small; refuses larger ones before reading them.
    pub(crate) async fn read_small(&self, path: &str) -> Result<(Bytes, ObjectMeta), Error> {
        let got = self.inner.bucket.get(&object_path(path)?).await;
        let got = got.map_err(|e| Error::from_store(path, e))?;
        self.bound_small(path, got.meta.size)?;
        let meta = got.meta.clone();
        let bytes = got.bytes().await.map_err(|e| Error::from_store(path, e))?;
        Ok((bytes, meta))
    }

    pub(crate) async fn head(&self, path: &str) -> Result<ObjectMeta, Error> {
        let head = self.inner.bucket.head(&object_path(path)?).await;
        head.map_err(|e| Error::from_store(path, e))
    }

    pub(crate) async fn delete(&self, path: &str) -> Result<(), Error> {
        let deleted = self.inner.bucket.delete(&object_path(path)?).await;
        deleted.map_err(|e| Error::from_store(path, e))
    }

    /// Hashes an object's stored bytes, showing them to `walker` on the way.
    pub(crate) async fn hash(
        &self,
        path: &str,
        mut walker: Option<&mut Mp4Walker>,
    ) -> Result<Hashed, Error> {
        let meta = self.head(path).await?;
        let mut pieces = self.pieces(path.to_owned(), &meta, 0..meta.size);
        let mut hash = Sha256Hex::default();
        while let Some(piece) = pieces.next().await {
            let piece = piece?;
            hash.update(&piece);
            if let Some(walker) = walker.as_deref_mut() {
                walker.feed(&piece)?;
            }
        }
        let length_bytes = hash.length_bytes();
        Ok(Hashed { sha256: hash.finish(), length_bytes, etag: meta.e_tag })
    }

    /// Backends without attributes refuse them, so they are left out there.
    pub(crate) fn attributes(&self, content_type: &str) -> Attributes {
        let mut attributes = Attributes::new();
        if self.inner.takes_attributes {
            attributes.insert(Attribute::ContentType, content_type.to_owned().into());
        }
        attributes
    }

    /// Reads by ranges of one part: each request stays far inside its timeout, and memory within
    /// one part, whatever the object's length.
    fn pieces(&self, path: String, meta: &ObjectMeta, range: Range<u64>) -> ByteStream {
        let assets = self.clone();
        let etag = meta.e_tag.clone();
        let end = range.end.min(meta.size);
        let piece_bytes = self.inner.settings.part_size_bytes;
        let stream = futures::stream::try_unfold(range.start, move |at| {
            let (assets, path, etag) = (assets.clone(), path.clone(), etag.clone());
            async move {
                if at >= end {
                    return Ok(None);
                }
                let until = at.saturating_add(piece_bytes).min(end);
                let options = GetOptions {
                    if_match: etag,
                    range: Some(GetRange::Bounded(at..until)),
                    ..GetOptions::default()
                };
                let got = assets.inner.bucket.get_opts(&object_path(&path)?, options).await;
                let got = got.map_err(|e| Error::from_store(&path, e))?;
                let bytes = got.bytes().await.map_err(|e| Error::from_store(&path, e))?;
                if bytes.len() as u64 != until - at {
                    let why = format!("a read of {} bytes gave {}", until - at, bytes.len());
                    return Err(Error::Unavailable { path, why });
                }
                Ok(Some((bytes, until)))
            }
        });
        stream.boxed()
    }
}

impl StoredObject {
    /// Describes bytes that are about to be stored at `path`.
    pub(crate) fn of(path: String, content_type: &str, bytes: &[u8]) -> Self {
        Self {
            path,
            length_bytes: bytes.len() as u64,
            sha256: sha256_hex(bytes),
            etag: None,
            content_type: content_type.to_owned(),
        }
    }
}

/// The path of inline media; a plain name for the tenant, so that no tenant reaches another's.
pub(crate) fn media_path(tenant: &str, sha256: &str) -> Result<String, Error> {
    check_name("tenant", tenant)?;
    if !crate::hash::is_sha256_hex(sha256) {
        let path = format!("media/{tenant}/{sha256}");
        return Err(Error::Damaged {
            path,
            why: "the name is not 64 lower-case hex digits".into(),
        });
    }
    Ok(format!("media/{tenant}/{sha256}"))
}
