//! The configuration of a running process: read again at SIGHUP and when a file changes, taken over as far as
//! that is safe.
//!
//! Which keys are taken over is marked in `config/default.toml`. All layers are read and checked as at the start;
//! a fault changes nothing. Whoever reads a section of live keys gets the whole configuration by
//! [`crate::Fleet::live`] and takes from it what is marked, nothing else.

use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use settings::{Loaded, Marks};
use tokio::sync::watch;

/// How often the files are looked at without being asked. A change is taken at the second look that shows the
/// same, for files are not always replaced in one step.
const LOOK_EVERY: Duration = Duration::from_secs(4);

/// The configuration as it is now, for whoever may take something of it over.
#[derive(Clone)]
pub struct Live(watch::Receiver<Arc<Loaded>>);

impl Live {
    /// The section, where the configuration has changed since it was asked for last. Take only keys that are
    /// marked: the others hold from the next start on.
    pub fn newer<T: DeserializeOwned>(&mut self, section: &str) -> Option<T> {
        if !self.0.has_changed().unwrap_or(false) {
            return None;
        }
        let made = self.0.borrow_and_update().section(section);
        made.map_err(|fault| tracing::error!(error = %fault, "this section stays as it was")).ok()
    }

    /// Waits for the next change; none once there will be no more.
    pub async fn changed(&mut self) -> Option<Arc<Loaded>> {
        self.0.changed().await.ok()?;
        Some(Arc::clone(&self.0.borrow_and_update()))
    }
}

/// Keeps it until the process ends.
pub(crate) fn spawn(loaded: &Loaded, mut rereads: watch::Receiver<u64>) -> Live {
    let (tell, live) = watch::channel(Arc::new(loaded.clone()));
    let mut keeper = Keeper {
        started: loaded.clone(),
        marks: loaded.marks(),
        unsettled: None,
        tell,
        told: Vec::new(),
    };
    metrics(true, 0);
    tokio::spawn(async move {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                asked = rereads.changed() => match asked {
                    Ok(()) => keeper.reread(true),
                    Err(_) => return,
                },
                _ = look.tick() => keeper.look(),
            }
        }
    });
    Live(live)
}

struct Keeper {
    /// As the process started: what is not taken over is compared with this.
    started: Loaded,
    /// The files at the last reading.
    marks: Marks,
    /// The files at the last look, if they were others than those that were read.
    unsettled: Option<Marks>,
    tell: watch::Sender<Arc<Loaded>>,
    /// Keys that wait for a restart, as they were told last.
    told: Vec<String>,
}

impl Keeper {
    fn look(&mut self) {
        let marks = self.started.marks();
        if marks == self.marks {
            self.unsettled = None;
        } else if self.unsettled.as_ref() == Some(&marks) {
            self.reread(false);
        } else {
            self.unsettled = Some(marks);
        }
    }

    /// Reads all layers; `asked` says also that nothing has changed.
    fn reread(&mut self, asked: bool) {
        // Before the reading: what is written meanwhile is seen at the next look.
        self.marks = self.started.marks();
        self.unsettled = None;
        let checked = self.started.reread().map_err(|faults| faults.to_string());
        let checked = checked.and_then(|newer| match newer.section("telemetry") {
            Ok(telemetry) => Ok((newer, telemetry)),
            Err(fault) => Err(fault.to_string()),
        });
        match checked {
            Ok((newer, telemetry)) => self.take(newer, &telemetry, asked),
            Err(faults) => {
                metrics(false, self.told.len());
                tracing::error!(error = faults, "the configuration is faulty; all stays as it was");
            }
        }
    }

    fn take(&mut self, newer: Loaded, telemetry: &telemetry::Settings, asked: bool) {
        let changes = self.tell.borrow().changes(&newer);
        let applied: Vec<&str> =
            changes.iter().filter(|change| change.applied).map(|c| c.key.as_str()).collect();
        // Against the start: a key that was set back waits for nothing.
        let since_start = self.started.changes(&newer).into_iter();
        let waiting: Vec<String> =
            since_start.filter(|change| !change.applied).map(|change| change.key).collect();
        for key in &applied {
            tracing::info!(setting = key, "taken over from the configuration");
        }
        for key in waiting.iter().filter(|key| asked || !self.told.contains(key)) {
            tracing::warn!(setting = key, "has changed in the configuration and needs a restart");
        }
        if asked && applied.is_empty() && waiting.is_empty() {
            tracing::info!("the configuration is as it was");
        }
        metrics(true, waiting.len());
        self.told = waiting;
        telemetry::set_log_level(&telemetry.log_level);
        telemetry::set_trace_ratio(telemetry.trace_ratio);
        tracing::debug!(changes = changes.len(), "the configuration was read again");
        self.tell.send_replace(Arc::new(newer));
    }
}

fn metrics(good: bool, waiting: usize) {
    let metrics = telemetry::metrics();
    metrics.config_reload_success.set(f64::from(u8::from(good)), []);
    metrics.config_restart_needed.set(waiting as f64, []);
}
