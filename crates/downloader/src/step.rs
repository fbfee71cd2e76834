//! The download step: one turn of bringing an output home, or of filing a payload.

use crate::bring::{Brought, Errand, bring};
use crate::copy::Moment;
use crate::filing::file_payload;
use assets::Buckets;
use egress::GuardedClient;
use futures::future::BoxFuture;
use job::{Event, Filing, Links, Policy, State, TaskRef, Timestamp};
use limiter::Limiter;
use provider::{Client, Retrieved, Site};
use seedance::{Call, TaskStatus};
use std::sync::Arc;
use store::{Held, Queue};
use telemetry::{Span, SpanName, fields};
use ulid::Ulid;
use worker::{Around, Outcome, Step, Turn, around, fault};

/// Requests to one link within one turn: the rest of its budget is for later turns (M25).
const FETCHES_PER_TURN: u32 = 3;

/// Brings the outputs of one pool home.
pub(crate) struct DownloadStep {
    /// Its name.
    pub(crate) pool: String,
    pub(crate) fetch: GuardedClient,
    pub(crate) client: Arc<Client>,
    pub(crate) limiter: Limiter,
    pub(crate) buckets: Buckets,
    pub(crate) policy: Arc<Policy>,
}

#[async_trait::async_trait]
impl Step for DownloadStep {
    fn queue(&self) -> Queue {
        Queue::Download
    }

    async fn run(&self, held: &Held, turn: &Turn) -> Outcome {
        let record = &held.stored.record;
        let now = held.stored.now;
        match &record.life.state {
            State::Downloading { task, links, tries, .. } => {
                let id = format!("dl_{}", Ulid::generate());
                let errand = Errand {
                    record,
                    task,
                    links,
                    tries: *tries,
                    download_attempt_id: &id,
                    fetches_max: FETCHES_PER_TURN,
                    now,
                };
                let spent = *tries >= self.policy.download.tries_max;
                tokio::select! {
                    event = self.turn(&errand, spent) => Outcome::Report(event),
                    // Whoever holds the ticket now copies it under another name.
                    () = turn.lost() => Outcome::Lost,
                }
            }
            State::Finished { end, task: Some(task), filing: Filing::Pending, .. } => {
                let payload = record.life.payload.clone().unwrap_or_default();
                let bucket = self.buckets.of(&record.spec.tenant);
                match file_payload(bucket, record, task, end, &payload, now).await {
                    Ok(_) => Outcome::Report(Event::PayloadFiled),
                    Err(error) => {
                        tracing::warn!(%error, "the provider's payload cannot be filed yet");
                        Outcome::Report(Event::FilingTroubled)
                    }
                }
            }
            State::Finished { .. }
            | State::Held { .. }
            | State::Queued { .. }
            | State::Submitting { .. }
            | State::InDoubt { .. }
            | State::Parked { .. }
            | State::Generating { .. }
            | State::Overdue { .. } => Outcome::Report(Event::StepLeft),
        }
    }
}

/// What the provider says about a task whose link does not work.
enum Told {
    /// Links that live, other than the ones that failed.
    Fresh(Links),
    /// The same ones, or some that are dead by our clock.
    Given(Links),
    /// None.
    Nothing,
    /// The question was not answered.
    Unanswered(String),
}

impl DownloadStep {
    async fn turn(&self, errand: &Errand<'_>, spent: bool) -> Event {
        let is_past = errand.now >= errand.links.die_at;
        if !is_past && !spent {
            return match self.bring(errand).await {
                Err(reason) => self.link_refused(errand, &reason).await,
                Ok(event) => event,
            };
        }
        let why = if is_past { "the link's time is over" } else { "every try of the link failed" };
        let given = match self.ask(errand.task, errand.links, errand.now).await {
            Told::Fresh(links) => return link_died(errand, Some(links), why),
            Told::Unanswered(why_not) => return troubled(errand, &format!("{why}; {why_not}")),
            Told::Given(links) => links,
            Told::Nothing => errand.links.clone(),
        };
        // What decides is the host, not our clock: the last word has the link itself.
        match self.bring(&Errand { links: &given, ..*errand }).await {
            Ok(Event::DownloadTroubled { reason, .. }) if is_past && spent => {
                link_died(errand, None, &format!("{why}; {reason}"))
            }
            Ok(event) => event,
            Err(reason) if is_past => link_died(errand, None, &format!("{why}; {reason}")),
            Err(reason) => troubled(errand, &reason),
        }
    }

    /// One turn of bringing; the error is a host that refuses the link, in words.
    async fn bring(&self, errand: &Errand<'_>) -> Result<Event, String> {
        let task = errand.task.id.clone();
        let bucket = self.buckets.of(&errand.record.spec.tenant);
        let span = Span::part(SpanName::DownloadOutput);
        span.set(fields::TASK_ID, task.as_str());
        let brought = span.within(bring(&self.fetch, bucket, errand, &at)).await;
        match &brought {
            Brought::Stored(output) => span.set_count(fields::BYTES, output.video_bytes),
            Brought::LinkDead { .. } => span.fail("link_dead"),
            Brought::BucketTroubled { .. } => span.fail("bucket"),
            Brought::Troubled { .. } => span.fail("retry"),
        }
        self.note(&brought);
        match brought {
            Brought::Stored(output) => {
                telemetry::metrics().download_bytes.add(output.video_bytes, ["video"]);
                Ok(Event::OutputStored { task, output })
            }
            Brought::BucketTroubled { reason } => Ok(Event::BucketTroubled { task, reason }),
            Brought::Troubled { reason } => Ok(Event::DownloadTroubled { task, reason }),
            Brought::LinkDead { reason } => Err(reason),
        }
    }

    /// What others are told of the bucket and of the hosts of outputs.
    fn note(&self, brought: &Brought) {
        match brought {
            Brought::Stored(_) => {
                for part in [Around::Bucket, Around::Links] {
                    around::well(&self.pool, part);
                }
            }
            Brought::BucketTroubled { reason } => around::ill(&self.pool, Around::Bucket, reason),
            Brought::LinkDead { reason } | Brought::Troubled { reason } => {
                around::ill(&self.pool, Around::Links, reason);
            }
        }
    }

    /// The host refuses a link whose time is not over. As long as the provider still gives it out, the
    /// refusal may pass, and a try was all it cost.
    async fn link_refused(&self, errand: &Errand<'_>, reason: &str) -> Event {
        match self.ask(errand.task, errand.links, errand.now).await {
            Told::Fresh(links) => link_died(errand, Some(links), reason),
            Told::Given(_) => troubled(errand, &format!("{reason}; the provider gives no other")),
            Told::Nothing => link_died(errand, None, reason),
            Told::Unanswered(why) => troubled(errand, &format!("{reason}; {why}")),
        }
    }

    /// One more read of the task: it may carry fresh links. Whether it does is not promised
    /// (`docs/provider.md` §8.3).
    async fn ask(&self, task: &TaskRef, dead: &Links, now: Timestamp) -> Told {
        let site = Site::for_reads(&task.facts);
        let permit = match self.limiter.permit(&site.account, Call::Retrieve).await {
            Ok(permit) => permit,
            Err(why) => return Told::Unanswered(why.to_string()),
        };
        match self.client.retrieve(permit, &site, &task.id).await {
            Retrieved::Task { task: seen, .. } if seen.status == TaskStatus::Succeeded => {
                match Links::of_task(&seen, now, self.policy.download.link_life) {
                    Some(links) if links.video != dead.video && links.die_at > now => {
                        Told::Fresh(links)
                    }
                    Some(links) => Told::Given(links),
                    None => Told::Nothing,
                }
            }
            Retrieved::Task { .. } | Retrieved::NotFound => Told::Nothing,
            Retrieved::Trouble(trouble) => {
                Told::Unanswered(format!("no fresh link yet: {}", trouble.code))
            }
        }
    }
}

fn link_died(errand: &Errand<'_>, fresh: Option<Links>, reason: &str) -> Event {
    Event::LinkDied { task: errand.task.id.clone(), fresh, reason: reason.to_owned() }
}

fn troubled(errand: &Errand<'_>, reason: &str) -> Event {
    Event::DownloadTroubled { task: errand.task.id.clone(), reason: reason.to_owned() }
}

fn at(moment: Moment) -> BoxFuture<'static, ()> {
    let point = match moment {
        Moment::Part => fault::DOWNLOAD_PART,
        Moment::BeforeManifest => fault::DOWNLOAD_BEFORE_MANIFEST,
        Moment::Published => fault::DOWNLOAD_STORED,
    };
    Box::pin(fault::point(point))
}
