//! The numbers the machine decides with, read from the sections of the configuration.

use job::{DownloadPolicy, Policy, PollPolicy, PoolSettings, SettlePolicy, SubmitPolicy};
use serde::Deserialize;
use settings::{Loaded, SettingsError};
use std::time::Duration;

/// The numbers of the quiet horizon that belong to the connection and are configured there: how long
/// written bytes may still be on their way.
#[derive(Deserialize)]
struct Provider {
    #[serde(with = "humantime_serde")]
    create_timeout: Duration,
    #[serde(with = "humantime_serde")]
    tcp_user_timeout: Duration,
}

/// What a pool's jobs are decided with.
///
/// # Errors
///
/// A section that does not fit; names the key.
pub fn policy(loaded: &Loaded, pool: &PoolSettings) -> Result<Policy, SettingsError> {
    let submit: SubmitPolicy = loaded.section("submit")?;
    let settle: SettlePolicy = loaded.section("settle")?;
    let poll: PollPolicy = loaded.section("poll")?;
    let download: DownloadPolicy = loaded.section("download")?;
    let provider: Provider = loaded.section("provider")?;
    // The gate closes when the connection takes the last byte; on a slow line that byte may wait
    // behind a large body until the call's own time-out, and then in the kernel.
    let behind_the_gate = provider.create_timeout.saturating_sub(submit.send_deadline);
    let delivery_max = behind_the_gate + provider.tcp_user_timeout;
    let doubt = pool.doubt_policy();
    Ok(Policy { submit, settle, poll, download, delivery_max, doubt })
}

#[cfg(test)]
mod tests {
    use super::*;
    use job::DoubtPolicy;
    use settings::Sources;

    #[test]
    fn the_shipped_configuration_makes_a_policy() {
        let pool: PoolSettings = serde_json::from_value(serde_json::json!({
            "route": "byteplus", "simulated": true, "accounts": {"a": {"api_key_file": "k"}}
        }))
        .expect("a pool");
        let loaded = Sources::default()
            .set("provider.tcp_user_timeout", "7s")
            .set("poll.steady", "16s")
            .load()
            .expect("loads");
        let policy = policy(&loaded, &pool).expect("a policy");
        assert_eq!(policy.delivery_max, Duration::from_secs(30 - 20 + 7));
        assert_eq!(policy.poll.steady, Duration::from_secs(16));
        assert_eq!(policy.doubt, DoubtPolicy::Balanced);
    }
}
