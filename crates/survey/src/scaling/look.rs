//! What of one pool the number of processes depends on, read at one moment.

use crate::limits::{AccountView, accounts};
use futures::future::try_join_all;
use job::rounds::{self, Times};
use job::{PoolSettings, StateWord};
use seedance::SlotClass;
use std::time::Duration;
use store::{Depth, Queue, Store, StoreError};

/// Tasks that one page of the list shows (`docs/provider.md` §3.1).
const PAGE_ROWS: f64 = 500.0;

/// One pool.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolFacts {
    /// Nothing is bought.
    pub frozen: bool,
    /// Each slot class.
    pub classes: Vec<ClassFacts>,
    /// Tasks that are looked at regularly, and jobs in doubt that are looked for.
    pub tasks: u64,
    /// How often each is looked at.
    pub look_every: Duration,
    /// Looks a second that the provider allows.
    pub looks_per_s_max: f64,
    /// Videos that wait for their copy or are being copied.
    pub downloads: u64,
    /// Until the first of their links dies.
    pub link_left: Option<Duration>,
    /// Endpoints with something to tell, those that rest after a failure too.
    pub endpoints: u64,
}

/// One slot class, over those accounts of the pool that are not stopped for it.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassFacts {
    /// Jobs that could be bought now or are being bought.
    pub backlog: u64,
    /// Accounts that are not stopped.
    pub open: u64,
    /// Tasks that may run at once, by the limits in force.
    pub slots: u64,
    /// Tasks that the accounts are fed beyond them.
    pub lookahead: u64,
    /// Slots taken.
    pub taken: u64,
    /// Creates a second, by the limits in force.
    pub creates_per_s: f64,
    /// How long a task runs on average, as learned; none while that is too little.
    pub generate: Option<Duration>,
}

/// Reads what the arithmetic rests on. `lookahead` and `look_every`: as configured.
///
/// # Errors
///
/// As every call of the store.
pub async fn pool_facts(
    store: &Store,
    settings: &PoolSettings,
    lookahead: u32,
    look_every: Duration,
) -> Result<PoolFacts, StoreError> {
    let accounts = accounts(store, settings, lookahead);
    let (accounts, depths, watch, counts, deadline) = tokio::try_join!(
        accounts,
        store.depths(),
        store.watch(),
        store.counts(),
        store.tightest_deadline()
    )?;
    let classes = try_join_all(SlotClass::ALL.map(async |class| {
        let mut facts = class_facts(class, &accounts, &depths);
        if facts.backlog + facts.taken > 0 {
            facts.generate = learned(store, class).await?;
        }
        Ok::<_, StoreError>(facts)
    }));
    let count = |word: StateWord| counts.get(&word).copied().unwrap_or(0);
    let calls = accounts.iter().flat_map(|account| &account.calls);
    let looks = calls.map(|call| match call.call {
        "list" => call.per_second * PAGE_ROWS,
        "retrieve" => call.per_second,
        _ => 0.0,
    });
    Ok(PoolFacts {
        frozen: watch.frozen.is_some(),
        classes: classes.await?,
        tasks: count(StateWord::Running) + count(StateWord::InDoubt),
        look_every,
        looks_per_s_max: looks.sum(),
        downloads: count(StateWord::Downloading),
        link_left: deadline.map(|(dies, now)| dies.since(now)),
        endpoints: depth(&depths, Queue::Notify).map_or(0, |of| of.waiting + of.leased),
    })
}

fn depth(depths: &[Depth], queue: Queue) -> Option<&Depth> {
    depths.iter().find(|depth| depth.queue == queue)
}

fn class_facts(class: SlotClass, accounts: &[AccountView], depths: &[Depth]) -> ClassFacts {
    let backlog = depth(depths, Queue::Submit(class)).map_or(0, |of| of.due + of.leased);
    let mut facts = ClassFacts {
        backlog,
        open: 0,
        slots: 0,
        lookahead: 0,
        taken: 0,
        creates_per_s: 0.0,
        generate: None,
    };
    for account in accounts.iter().filter(|account| account.stopped_until.is_none()) {
        let of_class = account.classes.iter().filter(|view| view.class == class.word());
        for view in of_class.filter(|view| view.stopped_until.is_none()) {
            facts.open += 1;
            facts.slots += u64::from(view.slots);
            facts.lookahead += u64::from(view.lookahead);
            facts.taken += view.slots_used;
            facts.creates_per_s += view.create_rpm / 60.0;
        }
    }
    facts
}

/// How long tasks of a class take on average.
async fn learned(store: &Store, class: SlotClass) -> Result<Option<Duration>, StoreError> {
    let words = rounds::classes_of(class);
    let times = try_join_all(words.iter().map(|word| store.times(word))).await?;
    Ok(times.into_iter().fold(Times::default(), Times::and).mean())
}
