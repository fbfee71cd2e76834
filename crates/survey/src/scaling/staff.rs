//! The processes that were heard of, by role. What is of use is reckoned without them: who runs processes asks how many
//! there should be, and people ask whether these are there.

use serde::Serialize;
use std::collections::BTreeMap;
use store::{FleetStore, LiveProcess, StoreError};

/// Of one role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Heard {
    /// Processes at work: each tells every few seconds that it is.
    pub at_work: u32,
    /// Processes that fell silent within the last minute: killed, held up, or cut off from Redis.
    pub silent: u32,
    /// For how long the last of those has been silent, in seconds.
    pub silent_s: Option<u64>,
}

/// Of every role.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Staff(BTreeMap<String, Heard>);

/// Who was heard of within the last minute.
///
/// # Errors
///
/// As every call of the store.
pub async fn staff(fleet: &FleetStore) -> Result<Staff, StoreError> {
    Ok(Staff::of(&fleet.live_processes().await?))
}

impl Staff {
    fn of(live: &[LiveProcess]) -> Self {
        let mut roles: BTreeMap<String, Heard> = BTreeMap::new();
        for process in live {
            let Some(about) = &process.about else { continue };
            let heard = roles.entry(about.role.clone()).or_default();
            if process.is_silent() {
                let s = process.silent_for.as_secs();
                heard.silent += 1;
                heard.silent_s = Some(heard.silent_s.map_or(s, |least| least.min(s)));
            } else {
                heard.at_work += 1;
            }
        }
        Self(roles)
    }

    /// Of this role.
    #[must_use]
    pub fn heard(&self, role: &str) -> Heard {
        self.0.get(role).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use store::{About, BEAT_EVERY, SILENT_AFTER};

    #[test]
    fn who_misses_three_beats_is_not_at_work() {
        let process = |role: Option<&str>, silent_for| LiveProcess {
            name: "x".into(),
            about: role.map(|role| About::own(role, "0.0.0")),
            silent_for,
        };
        let staff = Staff::of(&[
            process(Some("poller"), SILENT_AFTER - Duration::from_millis(1)),
            process(Some("poller"), BEAT_EVERY),
            process(Some("poller"), SILENT_AFTER + Duration::from_secs(30)),
            process(Some("poller"), SILENT_AFTER),
            process(Some("downloader"), BEAT_EVERY),
            process(None, BEAT_EVERY),
        ]);
        let poller = Heard { at_work: 2, silent: 2, silent_s: Some(SILENT_AFTER.as_secs()) };
        assert_eq!(staff.heard("poller"), poller);
        assert_eq!(staff.heard("downloader"), Heard { at_work: 1, ..Heard::default() });
        assert_eq!(staff.heard("submitter"), Heard::default());
    }
}
