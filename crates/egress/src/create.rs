//! The client for the one call that costs money.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, header};
use url::Url;

use crate::{
    Answer, AnswerHead, BuildError, CallLimits, Gate, Moment, Secret, Trust,
    answer::{Unread, read_bounded},
    gate::{GatedBody, LastByte, Lock},
    wire::{self, describe},
};

/// Longest a create call may be configured to take: the quiet horizon and the shutdown grace of
/// the submitter are built on it.
const TOTAL_MAX: Duration = Duration::from_secs(60);

/// Sends one POST, once, over a connection made for it, and says what can be proven afterwards.
#[derive(Debug, Clone)]
pub struct CreateClient {
    http: reqwest::Client,
    answer_bytes_max: usize,
}

/// What became of one POST, sorted by what the far side can have had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PostOutcome {
    /// A whole answer came. It is not judged here.
    Answered {
        /// Status, headers and body.
        answer: Answer,
        /// `false` if the answer overtook the last byte of the request, which then never left: a
        /// server that refuses a body by its length does that.
        request_complete: bool,
    },
    /// Proof that the far side never had the whole request: its last byte never left this process.
    NothingSent {
        /// What kept it.
        hold: Hold,
        /// For people; holds no key and no query.
        reason: String,
    },
    /// The last byte left and no whole answer came back: perhaps bought.
    Unclear {
        /// What cut the answer short.
        how: Silence,
        /// For people; holds no key and no query.
        reason: String,
        /// Status and headers, if at least the head of an answer came.
        head: Option<(u16, AnswerHead)>,
    },
}

/// How an answer that was due did not come, or not whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silence {
    /// The total time ran out.
    Timeout,
    /// The connection ended, in order or not.
    Cut,
    /// It is longer than is read.
    TooLong,
}

/// What kept the last byte of a request here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// No connection that asked for the body: name, TCP, TLS, proxy.
    Connect,
    /// The deadline of the [`Gate`] passed first.
    GateClosed,
    /// The slot of a paced call was over before the connection was ready, or this process has sent
    /// more than its slots allow.
    OutOfTurn,
    /// The connection ended, or the time ran out, before the last byte's turn came.
    Cut,
    /// The request could not even be formed. Trying again changes nothing.
    Request,
}

impl CreateClient {
    /// Builds the client.
    ///
    /// # Errors
    ///
    /// [`BuildError`], one sentence for the operator.
    pub fn new(limits: &CallLimits, trust: Trust) -> Result<Self, BuildError> {
        let CallLimits { connect_timeout, total_timeout, .. } = limits;
        if *total_timeout > TOTAL_MAX || connect_timeout > total_timeout {
            return Err(BuildError::Setting {
                key: "provider.create_timeout",
                problem: format!(
                    "{total_timeout:?} is not allowed: at least `provider.connect_timeout` \
                     ({connect_timeout:?}), at most {TOTAL_MAX:?}"
                ),
            });
        }
        // A connection of its own for every call: one taken from a pool may already be closed at
        // the far end, and that makes doubt out of nothing.
        let builder = wire::toward_provider(trust, limits)?.pool_max_idle_per_host(0);
        Ok(Self { http: wire::build(builder)?, answer_bytes_max: limits.answer_bytes_max })
    }

    /// Sends `body` to `url` as JSON, at most once, releasing its last byte through `gate`.
    ///
    /// Never wrap this in a retry. Dropping the future before it is done shuts the gate, but what
    /// had left by then has left: treat an abandoned call as [`PostOutcome::Unclear`].
    ///
    /// The outcome rests on where the last byte is, never on the kind of the transport error, which
    /// cannot tell a request that arrived from one that did not (pinned row by row in
    /// `tests/it/create.rs`).
    pub async fn post(
        &self,
        url: &Url,
        headers: HeaderMap,
        bearer: &Secret,
        body: Bytes,
        mut gate: Gate,
    ) -> PostOutcome {
        if gate.deadline <= Instant::now() {
            let reason = "the send deadline had passed before the call began".to_owned();
            return PostOutcome::NothingSent { hold: Hold::GateClosed, reason };
        }
        if gate.moment.as_ref().is_some_and(Moment::is_over) {
            let reason = "the slot of this call was over before it began".to_owned();
            return PostOutcome::NothingSent { hold: Hold::OutOfTurn, reason };
        }
        let after_release = gate.after_release.take();
        let Some((lock, body)) = GatedBody::new(body, gate) else {
            let reason = "the body is empty".to_owned();
            return PostOutcome::NothingSent { hold: Hold::Request, reason };
        };
        let request = self
            .http
            .post(url.clone())
            .headers(headers)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, bearer.bearer())
            .body(reqwest::Body::wrap(body));
        let aside = async {
            if let Some(hook) = after_release {
                lock.released().await;
                hook.await;
            }
            std::future::pending().await
        };
        let sent = tokio::select! {
            biased;
            never = aside => never,
            sent = request.send() => sent,
        };
        match sent {
            Ok(response) => self.hear(response, &lock).await,
            Err(error) => no_answer(error, &lock),
        }
    }

    async fn hear(&self, mut response: reqwest::Response, lock: &Lock) -> PostOutcome {
        let status = response.status().as_u16();
        let head = AnswerHead::of(response.headers());
        let read = read_bounded(&mut response, self.answer_bytes_max).await;
        let last_byte = lock.shut();
        let (how, reason) = match read {
            Ok(body) => {
                return PostOutcome::Answered {
                    answer: Answer { status, head, body },
                    request_complete: last_byte == LastByte::Released,
                };
            }
            Err(Unread::TooLong) => {
                let most = self.answer_bytes_max;
                let reason = format!("the answer (HTTP {status}) is longer than {most} bytes");
                (Silence::TooLong, reason)
            }
            Err(Unread::Broken(error)) => {
                let how = silence(&error);
                (how, format!("the answer (HTTP {status}) ended early: {}", describe(error)))
            }
        };
        match last_byte {
            LastByte::Released => PostOutcome::Unclear { how, reason, head: Some((status, head)) },
            LastByte::Kept => PostOutcome::NothingSent { hold: Hold::Cut, reason },
            LastByte::Late => PostOutcome::NothingSent { hold: Hold::GateClosed, reason },
            LastByte::OutOfTurn => PostOutcome::NothingSent { hold: Hold::OutOfTurn, reason },
        }
    }
}

/// Sorts a call without any answer. The error words the reason and decides nothing.
fn no_answer(error: reqwest::Error, lock: &Lock) -> PostOutcome {
    let hold = match (error.is_builder(), lock.asked()) {
        (true, _) => Hold::Request,
        (false, false) => Hold::Connect,
        (false, true) => Hold::Cut,
    };
    let how = silence(&error);
    let reason = describe(error);
    match lock.shut() {
        LastByte::Released => PostOutcome::Unclear { how, reason, head: None },
        LastByte::Kept => PostOutcome::NothingSent { hold, reason },
        LastByte::Late => PostOutcome::NothingSent { hold: Hold::GateClosed, reason },
        LastByte::OutOfTurn => PostOutcome::NothingSent { hold: Hold::OutOfTurn, reason },
    }
}

fn silence(error: &reqwest::Error) -> Silence {
    if error.is_timeout() { Silence::Timeout } else { Silence::Cut }
}
