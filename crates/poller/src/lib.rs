//! The poller: watches tasks at the provider, and settles creates whose outcome is unclear.
//!
//! Both steps read the provider and write nothing but events. They share the pool's permits: jobs in
//! doubt come first at the list, tasks that are due together are asked for with one page of it while it is
//! free, and reads of single tasks go by the retrieve limit.
//!
//! Must not know: how a task is bought, where an output goes.
#![forbid(unsafe_code)]

mod context;
mod leave;
mod line;
mod measure;
mod outlooks;
mod poll;
pub mod report;
mod settle;
mod stops;
mod sweeps;
mod told;
mod warden;

use assets::Intents;
use context::Context;
use job::StateWord;
use job::rounds::Patience;
use limiter::Limiter;
use provider::Client;
use reconcile::Ground;
use seedance::SlotClass;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use store::{CallRow, Lowered, StoreError};
use tokio::task::JoinSet;
use worker::{Crew, CrewSettings, Fleet, Pool, Role};

/// The binary.
pub const ROLE: Role = Role { name: "poller", grace: Duration::from_secs(20) };

/// How often jobs in doubt are counted.
const COUNT_EVERY: Duration = Duration::from_secs(15);

/// What the poller itself reads of section `poll`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Settings {
    tries_per_turn: u32,
    #[serde(with = "humantime_serde")]
    callback_grace: Duration,
    #[serde(with = "humantime_serde")]
    callback_silence: Duration,
}

impl Settings {
    /// How long callbacks may take, and be missing.
    fn patience(&self) -> Patience {
        Patience { grace: self.callback_grace, silence: self.callback_silence }
    }
}

/// Works the poll and settle queues of every pool until a signal comes.
///
/// # Errors
///
/// In words, with the configuration key where one is at fault.
pub async fn run(fleet: Fleet) -> anyhow::Result<()> {
    let settings: Settings = fleet.section("poll")?;
    let (poll, settle): (CrewSettings, CrewSettings) =
        (fleet.section("poll")?, fleet.section("settle")?);
    let leaves: leave::Settings = fleet.section("settle")?;
    let measures: measure::Settings = fleet.section("settle")?;
    let (limits, provider): (limiter::Settings, provider::Settings) =
        (fleet.section("limits")?, fleet.section("provider")?);
    let reconciling: reconcile::Settings = fleet.section("reconcile")?;
    let intents = Intents::open(&fleet.section("fence")?, &fleet.section("store")?)?;
    let mut crews = Vec::new();
    // Aborted when dropped, that is when the crews have ended.
    let mut chores = JoinSet::new();
    for pool in fleet.pools() {
        let limiter =
            Limiter::new(pool.store.clone(), &pool.settings, &limits, provider.under_way());
        let client = Arc::new(Client::open(&pool.name, &pool.settings, &provider)?);
        chores.spawn(provider::keep(client.keys(), fleet.rereads()));
        let context =
            Arc::new(Context::new(pool.store.clone(), limiter, client, settings.tries_per_turn));
        let ground = Arc::new(ground(pool, &context, intents.clone()));
        chores.spawn(warden::watch(Arc::clone(&ground), reconciling.clone()));
        chores.spawn(warden::sweep(ground, reconciling.clone()));
        chores.spawn(stops::watch(pool.store.clone()));
        let link_life = pool.policy.download.link_life;
        let echo = measure::Echo::new(pool.settings.route, pool.settings.simulated);
        let sweeps = sweeps::Sweeps::new(Arc::clone(&context));
        let outlooks = outlooks::Outlooks::default();
        let judge = told::Judge {
            context: Arc::clone(&context),
            told: outlooks.told.clone(),
            patience: settings.patience(),
            poll: pool.policy.poll.clone(),
            accounts: pool.settings.accounts.keys().cloned().collect(),
        };
        chores.spawn(judge.watch());
        let watch =
            poll::PollStep { context: Arc::clone(&context), link_life, echo, sweeps, outlooks };
        chores.spawn(measure::sample_lags(Arc::clone(&context), measures, pool.settings.route));
        crews.push(Crew::new(pool, watch, poll));
        let leave = leave::Leave {
            store: pool.store.clone(),
            settings: leaves.clone(),
            simulated: pool.settings.simulated,
        };
        crews.push(Crew::new(pool, settle::SettleStep { context, leave }, settle));
    }
    chores.spawn(keep_gauges(fleet.pools().to_vec()));
    fleet.work(crews).await?;
    Ok(())
}

/// The pool as the warden sees it.
fn ground(pool: &Pool, context: &Context, intents: Option<Intents>) -> Ground {
    Ground {
        store: context.store.clone(),
        limiter: context.limiter.clone(),
        client: Arc::clone(&context.client),
        scanners: Arc::clone(&context.scanners),
        settings: pool.settings.clone(),
        policy: Arc::clone(&pool.policy),
        intents,
    }
}

/// Keeps gauges true whose values stand in Redis, whoever made them so.
async fn keep_gauges(pools: Vec<Pool>) {
    let mut every = tokio::time::interval(COUNT_EVERY);
    loop {
        every.tick().await;
        for pool in &pools {
            for kept in [count_doubts(pool).await, rate_creates(pool).await] {
                // An outage is told by those who work; a gauge only misses a beat.
                if let Err(error) = kept {
                    tracing::debug!(pool = pool.name, %error, "a gauge is as it was");
                }
            }
        }
    }
}

/// Jobs in doubt.
async fn count_doubts(pool: &Pool) -> Result<(), StoreError> {
    let counts = pool.store.counts().await?;
    let doubts = counts.get(&StateWord::InDoubt).copied().unwrap_or(0);
    telemetry::metrics().in_doubt.set(doubts as f64, [pool.settings.route.word()]);
    Ok(())
}

/// The rates of creates in force.
async fn rate_creates(pool: &Pool) -> Result<(), StoreError> {
    let (now, accounts) = (pool.store.now().await?, &pool.settings.accounts);
    let rows = pool.store.lowered(accounts.keys()).await?;
    for class in SlotClass::ALL {
        let (mut calls, mut configured) = (0.0, 0.0);
        for (name, account) in accounts {
            let most = account.class_limits(class).create_rpm;
            let of = |row: &&Lowered| row.account == *name && row.row == CallRow::Create(class);
            let row = rows.iter().find(of);
            calls += row.map_or(f64::from(most), |row| row.calls(most, now));
            configured += f64::from(most);
        }
        let labels = [pool.name.as_str(), class.word()];
        telemetry::metrics().create_rate_ratio.set(calls / f64::max(configured, 1.0), labels);
    }
    Ok(())
}
