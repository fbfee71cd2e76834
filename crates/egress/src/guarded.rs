//! The client for addresses that somebody else wrote.

use std::fmt;

use bytes::Bytes;
use futures::{Stream, StreamExt, stream::BoxStream};
use http::{HeaderMap, header};
use url::Url;

use crate::{
    BuildError, FetchTimeouts, Lookup, Refused, Rules, Trust, redact_url,
    resolve::{PublicOnly, system_lookup},
    target::Admitted,
    wire::{self, describe, find_cause},
};

/// Fetches bytes from addresses that the provider or a user named, following [`Rules`].
///
/// Sends no key, no cookie and no referrer to anybody, reads no proxy variables, and connects only
/// to addresses that passed the check. The probe table is `tests/it/guarded.rs`.
#[derive(Clone)]
pub struct GuardedClient {
    public: reqwest::Client,
    origins: reqwest::Client,
    rules: Rules,
}

impl fmt::Debug for GuardedClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardedClient").field("rules", &self.rules).finish_non_exhaustive()
    }
}

/// The rest of something half fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// Bytes already here.
    pub from: u64,
    /// The strong entity tag they belong to, quotes included. With it a changed file is answered
    /// whole (200) and not with a piece that does not fit.
    pub etag: Option<String>,
}

/// Which bytes are asked for.
#[derive(Clone, Copy)]
enum Part<'a> {
    Whole,
    After(&'a Range),
    First(u64),
}

/// Why nothing, or not all, came. The texts hold no query.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The address may not be fetched, now or later.
    #[error("refused: {0}")]
    Refused(#[from] Refused),
    /// No answer; the same address may be tried again.
    #[error("no answer from {host}: {reason}")]
    Unreachable {
        /// The host asked.
        host: String,
        /// What happened.
        reason: String,
    },
    /// The bytes stopped before the end; what came is good and can be continued by [`Range`].
    #[error("the stream was interrupted: {0}")]
    Interrupted(String),
}

/// An answer whose bytes are still on their way.
#[derive(Debug)]
pub struct Response {
    /// HTTP status; any of them, only redirects have been followed.
    pub status: u16,
    /// `ETag` as sent, quotes included.
    pub etag: Option<String>,
    /// `Content-Length` in bytes, of this answer. [`Response::file_bytes`] tells that of the file.
    pub content_length: Option<u64>,
    /// `Content-Type` as sent.
    pub content_type: Option<String>,
    /// `Content-Range` as sent.
    pub content_range: Option<String>,
    /// Whether the host says that it serves ranges.
    pub accept_ranges: bool,
    /// The bytes.
    pub body: Chunks,
}

/// The bytes of an answer, as they come. Nothing is read ahead of the reader.
pub struct Chunks(BoxStream<'static, Result<Bytes, FetchError>>);

impl Chunks {
    /// The next bytes; `None` at the proper end.
    ///
    /// # Errors
    ///
    /// [`FetchError::Interrupted`]: cut, reset, or silent for [`FetchTimeouts::idle`].
    pub async fn next(&mut self) -> Result<Option<Bytes>, FetchError> {
        self.0.next().await.transpose()
    }

    /// As a stream.
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes, FetchError>> + Send + 'static {
        self.0
    }
}

impl fmt::Debug for Chunks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Chunks")
    }
}

impl Response {
    /// Length of the whole file in bytes, where the host tells it.
    #[must_use]
    pub fn file_bytes(&self) -> Option<u64> {
        match (self.status, &self.content_range) {
            (206 | 416, Some(range)) => range.rsplit_once('/')?.1.trim().parse().ok(),
            (206 | 416, None) => None,
            _ => self.content_length,
        }
    }

    /// Whether the first byte of this answer is the first byte of the file.
    #[must_use]
    pub fn is_beginning(&self) -> bool {
        let from_zero = |range: &str| {
            range
                .trim_start()
                .strip_prefix("bytes")
                .is_some_and(|r| r.trim_start().starts_with("0-"))
        };
        self.status != 206 || self.content_range.as_deref().is_some_and(from_zero)
    }
}

impl GuardedClient {
    /// Builds the client with the system's resolver.
    ///
    /// # Errors
    ///
    /// [`BuildError`], one sentence for the operator.
    pub fn new(rules: Rules, timeouts: FetchTimeouts, trust: Trust) -> Result<Self, BuildError> {
        Self::with_lookup(rules, timeouts, trust, system_lookup())
    }

    /// Builds the client with another way to resolve names. What it answers is vetted all the same.
    ///
    /// # Errors
    ///
    /// [`BuildError`], one sentence for the operator.
    pub fn with_lookup(
        rules: Rules,
        timeouts: FetchTimeouts,
        trust: Trust,
        lookup: Lookup,
    ) -> Result<Self, BuildError> {
        let builder =
            || wire::builder(trust).connect_timeout(timeouts.connect).read_timeout(timeouts.idle);
        let public = wire::build(builder().dns_resolver(PublicOnly(lookup)))?;
        Ok(Self { public, origins: wire::build(builder())?, rules })
    }

    /// Says whether an address may be fetched, as far as can be told without resolving its host.
    ///
    /// # Errors
    ///
    /// [`Refused`], naming the rule.
    pub fn check(&self, url: &str) -> Result<(), Refused> {
        self.rules.admit(url).map(|_| ())
    }

    /// Asks for the bytes at `url`, all of them or from a place on, following redirects.
    ///
    /// # Errors
    ///
    /// [`FetchError::Refused`] or [`FetchError::Unreachable`]. Any status is an answer.
    pub async fn get(&self, url: &str, range: Option<&Range>) -> Result<Response, FetchError> {
        self.follow(url, range.map_or(Part::Whole, Part::After)).await
    }

    /// Asks for the first `bytes` bytes at `url`, following redirects. A host that serves no ranges sends the
    /// whole file, and an answer may be longer than was asked for: read no more of it than is wanted.
    ///
    /// # Errors
    ///
    /// As [`GuardedClient::get`].
    pub async fn first(&self, url: &str, bytes: u64) -> Result<Response, FetchError> {
        self.follow(url, Part::First(bytes)).await
    }

    async fn follow(&self, url: &str, part: Part<'_>) -> Result<Response, FetchError> {
        let (mut url, mut admitted) = self.rules.admit(url)?;
        for _ in 0..=self.rules.redirects_max {
            let response = self.ask(&url, admitted, part).await?;
            let Some(next) = redirect(&url, &response)? else {
                return Ok(open(response));
            };
            admitted = self.rules.judge(&next)?;
            url = next;
        }
        Err(Refused::Redirects(self.rules.redirects_max).into())
    }

    async fn ask(
        &self,
        url: &Url,
        admitted: Admitted,
        part: Part<'_>,
    ) -> Result<reqwest::Response, FetchError> {
        let client = select(self, admitted);
        // Compressed bytes would have another length and another checksum than the file.
        let mut request = client.get(url.clone()).header(header::ACCEPT_ENCODING, "identity");
        match part {
            Part::Whole => {}
            Part::First(bytes) => {
                let last = bytes.saturating_sub(1);
                request = request.header(header::RANGE, format!("bytes=0-{last}"));
            }
            Part::After(range) => {
                request = request.header(header::RANGE, format!("bytes={}-", range.from));
                if let Some(etag) = &range.etag {
                    request = request.header(header::IF_RANGE, etag);
                }
            }
        }
        request.send().await.map_err(|error| failed(url, error))
    }

    pub(crate) const fn rules(&self) -> &Rules {
        &self.rules
    }
}

/// The client that may connect to an admitted address.
pub(crate) const fn select(client: &GuardedClient, admitted: Admitted) -> &reqwest::Client {
    match admitted {
        Admitted::Public => &client.public,
        Admitted::Origin => &client.origins,
    }
}

/// Why nothing was sent, or no answer came.
pub(crate) fn failed(url: &Url, error: reqwest::Error) -> FetchError {
    match find_cause::<Refused>(&error) {
        Some(refused) => FetchError::Refused(refused.clone()),
        None => FetchError::Unreachable {
            host: url.host_str().unwrap_or_default().to_owned(),
            reason: describe(error),
        },
    }
}

/// Where a redirect leads; `None` for every other answer.
fn redirect(from: &Url, response: &reqwest::Response) -> Result<Option<Url>, FetchError> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(location) = response.headers().get(header::LOCATION) else {
        return Ok(None);
    };
    let target = location.to_str().ok().and_then(|text| from.join(text).ok());
    target.map(Some).ok_or_else(|| {
        tracing::warn!(url = redact_url(from.as_str()), "redirect to something that is no URL");
        Refused::Malformed("the redirect's target does not parse").into()
    })
}

fn open(response: reqwest::Response) -> Response {
    let headers = response.headers();
    let accept_ranges = text(headers, header::ACCEPT_RANGES)
        .is_some_and(|units| units.eq_ignore_ascii_case("bytes"));
    // Beside a transfer coding a length means nothing (RFC 9112 §6.3).
    let is_coded = headers.contains_key(header::TRANSFER_ENCODING);
    let length = text(headers, header::CONTENT_LENGTH).filter(|_| !is_coded);
    Response {
        status: response.status().as_u16(),
        etag: text(headers, header::ETAG),
        content_length: length.and_then(|text| text.parse().ok()),
        content_type: text(headers, header::CONTENT_TYPE),
        content_range: text(headers, header::CONTENT_RANGE),
        accept_ranges,
        body: Chunks(
            response
                .bytes_stream()
                .map(|piece| piece.map_err(|error| FetchError::Interrupted(describe(error))))
                .boxed(),
        ),
    }
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}
