//! Section `reconcile`.

use serde::Deserialize;
use std::time::Duration;

/// How often, and how far back.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Pause between two comparisons of a pool, whichever process makes them.
    #[serde(with = "humantime_serde")]
    pub sweep_every: Duration,
    /// How far back one reads the list.
    #[serde(with = "humantime_serde")]
    pub sweep_back: Duration,
    /// Pause between two looks for a freeze.
    #[serde(with = "humantime_serde")]
    pub watch_every: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sweep_every: Duration::from_secs(3_600),
            sweep_back: Duration::from_secs(24 * 3_600),
            watch_every: Duration::from_secs(1),
        }
    }
}
