//! The second fence: one small object per send, created if absent before the first byte leaves.
//!
//! `intents/<pool>/<tenant>/<fingerprint>/<n>`, where n counts the sends of that request for ever. A
//! Redis that was lost or rolled back forgets attempts; the bucket does not, and no two processes
//! ever create the same n. The object holds the whole request beside the attempt, so a job that
//! Redis has lost comes back from here.
//!
//! Every call is bounded by `fence.timeout` as a whole, and nothing below it repeats anything: the
//! last byte of a request waits for the answer.

use crate::layout::check_name;
use crate::objects::{Created, JSON};
use crate::{Assets, Error, Health, Settings};
use bytes::Bytes;
use futures::TryStreamExt;
use futures::stream::{self, BoxStream, StreamExt};
use job::{Erased, Intent, JobId, Spec, Timestamp, Versions};
use object_store::path::Path as ObjectPath;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// Sends of one request the fence looks through; far more than anybody pays for.
const SENDS_MAX: usize = 10_000;
/// Largest intent read or written: a request of the largest size we take, and its frame.
const INTENT_BYTES_MAX: usize = 4 << 20;
/// Intents read at once by a walk.
const READS_AT_ONCE: usize = 16;
/// Pause before an intent of a walk that could not be had is asked for again; it doubles.
const READ_PAUSE: Duration = Duration::from_millis(250);
/// A pause this long is not made any more: the walk has broken.
const READ_PAUSE_MAX: Duration = Duration::from_secs(16);
/// Of the time for a raise, the share (in quarters) its write may take; the rest is for the look
/// that an unclear write asks for.
const WRITE_QUARTERS: u32 = 3;

/// Section `fence`: intents outside Redis.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FenceSettings {
    /// Raise an intent before each send.
    pub enabled: bool,
    /// Where intents lie; empty: the bucket of `store.url`.
    pub url: String,
    /// Time for one look or one raise as a whole.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// Time that the first Begin of a process leaves for the raise before the instant of its slot.
    #[serde(with = "humantime_serde")]
    pub lead: Duration,
}

impl Default for FenceSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            url: String::new(),
            timeout: Duration::from_secs(5),
            lead: Duration::from_millis(250),
        }
    }
}

/// Why the fence gave no answer, by what the caller does next. No intent is ever assumed.
#[derive(Debug, thiserror::Error)]
pub enum IntentError {
    /// Not in time, or not at all: send nothing, come again later. After a raise the intent may
    /// exist all the same; it carries its attempt's id.
    #[error("the second fence does not answer: {0}")]
    Away(String),
    /// Credentials or configuration: an operator mends it, the work waits.
    #[error("the second fence cannot be used: {0}")]
    Unusable(String),
    /// An intent that cannot be read: something may have been bought by it. A person looks.
    #[error("intent {path} cannot be read: {why}")]
    Unreadable {
        /// The object.
        path: String,
        /// In words.
        why: String,
    },
}

/// What a raise came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Raised {
    /// The intent stands, and it is this attempt's: it may be sent.
    Mine,
    /// Another attempt holds this number: send nothing.
    Taken(Box<Intent>),
}

/// The intents of a fleet. Cheap to clone; clones share connections.
#[derive(Debug, Clone)]
pub struct Intents {
    bucket: Assets,
    timeout: Duration,
}

impl Intents {
    /// Opens the fence, or `None` where it is switched off. Sends nothing: [`Intents::check`] does.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`], naming the key to mend.
    pub fn open(fence: &FenceSettings, bucket: &Settings) -> Result<Option<Self>, Error> {
        if !fence.enabled {
            return Ok(None);
        }
        let own = !fence.url.is_empty();
        let settings = Settings {
            url: if own { fence.url.clone() } else { bucket.url.clone() },
            // A fence that a power cut takes away is none.
            fsync: true,
            retries_max: 0,
            retry_for: Duration::ZERO,
            request_timeout: fence.timeout,
            connect_timeout: fence.timeout.min(bucket.connect_timeout),
            ..bucket.clone()
        };
        let bucket = Assets::open(&settings).map_err(|error| match error {
            Error::Settings(why) if own => Error::Settings(why.replace("store.url", "fence.url")),
            other => other,
        })?;
        Ok(Some(Self { bucket, timeout: fence.timeout }))
    }

    /// Where the intents lie, for people.
    #[must_use]
    pub fn root(&self) -> String {
        self.bucket.address("intents")
    }

    /// Whether the place can do what a fence needs: create if absent, and mean it.
    ///
    /// # Errors
    ///
    /// As [`Assets::check`].
    pub async fn check(&self) -> Result<Health, Error> {
        self.bucket.check().await
    }

    /// The last intent of a request, with its number: the only one whose outcome can be unknown,
    /// since nobody raises n + 1 before the record knows how n ended.
    ///
    /// # Errors
    ///
    /// [`IntentError`]; send nothing.
    pub async fn look(&self, spec: &Spec) -> Result<Option<(u32, Intent)>, IntentError> {
        let folder = folder(spec)?;
        let look = async {
            let Some(last) = self.last_number(&folder).await? else { return Ok(None) };
            let path = path(&folder, last);
            match self.read(&path).await? {
                Some(intent) => Ok(Some((last, intent))),
                None => {
                    Err(IntentError::Unreadable { path, why: "listed and not there".to_owned() })
                }
            }
        };
        self.in_time(self.timeout, look).await
    }

    /// Creates the intent under its number, if nothing lies there. An answer that got lost is
    /// looked for before this gives up.
    ///
    /// # Errors
    ///
    /// [`IntentError`]; send nothing.
    pub async fn raise(&self, intent: &Intent) -> Result<Raised, IntentError> {
        let path = path(&folder(&intent.spec)?, intent.number);
        let body = body(&path, intent)?;
        let raise = async {
            let write = self.bucket.create(&path, JSON, body);
            let write = async { write.await.map_err(unanswered) };
            let unclear = match self.in_time(self.timeout * WRITE_QUARTERS / 4, write).await {
                Ok(Created::New { .. }) => return Ok(Raised::Mine),
                // Ours, if a reply was lost on the way; a rival's; or one that is just being made.
                Ok(Created::Exists) => IntentError::Away(format!("{path} is said to exist")),
                Err(refused @ (IntentError::Unusable(_) | IntentError::Unreadable { .. })) => {
                    return Err(refused);
                }
                Err(away @ IntentError::Away(_)) => away,
            };
            match self.read(&path).await? {
                Some(there) if there.is_of(&intent.attempt) => Ok(Raised::Mine),
                Some(there) => Ok(Raised::Taken(Box::new(there))),
                None => Err(unclear),
            }
        };
        self.in_time(self.timeout, raise).await
    }

    /// The last intent of every request of a pool, where it was written since `since` by the bucket's
    /// clock; in no order, as they are read. An intent that cannot be read is an item of its own; so
    /// is a list that broke: then the walk was not whole.
    pub fn walk(&self, pool: &str, since: Timestamp) -> BoxStream<'static, Walked> {
        if let Err(fault) = check_name("pool", pool) {
            let broke = Walked::Broke(IntentError::Unusable(fault.to_string()));
            return stream::once(async { broke }).boxed();
        }
        let (intents, prefix) = (self.clone(), ObjectPath::from_iter(["intents", pool]));
        let walk = async move {
            match intents.repeated(&prefix).await {
                Ok(repeated) => intents.last_ones(&prefix, repeated, since),
                Err(broke) => stream::once(async { Walked::Broke(broke) }).boxed(),
            }
        };
        stream::once(walk).flatten().boxed()
    }

    /// Writes the intents of an erased job anew without what was asked for. Number, attempt and marks
    /// stay: a Redis that is lost later must still not buy again. Tells how many were written.
    ///
    /// Safe to repeat: an intent without content is left alone.
    ///
    /// # Errors
    ///
    /// [`IntentError`]; some may be written.
    pub async fn forget(
        &self,
        spec: &Spec,
        job: &JobId,
        erased: &Erased,
    ) -> Result<u64, IntentError> {
        let folder = folder(spec)?;
        let Some(last) = self.in_time(self.timeout, self.last_number(&folder)).await? else {
            return Ok(0);
        };
        let mut written = 0;
        for number in 1..=last {
            let path = path(&folder, number);
            let Some(intent) = self.in_time(self.timeout, self.read(&path)).await? else {
                continue;
            };
            if intent.job != *job || intent.erased.is_some() {
                continue;
            }
            let mut bare = intent;
            bare.spec = bare.spec.without_content();
            bare.attempt.body_sha256.clear();
            bare.erased = Some(erased.clone());
            let body = body(&path, &bare)?;
            let put = async { self.bucket.put(&path, JSON, body).await.map_err(unanswered) };
            self.in_time(self.timeout, put).await?;
            written += 1;
        }
        Ok(written)
    }

    /// Takes away the intents of a job that nobody knows any more: an equal request is a new job from here on, and
    /// must not be taken for a life that was forgotten. Tells how many went.
    ///
    /// Safe to repeat.
    ///
    /// # Errors
    ///
    /// [`IntentError`]; some may be gone.
    pub async fn retire(&self, spec: &Spec, job: &JobId) -> Result<u64, IntentError> {
        let folder = folder(spec)?;
        let Some(last) = self.in_time(self.timeout, self.last_number(&folder)).await? else {
            return Ok(0);
        };
        let mut retired = 0;
        for number in (1..=last).rev() {
            let path = path(&folder, number);
            let intent = self.in_time(self.timeout, self.read(&path)).await?;
            if intent.is_some_and(|intent| intent.job == *job) {
                let delete = async { self.bucket.delete(&path).await.map_err(unanswered) };
                self.in_time(self.timeout, delete).await?;
                retired += 1;
            }
        }
        Ok(retired)
    }

    /// The folders with more than one intent, and their last number. Few, so they fit into memory
    /// whatever the length of the list.
    async fn repeated(&self, prefix: &ObjectPath) -> Result<BTreeMap<String, u32>, IntentError> {
        let mut repeated: BTreeMap<String, u32> = BTreeMap::new();
        let mut listed = self.bucket.inner.bucket.list(Some(prefix));
        while let Some(meta) = listed.next().await {
            let path = match meta {
                Ok(meta) => meta.location.to_string(),
                Err(error) => return Err(unanswered(Error::from_store(prefix.as_ref(), error))),
            };
            match number_of(&path) {
                Some((folder, number)) if number > 1 => {
                    let last = repeated.entry(folder.to_owned()).or_default();
                    *last = number.max(*last);
                }
                Some(_) | None => {}
            }
        }
        Ok(repeated)
    }

    fn last_ones(
        &self,
        prefix: &ObjectPath,
        repeated: BTreeMap<String, u32>,
        since: Timestamp,
    ) -> BoxStream<'static, Walked> {
        let (intents, root, cut) = (self.clone(), prefix.to_string(), since.unix_ms());
        let listed = self.bucket.inner.bucket.list(Some(prefix));
        let wanted = listed.try_filter(move |meta| {
            let path = meta.location.as_ref();
            let is_last = number_of(path).is_none_or(|(folder, number)| {
                repeated.get(folder).is_none_or(|last| number == *last)
            });
            let is_wanted = is_last && meta.last_modified.timestamp_millis() >= cut;
            async move { is_wanted }
        });
        let read = wanted.map(move |meta| {
            let (intents, root) = (intents.clone(), root.clone());
            async move {
                match meta {
                    Ok(meta) => intents.walked(meta.location.as_ref()).await,
                    Err(error) => Walked::Broke(unanswered(Error::from_store(&root, error))),
                }
            }
        });
        read.buffer_unordered(READS_AT_ONCE).boxed()
    }

    /// Asks for one intent of a list more than once: a bucket that was away for a moment must not cost
    /// the whole walk.
    async fn walked(&self, path: &str) -> Walked {
        let mut pause = READ_PAUSE;
        loop {
            match self.in_time(self.timeout, self.read(path)).await {
                Ok(Some(intent)) => return Walked::Intent(Box::new(intent)),
                // Removed by a lifecycle rule while we walked: older than anything we look for.
                Ok(None) => return Walked::Gone,
                Err(IntentError::Unreadable { path, why }) => {
                    return Walked::Unreadable { path, why };
                }
                Err(IntentError::Away(_)) if pause < READ_PAUSE_MAX => {
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                Err(broke) => return Walked::Broke(broke),
            }
        }
    }

    async fn last_number(&self, folder: &str) -> Result<Option<u32>, IntentError> {
        let prefix = ObjectPath::parse(folder).map_err(|e| IntentError::Unusable(e.to_string()))?;
        let mut listed = self.bucket.inner.bucket.list(Some(&prefix)).take(SENDS_MAX + 1);
        let (mut last, mut seen) = (None, 0);
        while let Some(meta) = listed.next().await {
            let meta = meta.map_err(|error| unanswered(Error::from_store(folder, error)))?;
            seen += 1;
            let path = meta.location.to_string();
            let Some((_, number)) = number_of(&path) else {
                let why = "its name is no number".to_owned();
                return Err(IntentError::Unreadable { path, why });
            };
            last = last.max(Some(number));
        }
        if seen > SENDS_MAX {
            let why = format!("more than {SENDS_MAX} sends of one request");
            return Err(IntentError::Unreadable { path: folder.to_owned(), why });
        }
        Ok(last)
    }

    /// `None` when nothing lies there.
    async fn read(&self, path: &str) -> Result<Option<Intent>, IntentError> {
        let bytes = match self.bucket.read_small(path).await {
            Ok((bytes, _)) => bytes,
            Err(Error::Missing { .. }) => return Ok(None),
            Err(error) => return Err(unanswered(error)),
        };
        let unreadable = |why: String| IntentError::Unreadable { path: path.to_owned(), why };
        let head: Head =
            serde_json::from_slice(&bytes).map_err(|e| unreadable(format!("no intent: {e}")))?;
        let own = Versions::own();
        if !own.reads(head.schema) {
            let why = format!("it has schema version {}, this program reads {own}", head.schema);
            return Err(unreadable(why));
        }
        let intent: Intent =
            serde_json::from_slice(&bytes).map_err(|e| unreadable(format!("no intent: {e}")))?;
        Ok(Some(intent))
    }

    async fn in_time<T>(
        &self,
        bound: Duration,
        call: impl Future<Output = Result<T, IntentError>>,
    ) -> Result<T, IntentError> {
        match tokio::time::timeout(bound, call).await {
            Ok(answer) => answer,
            Err(_) => Err(IntentError::Away(format!("no answer within {bound:?}"))),
        }
    }
}

/// One step of a walk.
#[derive(Debug)]
pub enum Walked {
    /// An intent.
    Intent(Box<Intent>),
    /// It went away between the list and the read.
    Gone,
    /// It is there and says nothing: a person looks.
    Unreadable {
        /// The object.
        path: String,
        /// In words.
        why: String,
    },
    /// The list or a read failed: this walk is not whole, another is needed.
    Broke(IntentError),
}

/// What must be read before the rest may be.
#[derive(Deserialize)]
struct Head {
    schema: u32,
}

/// A plain name for pool and tenant, so that none reaches another's; the fingerprint is one already,
/// and is checked because it becomes a path.
fn folder(spec: &Spec) -> Result<String, IntentError> {
    let fingerprint = spec.fingerprint.as_str();
    let names =
        [("pool", spec.pool.as_str()), ("tenant", &spec.tenant), ("fingerprint", fingerprint)];
    for (what, name) in names {
        check_name(what, name).map_err(|fault| IntentError::Unusable(fault.to_string()))?;
    }
    Ok(format!("intents/{}/{}/{fingerprint}", spec.pool, spec.tenant))
}

/// Eight digits, so that a list shows the numbers in order.
fn path(folder: &str, number: u32) -> String {
    format!("{folder}/{number:08}")
}

/// Folder and number of an intent's path.
fn number_of(path: &str) -> Option<(&str, u32)> {
    let (folder, name) = path.rsplit_once('/')?;
    Some((folder, name.parse().ok()?))
}

fn body(path: &str, intent: &Intent) -> Result<Bytes, IntentError> {
    let body = serde_json::to_vec(intent)
        .map_err(|e| IntentError::Unusable(format!("{path} cannot be written down: {e}")))?;
    if body.len() > INTENT_BYTES_MAX {
        let why = format!("{path} would have {} bytes, {INTENT_BYTES_MAX} allowed", body.len());
        return Err(IntentError::Unusable(why));
    }
    Ok(body.into())
}

/// Sorts what the bucket said.
fn unanswered(error: Error) -> IntentError {
    match error {
        Error::Settings(_) | Error::Denied { .. } | Error::Layout(_) => {
            IntentError::Unusable(error.to_string())
        }
        Error::Damaged { path, why } => IntentError::Unreadable { path, why },
        Error::TooBig { path, limit_bytes } => {
            let why = format!("it is larger than {limit_bytes} bytes");
            IntentError::Unreadable { path, why }
        }
        other @ (Error::Unavailable { .. }
        | Error::Missing { .. }
        | Error::Conflict { .. }
        | Error::WrongLength { .. }
        | Error::NotVideo(_)
        | Error::NotImage { .. }) => IntentError::Away(other.to_string()),
    }
}
