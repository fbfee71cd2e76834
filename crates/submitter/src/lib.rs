//! The submitter: the only process that spends money.
//!
//! For each queued job: render the body, commit the intent with everything a look-up would need
//! (nonce, deadline, hash), send once with the last byte held back until the slot's instant and a check
//! of slot and deadline, and report what the answer proves. A ticket that finds its job in `submitting`
//! belongs to a worker that fell silent: that is doubt, and nothing is sent.
//!
//! Must not know: what happens after a task id is stored.
#![forbid(unsafe_code)]

mod accounts;
mod attempt;
mod departures;
mod fence;
mod greet;
mod lead;
mod notes;
mod pauses;
mod proof;
mod purses;
mod render;
mod send;
mod submit;
mod turnstile;

use accounts::Accounts;
use assets::Intents;
use lead::Lead;
use limiter::Limiter;

use provider::{CallbackSettings, Callbacks, Client};
use seedance::SlotClass;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use submit::{Shared, SubmitStep};
use worker::{Crew, CrewSettings, Fleet, Role};

/// The binary. The grace covers a create from its first byte to its last time-out.
pub const ROLE: Role = Role { name: "submitter", grace: Duration::from_secs(60) };

/// What the submitter itself reads of section `submit`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Settings {
    pub(crate) lookahead: u32,
    pub(crate) nonce_base_s: u32,
    pub(crate) nonce_spread_s: u32,
    pub(crate) identifier_suffix: bool,
    #[serde(with = "humantime_serde")]
    pub(crate) shutdown_grace: Duration,
}

/// Works the submit queues of every pool until a signal comes.
///
/// # Errors
///
/// In words, with the configuration key where one is at fault.
pub async fn run(fleet: Fleet) -> anyhow::Result<()> {
    let settings: Settings = fleet.section("submit")?;
    let fleet = fleet.with_grace(settings.shutdown_grace);
    let crew: CrewSettings = fleet.section("submit")?;
    let limits: limiter::Settings = fleet.section("limits")?;
    let provider: provider::Settings = fleet.section("provider")?;
    let callbacks: CallbackSettings = fleet.section("callbacks")?;
    let bucket: assets::Settings = fleet.section("store")?;
    let fence: assets::FenceSettings = fleet.section("fence")?;
    let (buckets, intents) = (worker::buckets(fleet.loaded())?, Intents::open(&fence, &bucket)?);
    let mut crews = Vec::new();
    for pool in fleet.pools() {
        let accounts =
            Accounts::new(&pool.settings, &limits, provider.under_way(), settings.lookahead);
        let client = Client::open(&pool.name, &pool.settings, &provider)?;
        tokio::spawn(provider::keep(client.keys(), fleet.rereads()));
        let callbacks = Callbacks::open(&callbacks, [&pool.settings])?;
        // At most half of an attempt's time: the instant lies up to a horizon behind the lead. And never more
        // than a row that Redis has lost is held for.
        let lead_max = limits.lead_max.min(pool.policy.submit.send_deadline / 2);
        let lead = Arc::new(Lead::new(fence.lead, lead_max, limits.use_within));
        // Late binding: no ticket is taken out of its lane before an account can begin it.
        let mut pool = pool.clone();
        pool.store = pool.store.with_rooms(accounts.rooms(&lead));
        let limiter =
            Limiter::new(pool.store.clone(), &pool.settings, &limits, provider.under_way());
        let limiter = limiter.for_creates(settings.lookahead);
        let shared = Arc::new(Shared {
            store: pool.store.clone(),
            policy: Arc::clone(&pool.policy),
            accounts,
            client,
            limiter: limiter.clone(),
            callbacks,
            buckets: buckets.clone(),
            intents: intents.clone(),
            lead,
            settings: settings.clone(),
        });
        let (store, policy) = (pool.store.clone(), Arc::clone(&pool.policy));
        tokio::spawn(pauses::tell(pool.store.clone(), fleet.drain().clone()));
        tokio::spawn(purses::serve(store, policy, fleet.drain().clone()));
        tokio::spawn(greet::greet(Arc::clone(&shared), limiter, pool.settings.clone()));
        for class in SlotClass::ALL {
            crews.push(Crew::new(&pool, SubmitStep::new(Arc::clone(&shared), class), crew));
        }
    }
    fleet.work(crews).await?;
    Ok(())
}
