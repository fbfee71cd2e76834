//! What is configurable about the way out.

use std::time::Duration;

use serde::Deserialize;

/// The `egress` section: which addresses named by others may be fetched.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Hosts an output link may name, as suffixes that begin with a dot.
    pub output_host_suffixes: Vec<String>,
    /// Redirects followed for one fetch, each through the same checks as the first address.
    pub redirects_max: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            output_host_suffixes: vec![".volces.com".to_owned(), ".bytepluses.com".to_owned()],
            redirects_max: 3,
        }
    }
}

/// Bounds of one call to the provider. The room that makes the calls fills them from its section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallLimits {
    /// Name lookup, TCP and TLS together.
    pub connect_timeout: Duration,
    /// From the start of the call to the last byte of the answer.
    pub total_timeout: Duration,
    /// How long the kernel keeps trying to deliver written bytes to a silent peer (Linux). Part of
    /// the quiet horizon of a doubtful create, so raising it lengthens that too.
    pub tcp_user_timeout: Duration,
    /// `http://` or `https://` address of a proxy without user info; `None` goes direct. Proxy
    /// variables of the environment are never read.
    pub proxy: Option<String>,
    /// Longest answer that is read, in bytes.
    pub answer_bytes_max: usize,
}

impl CallLimits {
    /// For create calls: an answer is one id or one error.
    #[must_use]
    pub fn for_creates() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            total_timeout: Duration::from_secs(30),
            tcp_user_timeout: Duration::from_secs(10),
            proxy: None,
            answer_bytes_max: 1 << 20,
        }
    }

    /// For reads and deletes: a list page holds up to 500 tasks with signed links.
    #[must_use]
    pub fn for_reads() -> Self {
        Self {
            total_timeout: Duration::from_secs(10),
            answer_bytes_max: 16 << 20,
            ..Self::for_creates()
        }
    }
}

/// Bounds of one fetch of an address that somebody else named. There is no total: a large file may
/// take as long as bytes keep coming.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchTimeouts {
    /// Name lookup, TCP and TLS together.
    pub connect: Duration,
    /// Longest silence, before the head and between pieces (`download.idle_timeout`).
    pub idle: Duration,
}

impl Default for FetchTimeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), idle: Duration::from_secs(30) }
    }
}
