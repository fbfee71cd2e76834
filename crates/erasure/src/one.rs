//! One job: mark, sweep, forget, in this order.

use crate::eraser::{EraseError, Eraser};
use crate::receipt::{Counts, Erasure, Subject};
use assets::{Folder, Place};
use job::{Event, JobId, Record, StateWord};
use serde_json::json;
use store::{Decided, Forgotten, Reported, Stored, Writer};

/// Told of a job that has not ended, by an erasure that stops none.
const NOT_ENDED: &str = "it has not ended";

/// An erasure looks at nothing that could change.
fn as_it_is(_: &Stored) -> bool {
    true
}

/// What became of one job.
pub(crate) enum One {
    /// Its content is gone, now or before.
    Gone(Counts),
    /// Not yet.
    Waits(String),
    /// No such job of this tenant.
    NoJob,
}

impl Eraser {
    pub(crate) async fn erase_one(&self, id: &JobId, wish: &Erasure) -> Result<One, EraseError> {
        let Some(stored) = self.store.load(id).await? else { return Ok(One::NoJob) };
        if stored.record.spec.tenant != wish.tenant {
            return Ok(One::NoJob);
        }
        // Where its files are is known best before the mark takes the paths away.
        let folders = self.folders(&stored.record)?;
        if stored.record.life.erased.is_none()
            && let Some(waits) = self.mark(&stored, wish).await?
        {
            return Ok(waits);
        }
        let Some(stored) = self.store.load(id).await? else { return Ok(One::NoJob) };
        let record = &stored.record;
        let Some(erased) = &record.life.erased else { return Ok(One::Waits(NOT_ENDED.to_owned())) };
        if record.spec == record.spec.without_content() {
            let gone = self.sweep(record, &folders).await?;
            return Ok(One::Gone(Counts { before: 1, ..gone }));
        }
        let mut gone = self.sweep(record, &folders).await?;
        if let Some(intents) = &self.intents {
            gone.intents = intents.forget(&record.spec, id, erased).await?;
        }
        self.take_media(record, &mut gone).await?;
        match self.store.forget(id).await? {
            Forgotten::Done { lines } => gone.lines = lines,
            Forgotten::Before => {}
            Forgotten::NoJob => return Ok(One::NoJob),
        }
        Ok(One::Gone(Counts { jobs: 1, ..gone }))
    }

    /// Asks the machine; what it answers where it is not yet willing.
    async fn mark(&self, stored: &Stored, wish: &Erasure) -> Result<Option<One>, EraseError> {
        let record = &stored.record;
        let word = record.life.state.word();
        // Nothing of a doubt is lost by it: the marks stay, and only its content goes.
        let may = word.is_finished()
            || matches!(word, StateWord::InDoubt | StateWord::Parked)
            || wish.cancel;
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

    /// The job's folder by today's layout, and the one its manifest was written to.
    fn folders(&self, record: &Record) -> Result<Vec<Folder>, EraseError> {
        let place = Place {
            tenant: &record.spec.tenant,
            job_id: record.id.as_str(),
            created_at_ms: record.created_at.unix_ms(),
            prefix: record.spec.output_prefix.as_deref(),
        };
        let layout = self.buckets.of(&record.spec.tenant).layout();
        let mut folders = vec![layout.folder(&place).map_err(assets::Error::from)?];
        if let job::State::Finished { end: job::End::Stored { output }, .. } = &record.life.state {
            let there = Folder::of_manifest(&output.manifest);
            folders.extend(there.filter(|folder| !folders.contains(folder)));
        }
        Ok(folders)
    }

    async fn sweep(&self, record: &Record, folders: &[Folder]) -> Result<Counts, EraseError> {
        let mut gone = Counts::default();
        for folder in folders {
            let swept = self.buckets.of(&record.spec.tenant).sweep(folder).await?;
            gone.objects += swept.objects;
            gone.bytes += swept.bytes;
        }
        Ok(gone)
    }

    /// Inline media are shared between requests by their hash: only the last one takes them along.
    async fn take_media(&self, record: &Record, gone: &mut Counts) -> Result<(), EraseError> {
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
            gone.media += 1;
            gone.bytes += taken.length_bytes();
        }
        Ok(())
    }
}
