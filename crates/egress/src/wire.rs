//! How every client is built, and how a transport error is put into words.

use std::{error::Error as StdError, time::Duration};

use url::Url;

use crate::CallLimits;

/// What our side of the conversation calls itself.
const USER_AGENT: &str = concat!("seedfleet/", env!("CARGO_PKG_VERSION"));

/// Whose certificates a client believes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// The system's. Building fails when there are none.
    System,
    /// Nobody's: every `https` call fails. For pools that talk plain HTTP to a simulator, so that
    /// they run on a machine without certificates.
    Nobody,
}

impl Trust {
    /// [`Trust::Nobody`] for a plain `http` address, [`Trust::System`] for any other.
    #[must_use]
    pub fn for_url(url: &Url) -> Self {
        if url.scheme() == "http" { Self::Nobody } else { Self::System }
    }
}

/// Why a client could not be built. Said at start, before any work is taken.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The machine has no certificate authorities to believe.
    #[error(
        "no CA certificates on this machine, so no https server can be trusted: install the \
         package `ca-certificates`, or point SSL_CERT_FILE at a PEM bundle"
    )]
    NoCaCertificates,
    /// A setting has a value that cannot be used.
    #[error("{key}: {problem}")]
    Setting {
        /// The configuration key.
        key: &'static str,
        /// What is wrong and what is allowed.
        problem: String,
    },
    /// Anything else the HTTP library refuses.
    #[error("the HTTP client cannot be built: {0}")]
    Other(String),
}

/// What all clients share: no environment proxies, no redirects, no repeats, HTTP/1 only.
///
/// HTTP/2 is off because its library repeats refused streams by default, and because none of our
/// rates would gain by it (`docs/provider.md` limits; reads are at most 20 a second).
pub(crate) fn builder(trust: Trust) -> reqwest::ClientBuilder {
    let builder = reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .http1_only()
        .retry(reqwest::retry::never())
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .no_proxy();
    match trust {
        Trust::System => builder,
        Trust::Nobody => builder.tls_certs_only([]),
    }
}

/// Adds what calls to the provider share: their bounds, the proxy and the kernel's patience.
pub(crate) fn toward_provider(
    trust: Trust,
    limits: &CallLimits,
) -> Result<reqwest::ClientBuilder, BuildError> {
    let builder =
        builder(trust).connect_timeout(limits.connect_timeout).timeout(limits.total_timeout);
    let builder = with_user_timeout(builder, limits.tcp_user_timeout);
    let Some(proxy) = &limits.proxy else {
        return Ok(builder);
    };
    let bad = |problem: &str| BuildError::Setting {
        key: "provider.proxy",
        problem: format!("{problem}; expected a form such as http://proxy.internal:3128"),
    };
    let url = Url::parse(proxy).map_err(|_| bad("not a URL"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(bad("only http and https proxies are supported"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad("user and password are not allowed in configuration"));
    }
    let proxy = reqwest::Proxy::all(url).map_err(|error| bad(&describe(error)))?;
    Ok(builder.proxy(proxy))
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn with_user_timeout(builder: reqwest::ClientBuilder, timeout: Duration) -> reqwest::ClientBuilder {
    builder.tcp_user_timeout(timeout)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn with_user_timeout(
    builder: reqwest::ClientBuilder,
    _timeout: Duration,
) -> reqwest::ClientBuilder {
    builder
}

/// Builds the client and tells the one failure an operator can mend from all others.
pub(crate) fn build(builder: reqwest::ClientBuilder) -> Result<reqwest::Client, BuildError> {
    builder.build().map_err(|error| {
        let text = describe(error);
        // The verifier offers no typed error for this; `tests/it/trust.rs` pins the wording.
        if text.contains("No CA certificates") {
            BuildError::NoCaCertificates
        } else {
            BuildError::Other(text)
        }
    })
}

/// The whole chain of causes in one line, without the URL: its query may be a signature.
pub(crate) fn describe(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        // Some layers repeat their cause in their own text.
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = inner.source();
    }
    crate::redact_text(&text)
}

/// The first error of type `T` in the chain of causes.
pub(crate) fn find_cause<'a, T: StdError + 'static>(
    error: &'a (dyn StdError + 'static),
) -> Option<&'a T> {
    let mut cause = Some(error);
    while let Some(inner) = cause {
        if let Some(found) = inner.downcast_ref::<T>() {
            return Some(found);
        }
        cause = inner.source();
    }
    None
}
