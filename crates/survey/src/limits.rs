//! Limits and their use, and the one of them that holds the fleet up.

use crate::budget::{BudgetView, budget_sentence};
use crate::force::{CallView, ClassView, Force};
use crate::pauses::{QueuePauseView, concerning, pauses_sentence};
use crate::quota::{QuotaView, quota};
use job::{PoolSettings, Slot, StateWord};
use seedance::SlotClass;
use serde::Serialize;
use std::collections::BTreeMap;
use store::{Depth, Freeze, HoldRow, Pause, PauseScope, Purse, StopRow, Store, StoreError};
use utoipa::ToSchema;

/// The limits of one pool, and what of them is used.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = Limits)]
pub struct LimitsView {
    /// The pool.
    pub pool: String,
    /// It talks to a simulator: nothing is billed.
    pub simulated: bool,
    /// What limits now, in one sentence.
    pub limited_by: String,
    /// Jobs by state.
    pub counts: BTreeMap<&'static str, u64>,
    /// What the pool may buy, and what it bought; for tenants, none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetView>,
    /// What people paused.
    pub pauses: Vec<QueuePauseView>,
    /// The accounts.
    pub accounts: Vec<AccountView>,
    /// The caps of the tenant that asks, and its use of them; for operators, none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub yours: Option<QuotaView>,
}

/// One account.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = AccountLimits)]
pub struct AccountView {
    /// Its name.
    pub account: String,
    /// Until when it creates nothing; none while it creates.
    pub stopped_until: Option<String>,
    /// The code that stopped it.
    pub stopped_by: Option<String>,
    /// Calls other than creates that it does not make for a while, because the provider asked for a
    /// pause. Each ends by itself.
    pub held: Vec<HeldView>,
    /// Its limits by slot class.
    pub classes: Vec<ClassView>,
    /// Its other calls.
    pub calls: Vec<CallView>,
}

impl AccountView {
    /// What is lower than configured, each in a sentence.
    #[must_use]
    pub fn lowered(&self) -> Vec<String> {
        let of_classes = self.classes.iter().flat_map(|class| {
            let of = format!("{} {}", self.account, class.class);
            let set: Vec<_> = class.set.iter().map(|set| set.told(&of)).collect();
            let slowed: Vec<_> = class.slowed.iter().map(|slowed| slowed.told(&of)).collect();
            set.into_iter().chain(slowed)
        });
        let of_calls = self.calls.iter().flat_map(|call| &call.set);
        of_classes.chain(of_calls.map(|set| set.told(&self.account))).collect()
    }
}

/// A kind of call that rests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = HeldCall)]
pub struct HeldView {
    /// `retrieve`, `list` or `delete`.
    pub call: &'static str,
    /// None before this.
    pub until: String,
    /// The code of the answer that asked for it.
    pub code: String,
}

/// What is known of a pool at one moment.
struct Scene {
    accounts: Vec<AccountView>,
    depths: Vec<Depth>,
    freeze: Option<Freeze>,
    counts: BTreeMap<StateWord, u64>,
    /// Which cap of spending holds jobs, in a sentence.
    budget: Option<String>,
    /// What people paused that concerns whoever asks.
    pauses: Vec<Pause>,
}

/// The accounts of a pool: their limits in force, what is taken of them, what is stopped or rests.
/// `lookahead`: as configured.
///
/// # Errors
///
/// As every call of the store.
pub async fn accounts(
    store: &Store,
    settings: &PoolSettings,
    lookahead: u32,
) -> Result<Vec<AccountView>, StoreError> {
    let names = || settings.accounts.keys();
    let (slots, stops, holds, rows) = tokio::try_join!(
        store.slots(),
        store.stops(),
        store.holds(names()),
        store.lowered(names())
    )?;
    let now = store.now().await?;
    let account = |(name, account): (&String, &job::AccountSettings)| {
        let stopped = |only: Option<SlotClass>| -> Option<&StopRow> {
            let of = |stop: &&StopRow| stop.account == *name && stop.only == only;
            stops.iter().filter(of).find(|stop| stop.until > now)
        };
        let stop = stopped(None);
        let force = Force { rows: &rows, account: name, settings: account, lookahead, now };
        let class = |class: SlotClass| {
            let used = slots.get(&Slot { account: name.clone(), class }).copied().unwrap_or(0);
            force.class(class, u64::try_from(used).unwrap_or(0), stopped(Some(class)))
        };
        AccountView {
            account: name.clone(),
            stopped_until: stop.map(|stop| stop.until.rfc3339()),
            stopped_by: stop.map(|stop| stop.code.clone()),
            held: holds.iter().filter(|hold| hold.account == *name).map(held).collect(),
            classes: SlotClass::ALL.into_iter().map(class).collect(),
            calls: force.calls(),
        }
    };
    Ok(settings.accounts.iter().map(account).collect())
}

/// Limits and use of a pool; for a tenant, its own counts beside them. `lookahead`: as configured.
///
/// # Errors
///
/// As every call of the store.
pub async fn limits(
    store: &Store,
    settings: &PoolSettings,
    lookahead: u32,
    tenant: Option<&str>,
) -> Result<LimitsView, StoreError> {
    let accounts = accounts(store, settings, lookahead);
    let (accounts, depths, watch, purses, holding, pauses) = tokio::try_join!(
        accounts,
        store.depths(),
        store.watch(),
        store.purses(&[Purse::Pool]),
        store.purses_that_hold(),
        store.pauses()
    )?;
    let (counts, yours) = match tenant {
        Some(tenant) => {
            let counts = store.tenant_counts(tenant).await?;
            let yours = quota(store, settings.route, tenant, &counts).await?;
            (counts, Some(yours))
        }
        None => (store.counts().await?, None),
    };
    let budget = budget_sentence(&holding, settings.route, tenant);
    let pauses = concerning(pauses, tenant);
    let scene = Scene { accounts, depths, freeze: watch.frozen, counts, budget, pauses };
    Ok(LimitsView {
        pool: store.pool().to_owned(),
        simulated: settings.simulated,
        limited_by: sentence(&scene),
        pauses: scene.pauses.iter().map(QueuePauseView::from).collect(),
        counts: scene.counts.iter().map(|(word, n)| (word.as_str(), *n)).collect(),
        budget: purses.first().filter(|_| tenant.is_none()).map(BudgetView::from),
        accounts: scene.accounts,
        yours,
    })
}

fn held(row: &HoldRow) -> HeldView {
    HeldView { call: row.call.word(), until: row.until.rfc3339(), code: row.code.clone() }
}

/// What holds the pool up; a pause is told whatever else does.
fn sentence(scene: &Scene) -> String {
    let all = |pause: &&Pause| pause.scope == PauseScope::Submit;
    if let (None, Some(pause)) = (&scene.freeze, scene.pauses.iter().find(all)) {
        return format!("Nothing is bought: paused {}.", pause.words());
    }
    let limit = limit(scene);
    pauses_sentence(&scene.pauses).map_or(limit.clone(), |paused| format!("{limit} {paused}"))
}

/// From the strongest reason to the weakest.
fn limit(scene: &Scene) -> String {
    if let Some(freeze) = &scene.freeze {
        return format!("Nothing is bought: the pool is frozen ({}).", freeze.why);
    }
    let submit = scene.depths.iter().filter(|depth| depth.queue.class().is_some());
    let (waiting, due, leased) = submit.fold((0, 0, 0), |(waiting, due, leased), depth| {
        (waiting + depth.waiting, due + depth.due, leased + depth.leased)
    });
    let held = scene.counts.get(&StateWord::Held).copied().unwrap_or(0);
    if waiting + leased == 0 {
        if let Some(budget) = &scene.budget {
            return budget.clone();
        }
        return match held {
            0 => "Nothing limits: no job waits to be bought.".to_owned(),
            n => format!("{n} held jobs wait for a person; nothing else waits to be bought."),
        };
    }
    let stopped: Vec<&AccountView> =
        scene.accounts.iter().filter(|account| account.stopped_until.is_some()).collect();
    if let (Some(first), true) = (stopped.first(), stopped.len() == scene.accounts.len()) {
        let until = first.stopped_until.as_deref().unwrap_or_default();
        let code = first.stopped_by.as_deref().unwrap_or_default();
        return format!("Account {} buys nothing until {until}: {code}.", first.account);
    }
    for depth in scene.depths.iter().filter(|depth| depth.waiting > 0) {
        let Some(class) = depth.queue.class() else { continue };
        let of_class = scene.accounts.iter().flat_map(|account| &account.classes);
        let of_class = of_class.filter(|view| view.class == class.word());
        let open = of_class.clone().filter(|view| view.stopped_until.is_none()).count();
        if let (0, Some(view)) = (open, of_class.clone().next()) {
            let until = view.stopped_until.as_deref().unwrap_or_default();
            let code = view.stopped_by.as_deref().unwrap_or_default();
            return format!("Nothing of {} is bought until {until}: {code}.", view.class);
        }
        let (slots, configured, used) = of_class.fold((0, 0, 0), |(slots, most, used), view| {
            let configured = most + u64::from(view.configured.slots);
            (slots + u64::from(view.slots), configured, used + view.slots_used)
        });
        let class = class.word();
        if used >= configured {
            return format!(
                "The provider's concurrency limits: {used} of {slots} slots of {class} are taken."
            );
        }
        if used >= slots {
            return format!(
                "A limit that a person has set: {used} of {slots} slots of {class} are taken, and {configured} are configured."
            );
        }
    }
    let slowed = scene.accounts.iter().flat_map(|account| &account.classes);
    let slowed = slowed.flat_map(|class| &class.slowed).any(|slowed| slowed.away.is_none());
    match (due, leased) {
        (0, 0) => format!("{waiting} jobs wait for the end of a pause after a refusal."),
        (_, 0) => format!("No submitter is at work: {due} jobs are due."),
        (_, _) if slowed => {
            "The rate of creates limits, lowered after refusals: slots are free, and jobs wait for \
                             their instant."
                .to_owned()
        }
        (_, _) => "The rate of creates limits: slots are free, and jobs wait for their instant."
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::force::ConfiguredView;
    use store::{FreezeKind, Queue};

    fn scene(used: u64, due: u64, leased: u64) -> Scene {
        let class = ClassView {
            class: "2.0",
            slots: 3,
            slots_used: used,
            lookahead: 2,
            create_rpm: 60.0,
            stopped_until: None,
            stopped_by: None,
            configured: ConfiguredView { slots: 3, lookahead: 2, create_rpm: 60 },
            set: Vec::new(),
            slowed: Vec::new(),
        };
        let account = AccountView {
            account: "a".into(),
            stopped_until: None,
            stopped_by: None,
            held: Vec::new(),
            classes: vec![class],
            calls: Vec::new(),
        };
        let depth = Depth { queue: Queue::Submit(SlotClass::V20), waiting: due, due, leased };
        let (accounts, depths) = (vec![account], vec![depth]);
        Scene {
            accounts,
            depths,
            freeze: None,
            counts: BTreeMap::new(),
            budget: None,
            pauses: Vec::new(),
        }
    }

    #[test]
    fn one_sentence_says_what_limits() {
        let says = |scene: &Scene, words: &str| {
            let said = sentence(scene);
            assert!(said.contains(words), "{said}");
        };
        says(&scene(0, 0, 0), "Nothing limits");
        says(&scene(3, 5, 1), "3 of 3 slots of 2.0");
        says(&scene(1, 5, 0), "No submitter is at work");
        says(&scene(1, 5, 2), "rate of creates");
        let mut lowered = scene(1, 5, 2);
        lowered.accounts[0].classes[0].slots = 1;
        says(&lowered, "1 of 1 slots of 2.0 are taken, and 3 are configured");
        let mut held = scene(0, 0, 0);
        held.counts.insert(StateWord::Held, 4);
        says(&held, "4 held jobs");
        held.budget = Some("Budget: 4 jobs are held.".into());
        says(&held, "Budget: 4 jobs");
        let pause = |scope| Pause {
            scope,
            by: job::By::named("ann"),
            reason: "a look".into(),
            at: job::Timestamp::default(),
            until: None,
        };
        held.pauses = vec![pause(PauseScope::Poll)];
        says(&held, "Budget: 4 jobs are held. Paused: polls by ann until it is resumed (a look).");
        held.pauses = vec![pause(PauseScope::Submit)];
        says(&held, "Nothing is bought: paused all creates by ann");
        let mut stopped = scene(1, 5, 0);
        stopped.accounts[0].stopped_until = Some("2026-11-26T00:00:00Z".into());
        stopped.accounts[0].stopped_by = Some("AccountOverdue".into());
        says(&stopped, "AccountOverdue");
        stopped.freeze = Some(Freeze {
            since: job::Timestamp::default(),
            kind: FreezeKind::Asked,
            why: "maintenance".into(),
            by: "ann".into(),
            seen: 0,
        });
        says(&stopped, "frozen (maintenance)");
    }
}
