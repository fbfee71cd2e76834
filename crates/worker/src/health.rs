//! Whether this process is alive and whether it works, for `/livez` and `/readyz`.
//!
//! Alive means that the event loop turns and that every claimer came round lately, whatever Redis
//! answered: an outage of Redis or of the provider must never restart a process, since a restart
//! mends neither and drops what runs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use store::engine::Engine;

/// The event loop beats this often.
pub(crate) const BEAT: Duration = Duration::from_secs(1);
/// A loop that has not beaten for this long is stuck.
const BEAT_AGE_MAX: Duration = Duration::from_secs(30);
/// A claimer with free slots that has not come round for this long is stuck. One round takes at most
/// an idle sleep, a call and its reconnects: seconds.
const PASS_AGE_MAX: Duration = Duration::from_secs(120);

/// Why a process is not ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotReady {
    /// It has not come so far yet; in words.
    Starting(String),
    /// The last check of Redis found what must be mended; in words.
    Unsafe(String),
    /// A signal asked it to stop.
    Draining,
}

impl std::fmt::Display for NotReady {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Starting(why) => write!(f, "starting: {why}"),
            Self::Unsafe(why) => write!(f, "unsafe: {why}"),
            Self::Draining => f.write_str("draining"),
        }
    }
}

/// The health of this process. Clones share it.
#[derive(Clone)]
pub struct Health {
    state: Arc<Mutex<State>>,
}

struct State {
    beaten: Instant,
    not_ready: Option<NotReady>,
    /// By pool, what must be mended in its Redis.
    wrong: BTreeMap<String, String>,
    /// By pool, why nothing is created.
    frozen: BTreeMap<String, String>,
    engines: Vec<Engine>,
}

impl State {
    fn wrongs(&self) -> Option<NotReady> {
        let of: Vec<&str> = self.wrong.values().map(String::as_str).collect();
        (!of.is_empty()).then(|| NotReady::Unsafe(of.join("; ")))
    }
}

impl Health {
    pub(crate) fn starting(why: &str) -> Self {
        let state = State {
            beaten: Instant::now(),
            not_ready: Some(NotReady::Starting(why.to_owned())),
            wrong: BTreeMap::new(),
            frozen: BTreeMap::new(),
            engines: Vec::new(),
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// The event loop turns.
    pub(crate) fn beat(&self) {
        self.lock().beaten = Instant::now();
    }

    /// Says what is still missing.
    pub fn set_starting(&self, why: impl Into<String>) {
        self.set(Some(NotReady::Starting(why.into())));
    }

    /// Everything is up.
    pub fn set_ready(&self) {
        self.set(None);
    }

    /// The outcome of a repeated check of a pool's Redis: `None` when all is well.
    pub(crate) fn set_checked(&self, pool: &str, wrong: Option<String>) {
        let mut state = self.lock();
        match wrong {
            Some(wrong) => state.wrong.insert(pool.to_owned(), wrong),
            None => state.wrong.remove(pool),
        };
        match &state.not_ready {
            Some(NotReady::Starting(_) | NotReady::Draining) => {}
            None | Some(NotReady::Unsafe(_)) => state.not_ready = state.wrongs(),
        }
    }

    /// A pool begins nothing, or begins again. The process stays ready: it still takes jobs, hears
    /// callbacks, and brings home what runs.
    pub(crate) fn set_frozen(&self, pool: &str, why: Option<String>) {
        let mut state = self.lock();
        match why {
            Some(why) => state.frozen.insert(pool.to_owned(), why),
            None => state.frozen.remove(pool),
        };
    }

    /// A line for each pool that creates nothing for now.
    #[must_use]
    pub fn frozen(&self) -> Vec<String> {
        let state = self.lock();
        state.frozen.iter().map(|(pool, why)| format!("{pool} is frozen: {why}")).collect()
    }

    /// No way back from here.
    pub(crate) fn set_draining(&self) {
        self.set(Some(NotReady::Draining));
    }

    pub(crate) fn watch(&self, engine: Engine) {
        self.lock().engines.push(engine);
    }

    /// `None` when ready.
    #[must_use]
    pub fn not_ready(&self) -> Option<NotReady> {
        self.lock().not_ready.clone()
    }

    /// What is stuck; `None` when alive.
    #[must_use]
    pub fn stuck(&self) -> Option<String> {
        let state = self.lock();
        let age = state.beaten.elapsed();
        if age > BEAT_AGE_MAX {
            return Some(format!("the event loop has not turned for {} s", age.as_secs()));
        }
        let draining = state.not_ready == Some(NotReady::Draining);
        state.engines.iter().filter(|_| !draining).find_map(|engine| {
            let look = engine.snapshot();
            (!look.full && look.since_pass > PASS_AGE_MAX).then(|| {
                let age_s = look.since_pass.as_secs();
                format!("queue {} has not been asked for work for {age_s} s", engine.queue())
            })
        })
    }

    fn set(&self, not_ready: Option<NotReady>) {
        let mut state = self.lock();
        if state.not_ready != Some(NotReady::Draining) {
            state.not_ready = not_ready;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_follows_the_process_and_never_leaves_draining() {
        let health = Health::starting("connecting to Redis");
        assert_eq!(
            health.not_ready().map(|why| why.to_string()),
            Some("starting: connecting to Redis".to_owned())
        );
        health.set_checked("main", None);
        assert!(health.not_ready().is_some(), "a check does not end the start");
        health.set_ready();
        assert_eq!(health.not_ready(), None);
        health.set_checked("main", Some("eviction".to_owned()));
        health.set_checked("other", None);
        assert_eq!(health.not_ready(), Some(NotReady::Unsafe("eviction".to_owned())));
        health.set_checked("main", None);
        assert_eq!(health.not_ready(), None);
        health.set_frozen("main", Some("lost".to_owned()));
        assert_eq!(health.frozen(), ["main is frozen: lost"]);
        assert_eq!(health.not_ready(), None);
        health.set_draining();
        health.set_ready();
        health.set_checked("main", None);
        assert_eq!(health.not_ready(), Some(NotReady::Draining));
        assert_eq!(health.stuck(), None);
    }
}
