//! Posting to an address that a customer named: once, within a time, following nothing.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use tokio::time::{Instant, timeout_at};

use crate::guarded::{failed, select};
use crate::{FetchError, GuardedClient};

/// An answer shorter than this is read, so that its connection can be used again; a longer one is cut off.
const ANSWER_BYTES_MAX: u64 = 16 << 10;
/// And only for so long.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);

impl GuardedClient {
    /// Posts `body` and waits for the head of the answer. A redirect is an answer like any other: whoever
    /// moved must say so to a person. The answer's body is nobody's business and is dropped.
    ///
    /// # Errors
    ///
    /// [`FetchError::Refused`]: the address may not be called. [`FetchError::Unreachable`]: no answer within
    /// `within`, and the other side may have the body all the same.
    pub async fn post(
        &self,
        url: &str,
        headers: HeaderMap,
        body: Bytes,
        within: Duration,
    ) -> Result<u16, FetchError> {
        let until = Instant::now() + within;
        let (url, admitted) = self.rules().admit(url)?;
        let request = select(self, admitted).post(url.clone()).headers(headers).body(body);
        let response = match timeout_at(until, request.send()).await {
            Ok(sent) => sent.map_err(|error| failed(&url, error))?,
            Err(_) => {
                return Err(FetchError::Unreachable {
                    host: url.host_str().unwrap_or_default().to_owned(),
                    reason: format!("no answer within {} s", within.as_secs_f32()),
                });
            }
        };
        let status = response.status().as_u16();
        if response.content_length().is_some_and(|length| length <= ANSWER_BYTES_MAX) {
            // Its end only decides whether the connection lives on.
            let _ = timeout_at(until.min(Instant::now() + ANSWER_WITHIN), response.bytes()).await;
        }
        Ok(status)
    }
}
