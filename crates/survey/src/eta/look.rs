//! What of one pool an ETA depends on, read at one moment.

use super::paused;
use crate::force::Force;
use futures::future::try_join_all;
use job::eta::{Facts, Kind, Lane, Limits, Room, Seen, look_back};
use job::rounds::{self, Times};
use job::{PoolSettings, Priority, Slot, Timestamp};
use seedance::{Class, SlotClass};
use std::collections::{BTreeMap, BTreeSet};
use store::{Freeze, Lowered, Pause, StopRow, Store, StoreError, ahead};

/// Instants at which limits are known to change that are heeded.
const TURNS_MAX: usize = 16;

/// What is asked for.
pub(super) struct Asked {
    /// Jobs that wait, by slot class and the word of their times.
    pub(super) kinds: BTreeMap<(SlotClass, String), f64>,
    /// Jobs at the provider.
    pub(super) running: BTreeMap<SlotClass, f64>,
    /// The lowest of theirs.
    pub(super) priority: Priority,
    /// When the last of them was taken in; none: now.
    pub(super) until: Option<Timestamp>,
    /// Those that wait stand in the queue themselves.
    pub(super) own: bool,
}

impl Asked {
    fn of(&self, class: SlotClass) -> f64 {
        self.kinds.iter().filter(|((of, _), _)| *of == class).map(|(_, n)| n).sum()
    }

    fn running(&self, class: SlotClass) -> f64 {
        self.running.get(&class).copied().unwrap_or(0.0)
    }
}

/// A pool at one moment, by what decides how fast it buys.
pub(super) struct Seat<'a> {
    pub(super) now: Timestamp,
    pool: &'a PoolSettings,
    slots: BTreeMap<Slot, i64>,
    stops: Vec<StopRow>,
    lowered: Vec<Lowered>,
    pauses: Vec<Pause>,
    frozen: Option<Freeze>,
}

impl<'a> Seat<'a> {
    pub(super) async fn take(store: &Store, pool: &'a PoolSettings) -> Result<Self, StoreError> {
        let (slots, stops, lowered, pauses, watch) = tokio::try_join!(
            store.slots(),
            store.stops(),
            store.lowered(pool.accounts.keys()),
            store.pauses(),
            store.watch()
        )?;
        let now = store.now().await?;
        Ok(Self { now, pool, slots, stops, lowered, pauses, frozen: watch.frozen })
    }

    /// Why nothing of it is bought that waits, where people or the pool's own caution stopped it.
    pub(super) fn halted(&self, tenant: &str, asked: &Asked) -> Option<String> {
        let waiting: Vec<SlotClass> =
            SlotClass::ALL.into_iter().filter(|class| asked.of(*class) > 0.0).collect();
        if waiting.is_empty() {
            return None;
        }
        if let Some(freeze) = &self.frozen {
            return Some(format!("the pool is frozen ({})", freeze.why));
        }
        paused(&self.pauses, tenant, &waiting).map(|pause| format!("paused: {}", pause.words()))
    }

    /// Every slot class in which something waits or runs.
    pub(super) async fn lanes(
        &self,
        store: &Store,
        tenant: &str,
        asked: &Asked,
    ) -> Result<Vec<Lane>, StoreError> {
        let lanes = SlotClass::ALL.map(async |class| {
            let waiting = asked.of(class);
            // What is not asked for and waits is of interest for the pace only.
            let lanes = store.waiting(class, tenant, asked.until).await?;
            let own = if asked.own { waiting } else { 0.0 };
            let weight = |tenant: &str| store.caps_of(tenant).weight;
            let first = if waiting > 0.0 {
                let rows = if asked.own { 0.0 } else { waiting };
                ahead(&lanes, (tenant, asked.priority), own, rows, weight)
            } else {
                lanes.iter().map(|(_, n)| *n as f64).sum()
            };
            let taken = self.taken(class);
            if waiting + first + asked.running(class) <= 0.0 && taken == 0 {
                return Ok(None);
            }
            let words = rounds::classes_of(class);
            let learned = try_join_all(words.iter().map(|word| store.times(word))).await?;
            let kind = |((_, word), jobs): (&(SlotClass, String), &f64)| {
                let place = words.iter().position(|other| other == word);
                let times = place.map(|place| learned[place].clone()).unwrap_or_default();
                Kind { jobs: *jobs, times }
            };
            let of_class = asked.kinds.iter().filter(|((of, _), _)| *of == class);
            Ok::<_, StoreError>(Some(Lane {
                class,
                limits: self.limits(class),
                taken,
                ahead: first,
                waiting: of_class.map(kind).collect(),
                running: asked.running(class),
                all: learned.iter().cloned().fold(Times::default(), Times::and),
            }))
        });
        Ok(try_join_all(lanes).await?.into_iter().flatten().collect())
    }

    fn taken(&self, class: SlotClass) -> u64 {
        let of_class = self.slots.iter().filter(|(slot, _)| slot.class == class);
        of_class.map(|(_, taken)| u64::try_from(*taken).unwrap_or(0)).sum()
    }

    /// How many ended in the time up to now that tells how many will; no longer than since `first`.
    pub(super) async fn seen(
        &self,
        store: &Store,
        facts: &Facts,
        first: Timestamp,
    ) -> Result<Seen, StoreError> {
        let set = self.lowered.iter().flat_map(|row| &row.set).map(|set| set.at).max();
        let back = look_back(facts, set.map(|at| self.now.since(at)));
        let from = (self.now - back).max(first);
        Ok(Seen { ends: store.ends_since(from).await?, over: self.now.since(from) })
    }

    /// The limits in force of a class, and those that are known to come.
    fn limits(&self, class: SlotClass) -> Vec<Limits> {
        let turns = self.turns().into_iter().take(TURNS_MAX);
        std::iter::once(self.now)
            .chain(turns)
            .map(|at| Limits { from: at.since(self.now), rooms: self.rooms(class, at) })
            .collect()
    }

    /// When limits change by themselves. What comes back step by step is taken to come in two.
    fn turns(&self) -> BTreeSet<Timestamp> {
        let set = self.lowered.iter().flat_map(|row| &row.set).filter_map(|set| set.until);
        let slowed = self.lowered.iter().flat_map(|row| &row.slowed).flat_map(|slowed| {
            let whole = slowed.ends();
            [self.now + whole.since(self.now) / 2, whole]
        });
        let stops = self.stops.iter().map(|stop| stop.until);
        set.chain(slowed).chain(stops).filter(|at| *at > self.now).collect()
    }

    fn rooms(&self, class: SlotClass, at: Timestamp) -> Vec<Room> {
        let mut rows = self.lowered.clone();
        rows.iter_mut()
            .for_each(|row| row.set.retain(|set| set.until.is_none_or(|until| until > at)));
        let stopped = |account: &str| self.stop(account, class).is_some_and(|stop| !ends(stop, at));
        let open = self.pool.accounts.iter().filter(|(name, _)| !stopped(name));
        open.map(|(name, settings)| {
            let force = Force { rows: &rows, account: name, settings, lookahead: 0, now: at };
            let view = force.class(class, 0, None);
            Room { slots: view.slots, creates_per_s: view.create_rpm / 60.0 }
        })
        .filter(|room| room.slots > 0)
        .collect()
    }

    /// The stop that is in the way of a class on an account now, the longest one.
    fn stop(&self, account: &str, class: SlotClass) -> Option<&StopRow> {
        let of = |stop: &&StopRow| {
            stop.account == account
                && stop.only.is_none_or(|only| only == class)
                && !ends(stop, self.now)
        };
        self.stops.iter().filter(of).max_by_key(|stop| stop.until)
    }

    /// Why no account takes jobs of a class.
    pub(super) fn no_room(&self, class: SlotClass) -> String {
        let names = self.pool.accounts.keys();
        match names.filter_map(|name| self.stop(name, class)).next() {
            Some(stop) => format!(
                "account {} buys nothing of {} ({}), and nobody knows until when",
                stop.account,
                class.word(),
                stop.code
            ),
            None => format!("no account runs tasks of {} by the limits in force", class.word()),
        }
    }
}

/// Whether a stop is over at an instant. One for rate or a full queue ends by its clock; one for a key or a bill ends when
/// somebody has put it right, and its clock is only that of the next try.
fn ends(stop: &StopRow, at: Timestamp) -> bool {
    let words = Class::ALL.into_iter().find(|class| class.word() == stop.class);
    stop.until <= at && (stop.in_row == 0 || words.is_none_or(Class::is_told_off))
}
