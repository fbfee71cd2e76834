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
use limiter::Limiter;
use provider::Client;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use worker::{Crew, CrewSettings, Fleet, Role};

/// The binary.
pub const ROLE: Role = Role { name: "poller", grace: Duration::from_secs(20) };

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
    fleet.work(crews).await?;
    Ok(())
}
