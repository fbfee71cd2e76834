//! What a step is: one piece of work for one claimed job, ending in one event.

use std::sync::Arc;
use std::time::Duration;

use job::{Event, Policy};
use store::engine::{Engine, Picked, Settled};
use store::{BeginGuard, Begun, Claim, Held, Queue, Store};

/// The work of one queue. One value serves all jobs of the queue, many at a time.
#[async_trait::async_trait]
pub trait Step: Send + Sync + 'static {
    /// The queue whose tickets it works.
    fn queue(&self) -> Queue;

    /// Works one job, once. `held` is the record as it was claimed; the lease is extended in the
    /// background for as long as this runs. Delivery is at least once: a job may have been worked
    /// before, which its state tells, and `held.reclaimed` warns of.
    ///
    /// A panic becomes [`Event::StepBroke`]. Whatever must not be cut short when the process stops
    /// (a create call) needs no care here: a running step is waited for.
    async fn run(&self, held: &Held, turn: &Turn) -> Outcome;
}

/// How a step ended.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "one lives per running step, and most are reports")]
pub enum Outcome {
    /// Something was learned: commit it.
    Report(Event),
    /// Nothing was learned; the ticket is due again after a pause.
    HandBack {
        /// The pause.
        after: Duration,
        /// In words, for the log.
        why: String,
    },
    /// Another process holds the ticket by now: nothing is written.
    Lost,
}

impl Outcome {
    /// [`Outcome::HandBack`] in one call.
    pub fn hand_back(after: Duration, why: impl Into<String>) -> Self {
        Self::HandBack { after, why: why.into() }
    }
}

/// One run of a step: what it may ask while it works.
pub struct Turn {
    engine: Engine,
    picked: Picked,
}

impl Turn {
    pub(crate) fn new(engine: Engine, picked: Picked) -> Self {
        Self { engine, picked }
    }

    /// Commits the intent of an attempt before anything is sent, and keeps the ticket. Errors of
    /// Redis are waited out; [`Begun::Lost`] means that nothing may be sent.
    pub async fn begin(&self, event: &Event, guard: &BeginGuard) -> Begun {
        let begun = self.engine.begin(&self.picked, event, guard).await;
        if let Begun::Granted { stored, .. } = &begun {
            let words =
                [self.held().stored.record.life.state.word(), stored.record.life.state.word()];
            let [from, to] = words.map(job::StateWord::as_str);
            telemetry::metrics().transitions.add(1, [from, to, self.claim().queue.step().word()]);
        }
        begun
    }

    /// Commits an event for this job before the step ends. The ticket is spent unless the machine
    /// keeps it held, so a step does this for its last word, or for another job's news by way of
    /// [`Turn::store`].
    pub async fn report(&self, event: Event) -> Settled {
        self.engine.commit(&self.picked, event).await
    }

    /// The record as it was claimed.
    #[must_use]
    pub fn held(&self) -> &Held {
        self.picked.held()
    }

    /// The claim this run works under.
    #[must_use]
    pub fn claim(&self) -> &Claim {
        self.picked.claim()
    }

    /// The job's pool.
    #[must_use]
    pub fn store(&self) -> &Store {
        self.engine.store()
    }

    /// The numbers the machine decides with in this pool.
    #[must_use]
    pub fn policy(&self) -> &Arc<Policy> {
        self.engine.policy()
    }

    /// The process is stopping: a long step may hand back at a good moment.
    #[must_use]
    pub fn drain_began(&self) -> bool {
        self.engine.is_draining()
    }

    /// Returns once [`Turn::drain_began`].
    pub async fn drain(&self) {
        self.engine.drain_began().await;
    }

    /// The lease is lost: the work goes on elsewhere and this run's commit would be refused.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.picked.is_lost()
    }

    /// Returns once [`Turn::is_lost`]; never, while the lease is ours.
    pub async fn lost(&self) {
        self.picked.lost().await;
    }
}
