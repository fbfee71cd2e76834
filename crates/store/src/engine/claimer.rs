//! Takes slots, then claims at most that many tickets, and sleeps exactly until more can be due.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::ledger::Picked;
use super::outage::{Outage, Pauses};
use super::wake::Waker;
use super::{CLAIM_MAX, Counts, Inner, Phase, reached, renewer, sleep_unless};
use crate::{Claimed, StoreError};

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
    while let Some(slots) = take_slots(&inner).await {
        let asked = slots.len();
        // Not cancelled by a drain: the answer may carry tickets that must be handed back.
        let answer = claim(&inner, &leases, asked).await;
        inner.counts.stamp(&inner.counts.last_pass_ms);
        let claimed = match answer {
            Ok(claimed) => claimed,
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
        let nap = nap(&claimed, asked);
        hand_over(&inner, claimed, slots, &picked).await;
        if let Some(nap) = nap {
            tokio::select! {
                () = reached(&mut phases, Phase::Draining) => break,
                () = wake.token_within(nap) => {}
            }
        }
    }
}

async fn claim(inner: &Inner, leases: &renewer::Context, n: usize) -> Result<Claimed, StoreError> {
    if leases.overdue() {
        leases.pass().await?;
    }
    inner.store.claim(&inner.settings.queue, n, inner.settings.lease).await
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
fn nap(claimed: &Claimed, asked: usize) -> Option<Duration> {
    let got = claimed.items.len();
    if got >= asked {
        return None;
    }
    let next = claimed.next_due.unwrap_or(IDLE_MAX);
    let floor = if next.is_zero() && got == 0 { DENIED_PAUSE } else { IDLE_MIN };
    Some(next.clamp(floor, IDLE_MAX))
}

async fn hand_over(
    inner: &Inner,
    claimed: Claimed,
    mut slots: Vec<OwnedSemaphorePermit>,
    picked: &mpsc::Sender<Picked>,
) {
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use job::Timestamp;

    fn claimed(next_due: Option<Duration>) -> Claimed {
        Claimed { now: Timestamp::from_unix_ms(0), next_due, items: Vec::new(), unreadable: 0 }
    }

    #[test]
    fn it_sleeps_exactly_until_the_next_ticket_is_due() {
        let in_ms = |ms| Some(Duration::from_millis(ms));
        assert_eq!(nap(&claimed(in_ms(17)), 5), in_ms(17));
        assert_eq!(nap(&claimed(in_ms(90_000)), 5), Some(IDLE_MAX));
        assert_eq!(nap(&claimed(None), 5), Some(IDLE_MAX));
        assert_eq!(nap(&claimed(in_ms(0)), 5), Some(DENIED_PAUSE));
        assert_eq!(nap(&claimed(in_ms(0)), 0), None);
    }
}
