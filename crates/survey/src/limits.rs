//! Limits and their use, and the one of them that holds the fleet up.

use crate::budget::{BudgetView, budget_sentence};
use crate::cause::{self, CauseView, LimitsSettings, Scene};
use crate::force::{CallView, ClassView, Force};
use crate::pauses::{QueuePauseView, concerning};
use crate::quota::{QuotaView, quota};
use job::{PoolSettings, Slot};
use seedance::SlotClass;
use serde::Serialize;
use std::collections::BTreeMap;
use store::{HoldRow, Purse, StopRow, Store, StoreError};
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
    /// All that limits now, the strongest first, each with what to do; for tenants, none.
    pub causes: Vec<CauseView>,
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
    Ok(accounts_and_stops(store, settings, lookahead).await?.0)
}

/// The accounts, and the stops that they were drawn from.
async fn accounts_and_stops(
    store: &Store,
    settings: &PoolSettings,
    lookahead: u32,
) -> Result<(Vec<AccountView>, Vec<StopRow>), StoreError> {
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
    let accounts = settings.accounts.iter().map(account).collect();
    Ok((accounts, stops))
}

/// Limits and use of a pool, and what limits it; for a tenant, its own counts beside them.
///
/// # Errors
///
/// As every call of the store.
pub async fn limits(
    store: &Store,
    pool: &PoolSettings,
    settings: &LimitsSettings,
    tenant: Option<&str>,
) -> Result<LimitsView, StoreError> {
    let accounts = accounts_and_stops(store, pool, settings.lookahead);
    let ((accounts, stops), depths, watch, purses, holding, pauses, others, now) = tokio::try_join!(
        accounts,
        store.depths(),
        store.watch(),
        store.purses(&[Purse::Pool]),
        store.purses_that_hold(),
        store.pauses(),
        cause::others(store, pool, settings, tenant),
        store.now()
    )?;
    let (counts, yours) = match tenant {
        Some(tenant) => {
            let counts = store.tenant_counts(tenant).await?;
            let yours = quota(store, pool.route, tenant, &counts).await?;
            (counts, Some(yours))
        }
        None => (store.counts().await?, None),
    };
    let budget = budget_sentence(&holding, pool.route, tenant);
    let unlent = cause::unlent(store, &accounts, &depths, &pauses).await?;
    let pauses = concerning(pauses, tenant);
    let scene = Scene {
        now,
        accounts,
        stops,
        depths,
        unlent,
        freeze: watch.frozen,
        counts,
        budget,
        pauses,
        others,
    };
    let causes = cause::causes(&scene);
    Ok(LimitsView {
        pool: store.pool().to_owned(),
        simulated: pool.simulated,
        limited_by: cause::sentence(&scene, &causes),
        causes: if tenant.is_none() { causes } else { Vec::new() },
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
