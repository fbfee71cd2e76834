//! The notifier: tells customers' webhooks what became of their jobs.
//!
//! Two kinds of work. One notifier at a time, by a lock, *shares out*: it reads the pool's stream of events
//! and puts each into the outbox of every endpoint that wants it, a group per script. All of them *deliver*:
//! an endpoint with a filled outbox has a ticket, which is claimed with a lease and a fence like any other;
//! its oldest entry is sent, signed, and leaves when it was taken. So one endpoint's events go out in order
//! and one at a time, and no endpoint waits for another.
//!
//! Told at least once: a notifier that dies between a delivery and its record leaves an entry that is sent
//! again, under the same `webhook-id`.
//!
//! Must not know: the provider, the bucket, how a state comes about.
#![forbid(unsafe_code)]

mod body;
mod deliver;
mod origins;
mod schedule;
mod share;
mod sign;

pub use sign::{SecretFault, sign};

use deliver::Desk;
use egress::{BuildError, FetchTimeouts, GuardedClient, Rules, Trust};
use schedule::Schedule;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use worker::{Fleet, Pool, Role};

/// The binary.
pub const ROLE: Role = Role { name: "notifier", grace: Duration::from_secs(20) };

/// Section `webhooks`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Settings {
    #[serde(with = "humantime_serde")]
    timeout: Duration,
    schedule: Vec<String>,
    allow_origins: Vec<String>,
    concurrency: usize,
    origin_concurrency: usize,
}

/// What the notifier asks of section `gateway`: how the links it sends begin.
#[derive(Debug, Deserialize)]
struct Links {
    #[serde(default)]
    public_url: String,
}

/// Shares out and delivers in every pool until a signal comes, then ends what it has begun to send.
///
/// # Errors
///
/// In words, with the configuration key where one is at fault.
pub async fn run(fleet: Fleet) -> anyhow::Result<()> {
    let settings: Settings = fleet.section("webhooks")?;
    let Links { public_url } = fleet.section("gateway")?;
    let client = client(&settings, fleet.pools())?;
    let schedule = Schedule::parse(&settings.schedule)
        .map_err(|why| anyhow::anyhow!("webhooks.schedule: {why}"))?;
    let desk = Arc::new(Desk::new(client, &settings, schedule, public_url));
    let mut work = JoinSet::new();
    for pool in fleet.pools() {
        let drain = fleet.drain();
        work.spawn(share::run(pool.store.clone(), drain.clone()));
        work.spawn(deliver::run(pool.store.clone(), Arc::clone(&desk), drain.clone()));
    }
    fleet.health().set_ready();
    fleet.drain().wait().await;
    fleet.set_draining();
    let ended = async { while work.join_next().await.is_some() {} };
    if tokio::time::timeout(ROLE.grace, ended).await.is_err() {
        tracing::warn!(
            "deliveries still ran when the grace was over; their endpoints' leases run out"
        );
    }
    Ok(())
}

fn client(settings: &Settings, pools: &[Pool]) -> anyhow::Result<GuardedClient> {
    let rules = Rules::for_webhooks(&settings.allow_origins)
        .map_err(|error| anyhow::anyhow!("webhooks.allow_origins: {error}"))?;
    let timeouts = FetchTimeouts { connect: settings.timeout, idle: settings.timeout };
    match GuardedClient::new(rules.clone(), timeouts, Trust::System) {
        Err(BuildError::NoCaCertificates) if pools.iter().all(|pool| pool.settings.simulated) => {
            tracing::warn!(
                "no CA certificates on this machine: only http:// webhooks of webhooks.allow_origins can be told"
            );
            Ok(GuardedClient::new(rules, timeouts, Trust::Nobody)?)
        }
        built => Ok(built?),
    }
}
