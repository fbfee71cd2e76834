//! The address under which the provider tells us about one attempt.
//!
//! The provider signs nothing, so the path is the secret: an attempt id and a token that only we can
//! make. The submitter writes it into the request, the gateway checks it. What arrives there is a
//! hint, never a fact (`docs/decisions/0002-callbacks-are-hints.md`).

use egress::Url;
use hmac::{Hmac, KeyInit, Mac};
use job::{AttemptId, JobId, PoolSettings};
use seedance::Route;
use serde::Deserialize;
use sha2::Sha256;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Bytes of the token: 128 bits cannot be guessed through an HTTP door.
const TOKEN_BYTES: usize = 16;
/// Fewer bytes of key than the token has would make the key the weaker part.
const KEY_BYTES_MIN: usize = 32;
/// First part of every callback path.
pub const CALLBACK_PREFIX: &str = "/cb/v1";

/// What submitter and gateway read of section `callbacks`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct CallbackSettings {
    /// Ask the provider to call.
    pub enabled: bool,
    /// Where the gateway's public listener is reached from outside.
    #[serde(default)]
    pub base_url: String,
    /// Which key signs new paths; empty takes the only one.
    #[serde(default)]
    pub token_key_current: String,
    /// Key files by id; two while rotating.
    pub token_keys: BTreeMap<String, PathBuf>,
}

/// Section `callbacks` cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallbackFault {
    /// Not an address the provider could reach.
    #[error("callbacks.base_url: {problem}")]
    BaseUrl {
        /// What is wrong, and what to do.
        problem: String,
    },
    /// No key, or not the one named.
    #[error("callbacks.token_key_current: {problem}")]
    Current {
        /// What is wrong, and what to do.
        problem: String,
    },
    /// A key file is missing or too short.
    #[error("callbacks.token_keys.{id}: {problem}")]
    Key {
        /// Which key.
        id: String,
        /// What is wrong, and what to do.
        problem: String,
    },
}

/// Makes and checks callback addresses.
#[derive(Clone)]
pub struct Callbacks {
    base_url: String,
    current: Hmac<Sha256>,
    /// Every live key, the current one included.
    live: Vec<Hmac<Sha256>>,
}

impl std::fmt::Debug for Callbacks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Callbacks {{ base_url: {}, keys: {} }}", self.base_url, self.live.len())
    }
}

impl Callbacks {
    /// Reads the keys; `None` when callbacks are off. `pools` are those whose tasks would call: a
    /// plain or private address is accepted only if every one of them is simulated.
    ///
    /// # Errors
    ///
    /// [`CallbackFault`] names the key of the configuration and the cure.
    pub fn open<'a>(
        settings: &CallbackSettings,
        pools: impl IntoIterator<Item = &'a PoolSettings>,
    ) -> Result<Option<Self>, CallbackFault> {
        if !settings.enabled {
            return Ok(None);
        }
        let base_url = check_base(&settings.base_url, pools.into_iter().all(|p| p.simulated))?;
        let mut keys = BTreeMap::new();
        for (id, path) in &settings.token_keys {
            keys.insert(id.as_str(), read_key(id, path)?);
        }
        let current = match (settings.token_key_current.as_str(), keys.len()) {
            ("", 1) => keys.values().next(),
            ("", 0) => {
                let problem = "no key: add one to [callbacks.token_keys]".to_owned();
                return Err(CallbackFault::Current { problem });
            }
            ("", _) => {
                let problem = "several keys: name the one that signs new paths".to_owned();
                return Err(CallbackFault::Current { problem });
            }
            (id, _) => keys.get(id),
        };
        let Some(current) = current.cloned() else {
            let known: Vec<&str> = keys.keys().copied().collect();
            let problem = format!("no such key; known are: {}", known.join(", "));
            return Err(CallbackFault::Current { problem });
        };
        Ok(Some(Self { base_url, current, live: keys.into_values().collect() }))
    }

    /// The address to give to the provider for one attempt. A secret.
    #[must_use]
    pub fn url(&self, attempt: &AttemptId, job: &JobId, route: Route) -> String {
        let mac = fed(&self.current, attempt, job, route).finalize().into_bytes();
        let token = hex::encode(&mac[..TOKEN_BYTES]);
        format!("{}{CALLBACK_PREFIX}/{attempt}/{token}", self.base_url)
    }

    /// Whether `token` was made for this attempt by any live key. Takes the same time whatever is
    /// wrong with it.
    #[must_use]
    pub fn verify(&self, attempt: &AttemptId, job: &JobId, route: Route, token: &str) -> bool {
        let given = unhex(token);
        self.live.iter().fold(false, |known, key| {
            // No short circuit: which key matched is nobody's business.
            known | fed(key, attempt, job, route).verify_truncated_left(&given).is_ok()
        }) && token.len() == 2 * TOKEN_BYTES
    }
}

fn fed(key: &Hmac<Sha256>, attempt: &AttemptId, job: &JobId, route: Route) -> Hmac<Sha256> {
    let mut mac = key.clone();
    // Ids have fixed alphabets without `|`, so the parts cannot run into each other.
    for part in [attempt.as_str(), "|", job.as_str(), "|", route.word()] {
        mac.update(part.as_bytes());
    }
    mac
}

fn unhex(token: &str) -> Vec<u8> {
    let digits: Vec<u8> = token
        .bytes()
        .take(2 * TOKEN_BYTES)
        .map(|b| (b as char).to_digit(16).map_or(0xff, |d| d as u8))
        .collect();
    // A byte that is no digit makes a value no token has.
    digits.chunks(2).map(|p| p[0].wrapping_mul(16).wrapping_add(*p.get(1).unwrap_or(&0))).collect()
}

fn read_key(id: &str, path: &std::path::Path) -> Result<Hmac<Sha256>, CallbackFault> {
    let fault = |problem: String| CallbackFault::Key { id: id.to_owned(), problem };
    let bytes = std::fs::read(path)
        .map_err(|error| fault(format!("cannot read {}: {error}", path.display())))?;
    let key = bytes.trim_ascii();
    if key.len() < KEY_BYTES_MIN {
        let found = key.len();
        return Err(fault(format!(
            "{} holds {found} bytes; put at least {KEY_BYTES_MIN} random ones into it",
            path.display()
        )));
    }
    Hmac::<Sha256>::new_from_slice(key).map_err(|error| fault(error.to_string()))
}

fn check_base(text: &str, all_simulated: bool) -> Result<String, CallbackFault> {
    let fault = |problem: &str| {
        let problem = format!("{problem}; set the https address under which the gateway is public");
        Err(CallbackFault::BaseUrl { problem })
    };
    let Ok(url) = Url::parse(text) else {
        return fault("not a URL");
    };
    if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
        return fault("it must not have a query, a fragment or a user");
    }
    match url.scheme() {
        "https" => {}
        "http" if all_simulated => {}
        "http" => return fault("plain http is allowed only while every pool is simulated"),
        _ => return fault("neither https nor http"),
    }
    if !all_simulated && is_private(&url) {
        return fault("a private address, which the provider cannot reach");
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// Whether the host is a private address, or a name that never leaves this machine or network.
fn is_private(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    match host.parse() {
        Ok(address) => egress::check_public(address).is_err(),
        Err(_) => {
            let local = [".localhost", ".local", ".internal"];
            !host.contains('.') || local.iter().any(|end| host.ends_with(end))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ATTEMPT: &str = "att_01ARZ3NDEKTSV4RRFFQ69G5FAV";
    const JOB: &str = "job_01ARZ3NDEKTSV4RRFFQ69G5FAV";

    fn ids() -> (AttemptId, JobId) {
        (AttemptId::parse(ATTEMPT).unwrap(), JobId::parse(JOB).unwrap())
    }

    fn pool(simulated: bool) -> PoolSettings {
        PoolSettings {
            route: Route::Byteplus,
            base_url: None,
            simulated,
            policy: None,
            output_origins: Vec::new(),
            buy_day_max: 0,
            buy_total_max: 0,
            accounts: BTreeMap::new(),
        }
    }

    fn settings(dir: &std::path::Path, ids: &[&str], current: &str) -> CallbackSettings {
        let mut token_keys = BTreeMap::new();
        for id in ids {
            let path = dir.join(id);
            std::fs::write(&path, id.repeat(40)).unwrap();
            token_keys.insert((*id).to_owned(), path);
        }
        let base_url = "http://127.0.0.1:9/".to_owned();
        let token_key_current = current.to_owned();
        CallbackSettings { enabled: true, base_url, token_key_current, token_keys }
    }

    fn token(url: &str) -> &str {
        url.rsplit('/').next().unwrap()
    }

    #[test]
    fn a_path_is_known_by_any_live_key_and_by_no_other() {
        let dir = sandbox::TempDir::new("callback").unwrap();
        let (attempt, job) = ids();
        let pools = [pool(true)];
        let open = |ids: &[&str], current| {
            Callbacks::open(&settings(dir.path(), ids, current), &pools).unwrap().unwrap()
        };
        let old = open(&["k1"], "");
        let url = old.url(&attempt, &job, Route::Byteplus);
        assert!(url.starts_with(&format!("http://127.0.0.1:9/cb/v1/{ATTEMPT}/")), "{url}");
        let rotating = open(&["k1", "k2"], "k2");
        assert!(rotating.verify(&attempt, &job, Route::Byteplus, token(&url)));
        let after = open(&["k2"], "");
        assert!(!after.verify(&attempt, &job, Route::Byteplus, token(&url)));
    }

    #[test]
    fn a_token_serves_one_attempt_of_one_job_on_one_route() {
        let dir = sandbox::TempDir::new("callback").unwrap();
        let callbacks =
            Callbacks::open(&settings(dir.path(), &["k1"], ""), &[pool(true)]).unwrap().unwrap();
        let (attempt, job) = ids();
        let url = callbacks.url(&attempt, &job, Route::Byteplus);
        let other = AttemptId::parse("att_01ARZ3NDEKTSV4RRFFQ69G5FAW").unwrap();
        assert!(!callbacks.verify(&other, &job, Route::Byteplus, token(&url)));
        assert!(!callbacks.verify(&attempt, &job, Route::Volcengine, token(&url)));
        let short = &token(&url)[..30];
        for bad in ["", "zz", short, &format!("{}0", token(&url))] {
            assert!(!callbacks.verify(&attempt, &job, Route::Byteplus, bad), "{bad:?}");
        }
    }

    #[test]
    fn a_real_pool_needs_a_public_https_base() {
        let dir = sandbox::TempDir::new("callback").unwrap();
        for (base, simulated, good) in [
            ("http://127.0.0.1:9", true, true),
            ("http://127.0.0.1:9", false, false),
            ("https://10.0.0.8", false, false),
            ("https://localhost", false, false),
            ("https://cb.example.com", false, true),
            ("ftp://cb.example.com", true, false),
            ("https://cb.example.com?x=1", true, false),
            ("", true, false),
        ] {
            let base_url = base.to_owned();
            let settings = CallbackSettings { base_url, ..settings(dir.path(), &["k1"], "") };
            let opened = Callbacks::open(&settings, &[pool(simulated)]);
            assert_eq!(opened.is_ok(), good, "{base} simulated={simulated}: {opened:?}");
        }
    }
}
