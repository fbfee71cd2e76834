//! What a simulator can be started with.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::doubts::Doubts;
use crate::faults::Plan;
use crate::limits::Limits;

/// Which of the provider's two routes is played. They differ in the model ids they know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Route {
    /// `dreamina-seedance-…` model ids.
    Byteplus,
    /// `doubao-seedance-…` model ids.
    Volcengine,
}

/// One API key the simulator accepts.
///
/// Limits are shared by all keys of an `account`; lists show one `project` of one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The bearer secret.
    pub secret: String,
    /// The primary account that limits are counted for.
    pub account: String,
    /// The project whose tasks the key sees.
    pub project: String,
}

impl Key {
    /// Reads `SECRET`, `SECRET=ACCOUNT` or `SECRET=ACCOUNT/PROJECT`.
    #[must_use]
    pub fn parse(words: &str) -> Self {
        let (secret, place) = words.split_once('=').unwrap_or((words, "main"));
        let (account, project) = place.split_once('/').unwrap_or((place, "default"));
        Self { secret: secret.into(), account: account.into(), project: project.into() }
    }
}

/// Everything that can be chosen at start. [`Options::default`] listens on free local ports, plays
/// BytePlus at real speed with the enterprise limits and accepts the key `sim-key`.
#[derive(Clone, Debug)]
pub struct Options {
    /// The route played.
    pub route: Route,
    /// Where the API listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where finished files are served.
    pub media_listen: SocketAddr,
    /// Where `/_sim/` listens.
    pub control_listen: SocketAddr,
    /// Scheme and authority written into result links, without a slash at the end; the media
    /// listener's own address if none.
    pub media_base_url: Option<String>,
    /// The append-only ledger; kept in memory if none.
    pub ledger: Option<PathBuf>,
    /// Keys accepted.
    pub keys: Vec<Key>,
    /// Endpoint ids (`ep-…`) and the model key each stands for (`2.0`, `2.0-fast`, `2.0-mini`).
    pub endpoints: Vec<(String, String)>,
    /// Simulated seconds of queueing and generating per real second; above 0.
    pub clock_scale: f64,
    /// Seed of every draw.
    pub seed: u64,
    /// Limits of each account.
    pub limits: Limits,
    /// Shortest and longest time a task stays queued even with a free slot, simulated ms.
    pub queue_ms: (u64, u64),
    /// Shortest and longest time a task runs, simulated ms.
    pub run_ms: (u64, u64),
    /// Real ms between deliveries of a callback nobody acknowledged; the contract leaves it open.
    pub callback_retry_ms: u64,
    /// Real ms a receiver has to acknowledge a callback.
    pub callback_timeout_ms: u64,
    /// Videos are padded to at least this many bytes.
    pub clip_bytes_min: usize,
    /// The answers to what the contract leaves open.
    pub doubts: Doubts,
    /// Faults switched on from the start.
    pub faults: Plan,
}

impl Default for Options {
    fn default() -> Self {
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            route: Route::Byteplus,
            listen: free,
            media_listen: free,
            control_listen: free,
            media_base_url: None,
            ledger: None,
            keys: vec![Key::parse("sim-key")],
            endpoints: Vec::new(),
            clock_scale: 1.0,
            seed: 1,
            limits: Limits::enterprise(),
            queue_ms: (2_000, 6_000),
            run_ms: (30_000, 300_000),
            callback_retry_ms: 1_000,
            callback_timeout_ms: 5_000,
            clip_bytes_min: 0,
            doubts: Doubts::default(),
            faults: Plan::default(),
        }
    }
}
