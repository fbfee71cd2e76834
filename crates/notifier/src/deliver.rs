//! From an outbox to its owner: one delivery at a time for each endpoint, many endpoints at once.

use crate::Settings;
use crate::body::body;
use crate::origins::Origins;
use crate::schedule::Schedule;
use crate::sign::sign;
use bytes::Bytes;
use egress::{FetchError, GuardedClient, HeaderMap, HeaderValue};
use job::{JobId, Record, Timestamp};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use store::{
    Delivered, DeliveryEnd, DeliveryLine, DeliveryReport, Endpoint, HookClaim, HookEvent, HookWork,
    Outgoing, Sharing, Store, StoreError,
};
use telemetry::{Span, SpanName, fields};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use worker::{Drain, fault};

/// Longest sleep without a look; a wake-up comes earlier.
const NAP_MAX: Duration = Duration::from_secs(1);
/// After a failed call.
const PAUSE: Duration = Duration::from_millis(500);
/// Tickets of one claim.
const CLAIM_MAX: usize = 64;
/// How much longer a lease lasts than a delivery may take.
const LEASE_MARGIN: Duration = Duration::from_secs(5);
/// How long one endpoint may be served in a row before others get their turn; changes of it are seen then.
const TURN_MAX: Duration = Duration::from_secs(5);
/// An endpoint whose host has no free place comes back after this.
const CROWDED: Duration = Duration::from_secs(1);
/// Tries to write an outcome down before it is left to the lease: the entry is then sent again.
const WRITES_MAX: u32 = 5;
/// Longest reason kept in the log, characters.
const WHY_CHARS_MAX: usize = 240;

/// What every delivery needs.
pub(crate) struct Desk {
    client: GuardedClient,
    timeout: Duration,
    schedule: Schedule,
    origins: Origins,
    slots: Arc<Semaphore>,
    public_url: String,
}

impl Desk {
    pub(crate) fn new(
        client: GuardedClient,
        settings: &Settings,
        schedule: Schedule,
        public_url: String,
    ) -> Self {
        Self {
            client,
            timeout: settings.timeout,
            schedule,
            origins: Origins::new(settings.origin_concurrency),
            slots: Arc::new(Semaphore::new(settings.concurrency)),
            public_url,
        }
    }

    fn lease(&self) -> Duration {
        self.timeout + LEASE_MARGIN
    }
}

/// Delivers for one pool until the process drains and what runs has ended.
pub(crate) async fn run(store: Store, desk: Arc<Desk>, drain: Drain) {
    let mut running = tokio::task::JoinSet::new();
    let mut bell = None;
    let mut told = false;
    while !drain.began() {
        while running.try_join_next().is_some() {}
        let slots = Arc::clone(&desk.slots);
        let slot = tokio::select! {
            slot = slots.acquire_owned() => slot,
            () = drain.wait() => break,
        };
        // The semaphore is never closed.
        let Ok(slot) = slot else { break };
        let nap = match claim(&store, &desk, slot).await {
            Ok(Found::Work(turns)) => {
                told = false;
                for (claim, work, slot) in turns {
                    let turn = Turn {
                        store: store.clone(),
                        desk: Arc::clone(&desk),
                        claim,
                        drain: drain.clone(),
                    };
                    running.spawn(async move {
                        turn.run(work).await;
                        drop(slot);
                    });
                }
                continue;
            }
            Ok(Found::Nothing(next)) => {
                told = false;
                next.unwrap_or(NAP_MAX).min(NAP_MAX)
            }
            Err(error) => {
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(pool = store.pool(), %error, "webhooks wait for Redis");
                }
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        if bell.is_none() {
            bell = store.bell().await.ok();
        }
        let rung = async {
            match &mut bell {
                Some(bell) => bell.rung_within(nap).await,
                None => tokio::time::sleep(nap.max(PAUSE)).await,
            }
        };
        tokio::select! {
            () = drain.wait() => {}
            () = rung => {}
        }
    }
    while running.join_next().await.is_some() {}
}

enum Found {
    Work(Vec<(HookClaim, HookWork, OwnedSemaphorePermit)>),
    /// When the next one falls due.
    Nothing(Option<Duration>),
}

/// Slots first, then tickets: a process holds no endpoint that it cannot serve at once.
async fn claim(
    store: &Store,
    desk: &Desk,
    slot: OwnedSemaphorePermit,
) -> Result<Found, StoreError> {
    let mut slots = vec![slot];
    while slots.len() < CLAIM_MAX
        && let Ok(slot) = Arc::clone(&desk.slots).try_acquire_owned()
    {
        slots.push(slot);
    }
    let (claims, next) = store.claim_endpoints(slots.len(), desk.lease()).await?;
    if claims.is_empty() {
        return Ok(Found::Nothing(next));
    }
    fault::point(fault::NOTIFY_CLAIMED).await;
    let work = store.hook_work(&claims).await?;
    let turns =
        claims.into_iter().zip(work).zip(slots).map(|((claim, work), slot)| (claim, work, slot));
    Ok(Found::Work(turns.collect()))
}

/// One endpoint, for a while.
struct Turn {
    store: Store,
    desk: Arc<Desk>,
    claim: HookClaim,
    drain: Drain,
}

/// What a delivery came to.
struct Told {
    end: DeliveryEnd,
    line: DeliveryLine,
}

impl Turn {
    async fn run(&self, work: HookWork) {
        let (state, mut entry) = match (work.state, work.entry) {
            (Some(state), Some(entry)) if state.off.is_none() => (state, entry),
            (Some(_) | None, _) => {
                self.write("", &DeliveryEnd::Nothing, None).await;
                return;
            }
        };
        let endpoint = state.endpoint;
        let Some(_place) = self.desk.origins.take(&endpoint.url) else {
            if let Err(error) = self.store.hand_endpoint_back(&self.claim, CROWDED).await {
                tracing::debug!(%error, "an endpoint was not handed back; its lease runs out");
            }
            return;
        };
        let until = Instant::now() + TURN_MAX;
        let mut tries = state.tries;
        loop {
            let next = match serde_json::from_str::<HookEvent>(&entry) {
                Ok(event) => {
                    let told = self.deliver(&endpoint, event, tries + 1).await;
                    fault::point(fault::NOTIFY_SENT).await;
                    self.count(&endpoint, &told).await;
                    let more = Instant::now() < until && !self.drain.began();
                    let more = more.then(|| self.desk.lease());
                    self.write(&entry, &told.end, Some((&told.line, more))).await
                }
                Err(error) => {
                    // Ours alone write here: a bug, and no reason to stop all that stands behind it.
                    tracing::error!(endpoint = endpoint.id, %error, "an outbox entry cannot be read and is dropped");
                    self.write(&entry, &DeliveryEnd::Done, None).await
                }
            };
            fault::point(fault::NOTIFY_WRITTEN).await;
            match next {
                Some(Delivered::Next(next)) => (entry, tries) = (next, 0),
                Some(Delivered::Released | Delivered::Fenced) | None => return,
            }
        }
    }

    /// [`None`]: Redis did not answer; the lease runs out, and the entry is sent again.
    async fn write(
        &self,
        entry: &str,
        end: &DeliveryEnd,
        line: Option<(&DeliveryLine, Option<Duration>)>,
    ) -> Option<Delivered> {
        let (line, more) = line.map_or((None, None), |(line, more)| (Some(line), more));
        let report = DeliveryReport { claim: &self.claim, entry, end, line, more };
        for _ in 0..WRITES_MAX {
            match self.store.delivered(&report).await {
                Ok(delivered) => return Some(delivered),
                Err(error) if error.is_passing() => tokio::time::sleep(PAUSE).await,
                Err(error) => {
                    tracing::error!(endpoint = self.claim.id, %error, "a delivery cannot be written down");
                    return None;
                }
            }
        }
        None
    }

    async fn deliver(&self, endpoint: &Endpoint, event: HookEvent, attempt: u32) -> Told {
        let began = Instant::now();
        let answer = self.send(endpoint, &event).await;
        let took = began.elapsed();
        let (status, result, why) = match answer {
            Ok(status @ 200..=299) => (status, "delivered", String::new()),
            Ok(410) => {
                (410, "gone", "it answered 410: nobody wants to hear of this any more".to_owned())
            }
            Ok(status @ 300..=399) => {
                let why = format!(
                    "it answered {status}: redirects are not followed; give the new address"
                );
                (status, "redirected", why)
            }
            Ok(status) => (status, "failed", format!("it answered {status}")),
            Err(Unsent::Refused(why)) => (0, "refused", why),
            Err(Unsent::Silent(why)) => (0, "failed", why),
            Err(Unsent::NoSecret) => (0, "no_secret", "no secret signs for it any more".to_owned()),
        };
        let why: String = why.chars().take(WHY_CHARS_MAX).collect();
        let dice = f64::from(ulid::Ulid::generate().random() as u32) / f64::from(u32::MAX);
        let end = match (result, self.desk.schedule.after(attempt, dice)) {
            ("delivered", _) => DeliveryEnd::Done,
            ("gone", _) => self.off(endpoint, "gone", attempt, &why),
            ("no_secret", _) => self.off(endpoint, "secret", attempt, &why),
            (_, Some(after)) => DeliveryEnd::Again { after, tries: attempt, why: why.clone() },
            (_, None) => self.off(endpoint, "failing", attempt, &why),
        };
        let at = now();
        let next_at = match &end {
            DeliveryEnd::Again { after, .. } => Some(at + *after),
            DeliveryEnd::Done | DeliveryEnd::Off { .. } | DeliveryEnd::Nothing => None,
        };
        let (id, result) = (String::new(), result.to_owned());
        Told {
            end,
            line: DeliveryLine { id, at, event, status, took, attempt, next_at, result, why },
        }
    }

    fn off(&self, endpoint: &Endpoint, why: &'static str, tries: u32, said: &str) -> DeliveryEnd {
        let (id, tenant) = (&endpoint.id, &endpoint.tenant);
        let alarm = format!("endpoint {id} of tenant {tenant} is off after {tries} tries: {said}");
        DeliveryEnd::Off { why, tries, alarm }
    }

    async fn send(&self, endpoint: &Endpoint, event: &HookEvent) -> Result<u16, Unsent> {
        let record = self.record(event).await;
        let span = self.traced(event, record.as_ref());
        let sent = span.within(self.send_signed(endpoint, event, record.as_ref())).await;
        match &sent {
            Ok(status) => {
                span.set_count(fields::HTTP_STATUS, u64::from(*status));
                if !matches!(status, 200..=299) {
                    span.fail(&status.to_string());
                }
            }
            Err(Unsent::Refused(_)) => span.fail("refused"),
            Err(Unsent::Silent(_)) => span.fail("failed"),
            Err(Unsent::NoSecret) => span.fail("no_secret"),
        }
        sent
    }

    /// The delivery as a trace of its own that links to the request which brought the job.
    fn traced(&self, event: &HookEvent, record: Option<&Record>) -> Span {
        let context = record.and_then(|record| record.spec.traceparent.as_deref());
        let span = Span::linked(SpanName::DeliverWebhook, context);
        span.set(fields::POOL, self.store.pool());
        span.set(fields::EVENT, &event.kind);
        if let Some(job) = &event.job {
            span.set(fields::JOB_ID, job);
        }
        span
    }

    async fn send_signed(
        &self,
        endpoint: &Endpoint,
        event: &HookEvent,
        record: Option<&Record>,
    ) -> Result<u16, Unsent> {
        let body = body(event, record, &self.desk.public_url);
        let timestamp = now();
        let secrets = self.secrets(endpoint, timestamp).await?;
        let timestamp_s = timestamp.unix_ms().div_euclid(1_000);
        let signature = sign(secrets.iter().map(String::as_str), &event.id, timestamp_s, &body)
            .map_err(|_| Unsent::NoSecret)?;
        let mut headers = HeaderMap::new();
        let mut put = |name: &'static str, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        put("content-type", "application/json");
        put("webhook-id", &event.id);
        put("webhook-timestamp", &timestamp_s.to_string());
        put("webhook-signature", &signature);
        let sent =
            self.desk.client.post(&endpoint.url, headers, Bytes::from(body), self.desk.timeout);
        sent.await.map_err(|error| match error {
            FetchError::Refused(refused) => Unsent::Refused(refused.to_string()),
            FetchError::Unreachable { .. } | FetchError::Interrupted(_) => {
                Unsent::Silent(error.to_string())
            }
        })
    }

    /// The job as it stands. It adds to the body; without it the event is told all the same.
    async fn record(&self, event: &HookEvent) -> Option<Record> {
        let id = JobId::parse(event.job.as_deref()?).ok()?;
        self.store.load(&id).await.ok().flatten().map(|stored| stored.record)
    }

    async fn secrets(&self, endpoint: &Endpoint, now: Timestamp) -> Result<Vec<String>, Unsent> {
        let texts =
            |endpoint: &Endpoint| endpoint.signing(now).map(|secret| secret.text.clone()).collect();
        let Some(named) = &endpoint.secret_ref else { return Ok(texts(endpoint)) };
        match self.store.endpoint(named, &endpoint.tenant).await {
            Ok(Some(state)) => Ok(texts(&state.endpoint)),
            Ok(None) => Err(Unsent::NoSecret),
            Err(error) => Err(Unsent::Silent(error.to_string())),
        }
    }

    /// What is told of a delivery to people and to the tenant's other endpoints.
    async fn count(&self, endpoint: &Endpoint, told: &Told) {
        let metrics = telemetry::metrics();
        metrics.webhook_deliveries.add(1, [&told.line.result]);
        let DeliveryEnd::Off { why, tries, .. } = &told.end else { return };
        metrics.webhook_deliveries.add(1, ["disabled"]);
        tracing::error!(
            endpoint = endpoint.id,
            tenant = endpoint.tenant,
            why,
            tries,
            "a webhook endpoint was switched off"
        );
        let Ok(others) = self.store.endpoints(&endpoint.tenant).await else { return };
        let event = HookEvent {
            id: format!("evt_off_{}_{}", endpoint.id, told.line.at.unix_ms()),
            kind: "endpoint.disabled".to_owned(),
            at: told.line.at,
            job: None,
            batch: None,
            from: None,
            state: Some((*why).to_owned()),
            endpoint: Some(endpoint.id.clone()),
            reason: None,
            seq: 0,
            replayed: false,
        };
        let outs = others
            .into_iter()
            .map(|other| other.endpoint)
            .filter(|other| other.id != endpoint.id && other.takes(&event.kind))
            .map(|other| Outgoing { id: other.id, events: vec![event.clone()], fresh: None })
            .collect();
        let sharing = Sharing { outs, ..Sharing::default() };
        if let Err(error) = self.store.share_out(&sharing).await {
            tracing::warn!(endpoint = endpoint.id, %error, "its tenant's other endpoints were not told");
        }
    }
}

/// Why no answer came.
enum Unsent {
    /// The address may not be called.
    Refused(String),
    /// Nothing came back; they may have it all the same.
    Silent(String),
    /// Nothing to sign with.
    NoSecret,
}

/// The wall clock: receivers compare the timestamp with theirs.
fn now() -> Timestamp {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix_ms(i64::try_from(now.as_millis()).unwrap_or(i64::MAX))
}
