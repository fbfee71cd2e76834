//! The poller: watches tasks at the provider, and settles creates whose outcome is unclear.
//!
//! Both steps read the provider and write nothing but events. They share the pool's permits: jobs in
//! doubt have the list to themselves, reads of single tasks go by the retrieve limit.
//!
//! Must not know: how a task is bought, where an output goes.
#![forbid(unsafe_code)]

mod context;
mod poll;
pub mod report;
mod scan;
mod settle;

use context::Context;
use job::StateWord;
use limiter::Limiter;
use provider::Client;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use worker::{Crew, CrewSettings, Fleet, Pool, Role};

/// The binary.
pub const ROLE: Role = Role { name: "poller", grace: Duration::from_secs(20) };

/// How often jobs in doubt are counted.
const COUNT_EVERY: Duration = Duration::from_secs(15);

/// What the poller itself reads of section `poll`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Settings {
    tries_per_turn: u32,
}

/// Works the poll and settle queues of every pool until a signal comes.
///
/// # Errors
///
/// In words, with the configuration key where one is at fault.
pub async fn run(fleet: Fleet) -> anyhow::Result<()> {
    let Settings { tries_per_turn } = fleet.section("poll")?;
    let (poll, settle): (CrewSettings, CrewSettings) =
        (fleet.section("poll")?, fleet.section("settle")?);
    let (limits, provider): (limiter::Settings, provider::Settings) =
        (fleet.section("limits")?, fleet.section("provider")?);
    let mut crews = Vec::new();
    for pool in fleet.pools() {
        let limiter = Limiter::new(pool.store.clone(), &pool.settings, &limits);
        let client = Arc::new(Client::open(&pool.name, &pool.settings, &provider)?);
        let context = Arc::new(Context::new(pool.store.clone(), limiter, client, tries_per_turn));
        let link_life = pool.policy.download.link_life;
        let watch = poll::PollStep { context: Arc::clone(&context), link_life };
        crews.push(Crew::new(pool, watch, poll));
        crews.push(Crew::new(pool, settle::SettleStep { context }, settle));
    }
    let doubts = tokio::spawn(count_doubts(fleet.pools().to_vec()));
    let worked = fleet.work(crews).await;
    doubts.abort();
    worked?;
    Ok(())
}

/// Keeps the gauge of jobs in doubt true, from Redis, whoever made them so.
async fn count_doubts(pools: Vec<Pool>) {
    let mut every = tokio::time::interval(COUNT_EVERY);
    loop {
        every.tick().await;
        for pool in &pools {
            // An outage is told by those who work; a gauge only misses a beat.
            let Ok(counts) = pool.store.counts().await else { continue };
            let doubts = counts.get(&StateWord::InDoubt).copied().unwrap_or(0);
            let route = pool.settings.route.word();
            telemetry::metrics().in_doubt.set(doubts as f64, [route]);
        }
    }
}
