//! Deliveries: an endpoint's ticket is claimed, its oldest entry sent, the outcome written down.

use super::endpoint::{read, text};
use super::{DELIVERY_LINES_MAX, EndpointState, HookEvent, OUTBOX_KEPT};
use crate::connection::Call;
use crate::engine::Waker;
use crate::facts::{KeyTable, Place};
use crate::lease::millis;
use crate::queue::Lane;
use crate::{Mark, Queue, Store, StoreError, commit, script};
use job::{Priority, Timestamp};
use redis::{Pipeline, Value};
use serde::Serialize;
use std::time::Duration;

/// The right to deliver to one endpoint until its lease ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookClaim {
    /// Which endpoint.
    pub id: String,
    /// Grows at every claim and is checked by every outcome.
    pub fence: u64,
}

/// What there is to do for a claimed endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookWork {
    /// The endpoint; [`None`]: it was removed.
    pub state: Option<EndpointState>,
    /// Its oldest entry, as it is stored.
    pub entry: Option<String>,
}

/// What the notifier makes of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryEnd {
    /// The entry is done with.
    Done,
    /// It is sent again after a pause.
    Again {
        /// The pause.
        after: Duration,
        /// Failed tries of this entry so far.
        tries: u32,
        /// Why, in words for its owner.
        why: String,
    },
    /// Nothing more is sent to this endpoint.
    Off {
        /// The word of [`super::Off`].
        why: &'static str,
        /// Failed tries of this entry.
        tries: u32,
        /// For a person of ours.
        alarm: String,
    },
    /// There was nothing to do: only the ticket goes.
    Nothing,
}

/// An outcome to be written down.
#[derive(Debug, Clone)]
pub struct DeliveryReport<'a> {
    /// By this right.
    pub claim: &'a HookClaim,
    /// Of this entry, as it is stored.
    pub entry: &'a str,
    /// What it came to.
    pub end: &'a DeliveryEnd,
    /// For the log; none where nothing was sent.
    pub line: Option<&'a DeliveryLine>,
    /// The caller goes on with the next entry, for so long at most.
    pub more: Option<Duration>,
}

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivered {
    /// This entry, under the same claim.
    Next(String),
    /// The ticket went back, or away.
    Released,
    /// It is somebody else's.
    Fenced,
}

/// One delivery as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryLine {
    /// `dlv_`, the endpoint and the place in its log; empty before it is written.
    pub id: String,
    /// When it ended.
    pub at: Timestamp,
    /// What was told.
    pub event: HookEvent,
    /// HTTP status; 0: there was no answer.
    pub status: u16,
    /// How long it took.
    pub took: Duration,
    /// The how-manieth try, from 1.
    pub attempt: u32,
    /// When it is tried again.
    pub next_at: Option<Timestamp>,
    /// `delivered`, `failed`, `refused` (the address may not be called), `redirected`, `gone`.
    pub result: String,
    /// In words, for its owner.
    pub why: String,
}

impl DeliveryLine {
    fn fields(&self) -> Result<Vec<String>, StoreError> {
        let next = self.next_at.map(|at| at.unix_ms().to_string()).unwrap_or_default();
        let event = text(&self.event)?;
        let numbers = [u64::from(self.status), millis(self.took), u64::from(self.attempt)];
        let [status, ms, attempt] = numbers.map(|n| n.to_string());
        let pairs: [(&str, String); 7] = [
            ("event", event),
            ("result", self.result.clone()),
            ("status", status),
            ("ms", ms),
            ("attempt", attempt),
            ("next", next),
            ("why", self.why.clone()),
        ];
        Ok(pairs.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect())
    }

    pub(super) fn read(
        endpoint: &str,
        key: &str,
        id: &str,
        fields: &[String],
    ) -> Result<Self, StoreError> {
        let mark: Mark = id.parse().map_err(|why: String| StoreError::corrupt(key, why))?;
        let field = |name: &str| {
            let at = fields.iter().step_by(2).position(|field| field == name);
            at.and_then(|at| fields.get(2 * at + 1)).map_or("", String::as_str)
        };
        let event = serde_json::from_str(field("event"));
        Ok(Self {
            id: format!("dlv_{endpoint}_{mark}"),
            at: mark.at(),
            event: event.map_err(|error| StoreError::corrupt(key, error))?,
            status: field("status").parse().unwrap_or(0),
            took: Duration::from_millis(field("ms").parse().unwrap_or(0)),
            attempt: field("attempt").parse().unwrap_or(0),
            next_at: field("next").parse().ok().map(Timestamp::from_unix_ms),
            result: field("result").to_owned(),
            why: field("why").to_owned(),
        })
    }
}

#[derive(Serialize)]
struct Facts<'a> {
    id: &'a str,
    fence: String,
    entry: &'a str,
    end: &'static str,
    why: &'a str,
    tries: u32,
    delay: u64,
    lease_ms: u64,
    more: bool,
    line: Vec<String>,
    lines_max: usize,
    kept_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    alarm: Option<&'a str>,
}

#[derive(Serialize)]
struct Back<'a> {
    id: &'a str,
    fence: String,
    delay: u64,
    to: Place,
}

impl Store {
    /// Takes up to `n` endpoints that have something to be told, for `lease`, and when the next one is due.
    ///
    /// # Errors
    ///
    /// As every call. After a lost reply they come back when their lease ends.
    pub async fn claim_endpoints(
        &self,
        n: usize,
        lease: Duration,
    ) -> Result<(Vec<HookClaim>, Option<Duration>), StoreError> {
        let call = self.claim_call(Queue::Notify, n, lease);
        let reply = self.connection().call(call).await?;
        let bug = || StoreError::reply("claim", &reply);
        let Value::Array(parts) = &reply else { return Err(bug()) };
        let number = |i: usize| parts.get(i).and_then(commit::integer).ok_or_else(bug);
        let next_due = u64::try_from(number(1)?).ok().map(Duration::from_millis);
        let first = u64::try_from(number(3)?).map_err(|_| bug())?;
        let ids = parts.iter().skip(4).map(|part| commit::word(part).ok_or_else(bug));
        let claims = ids.zip(first..).map(|(id, fence)| Ok(HookClaim { id: id?, fence }));
        Ok((claims.collect::<Result<_, StoreError>>()?, next_due))
    }

    /// What there is to do for these.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn hook_work(&self, claims: &[HookClaim]) -> Result<Vec<HookWork>, StoreError> {
        let mut pipe = Pipeline::with_capacity(3 * claims.len());
        for claim in claims {
            pipe.cmd("HMGET").arg(self.keys().hook(&claim.id));
            pipe.arg(&["config", "rev", "off", "tries", "next", "why"]);
            pipe.cmd("LLEN").arg(self.keys().outbox(&claim.id));
            pipe.cmd("LINDEX").arg(self.keys().outbox(&claim.id)).arg(0);
        }
        let answers = self.connection().pipe(&mut pipe).await?;
        let work = claims.iter().zip(answers.chunks(3)).map(|(claim, three)| {
            let [pair @ .., entry] = three else {
                return Err(StoreError::Bug("a third of an answer".into()));
            };
            let state = read(&self.keys().hook(&claim.id), pair).unwrap_or_else(|error| {
                // One that cannot be read must not keep the others of its batch from anybody.
                tracing::error!(endpoint = claim.id, %error, "an endpoint cannot be read; its ticket is dropped");
                None
            });
            Ok(HookWork { state, entry: commit::word(entry) })
        });
        work.collect()
    }

    /// Writes down what became of a delivery.
    ///
    /// # Errors
    ///
    /// As every call; safe to repeat.
    pub async fn delivered(&self, report: &DeliveryReport<'_>) -> Result<Delivered, StoreError> {
        let (keys, queue, id) = (self.keys(), Queue::Notify, report.claim.id.as_str());
        let (end, why, tries, delay, alarm) = match report.end {
            DeliveryEnd::Done => ("done", "", 0, Duration::ZERO, None),
            DeliveryEnd::Again { after, tries, why } => {
                ("again", why.as_str(), *tries, *after, None)
            }
            DeliveryEnd::Off { why, tries, alarm } => {
                ("off", *why, *tries, Duration::ZERO, Some(alarm.as_str()))
            }
            DeliveryEnd::Nothing => ("nothing", "", 0, Duration::ZERO, None),
        };
        let facts = Facts {
            id,
            fence: report.claim.fence.to_string(),
            entry: report.entry,
            end,
            why,
            tries,
            delay: millis(delay),
            lease_ms: millis(report.more.unwrap_or_default()),
            more: report.more.is_some(),
            line: report.line.map(DeliveryLine::fields).transpose()?.unwrap_or_default(),
            lines_max: DELIVERY_LINES_MAX,
            kept_ms: millis(OUTBOX_KEPT),
            alarm,
        };
        let names = vec![
            keys.hook(id),
            keys.outbox(id),
            keys.hook_log(id),
            keys.due(queue),
            keys.lease(queue),
            keys.holder(queue),
            keys.wake(queue),
            keys.hooks_pending(),
            keys.audit(),
        ];
        let call = Call::new(&script::DELIVER, names, vec![text(&facts)?]);
        let reply = self.connection().call(call).await?;
        let bug = || StoreError::reply("deliver", &reply);
        let Value::Array(parts) = &reply else { return Err(bug()) };
        match parts.first().and_then(commit::word).as_deref() {
            Some("next") => {
                Ok(Delivered::Next(parts.get(1).and_then(commit::word).ok_or_else(bug)?))
            }
            Some("released") => Ok(Delivered::Released),
            Some("fenced") => Ok(Delivered::Fenced),
            Some(_) | None => Err(bug()),
        }
    }

    /// Hands a claimed endpoint back: it is due again after `delay`, its entry untouched and no try counted.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn hand_endpoint_back(
        &self,
        claim: &HookClaim,
        delay: Duration,
    ) -> Result<(), StoreError> {
        let keys = self.keys();
        let mut table = KeyTable::default();
        table.at(keys.hook(&claim.id));
        table.at(keys.lease(Queue::Notify));
        table.at(keys.holder(Queue::Notify));
        let nobody = Lane { tenant: String::new(), priority: Priority::Normal };
        let back = Back {
            id: &claim.id,
            fence: claim.fence.to_string(),
            delay: millis(delay),
            to: Place::of(keys, &mut table, Queue::Notify, &nobody, None),
        };
        let call = Call::new(&script::RELEASE, table.into_keys(), vec![text(&back)?]);
        self.connection().call(call).await.map(drop)
    }

    /// Waits for the first of: an endpoint has something to be told, a pause has passed.
    ///
    /// # Errors
    ///
    /// Redis cannot be reached for the connection that waits.
    pub async fn bell(&self) -> Result<Bell, StoreError> {
        Ok(Bell(Waker::connect(self, Queue::Notify).await?))
    }
}

/// Wakes a notifier, on a connection of its own.
pub struct Bell(Waker);

impl Bell {
    /// Returns when somebody rang or `nap` has passed; an error costs a pause.
    pub async fn rung_within(&mut self, nap: Duration) {
        self.0.token_within(nap.max(Duration::from_millis(1))).await;
    }
}
