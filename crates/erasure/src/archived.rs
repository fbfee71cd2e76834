//! Erasure of what has left Redis.

use crate::eraser::{EraseError, Eraser};
use crate::one::One;
use crate::receipt::{Erasure, Removed, Subject};
use crate::shelf::{place, read};
use assets::{RecordKind, RecordMark, RecordName, Swept};
use bytes::Bytes;
use job::{Event, JobId, Record, Spec, Timestamp, Verdict};
use store::{ArchivePlace, MEMBERS_MAX};

/// A job that a wish is about.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) id: JobId,
    /// Of one whose record lies in the bucket: an instant of the day of its end, and the revision.
    pub(crate) left: Option<(Timestamp, u64)>,
}

/// The mark of a request's customer, where its content is there.
pub(crate) fn customer(spec: &Spec) -> Vec<RecordMark> {
    let hash = spec.end_user.as_ref().map(|user| store::keys::user_hash(&spec.tenant, user));
    hash.map(RecordMark::User).into_iter().collect()
}

/// Every mark of a record.
pub(crate) fn marks(spec: &Spec) -> Vec<RecordMark> {
    let mut marks = customer(spec);
    marks.extend(spec.batch.clone().map(RecordMark::Batch));
    marks
}

impl Eraser {
    /// Some of the jobs of a wish whose records lie in the bucket with their content. What is erased is not among
    /// them any more, so the first ones are always the next ones.
    pub(crate) async fn archived_page(&self, wish: &Erasure) -> Result<Vec<Target>, EraseError> {
        let (bucket, pool) = (self.buckets.of(&wish.tenant), self.store.pool());
        let (tenant, kept) = (wish.tenant.as_str(), RecordKind::Kept);
        let until = match &wish.subject {
            Subject::Job { .. } => return Ok(Vec::new()),
            Subject::EndUser { hash } => {
                let mark = RecordMark::User(hash.clone());
                let named = bucket.records_marked(pool, tenant, &mark, MEMBERS_MAX).await?;
                return Ok(named.iter().filter_map(target).collect());
            }
            Subject::Tenant => None,
            // Whole days: of the last one some have not been kept for so long.
            Subject::Retention { ended_before } => Some(assets::day_of(ended_before.unix_ms())?),
        };
        for day in bucket.record_days(pool, tenant, kept).await? {
            if until.as_ref().is_some_and(|until| day >= *until) {
                break;
            }
            let jobs = bucket.records_of_day(pool, tenant, kept, &day, MEMBERS_MAX).await?;
            let targets: Vec<Target> = jobs.iter().filter_map(target).collect();
            if !targets.is_empty() {
                return Ok(targets);
            }
        }
        Ok(Vec::new())
    }

    /// As for any other job; and of one that nobody knows any more, what lies in the bucket is written anew.
    pub(crate) async fn erase_target(
        &self,
        target: &Target,
        wish: &Erasure,
    ) -> Result<One, EraseError> {
        let told = self.erase_one(&target.id, wish).await?;
        let Some((ended_at, revision)) = target.left else { return Ok(told) };
        let (tenant, job) = (wish.tenant.clone(), target.id.clone());
        let at = ArchivePlace { tenant, job, ended_at, revision, bare: false };
        let told = match told {
            One::Waits(_) => return Ok(told),
            One::Gone | One::GoneBefore => {
                self.drop_counted(&at, wish).await?;
                told
            }
            One::NoJob => self.erase_unknown(&at, wish).await?,
        };
        if let Subject::EndUser { hash } = &wish.subject {
            // A crash may have left it behind its record: it would come first for ever.
            let mark = RecordMark::User(hash.clone());
            let lies = place(self.store.pool(), &at);
            self.buckets.of(&at.tenant).drop_record_mark(&lies, &mark).await?;
        }
        Ok(told)
    }

    /// The record of a job whose tombstone has lapsed.
    async fn erase_unknown(&self, at: &ArchivePlace, wish: &Erasure) -> Result<One, EraseError> {
        let (bucket, pool) = (self.buckets.of(&at.tenant), self.store.pool());
        let Some(text) = bucket.read_record(&place(pool, at)).await? else { return Ok(One::NoJob) };
        let mut archived = read(at.job.as_str(), &text)?;
        let full = archived.record.clone();
        let event = Event::EraseAsked { by: wish.by.clone(), erasure: wish.id.clone() };
        let now = self.store.now().await?;
        let verdict =
            job::transition(&full, &event, now, &self.policy).map_err(store::ReportError::from)?;
        if let Verdict::Write { life, .. } = verdict {
            archived.record.life = *life;
        }
        self.clear(&full, wish).await?;
        archived.record.spec = full.spec.without_content();
        archived.timeline.iter_mut().for_each(|line| job::ERASED.clone_into(&mut line.what));
        archived.revision += 1;
        let bare = ArchivePlace { bare: true, revision: archived.revision, ..at.clone() };
        let text = serde_json::to_vec(&archived)
            .map_err(|error| EraseError::Record { job: at.job.clone(), why: error.to_string() })?;
        let others = marks(&archived.record.spec);
        bucket.put_record(&place(pool, &bare), Bytes::from(text), &others).await?;
        self.drop_counted(at, wish).await?;
        let lines = archived.timeline.len() as u64;
        self.count(&wish.id, Removed { jobs: 1, lines, ..Removed::default() }).await?;
        Ok(One::Gone)
    }

    /// Takes a record away that no tombstone names, with the objects by which it is found.
    pub(crate) async fn drop_record(
        &self,
        at: &ArchivePlace,
        swept: &mut Swept,
    ) -> Result<(), EraseError> {
        let (bucket, lies) = (self.buckets.of(&at.tenant), place(self.store.pool(), at));
        let Some(text) = bucket.read_record(&lies).await? else { return Ok(()) };
        // Of one that cannot be read they stay: each names a record that is not there, which nobody minds.
        let marks = read(at.job.as_str(), &text).map(|read| marks(&read.record.spec));
        Ok(bucket.drop_record(&lies, &marks.unwrap_or_default(), swept).await?)
    }

    async fn drop_counted(&self, at: &ArchivePlace, wish: &Erasure) -> Result<(), EraseError> {
        let mut swept = Swept::default();
        let told = self.drop_record(at, &mut swept).await;
        let Swept { objects, bytes } = swept;
        self.count(&wish.id, Removed { objects, bytes, ..Removed::default() }).await?;
        told
    }

    /// Of a record that is in Redis again, or still: what lies in the bucket of its content, where it came back
    /// from and where an archiver is about to take it.
    pub(crate) async fn drop_archived(
        &self,
        record: &Record,
        wish: &Erasure,
    ) -> Result<(), EraseError> {
        let came_from = self.store.came_from(&record.id).await?;
        let mut places: Vec<ArchivePlace> = came_from.into_iter().filter(|at| !at.bare).collect();
        if let Some(at) = ArchivePlace::of(record, 0) {
            let bucket = self.buckets.of(&at.tenant);
            for revision in bucket.record_revisions(&place(self.store.pool(), &at)).await? {
                places.push(ArchivePlace { revision, ..at.clone() });
            }
        }
        for at in places {
            self.drop_counted(&at, wish).await?;
        }
        Ok(())
    }
}

/// A record's place by its names; none for what is not ours.
fn target(name: &RecordName) -> Option<Target> {
    let ended_at = Timestamp::from_unix_ms(assets::day_begin(&name.day)?);
    Some(Target { id: JobId::parse(&name.job).ok()?, left: Some((ended_at, name.revision)) })
}
