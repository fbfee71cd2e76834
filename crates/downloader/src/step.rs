//! The download step: one turn of bringing an output home, or of filing a payload.

use crate::bring::{Brought, Errand, bring};
use crate::copy::Moment;
use crate::filing::file_payload;
use assets::Assets;
use egress::GuardedClient;
use futures::future::BoxFuture;
use job::{Event, Filing, Links, Policy, State, TaskRef, Timestamp};
use limiter::Limiter;
use provider::{Client, Retrieved, Site};
use seedance::{Call, TaskStatus};
use std::sync::Arc;
use store::{Held, Queue};
use ulid::Ulid;
use worker::{Outcome, Step, Turn, fault};

/// Requests to one link within one turn: the rest of its budget is for later turns (M25).
const FETCHES_PER_TURN: u32 = 3;

/// Brings the outputs of one pool home.
pub(crate) struct DownloadStep {
    pub(crate) fetch: GuardedClient,
    pub(crate) client: Arc<Client>,
    pub(crate) limiter: Limiter,
    pub(crate) assets: Assets,
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
                let spent = *tries >= self.policy.download.tries_max;
                if now >= links.die_at || spent {
                    let why = if spent { "every try of the link failed" } else { "the link died" };
                    return Outcome::Report(self.link_died(task, links, now, why).await);
                }
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
                tokio::select! {
                    event = self.bring(&errand) => Outcome::Report(event),
                    // Whoever holds the ticket now copies it under another name.
                    () = turn.lost() => Outcome::Lost,
                }
            }
            State::Finished { end, task: Some(task), filing: Filing::Pending, .. } => {
                let payload = record.life.payload.clone().unwrap_or_default();
                match file_payload(&self.assets, record, task, end, &payload, now).await {
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

impl DownloadStep {
    async fn bring(&self, errand: &Errand<'_>) -> Event {
        let task = errand.task.id.clone();
        match bring(&self.fetch, &self.assets, errand, &at).await {
            Brought::Stored(output) => {
                telemetry::metrics().download_bytes.add(output.video_bytes, ["video"]);
                Event::OutputStored { task, output }
            }
            Brought::BucketTroubled { reason } => Event::BucketTroubled { task, reason },
            Brought::Troubled { reason } => Event::DownloadTroubled { task, reason },
            Brought::LinkDead { reason } => {
                self.link_died(errand.task, errand.links, errand.now, &reason).await
            }
        }
    }

    /// One more read of the task: it may carry fresh links. Whether it does is not promised
    /// (`docs/provider.md` §8.3), and the machine accepts it once.
    async fn link_died(&self, task: &TaskRef, dead: &Links, now: Timestamp, reason: &str) -> Event {
        let id = task.id.clone();
        let reason = reason.to_owned();
        let site = Site::for_reads(&task.facts);
        let Some(permit) = self.limiter.permit(&site.account, Call::Retrieve).await else {
            let reason = format!("{reason}; account `{}` is not configured", site.account);
            return Event::DownloadTroubled { task: id, reason };
        };
        match self.client.retrieve(permit, &site, &task.id).await {
            Retrieved::Task { task: seen, .. } if seen.status == TaskStatus::Succeeded => {
                let fresh = Links::of_task(&seen, now, self.policy.download.link_life)
                    .filter(|links| links.video != dead.video && links.die_at > now);
                Event::LinkDied { task: id, fresh, reason }
            }
            Retrieved::Task { .. } | Retrieved::NotFound => {
                Event::LinkDied { task: id, fresh: None, reason }
            }
            // The question was not answered: the output is not lost yet.
            Retrieved::Trouble(trouble) => {
                let reason = format!("{reason}; no fresh link yet: {}", trouble.code);
                Event::DownloadTroubled { task: id, reason }
            }
        }
    }
}

fn at(moment: Moment) -> BoxFuture<'static, ()> {
    let point = match moment {
        Moment::Part => fault::DOWNLOAD_PART,
        Moment::BeforeManifest => fault::DOWNLOAD_BEFORE_MANIFEST,
        Moment::Published => fault::DOWNLOAD_STORED,
    };
    Box::pin(fault::point(point))
}
