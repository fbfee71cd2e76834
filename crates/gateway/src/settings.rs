//! Sections `gateway` and `callbacks`, as far as this room reads them.

use crate::keys::{KeyEntry, Keys};
pub(crate) use access::Scope;
use access::{Mode, Sha256Hex, Source};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// Section `gateway`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GatewaySettings {
    /// Public listener.
    pub(crate) listen: String,
    /// Prefix of links in answers; empty leaves them relative.
    pub(crate) public_url: String,
    /// Longest body of the job routes.
    pub(crate) body_bytes_max: usize,
    /// Bytes of bodies in memory at once, of all requests.
    pub(crate) bodies_bytes_max: usize,
    /// Longest silence in the middle of a request: between its first byte and the end of its head, and between
    /// two pieces of its body.
    #[serde(with = "humantime_serde")]
    pub(crate) body_idle_max: Duration,
    /// Longest wait for a job's end, on `Prefer: wait=N`.
    #[serde(with = "humantime_serde")]
    pub(crate) wait_max: Duration,
    /// Longest row of a batch.
    pub(crate) row_bytes_max: usize,
    /// Connections served at once.
    pub(crate) connections_max: usize,
    /// Whether the dashboard is served.
    pub(crate) dashboard: bool,
    /// How long a login lasts.
    #[serde(with = "humantime_serde")]
    pub(crate) session: Duration,
    /// Wrong keys one source address may send in a minute before it is not heard.
    pub(crate) auth_failures_rpm: u32,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub(crate) trusted_proxies: Vec<Source>,
    /// Callers by name.
    pub(crate) keys: BTreeMap<String, KeySettings>,
}

impl Default for GatewaySettings {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".to_owned(),
            public_url: String::new(),
            body_bytes_max: 64 << 20,
            bodies_bytes_max: 512 << 20,
            body_idle_max: Duration::from_secs(10),
            wait_max: Duration::from_secs(25),
            row_bytes_max: 64 << 20,
            connections_max: 4_096,
            dashboard: true,
            session: Duration::from_secs(12 * 3_600),
            auth_failures_rpm: 30,
            trusted_proxies: Vec::new(),
            keys: BTreeMap::new(),
        }
    }
}

/// Section `gateway.keys.<name>`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeySettings {
    /// For whom the key speaks.
    pub(crate) tenant: String,
    /// Which pools it reaches; unset: its tenant's `pool`, or the only one there is.
    #[serde(default)]
    pub(crate) mode: Option<Mode>,
    /// SHA-256 of the key in hex, or
    #[serde(default)]
    pub(crate) key_sha256: Option<String>,
    /// a file that holds the key.
    #[serde(default)]
    pub(crate) key_file: Option<PathBuf>,
    /// What it may do.
    #[serde(default)]
    pub(crate) scopes: Vec<Scope>,
}

/// The flood limits of section `callbacks`; its keys and address belong to `provider`.
#[derive(Debug, Clone, Deserialize)]
pub struct CallbackLimits {
    pub(crate) body_bytes_max: usize,
    #[serde(with = "humantime_serde")]
    pub(crate) read_timeout: Duration,
    #[serde(with = "humantime_serde")]
    pub(crate) coalesce: Duration,
    pub(crate) attempt_rpm: u32,
    pub(crate) source_qps: u32,
    pub(crate) total_qps: u32,
}

/// Reads the configured keys, hashing those that lie in files.
pub(crate) fn read_keys(settings: &GatewaySettings) -> anyhow::Result<Keys> {
    let mut entries = Vec::new();
    for (name, key) in &settings.keys {
        let at = format!("gateway.keys.{name}");
        let sha256 = match (&key.key_sha256, &key.key_file) {
            (Some(hex), None) => Sha256Hex::parse(hex).ok_or_else(|| {
                anyhow::anyhow!("{at}.key_sha256: 64 hex digits are needed, as `sha256sum` prints")
            })?,
            (None, Some(path)) => {
                let key = std::fs::read_to_string(path).map_err(|error| {
                    anyhow::anyhow!("{at}.key_file: cannot read {}: {error}", path.display())
                })?;
                anyhow::ensure!(key.trim().len() >= 16, "{at}.key_file: 16 characters at least");
                access::digest(key.trim())
            }
            (Some(_), Some(_)) | (None, None) => {
                anyhow::bail!("{at}: set exactly one of `key_sha256` and `key_file`")
            }
        };
        entries.push(KeyEntry {
            name: name.clone(),
            tenant: key.tenant.clone(),
            mode: key.mode,
            sha256,
            scopes: key.scopes.clone(),
        });
    }
    Ok(Keys::new(entries))
}
