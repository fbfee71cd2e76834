//! Makes finished steps durable: in groups, pipelined on one connection, repeated until answered.

use std::sync::Arc;
use std::time::Duration;

use job::{Contradiction, Event, Policy};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::ledger::Picked;
use super::outage::{Outage, Pauses};
use super::{Counts, Inner, Phase, reached, sleep_unless};
use crate::{BeginGuard, Begun, Claim, ReportError, Reported, Store, StoreError, Stored, Writer};

/// Orders taken from the queue at a time.
const GROUP_MAX: usize = 256;
/// Orders under way at a time: four whole groups share the connection's pipeline.
const IN_THE_AIR_MAX: usize = 4 * GROUP_MAX;
/// Answers of Redis that are not about the connection are repeated this often, then given up: the
/// ticket comes back when its lease runs out, and the log says why.
const REFUSED_MAX: u32 = 5;

/// What became of a reported event.
#[derive(Debug)]
pub enum Settled {
    /// The store answered.
    Reported(Reported),
    /// The machine says that no allowed history leads here: a person must look.
    Contradiction(Contradiction),
    /// No answer before the process closed, or Redis refuses the commit again and again. The lease
    /// runs out and the ticket comes back.
    Abandoned,
}

/// One thing to make durable.
pub(super) struct Order {
    claim: Claim,
    what: What,
}

enum What {
    Report(Box<Stored>, Box<Event>, oneshot::Sender<Settled>),
    Release(Duration, oneshot::Sender<()>),
}

impl Order {
    pub(super) fn report(picked: &Picked, event: Event) -> (Self, oneshot::Receiver<Settled>) {
        let (tx, rx) = oneshot::channel();
        let what = What::Report(Box::new(picked.seen()), Box::new(event), tx);
        (Self { claim: picked.claim().clone(), what }, rx)
    }

    pub(super) fn release(claim: Claim, after: Duration) -> (Self, oneshot::Receiver<()>) {
        let (tx, rx) = oneshot::channel();
        (Self { claim, what: What::Release(after, tx) }, rx)
    }
}

/// What committing needs of the engine; without the sender of orders, whose end ends the loop.
#[derive(Clone)]
pub(super) struct Context {
    store: Store,
    policy: Arc<Policy>,
    counts: Arc<Counts>,
    phases: watch::Receiver<Phase>,
    outage: Arc<Outage>,
}

impl Context {
    pub(super) fn of(inner: &Inner) -> Self {
        Self {
            store: inner.store.clone(),
            policy: Arc::clone(&inner.policy),
            counts: Arc::clone(&inner.counts),
            phases: inner.phase.subscribe(),
            outage: Arc::clone(&inner.commit_outage),
        }
    }
}

pub(super) async fn run(context: Context, mut orders: mpsc::Receiver<Order>) {
    let room = Arc::new(Semaphore::new(IN_THE_AIR_MAX));
    let mut under_way = JoinSet::new();
    let mut group = Vec::with_capacity(GROUP_MAX);
    let mut phases = context.phases.clone();
    loop {
        let got = tokio::select! {
            biased;
            got = orders.recv_many(&mut group, GROUP_MAX) => got,
            () = reached(&mut phases, Phase::Closed) => {
                // What is queued already is still tried once; nothing new comes in.
                orders.close();
                orders.recv_many(&mut group, GROUP_MAX).await
            }
        };
        if got == 0 {
            break;
        }
        for order in group.drain(..) {
            // Never closed: the semaphore lives as long as this loop.
            let Ok(seat) = Arc::clone(&room).acquire_owned().await else { return };
            let context = context.clone();
            under_way.spawn(async move {
                carry_out(context, order).await;
                drop(seat);
            });
        }
        while under_way.try_join_next().is_some() {}
    }
    while under_way.join_next().await.is_some() {}
}

async fn carry_out(context: Context, order: Order) {
    match order.what {
        What::Report(seen, event, answer) => {
            let settled = report(&context, &order.claim, *seen, &event).await;
            context.count(&settled);
            // Nobody listens any more if the runtime was dropped; the commit stands all the same.
            let _ = answer.send(settled);
        }
        What::Release(after, done) => {
            if release(&context, &order.claim, after).await {
                Counts::add(&context.counts.handed_back, 1);
            }
            let _ = done.send(());
        }
    }
}

async fn report(context: &Context, claim: &Claim, seen: Stored, event: &Event) -> Settled {
    let mut tries = Tries::new(context);
    let mut seen = Some(seen);
    loop {
        let (store, policy) = (&context.store, &context.policy);
        let told = match seen.take() {
            Some(seen) => store.report_seen(seen, claim, event, policy).await,
            // The reply may have been lost, and not the commit: the record knows.
            None => store.report(&claim.id, Writer::Worker(claim), event, policy).await,
        };
        match told {
            Ok(reported) => {
                context.outage.answered();
                return Settled::Reported(reported);
            }
            Err(ReportError::Contradiction(why)) => return Settled::Contradiction(why),
            Err(ReportError::Store(error)) => {
                if !tries.again_after(&error).await {
                    return Settled::Abandoned;
                }
            }
        }
    }
}

async fn release(context: &Context, claim: &Claim, after: Duration) -> bool {
    let mut tries = Tries::new(context);
    loop {
        match context.store.release(claim, after).await {
            Ok(_) => return true,
            Err(error) => {
                if !tries.again_after(&error).await {
                    return false;
                }
            }
        }
    }
}

pub(super) async fn begin(
    context: &Context,
    picked: &Picked,
    event: &Event,
    guard: &BeginGuard,
) -> Begun {
    let mut tries = Tries::new(context);
    loop {
        if picked.is_lost() {
            return Begun::Lost;
        }
        match context.store.begin(picked.held(), event, &context.policy, guard).await {
            Ok(begun) => {
                if let Begun::Granted { stored, .. } = &begun {
                    picked.has_begun(stored);
                }
                return begun;
            }
            Err(error) => {
                if !tries.again_after(&error).await {
                    return Begun::Lost;
                }
            }
        }
    }
}

impl Context {
    fn count(&self, settled: &Settled) {
        match settled {
            Settled::Reported(Reported::Written { .. }) => {
                Counts::add(&self.counts.committed, 1);
                self.counts.stamp(&self.counts.last_commit_ms);
            }
            Settled::Reported(Reported::Fenced) => Counts::add(&self.counts.fenced, 1),
            Settled::Reported(
                Reported::Ignored { .. } | Reported::Gone | Reported::Owned { .. },
            )
            | Settled::Contradiction(_)
            | Settled::Abandoned => {}
        }
    }
}

/// The tries of one order.
struct Tries {
    outage: Arc<Outage>,
    pauses: Pauses,
    refused: u32,
    phases: watch::Receiver<Phase>,
}

impl Tries {
    fn new(context: &Context) -> Self {
        Self {
            outage: Arc::clone(&context.outage),
            pauses: Pauses::new(),
            refused: 0,
            phases: context.phases.clone(),
        }
    }

    /// Pauses before another try; false when there shall be none.
    async fn again_after(&mut self, error: &StoreError) -> bool {
        self.outage.failed(error);
        if !error.is_passing() {
            self.refused += 1;
            if self.refused >= REFUSED_MAX {
                tracing::error!(error = %error, "Redis refuses a write; its ticket waits for its lease to run out");
                return false;
            }
        }
        !sleep_unless(&mut self.phases, Phase::Closed, self.pauses.next()).await
    }
}
