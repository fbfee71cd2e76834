//! Steps small enough to reason about.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use job::{Event, JobId};
use store::{Held, Queue};
use tokio::sync::watch;
use worker::{Outcome, Step, Turn};

/// What the runs of a step left behind, shared with the test.
#[derive(Clone, Default)]
pub struct Seen {
    runs: Arc<Mutex<BTreeMap<JobId, usize>>>,
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Seen {
    /// How often each job was begun.
    pub fn runs(&self) -> BTreeMap<JobId, usize> {
        self.runs.lock().expect("no panic inside").clone()
    }

    /// Runs begun and not ended.
    pub fn now(&self) -> usize {
        self.now.load(Ordering::SeqCst)
    }

    /// The most at a time.
    pub fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }

    fn enter(&self, id: &JobId) -> Leave {
        *self.runs.lock().expect("no panic inside").entry(id.clone()).or_default() += 1;
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        Leave(Arc::clone(&self.now))
    }
}

struct Leave(Arc<AtomicUsize>);

impl Drop for Leave {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Holds every run back until it is opened.
#[derive(Clone)]
pub struct Gate(watch::Sender<bool>);

impl Gate {
    pub fn closed() -> Self {
        Self(watch::channel(false).0)
    }

    pub fn opened() -> Self {
        Self(watch::channel(true).0)
    }

    pub fn open(&self) {
        self.0.send_replace(true);
    }

    async fn pass(&self) {
        let mut open = self.0.subscribe();
        open.wait_for(|open| *open).await.expect("the gate lives");
    }
}

/// Ends a watched job with one transition, once the gate is open.
#[derive(Clone)]
pub struct Cancel {
    pub seen: Seen,
    pub gate: Gate,
}

impl Cancel {
    pub fn at_once() -> Self {
        Self { seen: Seen::default(), gate: Gate::opened() }
    }

    pub fn behind_a_gate() -> Self {
        Self { seen: Seen::default(), gate: Gate::closed() }
    }
}

/// The event that ends a watched job.
pub fn cancel(held: &Held) -> Event {
    let task = held.stored.record.life.state.task().expect("a watched job").id.clone();
    Event::CancelDone { task }
}

#[worker::async_trait]
impl Step for Cancel {
    fn queue(&self) -> Queue {
        Queue::Poll
    }

    async fn run(&self, held: &Held, _: &Turn) -> Outcome {
        let _leave = self.seen.enter(&held.claim.id);
        self.gate.pass().await;
        Outcome::Report(cancel(held))
    }
}
