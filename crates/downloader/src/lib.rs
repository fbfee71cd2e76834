//! The downloader: copies finished videos into the bucket before their links die.
//!
//! [`bring`] is one turn of the step for a job whose output is due: it looks for what an earlier
//! turn left behind, copies what is missing, and publishes last. [`file_payload`] files a task that
//! left no video. Neither writes a job's state: the turn ends in a value, and the machine decides.
//!
//! Must not know: how a bucket stores bytes, how an address is vetted, the error table.

#![forbid(unsafe_code)]

mod bring;
mod copy;
mod filing;
mod step;

pub use bring::{Brought, Errand, bring};
pub use copy::{At, Copied, CopyError, Moment, Order, copy_video, read_small};
pub use filing::{
    expected_duration_s, facts, file_payload, filed_without_video, findings, folder, manifest,
};

use assets::{Buckets, FenceSettings, Intents};
use egress::{FetchTimeouts, GuardedClient, Rules, Trust, Url};
use erasure::Eraser;
use limiter::Limiter;
use provider::Client;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use step::DownloadStep;
use worker::{Crew, CrewSettings, Fleet, Pool, Role};

/// The binary.
pub const ROLE: Role = Role { name: "downloader", grace: Duration::from_secs(120) };

/// How often the tightest deadline is looked up.
const WATCH_EVERY: Duration = Duration::from_secs(5);

/// What the downloader itself reads of section `download`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Settings {
    #[serde(with = "humantime_serde")]
    idle_timeout: Duration,
}

/// Works the download queue of every pool until a signal comes.
///
/// # Errors
///
/// In words, with the configuration key where one is at fault.
pub async fn run(fleet: Fleet) -> anyhow::Result<()> {
    let crew: CrewSettings = fleet.section("download")?;
    let Settings { idle_timeout } = fleet.section("download")?;
    let limits: limiter::Settings = fleet.section("limits")?;
    let provider: provider::Settings = fleet.section("provider")?;
    let egress: egress::Settings = fleet.section("egress")?;
    let buckets = worker::buckets(fleet.loaded())?;
    for (tenant, bucket) in buckets.iter() {
        if let Err(error) = bucket.check().await {
            // Jobs wait for the bucket; none fails. The sentence says what to mend.
            tracing::error!(%error, key = assets::url_key(tenant), "the bucket cannot be used");
        }
    }
    let mut crews = Vec::new();
    for pool in fleet.pools() {
        let rules = Rules::for_outputs(&egress, &pool.settings.output_origins)?;
        let timeouts = FetchTimeouts { connect: provider.connect_timeout, idle: idle_timeout };
        let trust = Url::parse(pool.settings.base_url())
            .map_or(Trust::System, |base| Trust::for_url(&base));
        let client = Arc::new(Client::open(&pool.name, &pool.settings, &provider)?);
        tokio::spawn(provider::keep(client.keys(), fleet.rereads()));
        let step = DownloadStep {
            pool: pool.name.clone(),
            fetch: GuardedClient::new(rules, timeouts, trust)?,
            client,
            limiter: Limiter::new(
                pool.store.clone(),
                &pool.settings,
                &limits,
                provider.under_way(),
            ),
            buckets: buckets.clone(),
            policy: Arc::clone(&pool.policy),
        };
        crews.push(Crew::new(pool, step, crew));
    }
    tokio::spawn(erasure::keep(
        erasers(&fleet, &buckets)?,
        erasure::Settings::from_loaded(fleet.loaded())?,
        worker::fault::archiving,
    ));
    let watch = tokio::spawn(watch_deadlines(fleet.pools().to_vec()));
    let worked = fleet.work(crews).await;
    watch.abort();
    worked?;
    Ok(())
}

/// Whoever brings files also takes them away: wishes that nobody else works off, and what is old.
fn erasers(fleet: &Fleet, buckets: &Buckets) -> anyhow::Result<Vec<Eraser>> {
    let store: assets::Settings = fleet.section("store")?;
    let intents = Intents::open(&fleet.section::<FenceSettings>("fence")?, &store)?;
    let eraser = |pool: &Pool| {
        let policy = (*pool.policy).clone();
        Eraser::new(pool.store.clone(), buckets.clone(), intents.clone(), policy)
    };
    Ok(fleet.pools().iter().map(eraser).collect())
}

/// Keeps the alarm true that tells how long the tightest output can still wait, whoever brings it.
async fn watch_deadlines(pools: Vec<Pool>) {
    let mut every = tokio::time::interval(WATCH_EVERY);
    loop {
        every.tick().await;
        for pool in &pools {
            // An outage is told by those who work; a gauge only misses a beat.
            let Ok(tightest) = pool.store.tightest_deadline().await else { continue };
            let left_s = tightest.map_or(f64::INFINITY, |(deadline, now)| {
                (deadline.unix_ms() - now.unix_ms()) as f64 / 1_000.0
            });
            telemetry::metrics().download_tightest_deadline.set(left_s, [&pool.name]);
        }
    }
}
