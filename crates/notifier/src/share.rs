//! From the pool's stream into the outboxes. One notifier does it at a time; two that both believe so do no
//! harm, since a group is shared out by whoever finds the place where it was read.

use job::{JobId, StateWord, Timestamp};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use store::{
    BatchEnd, BatchPause, Change, ChangeReader, Endpoint, EndpointState, HookEvent, Mark, Outgoing,
    PauseNews, SHARE_MAX, Shared, Sharing, Store, StoreError, Uploaded,
};
use worker::{Drain, fault};

/// The lock of the one that shares out, and how long it outlives its holder.
const LOCK: &str = "share";
const LOCK_TTL: Duration = Duration::from_secs(5);
/// Between two looks of one that stands by, or of a pool where nobody asks.
const STAND_BY: Duration = Duration::from_secs(1);
/// After a failed call.
const PAUSE: Duration = Duration::from_millis(500);
/// Entries one group puts into outboxes, all together: the script's work is bounded by it.
const ENTRIES_MAX: usize = 1_000;

/// Shares out until the process drains.
pub(crate) async fn run(store: Store, drain: Drain) {
    let mut sharer = Sharer { store, reader: None, known: Known::default() };
    let mut told = false;
    while !drain.began() {
        let pause = match sharer.turn().await {
            Ok(pause) => {
                told = false;
                pause
            }
            Err(error) => {
                if !std::mem::replace(&mut told, true) {
                    let pool = sharer.store.pool();
                    tracing::warn!(pool, %error, "events cannot be shared out; trying again");
                }
                PAUSE
            }
        };
        tokio::select! {
            () = drain.wait() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
    // The next one need not wait for it to lapse.
    let pool = sharer.store.pool();
    match tokio::time::timeout(PAUSE, sharer.store.unlock(LOCK)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(pool, %error, "the lock of the sharer was not let go; it lapses within {LOCK_TTL:?}");
        }
        Err(_) => {
            tracing::warn!(
                pool,
                "Redis did not take the lock of the sharer back; it lapses within {LOCK_TTL:?}"
            );
        }
    }
}

struct Sharer {
    store: Store,
    reader: Option<ChangeReader>,
    known: Known,
}

/// Endpoints by tenant, as they were at this count of changes.
#[derive(Default)]
struct Known {
    changes: u64,
    tenants: BTreeMap<String, Vec<Endpoint>>,
}

impl Sharer {
    /// One group. Returns how long to wait before the next.
    async fn turn(&mut self) -> Result<Duration, StoreError> {
        if !self.store.lock(LOCK, LOCK_TTL).await? {
            return Ok(STAND_BY);
        }
        let pool = self.store.pool().to_owned();
        let oldest = self.store.oldest_undelivered().await?;
        let Some(was) = self.store.shared_to().await? else { return Ok(STAND_BY) };
        let group = self.group(was).await?;
        let now = self.store.now().await?;
        let first = group.first().map(|change| change.mark.at());
        let waits = [oldest, first]
            .into_iter()
            .flatten()
            .min()
            .map_or(0.0, |at| now.since(at).as_secs_f64());
        telemetry::metrics().webhook_oldest_pending.set(waits, [&pool]);
        let (uploads, news) = (self.store.due_uploads().await?, self.store.pause_news().await?);
        if group.is_empty() && uploads.is_empty() && news.is_empty() {
            return Ok(Duration::ZERO);
        }
        fault::point(fault::NOTIFY_READ).await;
        let sharing = self.plan(was, &group, (uploads, news), now).await?;
        match self.store.share_out(&sharing).await? {
            Shared::Done(full) => {
                for endpoint in full {
                    tracing::error!(
                        pool,
                        endpoint,
                        "an endpoint was switched off: its outbox is full"
                    );
                    telemetry::metrics().webhook_deliveries.add(1, ["overflow"]);
                }
            }
            Shared::Moved => tracing::debug!(pool, "another notifier has shared this group out"),
        }
        fault::point(fault::NOTIFY_SHARED).await;
        Ok(Duration::ZERO)
    }

    /// What was committed after the place; empty after a second without any.
    async fn group(&mut self, was: Mark) -> Result<Vec<Change>, StoreError> {
        let reader = match &mut self.reader {
            Some(reader) => reader,
            None => self.reader.insert(ChangeReader::connect(&self.store, Some(was)).await?),
        };
        reader.seek(was);
        reader.read(SHARE_MAX).await
    }

    async fn plan(
        &mut self,
        was: Mark,
        group: &[Change],
        (looked, news): (Vec<Uploaded>, Vec<(String, PauseNews)>),
        now: Timestamp,
    ) -> Result<Sharing, StoreError> {
        // After the group was read: an endpoint that is older than one of its events is known by now.
        let changes = self.store.endpoint_changes().await?;
        if changes != self.known.changes {
            self.known = Known { changes, tenants: BTreeMap::new() };
        }
        let mut plan = Plan::default();
        let mut is = was;
        for change in group {
            if plan.entries >= ENTRIES_MAX {
                break;
            }
            let event = HookEvent::from(change);
            for endpoint in self.endpoints(&change.tenant).await? {
                if endpoint.takes(&event.kind) {
                    plan.add(&endpoint.id, None, event.clone());
                }
            }
            if change.hook && change.to.is_finished() {
                plan.own.push((change.job.clone(), event));
                plan.entries += 1;
            }
            if let Some(batch) = change.batch.as_ref().filter(|_| change.to.is_finished()) {
                plan.batches.insert((change.tenant.clone(), batch.clone()));
            }
            is = change.mark;
        }
        // The last job of an upload may have ended before the upload did.
        plan.batches.extend(looked.iter().map(|up| (up.tenant.clone(), up.batch.clone())));
        self.own_hooks(&mut plan).await?;
        let at = if group.is_empty() { now } else { is.at() };
        let batches = self.ended_batches(&mut plan, at).await?;
        let pauses = self.pauses(&mut plan, news).await?;
        let place = (!group.is_empty()).then_some((was, is));
        Ok(Sharing { place, outs: plan.outs, batches, pauses, looked })
    }

    /// Batches that were paused, by whomever.
    async fn pauses(
        &mut self,
        plan: &mut Plan,
        news: Vec<(String, PauseNews)>,
    ) -> Result<Vec<BatchPause>, StoreError> {
        let mut pauses = Vec::with_capacity(news.len());
        for (entry, PauseNews { tenant, batch, jobs, paused }) in news {
            let takers = self.takers(&tenant, "batch.paused").await?;
            let at = paused.at;
            let event = HookEvent {
                id: format!("evt_{}_p{}", short(&[&tenant, &batch]), at.unix_ms()),
                kind: "batch.paused".to_owned(),
                at,
                job: None,
                batch: Some(batch),
                from: None,
                state: Some("paused".to_owned()),
                endpoint: None,
                reason: Some(paused.reason),
                seq: jobs,
                replayed: false,
            };
            let outs = takers.iter().map(|id| plan.place(id, None)).collect();
            pauses.push(BatchPause { entry, event, outs });
        }
        Ok(pauses)
    }

    /// The endpoints of a tenant that take this type.
    async fn takers(&mut self, tenant: &str, kind: &str) -> Result<Vec<String>, StoreError> {
        let endpoints = self.endpoints(tenant).await?;
        let takes = endpoints.iter().filter(|endpoint| endpoint.takes(kind));
        Ok(takes.map(|endpoint| endpoint.id.clone()).collect())
    }

    async fn endpoints(&mut self, tenant: &str) -> Result<&[Endpoint], StoreError> {
        if !self.known.tenants.contains_key(tenant) {
            let states = self.store.endpoints(tenant).await?;
            let endpoints: Vec<Endpoint> =
                states.into_iter().map(|EndpointState { endpoint, .. }| endpoint).collect();
            self.known.tenants.insert(tenant.to_owned(), endpoints);
        }
        Ok(self.known.tenants.get(tenant).map_or(&[], Vec::as_slice))
    }

    /// The addresses that jobs brought with them: each becomes an endpoint of its own.
    async fn own_hooks(&self, plan: &mut Plan) -> Result<(), StoreError> {
        let own = std::mem::take(&mut plan.own);
        let ids: Vec<JobId> = own.iter().map(|(job, _)| job.clone()).collect();
        let found = if ids.is_empty() { Vec::new() } else { self.store.load_many(&ids).await? };
        for ((_, event), found) in own.into_iter().zip(found) {
            let stored = match found {
                Ok(Some(stored)) => stored,
                // A record that is gone was erased, and nobody is to be told of it.
                Ok(None) | Err(StoreError::Corrupt { .. }) => continue,
                // Its address lies where nobody answers now: the group waits, and is not told without it.
                Err(error) => return Err(error),
            };
            let spec = stored.record.spec;
            let Some(hook) = spec.webhook else { continue };
            let endpoint = Endpoint {
                id: Endpoint::own_id(&spec.tenant, &hook.url, hook.secret_ref.as_deref()),
                tenant: spec.tenant,
                url: hook.url,
                types: vec!["job.*".to_owned()],
                description: "named by a job".to_owned(),
                secrets: Vec::new(),
                secret_ref: hook.secret_ref,
                created_by: "job".to_owned(),
                created_at: event.at,
            };
            plan.add(&endpoint.id.clone(), Some(endpoint), event);
        }
        Ok(())
    }

    /// Batches without an open job: told once for each number of jobs they had when it was so. Whether rows
    /// are still on their way is judged in the instant in which it is told.
    async fn ended_batches(
        &mut self,
        plan: &mut Plan,
        at: Timestamp,
    ) -> Result<Vec<BatchEnd>, StoreError> {
        let mut ended = Vec::new();
        for (tenant, batch) in std::mem::take(&mut plan.batches) {
            let takers = self.takers(&tenant, "batch.completed").await?;
            if takers.is_empty() {
                continue;
            }
            let counts = self.store.batch_counts(&tenant, &batch).await?;
            let jobs: u64 = counts.values().sum();
            let open = |(word, _): &(&StateWord, &u64)| !word.is_finished();
            if jobs == 0 || counts.iter().any(|count| open(&count)) {
                continue;
            }
            let event = HookEvent {
                id: format!("evt_{}_{jobs}", short(&[&tenant, &batch])),
                kind: "batch.completed".to_owned(),
                at,
                job: None,
                batch: Some(batch.clone()),
                from: None,
                state: Some("completed".to_owned()),
                endpoint: None,
                reason: None,
                seq: jobs,
                replayed: false,
            };
            let outs = takers.iter().map(|id| plan.place(id, None)).collect();
            ended.push(BatchEnd { tenant, batch, jobs, event, outs });
        }
        Ok(ended)
    }
}

/// What a group comes to.
#[derive(Default)]
struct Plan {
    outs: Vec<Outgoing>,
    at: BTreeMap<String, usize>,
    entries: usize,
    /// Ends of jobs that name an address themselves.
    own: Vec<(JobId, HookEvent)>,
    /// Batches of which a job, or an upload, has ended: tenant and name.
    batches: BTreeSet<(String, String)>,
}

impl Plan {
    fn place(&mut self, id: &str, fresh: Option<Endpoint>) -> usize {
        let next = self.outs.len();
        let at = *self.at.entry(id.to_owned()).or_insert(next);
        if at == next {
            self.outs.push(Outgoing { id: id.to_owned(), events: Vec::new(), fresh });
        }
        at
    }

    fn add(&mut self, id: &str, fresh: Option<Endpoint>, event: HookEvent) {
        let at = self.place(id, fresh);
        self.outs[at].events.push(event);
        self.entries += 1;
    }
}

fn short(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_le_bytes());
        hash.update(part.as_bytes());
    }
    hex::encode(&hash.finalize()[..13])
}
