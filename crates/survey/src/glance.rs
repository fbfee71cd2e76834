//! A whole pool at one moment, for somebody who watches it.

use crate::cause::LimitsSettings;
use crate::held_slots::{HeldSlot, held_slots};
use crate::limits::{LimitsView, limits};
use crate::recent::{Flow, Recent};
use crate::scaling::{ScalingSettings, Wanted, pool_facts, staff, wanted};
use job::{PoolSettings, StateWord, Timestamp};
use std::time::Duration;
use store::{Depth, Store, StoreError};

/// Slots that are shown, of each state that holds one.
const SLOTS_MOST: usize = 200;

/// What of the configuration a glance rests on.
#[derive(Debug, Clone)]
pub struct GlanceSettings {
    /// What the limits and what limits rest on.
    pub limits: LimitsSettings,
    /// `poll.steady`.
    pub look_every: Duration,
    /// Section `scaling`.
    pub scaling: ScalingSettings,
}

/// What was seen.
#[derive(Debug, Clone, PartialEq)]
pub struct Glance {
    /// The server's clock.
    pub now: Timestamp,
    /// Limits and their use, counts by state, money, pauses, and what limits.
    pub limits: LimitsView,
    /// Memory of Redis in use, in bytes.
    pub memory_bytes: u64,
    /// The share of its `maxmemory`; none where there is no such limit.
    pub memory_ratio: Option<f64>,
    /// How long the job at the front has waited to be bought.
    pub oldest: Option<Duration>,
    /// Until the first link of a video that is not in the bucket dies.
    pub link_left: Option<Duration>,
    /// How full the queues are.
    pub depths: Vec<Depth>,
    /// Slots in use.
    pub slots: Vec<HeldSlot>,
    /// Processes of use.
    pub wanted: Wanted,
    /// What moved of late.
    pub flow: Flow,
}

/// Looks at a pool. `recent` is kept from one look to the next.
///
/// # Errors
///
/// As every call of the store.
pub async fn glance(
    store: &Store,
    pool: &PoolSettings,
    settings: &GlanceSettings,
    recent: &mut Recent,
) -> Result<Glance, StoreError> {
    let now = store.now().await?;
    let facts = pool_facts(store, pool, settings.limits.lookahead, settings.look_every);
    let fleet = store.fleet();
    let (limits, facts, staff, pulse, depths, oldest, slots, ()) = tokio::try_join!(
        limits(store, pool, &settings.limits, None),
        facts,
        staff(&fleet),
        store.pulse(),
        store.depths(),
        store.oldest_of(StateWord::Queued),
        held_slots(store, now, SLOTS_MOST),
        recent.read(store, now)
    )?;
    let link_left = facts.link_left;
    Ok(Glance {
        now,
        limits,
        memory_bytes: pulse.used_bytes,
        memory_ratio: pulse.max_bytes.map(|_| pulse.memory_ratio()),
        oldest: oldest.map(|since| now.since(since)),
        link_left,
        depths,
        slots,
        wanted: wanted(&[facts], &settings.scaling, &staff),
        flow: recent.flow(now),
    })
}
