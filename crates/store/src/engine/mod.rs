//! The engine of one queue: what turns tickets into running work and finished work into commits.
//!
//! Three loops share one connection to Redis and never end on its errors. The *claimer* takes
//! concurrency slots first and then claims at most that many tickets, so a process never holds work
//! it cannot start. The *committer* takes finished steps in bounded groups and repeats a commit until
//! it is answered. The *renewer* extends the leases of everything between the two.
//!
//! Knows tickets, leases and claim fences. Must not know what a step does, nor which runtime drives it:
//! the `worker` crate receives [`Picked`] tickets from a channel and hands events back.

mod claimer;
mod committer;
mod ledger;
mod outage;
mod renewer;
mod wake;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use job::{Event, Policy};
use tokio::sync::{Mutex, Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use crate::{BeginGuard, Begun, Claim, Queue, Store, StoreError};

pub use self::committer::Settled;
pub use self::ledger::{Lease, Picked};
pub(crate) use self::wake::Waker;

use self::committer::Order;
use self::ledger::Ledger;

/// Tickets taken in one claim at most: far below the number of values a script may unpack, large
/// enough that a claim costs little beside the work it brings.
const CLAIM_MAX: usize = 256;
/// Finished steps that may wait for the committer before a step waits itself.
const COMMIT_BACKLOG_MAX: usize = 1_024;

/// How one queue is worked by this process.
#[derive(Debug, Clone)]
pub struct EngineSettings {
    /// Which tickets.
    pub queue: Queue,
    /// Steps that run at a time.
    pub concurrency: usize,
    /// How long a ticket stays with a silent process, on the server's clock.
    pub lease: Duration,
    /// How often leases are extended; at most half of `lease`.
    pub renew: Duration,
}

/// Where the engine stands. It only ever moves forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Claims, runs, commits.
    Running,
    /// Claims nothing more; what runs is finished and committed.
    Draining,
    /// Nothing runs any more, or nobody waits for it: retries end.
    Closed,
}

/// A handle on the loops of one queue. Clones share them.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    store: Store,
    settings: EngineSettings,
    policy: Arc<Policy>,
    slots: Arc<Semaphore>,
    ledger: Arc<Ledger>,
    phase: watch::Sender<Phase>,
    orders: mpsc::Sender<Order>,
    counts: Arc<Counts>,
    commit_outage: Arc<outage::Outage>,
    /// Emptied by the first [`Engine::close`].
    loops: Mutex<JoinSet<()>>,
}

/// What the engine did since it began. Counters only grow.
#[derive(Debug)]
pub(crate) struct Counts {
    began: Instant,
    claimed: AtomicU64,
    reclaimed: AtomicU64,
    unreadable: AtomicU64,
    committed: AtomicU64,
    fenced: AtomicU64,
    leases_lost: AtomicU64,
    handed_back: AtomicU64,
    last_pass_ms: AtomicU64,
    last_commit_ms: AtomicU64,
    last_renew_ms: AtomicU64,
    /// The last renewal got no answer.
    renew_unheard: AtomicBool,
    full: AtomicBool,
}

/// A look at one engine, for metrics and for the watchdog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshot {
    /// Tickets this process holds now.
    pub in_flight: u64,
    /// Tickets claimed since the start.
    pub claimed: u64,
    /// Of them, tickets whose former holder had let the lease run out.
    pub reclaimed: u64,
    /// Tickets put aside because this program cannot read their records.
    pub unreadable: u64,
    /// Events committed.
    pub committed: u64,
    /// Commits refused because another process holds the ticket by now.
    pub fenced: u64,
    /// Leases found lost at a renewal.
    pub leases_lost: u64,
    /// Tickets handed back without an event.
    pub handed_back: u64,
    /// Since the claimer last came round, whatever Redis answered.
    pub since_pass: Duration,
    /// Since the last durable commit, or since the start.
    pub since_commit: Duration,
    /// The claimer waits because every slot is taken.
    pub full: bool,
}

impl Counts {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            claimed: AtomicU64::new(0),
            reclaimed: AtomicU64::new(0),
            unreadable: AtomicU64::new(0),
            committed: AtomicU64::new(0),
            fenced: AtomicU64::new(0),
            leases_lost: AtomicU64::new(0),
            handed_back: AtomicU64::new(0),
            last_pass_ms: AtomicU64::new(0),
            last_commit_ms: AtomicU64::new(0),
            last_renew_ms: AtomicU64::new(0),
            renew_unheard: AtomicBool::new(false),
            full: AtomicBool::new(false),
        }
    }

    fn add(counter: &AtomicU64, n: usize) {
        counter.fetch_add(n as u64, Ordering::Relaxed);
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn stamp(&self, at: &AtomicU64) {
        at.store(self.now_ms(), Ordering::Relaxed);
    }

    fn since(&self, at: &AtomicU64) -> Duration {
        self.began.elapsed().saturating_sub(Duration::from_millis(at.load(Ordering::Relaxed)))
    }
}

impl Engine {
    /// Starts the loops. Picked tickets arrive on the channel, at most `concurrency` of them; it ends
    /// after [`Engine::stop_claiming`], when the last picked ticket has been received.
    ///
    /// # Errors
    ///
    /// Redis cannot be reached for the connection that waits for wake-up tokens.
    pub async fn start(
        store: Store,
        settings: EngineSettings,
        policy: Arc<Policy>,
    ) -> Result<(Self, mpsc::Receiver<Picked>), StoreError> {
        let wake = wake::Waker::connect(&store, settings.queue).await?;
        let concurrency = settings.concurrency.max(1);
        let (picked_tx, picked_rx) = mpsc::channel(concurrency);
        let (orders, orders_rx) = mpsc::channel(COMMIT_BACKLOG_MAX);
        let (phase, _) = watch::channel(Phase::Running);
        let commit_outage = Arc::new(outage::Outage::new("commit", settings.queue));
        let inner = Arc::new(Inner {
            store,
            settings,
            policy,
            slots: Arc::new(Semaphore::new(concurrency)),
            ledger: Arc::new(Ledger::default()),
            phase,
            orders,
            counts: Arc::new(Counts::new()),
            commit_outage,
            loops: Mutex::new(JoinSet::new()),
        });
        {
            let mut loops = inner.loops.lock().await;
            loops.spawn(claimer::run(Arc::clone(&inner), wake, picked_tx));
            loops.spawn(committer::run(committer::Context::of(&inner), orders_rx));
            loops.spawn(renewer::run(renewer::Context::of(&inner)));
        }
        Ok((Self { inner }, picked_rx))
    }

    /// The queue this engine works.
    #[must_use]
    pub fn queue(&self) -> Queue {
        self.inner.settings.queue
    }

    /// The pool's store.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// The numbers the machine decides with in this pool.
    #[must_use]
    pub fn policy(&self) -> &Arc<Policy> {
        &self.inner.policy
    }

    /// No ticket is claimed from here on. Safe to call again.
    pub fn stop_claiming(&self) {
        self.inner.advance(Phase::Draining);
    }

    /// [`Engine::stop_claiming`] was called.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        *self.inner.phase.borrow() >= Phase::Draining
    }

    /// Returns once [`Engine::stop_claiming`] was called.
    pub async fn drain_began(&self) {
        self.inner.reached(Phase::Draining).await;
    }

    /// Reports `event` for a picked ticket and returns when the answer is durable. Errors of Redis are
    /// waited out; a commit is repeatable, since the fence and the revision guard it.
    pub async fn commit(&self, picked: &Picked, event: Event) -> Settled {
        self.inner.ledger.settle(picked.claim());
        let (order, answer) = Order::report(picked, event);
        if self.inner.orders.send(order).await.is_err() {
            return Settled::Abandoned;
        }
        answer.await.unwrap_or(Settled::Abandoned)
    }

    /// Commits the intent of an attempt and keeps the lease.
    ///
    /// When Redis does not answer, the intent may or may not be written. It is asked again until it
    /// answers, the lease is lost or the process closes; in the last two cases the answer is
    /// [`Begun::Lost`], nothing may be sent, and whoever holds the ticket next sees an open attempt.
    pub async fn begin(&self, picked: &Picked, event: &Event, guard: &BeginGuard) -> Begun {
        committer::begin(&committer::Context::of(&self.inner), picked, event, guard).await
    }

    /// Hands a picked ticket back; it is due again after `after`. Returns when that is durable, or
    /// when the process closes: the lease then runs out by itself.
    pub async fn hand_back(&self, claim: &Claim, after: Duration) {
        self.inner.ledger.settle(claim);
        let (order, done) = Order::release(claim.clone(), after);
        if self.inner.orders.send(order).await.is_ok() {
            // Without an answer the lease runs out, which is the same thing a little later.
            let _ = done.await;
        }
    }

    /// Ends the loops: claims nothing more, answers what is under way, and hands back at once the
    /// tickets still held if `hand_back_running`. Bounded by `within`; what is left then comes back when
    /// its lease runs out. Safe to call again.
    pub async fn close(&self, within: Duration, hand_back_running: bool) {
        self.stop_claiming();
        if hand_back_running {
            let held = self.inner.ledger.claims();
            let give = futures::future::join_all(
                held.iter().map(|claim| self.hand_back(claim, Duration::ZERO)),
            );
            let _ = tokio::time::timeout(within, give).await;
        }
        self.inner.advance(Phase::Closed);
        let mut loops = self.inner.loops.lock().await;
        let ended =
            tokio::time::timeout(within, async { while loops.join_next().await.is_some() {} });
        if ended.await.is_err() {
            tracing::warn!(step = %self.queue(), "the queue's loops did not end in time; leases will run out");
            loops.abort_all();
        }
    }

    /// Waits until every picked ticket has been settled and dropped.
    pub async fn idle(&self) {
        self.inner.ledger.idle().await;
    }

    /// What it did so far.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let counts = &self.inner.counts;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Snapshot {
            in_flight: self.inner.ledger.len() as u64,
            claimed: read(&counts.claimed),
            reclaimed: read(&counts.reclaimed),
            unreadable: read(&counts.unreadable),
            committed: read(&counts.committed),
            fenced: read(&counts.fenced),
            leases_lost: read(&counts.leases_lost),
            handed_back: read(&counts.handed_back),
            since_pass: counts.since(&counts.last_pass_ms),
            since_commit: counts.since(&counts.last_commit_ms),
            full: counts.full.load(Ordering::Relaxed),
        }
    }
}

impl Inner {
    fn advance(&self, to: Phase) {
        self.phase.send_if_modified(|phase| {
            let forward = *phase < to;
            if forward {
                *phase = to;
            }
            forward
        });
    }

    async fn reached(&self, phase: Phase) {
        reached(&mut self.phase.subscribe(), phase).await;
    }
}

/// Waits until the engine has come to `phase`.
async fn reached(phases: &mut watch::Receiver<Phase>, phase: Phase) {
    // The sender lives in the engine: once that is gone, every phase has been reached.
    let _ = phases.wait_for(|now| *now >= phase).await;
}

/// Sleeps, unless the engine comes to `phase` first; says whether it did.
async fn sleep_unless(phases: &mut watch::Receiver<Phase>, phase: Phase, pause: Duration) -> bool {
    tokio::select! {
        () = reached(phases, phase) => true,
        () = tokio::time::sleep(pause) => false,
    }
}
