//! When a batch will have ended, or rows that nobody has taken in yet would: what the reckoning of [`job::eta`] rests on is
//! read here, and told in a sentence.

mod look;
mod words;

use job::eta::{self, Eta, Facts, WhyNot};
use job::{PoolSettings, Priority, Record, StateWord, Timestamp};
use look::{Asked, Seat};
use seedance::SlotClass;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;
use store::{Batch, Pause, PauseScope, Store, StoreError};
use utoipa::ToSchema;

/// Jobs of a batch that are looked at to tell which models it waits for.
const LOOKED_AT: usize = 200;
/// What a rate of ends is compared with where nothing is learned; it cancels out.
const ASSUMED: Duration = Duration::from_secs(142);

/// When it will have ended.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = Eta)]
pub struct EtaView {
    /// The whole in a sentence; begins with `no ETA yet` where it cannot be known, and says why.
    pub says: String,
    /// Seconds from now; null where it cannot be known.
    pub seconds: Option<EtaSeconds>,
    /// The same as instants.
    pub ends_at: Option<EtaInstants>,
    /// What decides: `concurrency` (tasks that run at once), `create_rate` (creates a minute), `fleet` (our own workers use
    /// less than the limits allow) or `running` (nothing waits to be bought).
    pub limited_by: Option<&'static str>,
    /// The class of models that ends last.
    pub class: Option<&'static str>,
    /// Jobs of others that are bought before the last of its own.
    pub jobs_ahead: Option<u64>,
    /// How long one of its tasks takes on average, in seconds.
    pub generation_s: Option<f64>,
    /// Whether that was learned from tasks that ended; else it is assumed.
    pub learned: Option<bool>,
}

/// A range of times from now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct EtaSeconds {
    /// Hardly less.
    pub least: u64,
    /// As likely less as more.
    pub middle: u64,
    /// Hardly more.
    pub most: u64,
}

/// A range of instants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct EtaInstants {
    /// Hardly before.
    #[schema(format = DateTime)]
    pub earliest: String,
    /// As likely before as after.
    #[schema(format = DateTime)]
    pub middle: String,
    /// Hardly after.
    #[schema(format = DateTime)]
    pub latest: String,
}

impl EtaView {
    fn of(eta: &Eta, now: Timestamp, beside: &str) -> Self {
        let at = |after: Duration| (now + after).rfc3339();
        Self {
            says: format!("{}{beside}", words::told(eta)),
            seconds: Some(EtaSeconds {
                least: eta.least.as_secs(),
                middle: eta.middle.as_secs(),
                most: eta.most.as_secs(),
            }),
            ends_at: Some(EtaInstants {
                earliest: at(eta.least),
                middle: at(eta.middle),
                latest: at(eta.most),
            }),
            limited_by: Some(eta.bound.word()),
            class: Some(eta.class.word()),
            jobs_ahead: Some(words::whole(eta.ahead)),
            generation_s: Some((eta.mean.as_secs_f64() * 10.0).round() / 10.0),
            learned: Some(eta.learned),
        }
    }

    fn unknown(why: &str) -> Self {
        Self {
            says: format!("no ETA yet: {why}"),
            seconds: None,
            ends_at: None,
            limited_by: None,
            class: None,
            jobs_ahead: None,
            generation_s: None,
            learned: None,
        }
    }
}

/// When a batch will have ended; none for one that has.
///
/// # Errors
///
/// As every call of the store.
pub async fn batch_eta(
    store: &Store,
    pool: &PoolSettings,
    batch: &Batch,
) -> Result<Option<EtaView>, StoreError> {
    let left = batch.jobs() - batch.finished();
    if left == 0 {
        return Ok(None);
    }
    let some = store.some_of_batch(&batch.tenant, &batch.name, LOOKED_AT).await?;
    let asked = of_batch(batch, &some.into_iter().map(|stored| stored.record).collect::<Vec<_>>());
    let of = |word: StateWord| batch.counts.get(&word).copied().unwrap_or(0);
    let people = of(StateWord::Held) + of(StateWord::Parked);
    let waits = asked.kinds.values().any(|waiting| *waiting > 0.0);
    if let Some(paused) = batch.paused.as_ref().filter(|_| waits || of(StateWord::Held) > 0) {
        let by = paused.by.as_str();
        return Ok(Some(EtaView::unknown(&format!(
            "the batch is paused by {by} ({})",
            paused.reason
        ))));
    }
    if people == left {
        let why = match batch.purse.held {
            0 => format!("{people} jobs wait for a person, and nothing else is open"),
            held => format!("{held} jobs are held for its budget, and nothing else goes on"),
        };
        return Ok(Some(EtaView::unknown(&why)));
    }
    let beside = match people {
        0 => String::new(),
        n => format!("; without {n} jobs that are held or wait for a person"),
    };
    let seat = Seat::take(store, pool).await?;
    if let Some(why) = seat.halted(&batch.tenant, &asked) {
        return Ok(Some(EtaView::unknown(&why)));
    }
    let lanes = seat.lanes(store, &batch.tenant, &asked).await?;
    let facts = Facts { lanes, seen: None, assumed: ASSUMED, may_assume: false };
    let seen = match batch.ended {
        Some((first, _)) => Some(seat.seen(store, &facts, first).await?),
        None => None,
    };
    Ok(Some(told(&seat, &Facts { seen, ..facts }, &beside)))
}

/// When rows would have ended that are taken in now, behind what waits already. `kinds`: how many there are of those whose
/// tasks have this in common ([`job::rounds::class_of`]). `assumed`: how long a task takes where nothing is learned.
///
/// # Errors
///
/// As every call of the store.
pub async fn rows_eta(
    store: &Store,
    pool: &PoolSettings,
    tenant: &str,
    kinds: &BTreeMap<(SlotClass, String), u64>,
    assumed: Duration,
) -> Result<EtaView, StoreError> {
    let kinds = kinds.iter().map(|(kind, n)| (kind.clone(), *n as f64)).collect();
    let asked = Asked {
        kinds,
        running: BTreeMap::new(),
        priority: Priority::Normal,
        until: None,
        own: false,
    };
    let seat = Seat::take(store, pool).await?;
    if let Some(why) = seat.halted(tenant, &asked) {
        return Ok(EtaView::unknown(&why));
    }
    let lanes = seat.lanes(store, tenant, &asked).await?;
    Ok(told(&seat, &Facts { lanes, seen: None, assumed, may_assume: true }, ""))
}

fn told(seat: &Seat<'_>, facts: &Facts, beside: &str) -> EtaView {
    match eta::reckon(facts) {
        Ok(eta) => EtaView::of(&eta, seat.now, beside),
        Err(WhyNot::NothingLeft) => EtaView::unknown("nothing waits to be bought"),
        Err(WhyNot::NothingLearned) => EtaView::unknown(
            "it is not learned yet how long its tasks take, and too few have ended to tell a rate",
        ),
        Err(WhyNot::NoRoom(class)) => EtaView::unknown(&seat.no_room(class)),
    }
}

/// What a batch waits for, judged by some of its jobs.
fn of_batch(batch: &Batch, some: &[Record]) -> Asked {
    let of =
        |words: &[StateWord]| words.iter().filter_map(|word| batch.counts.get(word)).sum::<u64>();
    const UNDER_WAY: [StateWord; 5] = [
        StateWord::Submitting,
        StateWord::InDoubt,
        StateWord::Running,
        StateWord::Overdue,
        StateWord::Downloading,
    ];
    let shares = |words: &[StateWord]| {
        let chosen: Vec<&Record> =
            some.iter().filter(|record| words.contains(&record.life.state.word())).collect();
        // Where none of them was met, the batch as a whole tells what they are like.
        let chosen = if chosen.is_empty() { some.iter().collect() } else { chosen };
        let each = of(words) as f64 / chosen.len().max(1) as f64;
        let mut shares: BTreeMap<(SlotClass, String), f64> = BTreeMap::new();
        for record in chosen.iter().filter(|_| each > 0.0) {
            let kind = (record.spec.request.slot_class(), job::rounds::class(record));
            *shares.entry(kind).or_default() += each;
        }
        shares
    };
    let mut running: BTreeMap<SlotClass, f64> = BTreeMap::new();
    for ((class, _), n) in shares(&UNDER_WAY) {
        *running.entry(class).or_default() += n;
    }
    Asked {
        kinds: shares(&[StateWord::Queued]),
        running,
        priority: some.iter().map(|record| record.spec.priority).max().unwrap_or_default(),
        until: some.iter().map(|record| record.created_at).max(),
        own: true,
    }
}

/// The pause that concerns one of a tenant's classes, if any; one of looks or copies lets jobs be bought.
fn paused<'a>(pauses: &'a [Pause], tenant: &str, classes: &[SlotClass]) -> Option<&'a Pause> {
    pauses.iter().find(|pause| match &pause.scope {
        PauseScope::Submit => true,
        PauseScope::Tenant(whose) => whose == tenant,
        PauseScope::Model(class) => classes.contains(class),
        PauseScope::Poll | PauseScope::Download => false,
    })
}

#[cfg(test)]
mod tests;
