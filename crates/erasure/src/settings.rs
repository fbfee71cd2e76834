//! Section `retention`, and what tenants have in its place.

use serde::Deserialize;
use settings::{Loaded, SettingsError};
use std::collections::BTreeMap;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);

/// Section `retention`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetentionSettings {
    /// Days for which content and outputs of an ended job are kept; 0: for ever.
    pub days: u32,
    /// Between two looks for what has been kept for long enough.
    #[serde(with = "humantime_serde")]
    pub sweep_every: Duration,
    /// After its last change the record of an ended job leaves Redis for the bucket.
    #[serde(with = "humantime_serde")]
    pub redis_after: Duration,
    /// So long after that its tombstone stays: an equal request still finds the job.
    #[serde(with = "humantime_serde")]
    pub tombstones: Duration,
}

impl Default for RetentionSettings {
    fn default() -> Self {
        Self {
            days: 0,
            sweep_every: Duration::from_secs(600),
            redis_after: DAY * 10,
            tombstones: DAY * 30,
        }
    }
}

/// How long what is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// Section `retention`.
    pub retention: RetentionSettings,
    /// `tenants.<tenant>.retention_days`.
    own: BTreeMap<String, u32>,
}

impl Settings {
    /// Picks its keys out of a loaded configuration.
    ///
    /// # Errors
    ///
    /// A value that does not fit, with its full key.
    pub fn from_loaded(loaded: &Loaded) -> Result<Self, SettingsError> {
        // The rest of the section belongs to other rooms.
        #[derive(Deserialize)]
        struct Tenant {
            retention_days: Option<u32>,
        }
        let tenants: BTreeMap<String, Tenant> = loaded.section("tenants")?;
        let own = tenants.into_iter().filter_map(|(name, own)| Some((name, own.retention_days?)));
        Ok(Self { retention: loaded.section("retention")?, own: own.collect() })
    }

    /// How long a tenant's content is kept; `None`: for ever.
    #[must_use]
    pub fn kept_for(&self, tenant: &str) -> Option<Duration> {
        let days = self.own.get(tenant).copied().unwrap_or(self.retention.days);
        (days > 0).then(|| DAY * days)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use settings::Sources;

    #[test]
    fn a_tenant_may_keep_longer_shorter_or_for_ever() {
        let loaded = Sources::default()
            .set("retention.days", "30")
            .set("tenants.acme.retention_days", "7")
            .set("tenants.museum.retention_days", "0")
            .set("tenants.other.review", "always")
            .load()
            .expect("loads");
        let settings = Settings::from_loaded(&loaded).expect("it fits");
        assert_eq!(settings.kept_for("acme"), Some(DAY * 7));
        assert_eq!(settings.kept_for("museum"), None);
        assert_eq!(settings.kept_for("other"), Some(DAY * 30));
        let shipped = Settings::from_loaded(&Sources::default().load().expect("loads"));
        assert_eq!(shipped.expect("it fits"), Settings::default());
    }
}
