//! The submit step.

use crate::Settings;
use crate::accounts::Accounts;
use crate::attempt::{Blank, hex};
use crate::departures::Departure;
use crate::fence::{self, Ahead, Fenced};
use crate::lead::Lead;
use crate::proof::late_proof;
use crate::turnstile::{Place, Turnstile};
use crate::{render, send};
use assets::{Buckets, Intents};
use bytes::Bytes;
use job::{Event, OpenAttempt, Policy, Record, State, Timestamp, retry};
use limiter::{Limiter, Reserved};
use provider::{Callbacks, Client, CreateAnswer, Refusal};
use seedance::{Day, Envelope, PriceTable, Route, SlotClass};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};
use store::{Begun, Held, Queue, StopRow, Store};
use telemetry::{Span, SpanName, fields};
use worker::{Outcome, Step, Turn, fault};

/// Marks drawn for one attempt before the ticket is put back.
const NONCE_DRAWS_MAX: u32 = 8;
/// Pause when no account has a free slot: a freed slot wakes the queue sooner.
const NO_SLOT_PAUSE: Duration = Duration::from_millis(500);
/// Longest pause of a ticket that no account took: claims see what stops the accounts and leave it alone.
const NO_ROOM_PAUSE_MAX: Duration = Duration::from_secs(1);
/// Pause after a fault of our own surroundings: bucket or Redis.
const SURROUNDINGS_PAUSE: Duration = Duration::from_secs(2);
/// Pause of a ticket that may not begin for now, whatever account it asks.
const HELD_BACK_PAUSE: Duration = Duration::from_secs(1);

/// What the submit queues of one pool share.
pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) policy: Arc<Policy>,
    pub(crate) accounts: Accounts,
    pub(crate) client: Client,
    /// For reads, and for creates at the instants that Begin has reserved.
    pub(crate) limiter: Limiter,
    pub(crate) callbacks: Option<Callbacks>,
    pub(crate) buckets: Buckets,
    /// The second fence; none where the operator switched it off.
    pub(crate) intents: Option<Intents>,
    /// The time that Begin leaves for it and for the connection.
    pub(crate) lead: Arc<Lead>,
    pub(crate) settings: Settings,
}

/// Submits the jobs of one slot class.
pub(crate) struct SubmitStep {
    shared: Arc<Shared>,
    class: SlotClass,
    turns: AtomicUsize,
    turnstile: Turnstile,
}

/// A create call as a span of its own.
async fn traced(attempt: &OpenAttempt, call: impl Future<Output = CreateAnswer>) -> CreateAnswer {
    let span = Span::part(SpanName::CreateTask);
    span.set(fields::ATTEMPT_ID, attempt.id.as_str());
    span.set(fields::ACCOUNT, &attempt.facts.account);
    let answer = span.within(call).await;
    span.set(fields::OUTCOME, metric_word(&answer));
    match &answer {
        CreateAnswer::Accepted { task, .. } => span.set(fields::TASK_ID, task.as_str()),
        CreateAnswer::Refused(refusal) => span.fail(&refusal.code),
        CreateAnswer::NotSent { .. } | CreateAnswer::Unclear { .. } => {
            span.fail(metric_word(&answer))
        }
    }
    answer
}

fn held_back(why: &str) -> Outcome {
    Outcome::hand_back(HELD_BACK_PAUSE, why)
}

/// An intent that is durable and may be sent.
struct Granted {
    attempt: OpenAttempt,
    body: Bytes,
    departure: Departure,
    reserved: Reserved,
    /// The last byte leaves before this, or never. Counted from before the server's clock was read,
    /// so it never lies behind the deadline in the record.
    deadline: Instant,
    /// The same on the wall clock, for a machine that was suspended in between.
    wall_deadline: SystemTime,
}

#[async_trait::async_trait]
impl Step for SubmitStep {
    fn queue(&self) -> Queue {
        Queue::Submit(self.class)
    }

    async fn run(&self, held: &Held, turn: &Turn) -> Outcome {
        let record = &held.stored.record;
        let place = self.turnstile.enter(record.spec.priority, held.claim.fence);
        match &record.life.state {
            State::Queued { .. } => {}
            // The intent is durable and its worker is gone or late: perhaps bought. Never sent again.
            State::Submitting { .. } => return Outcome::Report(Event::SubmitLeasePassed),
            State::Held { .. }
            | State::InDoubt { .. }
            | State::Parked { .. }
            | State::Generating { .. }
            | State::Overdue { .. }
            | State::Downloading { .. }
            | State::Finished { .. } => return Outcome::Report(Event::StepLeft),
        }
        if record.spec.useful_until.is_some_and(|until| until <= held.stored.now) {
            return Outcome::Report(Event::UsefulnessPassed);
        }
        for task in record.life.strays.iter().chain(&held.stored.hint) {
            if let Some(instead) = late_proof(&self.shared, record, task).await {
                return instead;
            }
        }
        let ahead = fence::look(self.shared.intents.as_ref(), record).await;
        if let Err(error) = &ahead {
            self.shared.note_ill_fence(error);
        }
        let intent = match ahead {
            Ok(Ahead::Clear(number)) => number,
            Ok(Ahead::Forgotten(attempt)) => return Outcome::Report(fence::met(*attempt, None)),
            Err(error) => {
                tracing::warn!(%error, "the second fence cannot be read; the job waits");
                return Outcome::hand_back(SURROUNDINGS_PAUSE, error.to_string());
            }
        };
        fault::point(fault::SUBMIT_BEFORE_BEGIN).await;
        let span = Span::part(SpanName::BeginAttempt);
        let begun = span.within(self.begin(record, intent, turn, &place)).await;
        if let Ok(granted) = &begun {
            span.set(fields::ATTEMPT_ID, granted.attempt.id.as_str());
            span.set(fields::ACCOUNT, &granted.attempt.facts.account);
        }
        drop((span, place));
        match begun {
            Ok(granted) => self.send(granted, record).await,
            Err(outcome) => outcome,
        }
    }
}

impl SubmitStep {
    pub(crate) fn new(shared: Arc<Shared>, class: SlotClass) -> Self {
        Self { shared, class, turns: AtomicUsize::new(0), turnstile: Turnstile::default() }
    }

    /// Commits the intent on the account that the ticket was handed out for, or on another that has room.
    async fn begin(
        &self,
        record: &Record,
        intent: Option<u32>,
        turn: &Turn,
        place: &Place<'_>,
    ) -> Result<Granted, Outcome> {
        let (turns, offered) = (&self.turns, turn.held().account.as_deref());
        let count = turns.fetch_add(1, Ordering::Relaxed);
        let mut pause: Option<(Duration, String)> = None;
        for account in self.shared.accounts.to_try(offered, count) {
            match self.begin_on(account, record, intent, (turn, place)).await? {
                Ok(granted) => return Ok(granted),
                Err((after, why)) => {
                    if pause.as_ref().is_none_or(|(shortest, _)| after < *shortest) {
                        pause = Some((after, why));
                    }
                }
            }
        }
        let (after, why) =
            pause.unwrap_or((SURROUNDINGS_PAUSE, "the pool has no account".to_owned()));
        // The next claim knows better what is stopped, and for how long.
        Err(Outcome::hand_back(after.min(NO_ROOM_PAUSE_MAX), why))
    }

    /// Tries one account. `Ok(Err(_))`: it has no room for now, try the next.
    async fn begin_on(
        &self,
        account: &str,
        record: &Record,
        intent: Option<u32>,
        (turn, place): (&Turn, &Place<'_>),
    ) -> Result<Result<Granted, (Duration, String)>, Outcome> {
        let shared = &self.shared;
        let policy = &shared.policy.submit;
        let (deadline, lead) = (policy.send_deadline, shared.lead.now());
        let Some(guard) = shared.accounts.guard(account, self.class, deadline, lead) else {
            return Ok(Err((SURROUNDINGS_PAUSE, format!("account `{account}` has no limits"))));
        };
        let spacing = Duration::from_micros(guard.pace.interval_us);
        for _ in 0..NONCE_DRAWS_MAX {
            let (before_clock, before_wall) = (Instant::now(), SystemTime::now());
            let now = self.clock().await?;
            let version = price_version(shared.accounts.route(), record, now);
            let facts = shared.accounts.facts(account, &record.spec.request, version);
            let blank = Blank::draw(record, facts, now, &shared.settings, intent);
            let body = self.render(record, &blank).await?;
            let attempt = blank.with_body(record, &body, policy);
            let began = Event::SubmitBegan { attempt: attempt.clone() };
            let (((asked, wall_asked), begun), departure) =
                place.go(account, timed(turn.begin(&began, &guard))).await;
            let answered = Instant::now();
            match begun {
                Begun::Granted { usable_in, missed_by, .. } => {
                    let took = answered.duration_since(asked);
                    telemetry::metrics()
                        .begin_duration
                        .record(took, [shared.accounts.route().word()]);
                    fault::point(fault::SUBMIT_BEGUN).await;
                    let deadline = policy.gate_closes(before_clock, answered);
                    let reserved =
                        Reserved { asked, answered, wall_asked, usable_in, missed_by, spacing };
                    return Ok(Ok(Granted {
                        attempt,
                        body,
                        departure,
                        reserved,
                        deadline,
                        wall_deadline: policy.gate_closes(before_wall, SystemTime::now()),
                    }));
                }
                Begun::NonceTaken => {}
                Begun::NoSlot => return Ok(Err((NO_SLOT_PAUSE, "no free slot".to_owned()))),
                // A ticket that two claims took at once; it waits for the tenant's others.
                Begun::Capped => {
                    return Err(held_back("the tenant has in flight what it may have"));
                }
                // A ticket that was on its way when the pause began.
                Begun::HeldOff { what } => return Err(held_back(&format!("paused: {what}"))),
                Begun::Wait { after } => return Ok(Err((after, "create rate".to_owned()))),
                Begun::Stopped { after, code, .. } => {
                    return Ok(Err((after, format!("account `{account}` is stopped: {code}"))));
                }
                Begun::Frozen { why } => {
                    return Err(held_back(&format!("creates are frozen: {why}")));
                }
                Begun::Hinted => {
                    let why = "a callback named a task meanwhile";
                    return Err(Outcome::hand_back(Duration::ZERO, why));
                }
                Begun::Lost => return Err(Outcome::Lost),
            }
        }
        Ok(Err((NO_SLOT_PAUSE, "no free mark among the account's open attempts".to_owned())))
    }

    async fn clock(&self) -> Result<Timestamp, Outcome> {
        let now = self.shared.store.now().await;
        now.map_err(|error| Outcome::hand_back(SURROUNDINGS_PAUSE, error.to_string()))
    }

    async fn render(&self, record: &Record, blank: &Blank) -> Result<Bytes, Outcome> {
        let callbacks = self.shared.callbacks.as_ref();
        let envelope = Envelope {
            callback_url: callbacks.map(|c| c.url(&blank.id, &record.id, blank.facts.route)),
            execution_expires_after_s: blank.nonce_s,
            safety_identifier: blank.safety_identifier.clone(),
        };
        match render::body(record, &envelope, self.shared.buckets.of(&record.spec.tenant)).await {
            Ok(body) => Ok(body),
            Err(error) => {
                tracing::warn!(%error, "no body to send; the job waits");
                Err(Outcome::hand_back(self.shared.policy.submit.retry_max, error.to_string()))
            }
        }
    }

    /// Sends what Begin allowed, at its instant, and reports what the answer proves.
    async fn send(&self, granted: Granted, record: &Record) -> Outcome {
        let began = Instant::now();
        let fenced = fence::raise(self.shared.intents.as_ref(), record, &granted.attempt).await;
        let fenced_in = began.elapsed();
        self.shared.note_raise(&fenced);
        fault::point(fault::SUBMIT_FENCED).await;
        let attempt = granted.attempt.clone();
        let answer = match fenced {
            Fenced::Raised => traced(&attempt, self.send_fenced(granted, fenced_in)).await,
            // The write of an earlier intent was given up and came through after all.
            Fenced::Taken(other) if record.life.attempt(&other.id).is_some() => {
                not_sent(&format!("the intent's number went to {} late", other.id))
            }
            Fenced::Taken(other) => {
                self.done(&attempt, Some(false)).await;
                return Outcome::Report(fence::met(*other, Some(&attempt)));
            }
            Fenced::Unclear(error) => {
                self.shared.lead.took(fenced_in);
                tracing::warn!(%error, attempt = %attempt.id, "the second fence cannot be raised; nothing is sent");
                not_sent(&format!("the second fence cannot be raised: {error}"))
            }
        };
        self.shared.note_create(&answer);
        let left = match &answer {
            CreateAnswer::Accepted { .. } | CreateAnswer::Refused(_) => Some(true),
            CreateAnswer::NotSent { .. } => Some(false),
            CreateAnswer::Unclear { .. } => None,
        };
        self.done(&attempt, left).await;
        let model = record.spec.request.model.word();
        let route = attempt.facts.route.word();
        telemetry::metrics().submit_attempts.add(1, [metric_word(&answer), route, model]);
        let in_row = match &answer {
            CreateAnswer::Accepted { .. } | CreateAnswer::Unclear { .. } => 0,
            CreateAnswer::NotSent { .. } => self.stops_in_row(&attempt, None).await,
            CreateAnswer::Refused(refusal) => self.stops_in_row(&attempt, Some(refusal)).await,
        };
        // For waits only: a clock that cannot be read must not cost an answer.
        let now = self.shared.store.reckoned_now().await.unwrap_or(attempt.begun_at);
        Outcome::Report(send::event(&attempt, answer, now, in_row))
    }

    /// Sends behind a fence that stands, at the instant of the slot. The connection is opened a little
    /// before it, so that only the last byte is left to go when it comes.
    async fn send_fenced(&self, granted: Granted, fenced_in: Duration) -> CreateAnswer {
        let Granted { attempt, body, departure, reserved, deadline, wall_deadline } = granted;
        if hex(&body) != attempt.body_sha256 {
            return not_sent("the rendered body is not the one the intent names");
        }
        let lead = &self.shared.lead;
        let permit = self.shared.limiter.create(&attempt.facts.account, self.class, &reserved);
        let permit = match permit {
            Ok(permit) => permit,
            Err(stale) => {
                lead.took(fenced_in);
                return not_sent(&stale.to_string());
            }
        };
        let begins = permit.moment().and_then(|slot| slot.opens.checked_sub(lead.head_start()));
        if let Some(begins) = begins.filter(|begins| *begins > Instant::now()) {
            tokio::time::sleep_until(begins.into()).await;
        }
        let ready =
            send::Ready { lead: Arc::clone(lead), began: Instant::now(), before: fenced_in };
        let (deadlines, around) = ((deadline, wall_deadline), (ready, departure));
        send::send(&self.shared.client, permit, &attempt, body, deadlines, around).await
    }

    /// Where creates are counted, this one is over: it was answered, or nothing of it left. Of none is known how it
    /// ended that may arrive yet.
    async fn done(&self, attempt: &OpenAttempt, left: Option<bool>) {
        let (limiter, account) = (&self.shared.limiter, &attempt.facts.account);
        if let Some(left) = left {
            limiter.create_done(account, self.class, attempt.id.as_str(), left).await;
        }
    }

    /// How often the account, or its slot class, was stopped for the same without a success in between; 1
    /// while Redis does not say, which spends none of the job's tries.
    async fn stops_in_row(&self, attempt: &OpenAttempt, refusal: Option<&Refusal>) -> u32 {
        let facts = &attempt.facts;
        let only = refusal.filter(|refusal| retry::stops_one_class(refusal.class));
        let only = only.map(|_| facts.class);
        let same = |row: &StopRow| {
            // Another code is another fault, and its waits begin anew.
            let same_code = refusal.is_none_or(|refusal| refusal.code == row.code);
            row.account == facts.account && row.only == only && same_code
        };
        match self.shared.store.stops().await {
            Ok(rows) => rows.iter().find(|row| same(row)).map_or(0, |row| row.in_row),
            Err(error) => {
                tracing::warn!(%error, "stops of the account are unknown");
                1
            }
        }
    }
}

/// A call and when it was given, not when its job came to stand in line.
async fn timed(call: impl Future<Output = Begun>) -> ((Instant, SystemTime), Begun) {
    let asked = (Instant::now(), SystemTime::now());
    (asked, call.await)
}

fn not_sent(reason: &str) -> CreateAnswer {
    CreateAnswer::NotSent { reason: reason.to_owned(), unreachable: false }
}

/// The metric's word for an answer.
fn metric_word(answer: &CreateAnswer) -> &'static str {
    match answer {
        CreateAnswer::Accepted { .. } => "accepted",
        CreateAnswer::NotSent { .. } => "not_sent",
        CreateAnswer::Unclear { .. } => "unclear",
        CreateAnswer::Refused(refusal) if refusal.class.is_told_off() => "throttled",
        CreateAnswer::Refused(_) => "rejected",
    }
}

/// The price row in force, written down with the attempt.
fn price_version(route: Route, record: &Record, now: Timestamp) -> String {
    let request = &record.spec.request;
    let day = Day::from_unix_s(now.unix_ms().div_euclid(1_000));
    PriceTable::in_force()
        .cost(route, request, record.spec.estimate_tokens, day)
        .map_or_else(|_| "unknown".to_owned(), |cost| cost.effective_from.to_string())
}
