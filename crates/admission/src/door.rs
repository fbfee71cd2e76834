//! From judged documents to jobs: media into the bucket, then records into the store, in batches.

use crate::adopt::Sites;
use crate::check::{Judge, Sound};
use crate::codes;
use crate::hook::secret_fault;
use crate::intake::{Admitted, How, Intake};
use crate::settings::Stops;
use crate::trace;
use crate::{Checked, Money, Refusal, Settings};
use assets::Buckets;
use futures::{StreamExt, stream};
use job::{JobId, PoolSettings, Source, StateWord, Timestamp};
use seedance::{Cost, Fault, InlineMedia, PriceTable, Warning};
use std::collections::HashMap;
use std::sync::Arc;
use store::{ADMIT_MAX, NewJob, Pulse, Store, StoreError};
use telemetry::metrics;

/// Rows of requests judged and copied to the bucket at once. Each holds the decoded media of one request at most, so
/// this bounds memory as well.
const PREPARE_AT_ONCE: usize = 8;

/// The door of one pool. Cheap to clone; as many processes as like may have one.
#[derive(Debug, Clone)]
pub struct Door {
    pub(crate) judge: Arc<Judge>,
    pub(crate) store: Store,
    buckets: Buckets,
    /// Where tasks of this pool are read, and with which accounts.
    pub(crate) sites: Arc<Sites>,
    stops: Arc<Stops>,
}

/// A request that may be stored, its media already in the bucket.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) job: NewJob,
    pub(crate) told: Told,
}

/// What its caller hears whatever the store answers.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) estimate_tokens: u64,
    pub(crate) cost: Cost,
    pub(crate) warnings: Vec<Warning>,
}

/// Where an older job stands.
pub(crate) type Known = HashMap<JobId, (StateWord, Timestamp)>;

impl Door {
    /// The door to the pool of `store`, whose section is `pool`.
    #[must_use]
    pub fn new(
        store: Store,
        buckets: impl Into<Buckets>,
        pool: &PoolSettings,
        settings: Settings,
    ) -> Self {
        let buckets = buckets.into();
        let stops = Arc::new(Stops::of(&settings));
        telemetry::declare("tenant", settings.tenants.keys().map(String::as_str));
        let reasons = ["no_price", "unavailable", "backlog_full", "budget", "media"];
        telemetry::declare("reason", reasons);
        let judge = Judge {
            pool: store.pool().to_owned(),
            route: pool.route,
            layouts: buckets.map(|bucket| bucket.layout().clone()),
            settings,
            prices: PriceTable::in_force(),
        };
        let sites = Arc::new(Sites::of(pool));
        Self { judge: Arc::new(judge), store, buckets, sites, stops }
    }

    /// Takes over at which use of memory this door, and every clone of it, closes. Nothing else of the
    /// settings changes.
    pub fn retune(&self, settings: &Settings) {
        self.stops.set(settings);
    }

    /// `redis.intake_stop_ratio` as it is in force.
    #[must_use]
    pub fn intake_stop_ratio(&self) -> f64 {
        self.stops.memory_ratio()
    }

    /// Says what would become of a request at `now`, and stores nothing. It works without Redis and
    /// without the bucket, so it does not know whether an equal job exists. Decodes inline media:
    /// keep it off the threads that serve others.
    ///
    /// # Errors
    ///
    /// [`Refusal::Faults`] or [`Refusal::NoPrice`].
    pub fn check(&self, intake: &Intake, now: Timestamp) -> Result<Checked, Refusal> {
        self.judge.judge(intake.clone(), now).map(|sound| sound.checked)
    }

    /// As [`Door::check`] for many requests, judged side by side; the answers come in the same order. Where one is to
    /// stand in place of an older job, that job must have ended badly.
    pub async fn check_many(
        &self,
        intakes: Vec<Intake>,
        now: Timestamp,
    ) -> Vec<Result<Checked, Refusal>> {
        let mends: Vec<_> = intakes.iter().map(|i| (i.tenant.clone(), i.mends.clone())).collect();
        let rows = rows_of(intakes).into_iter().map(|row| {
            let judge = Arc::clone(&self.judge);
            let judged = move |intake| judge.judge(intake, now).map(|sound| sound.checked);
            tokio::task::spawn_blocking(move || row.into_iter().map(judged).collect::<Vec<_>>())
        });
        let mut answers = Vec::with_capacity(mends.len());
        for row in rows.collect::<Vec<_>>() {
            match row.await {
                Ok(row) => answers.extend(row),
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                // The process ends: what has no answer is told below.
                Err(_) => break,
            }
        }
        answers.resize_with(mends.len(), || Err(unavailable("it was not judged")));
        for (answer, (tenant, mends)) in answers.iter_mut().zip(mends) {
            let (Ok(checked), Some(mends)) = (&mut *answer, mends) else { continue };
            if let Err(refusal) = self.is_mended(&tenant, &mends, checked).await {
                *answer = Err(refusal);
            }
        }
        answers
    }

    /// Takes one request in.
    ///
    /// # Errors
    ///
    /// [`Refusal`], sorted by what to do next.
    pub async fn admit(&self, intake: Intake) -> Result<Admitted, Refusal> {
        let mut answers = self.admit_many(vec![intake]).await;
        answers.pop().unwrap_or_else(|| Err(unavailable("the door gave no answer")))
    }

    /// Takes many requests in; the answers come in the same order, each on its own. Equal requests
    /// become one job, also among themselves. Safe to repeat: the same jobs answer.
    pub async fn admit_many(&self, intakes: Vec<Intake>) -> Vec<Result<Admitted, Refusal>> {
        let mut answers = Vec::with_capacity(intakes.len());
        let mut intakes = intakes.into_iter();
        loop {
            let group: Vec<Intake> = intakes.by_ref().take(ADMIT_MAX).collect();
            if group.is_empty() {
                return answers;
            }
            answers.extend(self.admit_group(group).await);
        }
    }

    async fn admit_group(&self, mut group: Vec<Intake>) -> Vec<Result<Admitted, Refusal>> {
        let spans = trace::begin(&mut group);
        let from: Vec<(Source, String)> =
            group.iter().map(|intake| (intake.source, intake.tenant.clone())).collect();
        let answers = match self.store.pulse().await {
            Ok(pulse) if group.iter().any(|intake| intake.mends.is_some()) => {
                self.mend_all(group, pulse).await
            }
            Ok(pulse) => {
                let prepared = self.prepare_all(group, pulse).await;
                self.store_all(prepared).await
            }
            Err(error) => group.iter().map(|_| Err(unavailable(&error))).collect(),
        };
        for (((source, tenant), answer), span) in from.iter().zip(&answers).zip(spans) {
            count(*source, tenant, answer);
            trace::end(&span, self.store.pool(), answer);
        }
        answers
    }

    pub(crate) async fn prepare_all(
        &self,
        group: Vec<Intake>,
        pulse: Pulse,
    ) -> Vec<Result<Ready, Refusal>> {
        let paused = self.paused(pulse);
        let rows = rows_of(group).into_iter();
        let prepared = rows.map(|row| self.clone().prepare_row(row, pulse.now, paused.clone()));
        let prepared: Vec<_> = stream::iter(prepared).buffered(PREPARE_AT_ONCE).collect().await;
        prepared.into_iter().flatten().collect()
    }

    /// Handing a small request to another thread costs as much as judging it, so one hand-over takes as many as there
    /// are up to the first with media, which are put away before the next.
    pub(crate) async fn prepare_row(
        self,
        row: Vec<Intake>,
        now: Timestamp,
        paused: Option<Refusal>,
    ) -> Vec<Result<Ready, Refusal>> {
        let requests = row.len();
        let (mut row, mut prepared) = (row.into_iter(), Vec::with_capacity(requests));
        while row.len() > 0 {
            let judge = Arc::clone(&self.judge);
            // Decoding and hashing tens of megabytes is no work for a thread that serves others.
            let judged = tokio::task::spawn_blocking(move || {
                let judged = judge.judge_some(&mut row, now);
                (judged, row)
            });
            let judged = match judged.await {
                Ok((judged, rest)) => {
                    row = rest;
                    judged
                }
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Err(error) => {
                    prepared.resize_with(requests, || Err(unavailable(&error)));
                    return prepared;
                }
            };
            for sound in judged {
                prepared.push(match sound {
                    Ok(sound) => self.prepare(sound, now, paused.clone()).await,
                    Err(refusal) => Err(refusal),
                });
            }
        }
        prepared
    }

    /// Why nobody is let in: running jobs need the memory that is left.
    pub(crate) fn paused(&self, pulse: Pulse) -> Option<Refusal> {
        let (events, stop) = (pulse.events, self.stops.events());
        if events > stop {
            return Some(Refusal::Paused {
                why: format!(
                    "{events} events wait to be shared out among webhooks and intake stops at {stop}: is a notifier running? Running jobs go on"
                ),
            });
        }
        let (used, stop) = (pulse.memory_ratio(), self.stops.memory_ratio());
        (used > stop).then(|| Refusal::Paused {
            why: format!(
                "Redis uses {:.0} % of its memory and intake stops at {:.0} %; running jobs go on",
                used * 100.0,
                stop * 100.0
            ),
        })
    }

    pub(crate) async fn prepare(
        &self,
        mut sound: Sound,
        now: Timestamp,
        paused: Option<Refusal>,
    ) -> Result<Ready, Refusal> {
        // After the judgement: who sends a faulty document need not wait to hear so.
        if let Some(paused) = paused {
            return Err(paused);
        }
        if let Some(hook) = &sound.envelope.webhook {
            let fault = secret_fault(&self.store, &sound.intake.tenant, hook).await;
            if let Some(fault) = fault.map_err(unavailable)? {
                return Err(Refusal::Faults(vec![fault]));
            }
        }
        let media = std::mem::take(&mut sound.media);
        let ready = self.ready(sound, now);
        self.allot(&ready.job.record.spec.tenant, &media).await?;
        for medium in media {
            self.put(&ready.job.record.spec.tenant, medium).await?;
        }
        Ok(ready)
    }

    fn ready(&self, mut sound: Sound, now: Timestamp) -> Ready {
        let told = Told {
            estimate_tokens: sound.checked.estimate_tokens,
            cost: sound.checked.cost,
            warnings: std::mem::take(&mut sound.checked.warnings),
        };
        Ready { job: self.judge.record(sound, now), told }
    }

    /// Counts before the bytes cost anything; what then turns out to be there already counts too.
    async fn allot(&self, tenant: &str, media: &[InlineMedia]) -> Result<(), Refusal> {
        let bytes = media.iter().map(|medium| medium.bytes.len() as u64).sum();
        match self.store.allot_media(tenant, bytes).await.map_err(unavailable)? {
            store::Media::Taken => Ok(()),
            store::Media::Spent { resets_at } => {
                let max = self.store.caps_of(tenant).media_bytes_day_max;
                Err(Refusal::MediaExhausted { bytes, max, resets_at })
            }
        }
    }

    /// Bytes first, record second: a record never names a medium that is not there.
    async fn put(&self, tenant: &str, medium: InlineMedia) -> Result<(), Refusal> {
        let InlineMedia { sha256_hex, mime, bytes } = medium;
        match self.buckets.of(tenant).put_media(tenant, &sha256_hex, &mime, bytes.into()).await {
            Ok(_) => Ok(()),
            Err(assets::Error::TooBig { limit_bytes, .. }) => Err(Refusal::Faults(vec![
                Fault::new(
                    "/content",
                    codes::MEDIA_TOO_LARGE,
                    "an inline medium is larger than the bucket takes",
                    "pass it by URL or asset id",
                )
                .allowing(format!("up to {limit_bytes} bytes inline")),
            ])),
            Err(error) => Err(unavailable(error)),
        }
    }

    pub(crate) async fn store_all(
        &self,
        prepared: Vec<Result<Ready, Refusal>>,
    ) -> Vec<Result<Admitted, Refusal>> {
        let mut jobs = Vec::with_capacity(prepared.len());
        let told: Vec<Result<Told, Refusal>> = prepared
            .into_iter()
            .map(|ready| {
                ready.map(|Ready { job, told }| {
                    jobs.push(job);
                    told
                })
            })
            .collect();
        let stored = self.put_down(&jobs).await;
        let known = self.known(&stored).await;
        let mut stored = jobs.iter().zip(stored);
        told.into_iter()
            .map(|told| {
                let told = told?;
                let (job, outcome) = stored.next().ok_or_else(|| unavailable("no answer"))?;
                self.admitted(job, told, outcome, &known)
            })
            .collect()
    }

    /// Looks up the older jobs that answered. What cannot be read is left out: it costs the caller
    /// the state, not the job.
    async fn known(&self, stored: &[Result<store::Admitted, StoreError>]) -> Known {
        let older = stored.iter().filter_map(|outcome| match outcome {
            Ok(store::Admitted::Existing { id, .. }) => Some(id.clone()),
            Ok(
                store::Admitted::Created
                | store::Admitted::KeyReused { .. }
                | store::Admitted::Full { .. }
                | store::Admitted::Spent { .. },
            )
            | Err(_) => None,
        });
        let ids: Vec<JobId> = older.collect();
        if ids.is_empty() {
            return Known::new();
        }
        let Ok(found) = self.store.load_many(&ids).await else { return Known::new() };
        let readable = found.into_iter().filter_map(|found| found.ok().flatten());
        readable
            .map(|stored| stored.record)
            .map(|record| (record.id, (record.life.state.word(), record.created_at)))
            .collect()
    }

    pub(crate) fn admitted(
        &self,
        job: &NewJob,
        told: Told,
        outcome: Result<store::Admitted, StoreError>,
        known: &Known,
    ) -> Result<Admitted, Refusal> {
        let record = &job.record;
        let (id, how, place) = match outcome.map_err(unavailable)? {
            store::Admitted::Created => {
                let place = (record.life.state.word(), record.created_at);
                (record.id.clone(), How::Created, Some(place))
            }
            store::Admitted::Existing { id, by } => {
                let place = known.get(&id).copied();
                (id, How::Deduplicated { by }, place)
            }
            store::Admitted::KeyReused { id } => return Err(Refusal::KeyReused { id }),
            store::Admitted::Full { waiting } => {
                let max = self.store.caps_of(&record.spec.tenant).queued_max;
                return Err(Refusal::BacklogFull { waiting, max });
            }
            store::Admitted::Spent { micros, resets_at } => {
                let max = self.store.caps_of(&record.spec.tenant).spend_day_max;
                let (cost, spent) = (told.cost, Money(micros));
                return Err(Refusal::BudgetExhausted { cost, spent, max, resets_at });
            }
        };
        let Told { estimate_tokens, cost, warnings } = told;
        let (state, created_at) = place.unzip();
        Ok(Admitted { id, state, how, created_at, estimate_tokens, cost, warnings })
    }
}

/// As many rows as are judged at once.
fn rows_of(group: Vec<Intake>) -> Vec<Vec<Intake>> {
    let each = group.len().div_ceil(PREPARE_AT_ONCE);
    let mut group = group.into_iter();
    let row = || {
        let row: Vec<Intake> = group.by_ref().take(each).collect();
        (!row.is_empty()).then_some(row)
    };
    std::iter::from_fn(row).collect()
}

pub(crate) fn unavailable(cause: impl std::fmt::Display) -> Refusal {
    Refusal::Unavailable { cause: cause.to_string() }
}

pub(crate) fn count(source: Source, tenant: &str, answer: &Result<Admitted, Refusal>) {
    let source = match source {
        Source::Api => "api",
        Source::Import => "batch",
        Source::Cli => "cli",
        // Nothing is taken in for a task that exists.
        Source::Adopted => "adopted",
    };
    match answer {
        Ok(Admitted { how: How::Created, .. }) => {
            metrics().jobs_accepted.add(1, [source, tenant]);
        }
        Ok(Admitted { how: How::Deduplicated { by }, .. }) => {
            let kind = match by {
                store::Match::Key => "key",
                store::Match::Fingerprint => "hash",
            };
            metrics().idempotent_replays.add(1, [kind]);
        }
        Err(refusal) => metrics().jobs_rejected.add(1, [source, refusal.reason()]),
    }
}
