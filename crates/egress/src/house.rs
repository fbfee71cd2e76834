//! The client for our own gateway: reads that are asked again while it is away, changes that are sent once.

use std::{fmt, io, time::Duration};

use bytes::Bytes;
use futures::Stream;
use http::{HeaderMap, HeaderValue, header};
use tokio::time::{Instant, sleep, timeout};
use url::Url;

use crate::{
    Answer, AnswerHead, BuildError, CallError, CallLimits, Secret, Trust,
    answer::{Unread, read_bounded},
    wire::{self, describe},
};

/// Looks at a gateway that does not answer, or says "later".
const TRIES: u32 = 4;
/// The first wait where the answer names none; it doubles.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// A read waits no longer than this in all; beyond, the person is told instead.
const PATIENCE: Duration = Duration::from_secs(30);
/// What one page of ours may hold.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// A post may wait for media.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(120);
/// What comes or goes for as long as there is something: an upload, results, events.
const STREAM_TIMEOUT: Duration = Duration::from_secs(30 * 24 * 3_600);
/// A stream of ours is never silent for so long: events beat every 15 seconds.
const QUIET_MAX: Duration = Duration::from_secs(60);
/// A connection that rested longer may be closed just when a change leaves, and a change is sent once.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(2);

/// Calls our own gateway. Only reads are asked again by it: what changes something is sent once, and who sent it
/// decides what silence means.
#[derive(Debug, Clone)]
pub struct HouseClient {
    inner: reqwest::Client,
    patience: Duration,
}

impl HouseClient {
    /// A client for the gateway at `origin`.
    ///
    /// # Errors
    ///
    /// [`BuildError`], one sentence for the operator.
    pub fn new(origin: &Url) -> Result<Self, BuildError> {
        let limits = CallLimits { total_timeout: TOTAL_TIMEOUT, ..CallLimits::for_reads() };
        let builder = wire::toward_provider(Trust::for_url(origin), &limits)?
            .pool_idle_timeout(POOL_IDLE_TIMEOUT);
        Ok(Self { inner: wire::build(builder)?, patience: PATIENCE })
    }

    /// Reads, again while the gateway is away or says "later" (429, 502, 503, 504), and after the `Retry-After` that
    /// it names, within 30 s.
    ///
    /// # Errors
    ///
    /// [`CallError`] of the last try. Any HTTP status is an answer.
    pub async fn get(&self, url: &Url, bearer: &Secret) -> Result<Answer, CallError> {
        let once = async || call(self.inner.get(url.clone()), bearer).await;
        self.patiently(once, |answer| (answer.status, answer.head.retry_after)).await
    }

    /// Opens an answer of any length, tried again as [`HouseClient::get`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn open(
        &self,
        url: &Url,
        headers: &HeaderMap,
        bearer: &Secret,
    ) -> Result<Pieces, CallError> {
        let once = async || {
            let request = self.inner.get(url.clone()).headers(headers.clone());
            begun(request.timeout(STREAM_TIMEOUT), bearer).await
        };
        self.patiently(once, |pieces| (pieces.status, pieces.head.retry_after)).await
    }

    /// Sends a change once.
    ///
    /// # Errors
    ///
    /// [`CallError`]; after [`CallError::NoAnswer`] it may have been done.
    pub async fn post(
        &self,
        url: &Url,
        headers: HeaderMap,
        json: Bytes,
        bearer: &Secret,
    ) -> Result<Answer, CallError> {
        let request = self.inner.post(url.clone()).headers(headers);
        let request = request.header(header::CONTENT_TYPE, "application/json").body(json);
        call(request, bearer).await
    }

    /// Sends rows once, for as long as they come.
    ///
    /// # Errors
    ///
    /// As [`HouseClient::post`]; also where the rows themselves break off.
    pub async fn post_rows(
        &self,
        url: &Url,
        media_type: HeaderValue,
        rows: impl Stream<Item = io::Result<Vec<u8>>> + Send + 'static,
        bearer: &Secret,
    ) -> Result<Answer, CallError> {
        let request = self.inner.post(url.clone()).header(header::CONTENT_TYPE, media_type);
        let request = request.timeout(STREAM_TIMEOUT).body(reqwest::Body::wrap_stream(rows));
        call(request, bearer).await
    }

    /// Takes something away, once.
    ///
    /// # Errors
    ///
    /// As [`HouseClient::post`].
    pub async fn delete(&self, url: &Url, bearer: &Secret) -> Result<Answer, CallError> {
        call(self.inner.delete(url.clone()), bearer).await
    }

    async fn patiently<T>(
        &self,
        once: impl AsyncFn() -> Result<T, CallError>,
        seen: impl Fn(&T) -> (u16, Option<Duration>),
    ) -> Result<T, CallError> {
        let until = Instant::now() + self.patience;
        let mut wait = FIRST_WAIT;
        for _ in 1..TRIES {
            let answered = once().await;
            let named = match &answered {
                Ok(answer) => match seen(answer) {
                    (429 | 502..=504, named) => named,
                    (_, _) => return answered,
                },
                Err(CallError::TooLong { .. }) => return answered,
                Err(CallError::Unreachable(_) | CallError::NoAnswer(_)) => None,
            };
            let pause = named.unwrap_or(wait);
            if Instant::now() + pause > until {
                return answered;
            }
            sleep(pause).await;
            wait *= 2;
        }
        once().await
    }
}

/// An answer that is read piece by piece.
pub struct Pieces {
    /// HTTP status.
    pub status: u16,
    /// The headers worth keeping.
    pub head: AnswerHead,
    /// Where a redirect leads. It may be signed: it is for whoever asked, and for no log.
    pub location: Option<String>,
    response: reqwest::Response,
}

impl fmt::Debug for Pieces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pieces").field("status", &self.status).finish_non_exhaustive()
    }
}

impl Pieces {
    /// The next piece; none at the end.
    ///
    /// # Errors
    ///
    /// [`CallError::NoAnswer`]: it broke off, or was silent for a minute.
    pub async fn next(&mut self) -> Result<Option<Bytes>, CallError> {
        match timeout(QUIET_MAX, self.response.chunk()).await {
            Ok(read) => read.map_err(|error| CallError::NoAnswer(describe(error))),
            Err(_) => Err(CallError::NoAnswer(format!("nothing came for {QUIET_MAX:?}"))),
        }
    }

    /// The rest of it, where it is of bounded length.
    ///
    /// # Errors
    ///
    /// [`CallError`]: it broke off, or is too long.
    pub async fn whole(mut self) -> Result<Answer, CallError> {
        let status = self.status;
        match read_bounded(&mut self.response, ANSWER_BYTES_MAX).await {
            Ok(body) => Ok(Answer { status, head: self.head, body }),
            Err(Unread::TooLong) => Err(CallError::TooLong { status, bytes_max: ANSWER_BYTES_MAX }),
            Err(Unread::Broken(error)) => Err(CallError::NoAnswer(describe(error))),
        }
    }
}

async fn begun(request: reqwest::RequestBuilder, bearer: &Secret) -> Result<Pieces, CallError> {
    let sent = request.header(header::AUTHORIZATION, bearer.bearer()).send().await;
    let response = sent.map_err(|error| {
        if error.is_connect() || error.is_builder() {
            CallError::Unreachable(describe(error))
        } else {
            CallError::NoAnswer(describe(error))
        }
    })?;
    let location = response.headers().get(header::LOCATION);
    Ok(Pieces {
        status: response.status().as_u16(),
        head: AnswerHead::of(response.headers()),
        location: location.and_then(|link| link.to_str().ok()).map(str::to_owned),
        response,
    })
}

async fn call(request: reqwest::RequestBuilder, bearer: &Secret) -> Result<Answer, CallError> {
    begun(request, bearer).await?.whole().await
}
