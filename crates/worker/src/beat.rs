//! This process among the others of its fleet: it tells that it lives and which forms of the record it reads and
//! writes, and hears which version is in force. Nothing is asked per job.

use std::time::{Duration, Instant};

use job::{Misfit, Versions};
use store::{About, BEAT_EVERY, FleetStore, Store, StoreError};
use tokio::task::AbortHandle;

use crate::around;
use crate::fleet::Role;
use crate::signals::{Ask, Drain};
use crate::start::StartError;

/// Between two tries of the first beat while Redis does not answer.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How often it is seen whether there is news of the surroundings, which do not wait for the next beat.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long the last word may take.
const LAST_WORD_MAX: Duration = Duration::from_secs(1);

/// The version of this program.
const PROGRAM: &str = env!("CARGO_PKG_VERSION");

/// Who tells, and whom.
#[derive(Clone)]
pub(crate) struct Voice {
    fleet: FleetStore,
    role: &'static str,
    name: String,
    about: About,
}

impl Voice {
    pub(crate) fn of(role: Role, name: &str, fleet: FleetStore) -> Self {
        let (role, name) = (role.name, name.to_owned());
        Self { fleet, role, name, about: About::own(role, PROGRAM) }
    }

    /// Enters the fleet before any record of it is read, and tells which version is in force; waits while Redis
    /// does not answer. Where Redis takes no writes, being full, the process works without an entry until it does:
    /// then no version can be raised either.
    ///
    /// # Errors
    ///
    /// This program must not work in this fleet, or a signal came.
    pub(crate) async fn enter(&self, drain: &Drain) -> Result<u32, StartError> {
        loop {
            match self.fleet.beat(&self.name, &self.about).await {
                Ok(heard) => return Ok(heard?),
                Err(StoreError::Refused { cause }) => {
                    if let Ok(heard) = self.fleet.schema_in_force().await {
                        let own = Versions::own();
                        let in_force = heard.version.unwrap_or(own.oldest_written);
                        own.fits(in_force)?;
                        tracing::warn!(cause, "not entered in the fleet until Redis takes it");
                        return Ok(in_force);
                    }
                }
                Err(error) => {
                    tracing::warn!(error = %error, "the fleet cannot be entered; trying again");
                }
            }
            tokio::select! {
                () = drain.wait() => return Err(StartError::Stopped),
                () = tokio::time::sleep(AGAIN_AFTER) => {}
            }
        }
    }

    /// Tells again and again. When a version is in force that this program cannot read, which is possible only
    /// after a long silence of this process, it asks the process to stop: what it cannot read it never touches, but
    /// it would keep tickets from those who can.
    pub(crate) fn repeat(self, stores: Vec<Store>, in_force: u32, ask: Ask) -> Presence {
        let voice = self.clone();
        self.show(&stores, in_force);
        let task = tokio::spawn(async move {
            let mut known = in_force;
            let mut about = self.about.clone();
            let mut told_at: Option<Instant> = None;
            let mut turn = tokio::time::interval(LOOK_EVERY);
            turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                turn.tick().await;
                let ill = around::told();
                if ill == about.ill && told_at.is_some_and(|at| at.elapsed() < BEAT_EVERY) {
                    continue;
                }
                (about.ill, told_at) = (ill, Some(Instant::now()));
                match self.fleet.beat(&self.name, &about).await {
                    Ok(Ok(heard)) if heard == known => {}
                    Ok(Ok(heard)) => {
                        tracing::info!(from = known, to = heard, "another version is in force");
                        self.set_info(&stores, 0.0);
                        known = heard;
                        self.show(&stores, known);
                    }
                    Ok(Err(misfit @ Misfit::Behind { .. })) => {
                        tracing::error!(error = %misfit, "stopping: another version is in force");
                        return ask.ask();
                    }
                    // What was in force is forgotten: the newer one stays readable, and whoever is responsible
                    // hears of it once.
                    Ok(Err(misfit @ Misfit::Ahead { in_force, .. })) => {
                        if known != in_force {
                            tracing::error!(error = %misfit, "an older version is in force");
                            known = in_force;
                        }
                    }
                    // An outage, which the engines tell. The next try does not wait for the next beat: who looks
                    // when Redis is back finds everybody silent until it is told.
                    Err(_) => told_at = None,
                }
            }
        });
        Presence { voice, task: task.abort_handle() }
    }

    fn show(&self, stores: &[Store], in_force: u32) {
        stores.iter().for_each(|store| store.hear_version(in_force));
        self.set_info(stores, 1.0);
    }

    fn set_info(&self, stores: &[Store], value: f64) {
        let reads = self.about.newest.to_string();
        let writes = stores.first().map_or(0, Store::writes_version).to_string();
        let info = &telemetry::metrics().worker_info;
        info.set(value, [self.role, PROGRAM, &reads, &writes]);
    }
}

/// This process's entry in the fleet.
#[derive(Clone)]
pub(crate) struct Presence {
    voice: Voice,
    task: AbortHandle,
}

impl Presence {
    /// The last word of a process that ends of its own accord. Without it the others wait for its silence.
    pub(crate) async fn sign_off(self) {
        self.task.abort();
        let word = self.voice.fleet.sign_off(&self.voice.name);
        match tokio::time::timeout(LAST_WORD_MAX, word).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(error = %error, "not signed off"),
            Err(_) => tracing::debug!("not signed off: no answer"),
        }
    }
}
