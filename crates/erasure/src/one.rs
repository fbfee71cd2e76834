//! One job: mark, sweep, forget, in this order.

use crate::archived::Target;
use crate::eraser::{EraseError, Eraser};
use crate::receipt::{Erasure, Removed, Subject};
use assets::{Folder, Place, Swept};
use futures::{StreamExt, stream};
use job::{End, ErasureId, Event, Filing, JobId, Record, State};
use serde_json::json;
use store::{Decided, Forgotten, Reported, Stored, Writer};

/// Told of a job that has not ended, by an erasure that stops none.
const NOT_ENDED: &str = "it has not ended";

/// An erasure looks at nothing that could change.
fn as_it_is(_: &Stored) -> bool {
    true
}

/// Jobs erased at once.
const AT_ONCE: usize = 8;

/// What became of one job.
pub(crate) enum One {
    /// Its content is gone.
    Gone,
    /// It was gone before this erasure came to it.
    GoneBefore,
    /// Not yet.
    Waits(String),
    /// No such job of this tenant.
    NoJob,
}

impl Eraser {
    /// What fails for one job is told, waited for, and costs the others nothing.
    pub(crate) async fn erase_page(&self, page: &[Target], erasure: &mut Erasure) {
        let wish = erasure.clone();
        let mut ones = Vec::with_capacity(page.len());
        for target in page {
            let (eraser, wish, target) = (self.clone(), wish.clone(), target.clone());
            ones.push(async move {
                let told = eraser.erase_target(&target, &wish).await;
                (target.id, told)
            });
        }
        let mut told = stream::iter(ones).buffer_unordered(AT_ONCE);
        while let Some((id, told)) = told.next().await {
            let waits_for = match told {
                Ok(One::Gone | One::NoJob) => continue,
                Ok(One::GoneBefore) => {
                    // Later passes see again what the first one has counted.
                    erasure.jobs_before += u64::from(erasure.passes == 0);
                    continue;
                }
                Ok(One::Waits(why)) => why,
                Err(error) => {
                    tracing::warn!(job.id = %id, erasure = %erasure.id, %error, "a job cannot be erased yet");
                    "Redis or the bucket did not answer".to_owned()
                }
            };
            erasure.jobs_waiting += 1;
            erasure.waits_for = Some(format!("{id}: {waits_for}"));
        }
    }

    pub(crate) async fn erase_one(&self, id: &JobId, wish: &Erasure) -> Result<One, EraseError> {
        let Some(stored) = self.store.load(id).await? else { return Ok(One::NoJob) };
        let record = &stored.record;
        if record.spec.tenant != wish.tenant {
            return Ok(One::NoJob);
        }
        let whole = record.life.erased.is_none();
        if whole {
            // The mark takes the path away: what lies where only the record knows goes before it.
            if let Some(folder) = self.elsewhere(record)? {
                self.sweep(record, &folder, &wish.id).await?;
            }
            if let Some(waits) = self.mark(&stored, wish).await? {
                return Ok(waits);
            }
        }
        let Some(stored) = self.store.load(id).await? else { return Ok(One::NoJob) };
        let record = &stored.record;
        let Some(erased) = &record.life.erased else { return Ok(One::Waits(NOT_ENDED.to_owned())) };
        let before = record.spec.erased;
        if before && !matches!(wish.subject, Subject::Job { .. }) {
            return Ok(if erased.erasure == wish.id { One::Gone } else { One::GoneBefore });
        }
        self.sweep(record, &self.folder(record)?, &wish.id).await?;
        if before {
            return Ok(if erased.erasure == wish.id { One::Gone } else { One::GoneBefore });
        }
        if let Some(intents) = &self.intents {
            let intents = intents.forget(&record.spec, id, erased).await?;
            self.count(&wish.id, Removed { intents, ..Removed::default() }).await?;
        }
        self.take_media(record, &wish.id).await?;
        if let Some(hook) = &record.spec.webhook {
            self.store.leave_hook(&record.spec.tenant, hook).await?;
        }
        self.drop_archived(record, wish).await?;
        match self.store.forget(id, &wish.id).await? {
            Forgotten::Done | Forgotten::Before => Ok(One::Gone),
            Forgotten::NoJob => Ok(One::NoJob),
        }
    }

    /// All that lies in the bucket of a job that nobody knows any more, but its record.
    pub(crate) async fn clear(&self, record: &Record, wish: &Erasure) -> Result<(), EraseError> {
        if let Some(folder) = self.elsewhere(record)? {
            self.sweep(record, &folder, &wish.id).await?;
        }
        self.sweep(record, &self.folder(record)?, &wish.id).await?;
        self.take_media(record, &wish.id).await
    }

    /// Asks the machine; what it answers where it is not yet willing.
    async fn mark(&self, stored: &Stored, wish: &Erasure) -> Result<Option<One>, EraseError> {
        let record = &stored.record;
        let word = record.life.state.word();
        // Nothing of a doubt is lost by it: the marks stay, and only its content goes.
        let may = word.is_finished() || word.is_in_doubt() || wish.cancel;
        if !may {
            return Ok(Some(One::Waits(NOT_ENDED.to_owned())));
        }
        let event = Event::EraseAsked { by: wish.by.clone(), erasure: wish.id.clone() };
        let told = match wish.subject {
            Subject::Job { .. } => {
                let evidence = json!({"erasure": wish.id});
                let (by, reason) = (&wish.by, wish.reason.as_str());
                let decided = Decided { by, verb: "erase", reason, evidence: &evidence };
                self.store.decide(&record.id, &event, &self.policy, &decided, &as_it_is).await?
            }
            // Thousands of lines would push out what other people decided: the wish itself is told.
            Subject::EndUser { .. } | Subject::Tenant | Subject::Retention { .. } => {
                self.store.report(&record.id, Writer::Outside, &event, &self.policy).await?
            }
        };
        Ok(match told {
            Reported::Written { .. } => None,
            Reported::Ignored { stored, .. } if stored.record.life.erased.is_some() => None,
            Reported::Ignored { why, .. } => Some(One::Waits(why.to_owned())),
            Reported::Gone => Some(One::NoJob),
            Reported::Fenced | Reported::Owned { .. } => {
                Some(One::Waits("somebody else writes it".to_owned()))
            }
        })
    }

    /// The job's folder by today's layout.
    fn folder(&self, record: &Record) -> Result<Folder, EraseError> {
        let place = Place {
            tenant: &record.spec.tenant,
            job_id: record.id.as_str(),
            created_at_ms: record.created_at.unix_ms(),
            prefix: record.spec.output_prefix.as_deref(),
        };
        let layout = self.buckets.of(&record.spec.tenant).layout();
        Ok(layout.folder(&place).map_err(assets::Error::from)?)
    }

    /// The folder of an output that was stored under another layout than today's.
    fn elsewhere(&self, record: &Record) -> Result<Option<Folder>, EraseError> {
        let State::Finished { end: End::Stored { output }, filing, .. } = &record.life.state else {
            return Ok(None);
        };
        let there = match filing {
            // Its payload is still on the way there: the job is waited for.
            Filing::Pending => None,
            Filing::Filed | Filing::Nothing => Folder::of_manifest(&output.manifest),
        };
        let today = self.folder(record)?;
        Ok(there.filter(|there| *there != today))
    }

    /// What is gone is counted even where the rest does not go.
    async fn sweep(
        &self,
        record: &Record,
        folder: &Folder,
        id: &ErasureId,
    ) -> Result<(), EraseError> {
        let mut swept = Swept::default();
        let told = self.buckets.of(&record.spec.tenant).sweep(folder, &mut swept).await;
        let Swept { objects, bytes } = swept;
        self.count(id, Removed { objects, bytes, ..Removed::default() }).await?;
        Ok(told?)
    }

    /// Inline media are shared between requests by their hash: only the last one takes them along.
    async fn take_media(&self, record: &Record, id: &ErasureId) -> Result<(), EraseError> {
        let tenant = &record.spec.tenant;
        for sha256 in record.spec.inline_media() {
            let bucket = self.buckets.of(tenant);
            if self.store.leave_medium(tenant, sha256, &record.id).await? {
                continue;
            }
            let Some(taken) = bucket.take_media(tenant, sha256).await? else { continue };
            // A request that came in meanwhile found the bytes there, and brought none.
            if self.store.leave_medium(tenant, sha256, &record.id).await? {
                bucket.give_back(taken).await?;
                continue;
            }
            let bytes = taken.length_bytes();
            self.count(id, Removed { media: 1, bytes, ..Removed::default() }).await?;
        }
        Ok(())
    }
}
