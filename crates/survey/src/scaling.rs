//! How many processes of each role are of use now, and why.
//!
//! The answer is arithmetic on what was read at one moment, and remembers nothing: every gateway gives the same
//! one, and the same facts lead to the same one. What keeps it from wavering is what it rests on. While more
//! waits than the provider takes, the provider's limits alone decide, and these stand still; what is learned
//! of generation times is an average over hundreds of tasks; and a process more is asked for only when those
//! there would be over by [`EDGE`], so that a load that fills them exactly, as limits do, lies on no edge.
//! Whatever still moves is for the autoscaler's own window (`deploy/kubernetes/components/keda`).

mod look;
mod settings;
mod staff;
mod words;

pub use look::{ClassFacts, PoolFacts, pool_facts};
pub use settings::{ScalingSettings, Share};
pub use staff::{Heard, Staff, staff};

use serde::Serialize;
use std::time::Duration;

/// How much of one process those there may be over before another is of use.
const EDGE: f64 = 0.1;
/// A link that dies sooner than this wants a process above the minimum.
const LINK_SOON: Duration = Duration::from_secs(6 * 3_600);
/// The shortest time that copies are hurried to fit into.
const HURRY_MIN: Duration = Duration::from_secs(60);

/// What bounds the number of a role's processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// No work waits.
    NothingToDo,
    /// What waits would be done in time by so many.
    Work,
    /// The provider takes no more creates a minute.
    CreateRate,
    /// The provider runs no more tasks at once.
    Concurrency,
    /// The provider takes no more reads.
    ReadRate,
    /// A link dies soon.
    LinkDeadline,
    /// Every account that could take the jobs is stopped.
    Stopped,
    /// The pool is frozen: nothing is bought.
    Frozen,
    /// `scaling.<role>.max`.
    Maximum,
}

/// One role.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RoleView<T> {
    /// Processes of use.
    pub desired: u32,
    /// What decides.
    pub bound_by: Bound,
    /// The same in a sentence.
    pub reason: String,
    /// Processes that were heard of; they decide nothing.
    #[serde(flatten)]
    pub heard: Heard,
    /// What it was reckoned from.
    #[serde(flatten)]
    pub from: T,
}

/// Creates.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Creates {
    /// Jobs that could be bought now or are being bought.
    pub backlog: u64,
    /// Creates a second that are of use.
    pub creates_per_s: f64,
    /// Share of the slots that is free; 0 where there are none.
    pub headroom: f64,
}

/// Looks at running tasks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Looks {
    /// Tasks to look at.
    pub tasks: u64,
    /// Looks a second that they take.
    pub looks_per_s: f64,
}

/// Copies into the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Copies {
    /// About so many bytes wait.
    pub pending_bytes: u64,
    /// Bytes a second that are of use.
    pub bytes_per_s: f64,
    /// Until the first link dies, in seconds; none: nothing waits.
    pub min_ttl_s: Option<u64>,
}

/// Deliveries to customers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Deliveries {
    /// Endpoints with something to tell: each takes one delivery at a time.
    pub endpoints: u64,
}

/// Every role whose work can be reckoned. A gateway's cannot: its load is what callers send, and its processor's
/// time tells that better.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Wanted {
    /// Those that buy.
    pub submitter: RoleView<Creates>,
    /// Those that watch.
    pub poller: RoleView<Looks>,
    /// Those that copy.
    pub downloader: RoleView<Copies>,
    /// Those that tell.
    pub notifier: RoleView<Deliveries>,
}

impl Wanted {
    /// Role, processes, what decides and why, in the order of a job's way.
    #[must_use]
    pub fn roles(&self) -> [(&'static str, u32, Bound, &str); 4] {
        let Self { submitter, poller, downloader, notifier } = self;
        [
            ("submitter", submitter.desired, submitter.bound_by, submitter.reason.as_str()),
            ("poller", poller.desired, poller.bound_by, poller.reason.as_str()),
            ("downloader", downloader.desired, downloader.bound_by, downloader.reason.as_str()),
            ("notifier", notifier.desired, notifier.bound_by, notifier.reason.as_str()),
        ]
    }
}

/// How many of each role these pools together have use for, beside those that there are.
#[must_use]
pub fn wanted(pools: &[PoolFacts], settings: &ScalingSettings, staff: &Staff) -> Wanted {
    let mut wanted = Wanted {
        submitter: submitter(pools, settings),
        poller: poller(pools, settings),
        downloader: downloader(pools, settings),
        notifier: notifier(pools, settings),
    };
    wanted.submitter.heard = staff.heard("submitter");
    wanted.poller.heard = staff.heard("poller");
    wanted.downloader.heard = staff.heard("downloader");
    wanted.notifier.heard = staff.heard("notifier");
    wanted
}

fn submitter(pools: &[PoolFacts], settings: &ScalingSettings) -> RoleView<Creates> {
    let classes = || pools.iter().flat_map(|pool| pool.classes.iter().map(move |of| (pool, of)));
    let (mut of_use, mut most, mut decides) = (0.0, -1.0, Bound::NothingToDo);
    for (pool, class) in classes().filter(|(_, class)| class.backlog > 0) {
        let (rate, bound) = creates(pool.frozen, class, settings);
        of_use += rate;
        if rate > most {
            (most, decides) = (rate, bound);
        }
    }
    let sum = |of: fn(&ClassFacts) -> u64| classes().map(|(_, class)| of(class)).sum::<u64>();
    let (room, taken) = (sum(|class| class.slots + class.lookahead), sum(|class| class.taken));
    let from = Creates {
        backlog: sum(|class| class.backlog),
        creates_per_s: rounded(of_use),
        headroom: rounded(ratio(room.saturating_sub(taken), room)),
    };
    let share = settings.submitter.share();
    let (desired, bound_by) = replicas(of_use, settings.submitter.creates_per_s, share, decides);
    let reason = words::submitter(bound_by, &from, share);
    RoleView { desired, bound_by, reason, heard: Heard::default(), from }
}

/// Creates of a class a second that are of use, and what bounds them.
fn creates(frozen: bool, class: &ClassFacts, settings: &ScalingSettings) -> (f64, Bound) {
    if frozen {
        return (0.0, Bound::Frozen);
    }
    if class.open == 0 {
        return (0.0, Bound::Stopped);
    }
    let free = (class.slots + class.lookahead).saturating_sub(class.taken);
    let generate = class.generate.unwrap_or(settings.generate);
    // Slots that come free by themselves, or those that are free now within a while: whichever is more, so that
    // a fleet that begins fills its accounts, and one that is full does not shrink for it.
    let by_slots = per_second(class.slots, generate).max(per_second(free, settings.fill_within));
    let bounds = [
        (class.creates_per_s, Bound::CreateRate),
        (by_slots, Bound::Concurrency),
        (per_second(class.backlog, settings.drain_within), Bound::Work),
    ];
    let least = bounds.into_iter().min_by(|(a, _), (b, _)| a.total_cmp(b));
    least.unwrap_or((0.0, Bound::NothingToDo))
}

fn poller(pools: &[PoolFacts], settings: &ScalingSettings) -> RoleView<Looks> {
    let (mut looks, mut bound) = (0.0, Bound::NothingToDo);
    for pool in pools.iter().filter(|pool| pool.tasks > 0) {
        let wanted = per_second(pool.tasks, pool.look_every);
        looks += wanted.min(pool.looks_per_s_max);
        let decides = if wanted > pool.looks_per_s_max { Bound::ReadRate } else { Bound::Work };
        bound = if bound == Bound::ReadRate { bound } else { decides };
    }
    let from =
        Looks { tasks: pools.iter().map(|pool| pool.tasks).sum(), looks_per_s: rounded(looks) };
    let share = settings.poller.share();
    let (desired, bound_by) = replicas(looks, settings.poller.looks_per_s, share, bound);
    let reason = words::poller(bound_by, &from, share);
    RoleView { desired, bound_by, reason, heard: Heard::default(), from }
}

fn downloader(pools: &[PoolFacts], settings: &ScalingSettings) -> RoleView<Copies> {
    let waiting: u64 = pools.iter().map(|pool| pool.downloads).sum();
    let pending_bytes = waiting.saturating_mul(settings.output_bytes);
    let ttl = pools.iter().filter_map(|pool| pool.link_left).min();
    // Copies end long before their links do: with half of the shortest life to spare.
    let hurry = ttl.map_or(settings.drain_within, |ttl| ttl / 2);
    let within = settings.drain_within.min(hurry).max(HURRY_MIN);
    let ends: f64 = pools.iter().flat_map(|pool| &pool.classes).map(|of| ends(of, settings)).sum();
    let of_use = ends * settings.output_bytes as f64 + per_second(pending_bytes, within);
    let idle = of_use <= 0.0;
    let share = settings.downloader.share();
    let decides = if idle { Bound::NothingToDo } else { Bound::Work };
    let each = settings.downloader.bytes_per_s;
    let (mut desired, mut bound_by) = replicas(of_use, each, share, decides);
    if ttl.is_some_and(|ttl| ttl < LINK_SOON) && desired <= share.min && share.min < share.max {
        (desired, bound_by) = (share.min + 1, Bound::LinkDeadline);
    }
    let from = Copies {
        pending_bytes,
        bytes_per_s: of_use.round(),
        min_ttl_s: ttl.map(|ttl| ttl.as_secs()),
    };
    let reason = words::downloader(bound_by, &from, share);
    RoleView { desired, bound_by, reason, heard: Heard::default(), from }
}

/// Tasks of a class that end in a second: those that run, each in its time. What is fed ahead does not run.
fn ends(class: &ClassFacts, settings: &ScalingSettings) -> f64 {
    let running = class.taken.min(class.slots);
    per_second(running, class.generate.unwrap_or(settings.generate))
}

fn notifier(pools: &[PoolFacts], settings: &ScalingSettings) -> RoleView<Deliveries> {
    let endpoints = pools.iter().map(|pool| pool.endpoints).sum();
    let share = settings.notifier.share();
    let decides = if endpoints == 0 { Bound::NothingToDo } else { Bound::Work };
    let each = settings.notifier.endpoints;
    let (desired, bound_by) = replicas(endpoints as f64, each, share, decides);
    let from = Deliveries { endpoints };
    let reason = words::notifier(bound_by, &from, share);
    RoleView { desired, bound_by, reason, heard: Heard::default(), from }
}

/// Processes for so much work, each doing `each` of it.
fn replicas(work: f64, each: u64, share: Share, decides: Bound) -> (u32, Bound) {
    let wanted = (work / each.max(1) as f64 - EDGE).ceil().max(0.0);
    if wanted > f64::from(share.max) {
        return (share.max, Bound::Maximum);
    }
    // A whole number from 0 to the maximum by now.
    ((wanted as u32).max(share.min), decides)
}

fn per_second(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64().max(0.001)
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn rounded(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

#[cfg(test)]
mod tests;
