//! Answers as they came: for the probe, which asks what the contract leaves open.
//!
//! Everything else reads answers sorted. The same rules hold: a permit for each call, one call each, and
//! the key goes nowhere but to the account's own route.

use std::time::{Duration, Instant};

use egress::{Answer, Gate};
use job::AttemptId;
use limiter::Permit;
use seedance::{ApiError, Call};

use crate::{
    Client, CreateAnswer, CreateCall, Site,
    sort::{Trouble, clean},
};

/// Longest part of a body without an error object that is kept, in characters.
const TEXT_MAX: usize = 200;

/// How long the few bytes of a create that is to be refused may take to leave.
const SEND_WITHIN: Duration = Duration::from_secs(10);

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RawQuestion<'a> {
    /// One task, by an id that may be unknown.
    Task(&'a str),
    /// The list, with these query pairs.
    List(&'a [(&'a str, &'a str)]),
    /// Delete a task. Only for ids nobody has and for tasks without a result.
    Delete(&'a str),
}

impl RawQuestion<'_> {
    /// The call whose permit it takes.
    #[must_use]
    pub const fn call(&self) -> Call {
        match self {
            Self::Task(_) => Call::Retrieve,
            Self::List(_) => Call::List,
            Self::Delete(_) => Call::Delete,
        }
    }
}

/// An answer with any HTTP status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raw {
    /// HTTP status.
    pub status: u16,
    /// The error code, if the body is an error object.
    pub code: Option<String>,
    /// The error's words, or the beginning of a body that is no error object and no success.
    pub message: String,
    /// Headers about rates and waiting, as `name: value`.
    pub rate_headers: Vec<String>,
    /// The body of a success.
    pub body: bytes::Bytes,
}

impl Client {
    /// Asks once and hands the answer out unsorted.
    ///
    /// # Errors
    ///
    /// [`Trouble`] where no whole answer came.
    pub async fn ask_raw(
        &self,
        permit: Permit,
        site: &Site,
        question: RawQuestion<'_>,
    ) -> Result<Raw, Trouble> {
        let call = question.call();
        let mut cleared = self.clear(permit, call, site)?;
        match question {
            RawQuestion::Task(id) | RawQuestion::Delete(id) => {
                if let Ok(mut path) = cleared.url.path_segments_mut() {
                    path.pop_if_empty().push(id);
                }
            }
            RawQuestion::List(pairs) => {
                cleared.url.query_pairs_mut().extend_pairs(pairs);
            }
        }
        let answer = self.ask(call, site, &cleared).await?;
        let Answer { status, head, body } = answer;
        let error = ApiError::parse(&body);
        let said = match &error {
            Some(error) => clean(&error.message, &cleared.key),
            None if (200..300).contains(&status) => String::new(),
            None => {
                let text: String = String::from_utf8_lossy(&body).chars().take(TEXT_MAX).collect();
                clean(&text, &cleared.key)
            }
        };
        Ok(Raw {
            status,
            code: error.map(|error| clean(&error.code, &cleared.key)),
            message: said,
            rate_headers: head.rate,
            body,
        })
    }
}

impl Client {
    /// Sends a create that the provider must refuse, once, to learn what it says. The body has to be wrong
    /// in a way that costs nothing; should it be taken all the same, the answer names the task.
    pub async fn create_refused(
        &self,
        permit: Permit,
        site: &Site,
        trace: &AttemptId,
        body: Vec<u8>,
    ) -> CreateAnswer {
        let gate = Gate::until(Instant::now() + SEND_WITHIN);
        self.create(permit, CreateCall { site, attempt: trace, body: body.into(), gate }).await
    }
}
