//! Takes slots, then claims at most that many tickets, and sleeps exactly until more can be due. While the records of
//! one claim are read, the next one is asked for.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinHandle;

use super::ledger::Picked;
use super::outage::{Outage, Pauses};
use super::wake::Waker;
use super::{CLAIM_MAX, Counts, Inner, Phase, reached, renewer, sleep_unless};
use crate::StoreError;
use crate::claim::Taken;

/// Longest sleep without a token: a token lost with a connection costs this much and no more.
const IDLE_MAX: Duration = Duration::from_secs(1);
/// Shortest sleep when work is due and none was given: others took it, or the provider's slots are
/// taken, in which case a freed slot sends a token.
const DENIED_PAUSE: Duration = Duration::from_millis(50);
/// Shortest sleep at all, since a blocking pop reads zero as "for ever".
const IDLE_MIN: Duration = Duration::from_millis(1);

pub(super) async fn run(inner: Arc<Inner>, mut wake: Waker, picked: mpsc::Sender<Picked>) {
    let mut phases = inner.phase.subscribe();
    let outage = Outage::new("claim", inner.settings.queue);
    let mut pauses = Pauses::new();
    let leases = renewer::Context::of(&inner);
    let mut before = Reading::default();
    while let Some(mut slots) = take_slots(&inner).await {
        let asked = slots.len();
        // Not cancelled by a drain: the answer may carry tickets that must be handed back.
        let answer = take(&inner, &leases, asked).await;
        inner.counts.stamp(&inner.counts.last_pass_ms);
        // What was taken first is handed over first.
        let read = before.end().await;
        let done = match answer {
            Ok(taken) => {
                let nap = nap(taken.len(), taken.next_due(), asked);
                slots.truncate(taken.len());
                before = Reading::of(&inner, taken, slots, &picked);
                read.map(|()| nap)
            }
            Err(error) => read.and(Err(error)),
        };
        // Where tickets can be had and no records, taking more of them at once would only lend them out.
        let nap = match done {
            Ok(nap) => nap,
            Err(error) => {
                outage.failed(&error);
                if sleep_unless(&mut phases, Phase::Draining, pauses.next()).await {
                    break;
                }
                continue;
            }
        };
        outage.answered();
        pauses.reset();
        if let Some(nap) = nap {
            tokio::select! {
                () = reached(&mut phases, Phase::Draining) => break,
                () = wake.token_within(nap) => {}
            }
        }
    }
    if let Err(error) = before.end().await {
        outage.failed(&error);
    }
}

async fn take(inner: &Inner, leases: &renewer::Context, n: usize) -> Result<Taken, StoreError> {
    if leases.overdue() {
        leases.pass().await?;
    }
    inner.store.take(inner.settings.queue, n, inner.settings.lease).await
}

/// The records of one claim, which are read and handed over beside the next claim.
#[derive(Default)]
struct Reading(Option<JoinHandle<Result<(), StoreError>>>);

impl Reading {
    fn of(
        inner: &Arc<Inner>,
        taken: Taken,
        slots: Vec<OwnedSemaphorePermit>,
        picked: &mpsc::Sender<Picked>,
    ) -> Self {
        if taken.len() == 0 {
            return Self(None);
        }
        let (inner, picked) = (Arc::clone(inner), picked.clone());
        Self(Some(tokio::spawn(async move { hand_over(&inner, taken, slots, &picked).await })))
    }

    /// Waits for it. What it was not answered comes back when its lease ends.
    async fn end(&mut self) -> Result<(), StoreError> {
        let Some(reading) = self.0.take() else { return Ok(()) };
        match reading.await.map_err(tokio::task::JoinError::try_into_panic) {
            Ok(read) => read,
            Err(Ok(panic)) => std::panic::resume_unwind(panic),
            // The runtime ends, and this loop with it.
            Err(Err(_)) => Ok(()),
        }
    }
}

/// One slot for certain, more if they are free; none when the engine drains.
async fn take_slots(inner: &Inner) -> Option<Vec<OwnedSemaphorePermit>> {
    let slots = Arc::clone(&inner.slots);
    inner.counts.full.store(slots.available_permits() == 0, Ordering::Relaxed);
    let first = tokio::select! {
        biased;
        () = inner.reached(Phase::Draining) => return None,
        slot = slots.acquire_owned() => slot.ok()?,
    };
    // Stamped first: the wait may have been long, and it was no fault of this loop.
    inner.counts.stamp(&inner.counts.last_pass_ms);
    inner.counts.full.store(false, Ordering::Relaxed);
    let mut taken = vec![first];
    while taken.len() < CLAIM_MAX {
        match Arc::clone(&inner.slots).try_acquire_owned() {
            Ok(slot) => taken.push(slot),
            Err(_) => break,
        }
    }
    Some(taken)
}

/// How long nothing can be due; `None` when as much came as was asked for and more may wait.
fn nap(got: usize, next_due: Option<Duration>, asked: usize) -> Option<Duration> {
    if got >= asked {
        return None;
    }
    let next = next_due.unwrap_or(IDLE_MAX);
    let floor = if next.is_zero() && got == 0 { DENIED_PAUSE } else { IDLE_MIN };
    Some(next.clamp(floor, IDLE_MAX))
}

async fn hand_over(
    inner: &Inner,
    taken: Taken,
    mut slots: Vec<OwnedSemaphorePermit>,
    picked: &mpsc::Sender<Picked>,
) -> Result<(), StoreError> {
    let claimed = inner.store.read_taken(taken).await?;
    let reclaimed = claimed.items.iter().filter(|held| held.reclaimed).count();
    Counts::add(&inner.counts.claimed, claimed.items.len());
    Counts::add(&inner.counts.reclaimed, reclaimed);
    Counts::add(&inner.counts.unreadable, claimed.unreadable);
    for held in claimed.items {
        // The script gives at most as many as were asked for; a ticket beyond that comes back when
        // its lease runs out.
        let Some(slot) = slots.pop() else { break };
        // Room for every slot: this waits for nobody. It fails only if the runtime dropped its end
        // without a drain, and then the lease runs out.
        if picked.send(inner.ledger.open(held, slot)).await.is_err() {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_sleeps_exactly_until_the_next_ticket_is_due() {
        let in_ms = |ms| Some(Duration::from_millis(ms));
        assert_eq!(nap(0, in_ms(17), 5), in_ms(17));
        assert_eq!(nap(0, in_ms(90_000), 5), Some(IDLE_MAX));
        assert_eq!(nap(0, None, 5), Some(IDLE_MAX));
        assert_eq!(nap(0, in_ms(0), 5), Some(DENIED_PAUSE));
        assert_eq!(nap(0, in_ms(0), 0), None);
    }
}
