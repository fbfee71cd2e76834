//! Calls of our own API, and its problems in the words of the command line.

use crate::exit::{Exit, Failure};
use crate::output::plain;
use egress::{
    Answer, CallError, HeaderMap, HeaderName, HeaderValue, HouseClient, Pieces, Secret, Url,
};
use futures::Stream;
use serde::Deserialize;
use serde_json::Value;
use std::io;
use std::path::PathBuf;

/// Where the key comes from. A file is read for each call: it may be rotated under a long wait.
#[derive(Debug, Clone)]
pub(crate) enum Key {
    /// From a file.
    File(PathBuf),
    /// From `SEEDFLEET_API_KEY`.
    Given(Secret),
}

impl Key {
    fn read(&self) -> Result<Secret, Failure> {
        match self {
            Self::Given(secret) => Ok(secret.clone()),
            Self::File(path) => Secret::from_file(path).map_err(|error| {
                Failure::new(Exit::Auth, "there is no key for the gateway").because(error)
            }),
        }
    }
}

/// A gateway, and the key for it.
#[derive(Debug)]
pub(crate) struct Gateway {
    client: HouseClient,
    server: Url,
    key: Key,
    /// The pool of verbs that want one.
    pub(crate) pool: Option<String>,
}

/// A problem as the gateway writes it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Problem {
    title: String,
    code: String,
    detail: Option<String>,
    request_id: Option<String>,
    resets_at: Option<String>,
    errors: Vec<Fault>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Fault {
    pointer: String,
    code: String,
    message: String,
    allowed: Option<String>,
    fix: String,
}

impl Gateway {
    /// A client for it.
    ///
    /// # Errors
    ///
    /// There is nothing to trust a TLS server by.
    pub(crate) fn new(server: Url, key: Key, pool: Option<String>) -> Result<Self, Failure> {
        let client = HouseClient::new(&server).map_err(|error| {
            Failure::new(Exit::Failed, format!("{server} cannot be called")).because(error)
        })?;
        Ok(Self { client, server, key, pool })
    }

    /// An address below it.
    pub(super) fn url(&self, path: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.server.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("v1").extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// Reads something.
    ///
    /// # Errors
    ///
    /// The gateway is away, or refuses.
    pub(crate) async fn get(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Value, Failure> {
        let url = self.url(path, query);
        let key = self.key.read()?;
        let mut answer = self.client.get(&url, &key).await;
        if answer.as_ref().is_ok_and(|answer| answer.status == 401)
            && let Some(newer) = self.newer(&key)?
        {
            answer = self.client.get(&url, &newer).await;
        }
        self.judged(answer, false, is_good)
    }

    /// The key, where its file was changed in between.
    fn newer(&self, key: &Secret) -> Result<Option<Secret>, Failure> {
        Ok(Some(self.key.read()?).filter(|read| !read.equals(key)))
    }

    /// Opens an answer that is read piece by piece; a redirect is one as well.
    ///
    /// # Errors
    ///
    /// As [`Gateway::get`].
    pub(crate) async fn open(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        headers: &[(&'static str, &str)],
    ) -> Result<Pieces, Failure> {
        let (url, headers) = (self.url(path, query), map(headers)?);
        let key = self.key.read()?;
        let mut opened = self.client.open(&url, &headers, &key).await;
        if opened.as_ref().is_ok_and(|pieces| pieces.status == 401)
            && let Some(newer) = self.newer(&key)?
        {
            opened = self.client.open(&url, &headers, &newer).await;
        }
        let pieces = opened.map_err(|error| self.silent(&error, false))?;
        if is_good(pieces.status) || pieces.location.is_some() {
            return Ok(pieces);
        }
        let answer = pieces.whole().await.map_err(|error| self.silent(&error, false))?;
        Err(self.refused(&answer))
    }

    /// Changes something; `fine` are the statuses that tell what came of it.
    ///
    /// # Errors
    ///
    /// As [`Gateway::get`]; after silence it may have been done.
    pub(crate) async fn post(
        &self,
        path: &[&str],
        body: &Value,
        headers: &[(&'static str, &str)],
        fine: impl Fn(u16) -> bool,
    ) -> Result<Value, Failure> {
        let answer = self.posted(path, body, headers).await?;
        self.judged(answer, true, fine)
    }

    /// The same with the status that was answered, 200 or 202: only it tells what is there from what was made now.
    ///
    /// # Errors
    ///
    /// As [`Gateway::post`].
    pub(crate) async fn post_new(
        &self,
        path: &[&str],
        body: &Value,
    ) -> Result<(bool, Value), Failure> {
        let answer = self.posted(path, body, &[]).await?;
        let is_new = answer.as_ref().is_ok_and(|answer| answer.status == 202);
        Ok((is_new, self.judged(answer, true, |status| matches!(status, 200 | 202))?))
    }

    async fn posted(
        &self,
        path: &[&str],
        body: &Value,
        headers: &[(&'static str, &str)],
    ) -> Result<Result<Answer, CallError>, Failure> {
        let (url, headers) = (self.url(path, &[]), map(headers)?);
        let json = body.to_string().into_bytes().into();
        Ok(self.client.post(&url, headers, json, &self.key.read()?).await)
    }

    /// Sends rows.
    ///
    /// # Errors
    ///
    /// As [`Gateway::post`].
    pub(crate) async fn post_rows(
        &self,
        (path, query): (&[&str], &[(&str, &str)]),
        media_type: &'static str,
        rows: impl Stream<Item = io::Result<Vec<u8>>> + Send + 'static,
    ) -> Result<Value, Failure> {
        let (url, key) = (self.url(path, query), self.key.read()?);
        let media_type = HeaderValue::from_static(media_type);
        let answer = self.client.post_rows(&url, media_type, rows, &key).await;
        self.judged(answer, true, is_good)
    }

    /// Takes something away.
    ///
    /// # Errors
    ///
    /// As [`Gateway::post`].
    pub(crate) async fn delete(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Value, Failure> {
        let answer = self.client.delete(&self.url(path, query), &self.key.read()?).await;
        self.judged(answer, true, is_good)
    }

    fn judged(
        &self,
        answer: Result<Answer, CallError>,
        changes: bool,
        fine: impl Fn(u16) -> bool,
    ) -> Result<Value, Failure> {
        let answer = answer.map_err(|error| self.silent(&error, changes))?;
        if !fine(answer.status) {
            return Err(self.refused(&answer));
        }
        if answer.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&answer.body).map_err(|error| {
            let what = format!("{} answered something that is no JSON", self.server);
            Failure::new(Exit::Failed, what).because(error).hint("is this the gateway's address?")
        })
    }

    /// What silence means.
    pub(super) fn silent(&self, error: &CallError, changes: bool) -> Failure {
        let failure =
            |exit| Failure::new(exit, format!("the gateway {} did not answer", self.server));
        match error {
            CallError::TooLong { .. } => failure(Exit::Failed).because(error),
            CallError::Unreachable(_) => failure(Exit::Outage).because(error).hint(
                "nothing was changed; start it or correct the address (`seedfleet context show`). With Redis at \
                 hand, --direct goes around it",
            ),
            CallError::NoAnswer(_) if changes => failure(Exit::Outage)
                .because(error)
                .hint("it may have been done all the same: look before you repeat the command"),
            CallError::NoAnswer(_) => failure(Exit::Outage).because(error).hint("repeat the command"),
        }
    }

    fn refused(&self, answer: &Answer) -> Failure {
        let read: Option<Problem> = serde_json::from_slice(&answer.body).ok();
        let Some(problem) = read.filter(|problem| !problem.code.is_empty()) else {
            let what = format!("{} answered HTTP {}", self.server, answer.status);
            let mut failure = Failure::new(exit_of(answer.status, ""), what);
            failure.again_after = answer.head.retry_after;
            return failure.hint("that is no answer of a gateway: is this its address?");
        };
        let exit = exit_of(answer.status, &problem.code);
        let mut failure = Failure::new(exit, plain(&problem.title));
        failure = failure.because(format!("HTTP {} {}", answer.status, plain(&problem.code)));
        if let Some(detail) = &problem.detail {
            failure = failure.because(plain(detail));
        }
        for Fault { pointer, code, message, allowed, fix } in &problem.errors {
            let at = if pointer.is_empty() { "/" } else { pointer };
            let allowed = allowed.as_ref().map(|text| format!(" Allowed: {text}."));
            let allowed = allowed.unwrap_or_default();
            failure = failure.because(plain(&format!("{at}: {message} [{code}].{allowed} {fix}")));
        }
        if let Some(at) = &problem.resets_at {
            failure = failure.because(format!("there is more at {}", plain(at)));
        }
        if let Some(id) = &problem.request_id {
            failure = failure.because(format!("request {}", plain(id)));
        }
        failure.again_after = answer.head.retry_after;
        match (exit, answer.head.retry_after) {
            (Exit::Outage, Some(wait)) => {
                failure.hint(format!("repeat the command in {} s", wait.as_secs().max(1)))
            }
            (Exit::Auth, _) => failure.hint(format!(
                "the key is that of {}: is it one of this gateway, live, and with the scope that is needed?",
                match &self.key {
                    Key::File(path) => format!("the file {}", path.display()),
                    Key::Given(_) => "SEEDFLEET_API_KEY".to_owned(),
                }
            )),
            (Exit::Outage, None) => failure.hint("repeat the command in a while"),
            (Exit::Conflict, _) => failure.hint("look at how it stands now, then decide again"),
            _ => failure,
        }
    }
}

const fn is_good(status: u16) -> bool {
    status >= 200 && status < 300
}

fn map(headers: &[(&'static str, &str)]) -> Result<HeaderMap, Failure> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let value = HeaderValue::from_str(value).map_err(|_| {
            Failure::usage(format!("{name} cannot hold {value:?}"))
                .hint("allowed: visible ASCII characters")
        })?;
        map.insert(HeaderName::from_static(name), value);
    }
    Ok(map)
}

/// What a script is told of a problem.
fn exit_of(status: u16, code: &str) -> Exit {
    match (status, code) {
        (_, "budget-exhausted" | "backlog-full" | "media-exhausted") => Exit::Guard,
        (_, "other-mark") => Exit::Guard,
        (_, "idempotency-key-reused") => Exit::Conflict,
        (_, "account-unusable") => Exit::Findings,
        (_, "provider-key-refused") => Exit::Auth,
        (400, "bad-filter" | "bad-query" | "bad-cursor" | "bad-header") => Exit::Usage,
        (422, "bad-operation") => Exit::Usage,
        (422, _) => Exit::Findings,
        (401 | 403, _) => Exit::Auth,
        (404, _) => Exit::NotFound,
        (409, _) => Exit::Conflict,
        (408 | 429 | 502..=504, _) => Exit::Outage,
        _ => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use egress::AnswerHead;

    #[test]
    fn exit_codes_say_what_to_do_next() {
        for (status, code, exit) in [
            (401, "unauthorized", Exit::Auth),
            (403, "forbidden", Exit::Auth),
            (403, "budget-exhausted", Exit::Guard),
            (404, "not-found", Exit::NotFound),
            (409, "not-retryable", Exit::Conflict),
            (422, "idempotency-key-reused", Exit::Conflict),
            (422, "invalid-request", Exit::Findings),
            (429, "rate-limited", Exit::Outage),
            (429, "backlog-full", Exit::Guard),
            (503, "unavailable", Exit::Outage),
            (500, "internal", Exit::Failed),
        ] {
            assert_eq!(exit_of(status, code), exit, "{status} {code}");
        }
    }

    #[test]
    fn a_refusal_for_now_says_when_to_come_again() {
        let key = Key::Given(Secret::new("a-key".to_owned()).expect("a key"));
        let server = Url::parse("http://127.0.0.1:9").expect("an address");
        let gateway = Gateway::new(server, key, None).expect("a client");
        let wait = Some(std::time::Duration::from_secs(7));
        for body in [&br#"{"title":"Slower","code":"rate-limited"}"#[..], b"<html>busy</html>"] {
            let head = AnswerHead { retry_after: wait, ..AnswerHead::default() };
            let refused = gateway.refused(&Answer { status: 429, head, body: body.into() });
            assert_eq!((refused.exit, refused.again_after), (Exit::Outage, wait), "{refused}");
        }
    }
}
