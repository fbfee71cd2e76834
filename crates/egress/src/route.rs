//! The pooled client for reading from the provider and deleting there.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, header};
use url::Url;

use crate::{
    Answer, AnswerHead, BuildError, CallLimits, Secret, Trust,
    answer::{Unread, read_bounded},
    wire::{self, describe},
};

/// Idle connections kept per host. Reads run at no more than 20 a second and account.
const IDLE_CONNECTIONS_MAX: usize = 16;

/// How long an unused connection waits for the next read; servers close theirs after about a minute.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Reads over pooled connections. One call is one request: trying again is the caller's decision.
#[derive(Debug, Clone)]
pub struct RouteClient {
    pooled: reqwest::Client,
    /// For deletes: they change something, so they do not run into stale connections.
    fresh: reqwest::Client,
    answer_bytes_max: usize,
}

/// A call without a whole answer. The texts hold no key and no query.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The far side cannot be reached at all; other calls to it will fare alike.
    #[error("not reachable: {0}")]
    Unreachable(String),
    /// It was reached and did not answer in full. A delete may have happened.
    #[error("no answer: {0}")]
    NoAnswer(String),
    /// The answer is longer than we read. Asking again brings the same.
    #[error("the answer (HTTP {status}) is longer than {bytes_max} bytes")]
    TooLong {
        /// HTTP status of the long answer.
        status: u16,
        /// The bound, [`CallLimits::answer_bytes_max`].
        bytes_max: usize,
    },
}

impl RouteClient {
    /// Builds the client.
    ///
    /// # Errors
    ///
    /// [`BuildError`], one sentence for the operator.
    pub fn new(limits: &CallLimits, trust: Trust) -> Result<Self, BuildError> {
        let client = |idle_connections_max| {
            let builder = wire::toward_provider(trust, limits)?
                .pool_max_idle_per_host(idle_connections_max)
                .pool_idle_timeout(POOL_IDLE_TIMEOUT);
            wire::build(builder)
        };
        Ok(Self {
            pooled: client(IDLE_CONNECTIONS_MAX)?,
            fresh: client(0)?,
            answer_bytes_max: limits.answer_bytes_max,
        })
    }

    /// Asks once.
    ///
    /// # Errors
    ///
    /// [`CallError`]. Any HTTP status is an answer, not an error.
    pub async fn get(
        &self,
        url: &Url,
        headers: HeaderMap,
        bearer: &Secret,
    ) -> Result<Answer, CallError> {
        self.call(self.pooled.get(url.clone()).headers(headers), bearer).await
    }

    /// Deletes once, over a connection of its own, with the JSON body the provider's own clients
    /// send (`docs/provider.md`, headers).
    ///
    /// # Errors
    ///
    /// [`CallError`]; after [`CallError::NoAnswer`] only a read can tell what happened.
    pub async fn delete(
        &self,
        url: &Url,
        headers: HeaderMap,
        bearer: &Secret,
    ) -> Result<Answer, CallError> {
        let request = self
            .fresh
            .delete(url.clone())
            .headers(headers)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Bytes::from_static(b"{}"));
        self.call(request, bearer).await
    }

    async fn call(
        &self,
        request: reqwest::RequestBuilder,
        bearer: &Secret,
    ) -> Result<Answer, CallError> {
        let sent = request.header(header::AUTHORIZATION, bearer.bearer()).send().await;
        let mut response = sent.map_err(|error| {
            if error.is_connect() || error.is_builder() {
                CallError::Unreachable(describe(error))
            } else {
                CallError::NoAnswer(describe(error))
            }
        })?;
        let status = response.status().as_u16();
        let head = AnswerHead::of(response.headers());
        match read_bounded(&mut response, self.answer_bytes_max).await {
            Ok(body) => Ok(Answer { status, head, body }),
            Err(Unread::TooLong) => {
                Err(CallError::TooLong { status, bytes_max: self.answer_bytes_max })
            }
            Err(Unread::Broken(error)) => Err(CallError::NoAnswer(describe(error))),
        }
    }
}
