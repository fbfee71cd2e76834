//! Erasure of what has left Redis.

use crate::eraser::{EraseError, Eraser};
use crate::one::One;
use crate::receipt::{Erasure, Removed, Subject};
use crate::shelf::{place, read};
use assets::{RecordKind, RecordMark, Swept};
use bytes::Bytes;
use job::{Event, JobId, Record, Spec, Timestamp, Verdict};
use store::{ArchivePlace, MEMBERS_MAX};

/// A job that a wish is about.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) id: JobId,
    /// Of one whose record lies in the bucket: an instant of the day of its end.
    pub(crate) left: Option<Timestamp>,
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
                let targets = named.iter().filter_map(|(day, job)| target(day, job));
                return Ok(targets.collect());
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
            let targets: Vec<Target> = jobs.iter().filter_map(|job| target(&day, job)).collect();
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
        let Some(left) = target.left else { return Ok(told) };
        let at = ArchivePlace {
            tenant: wish.tenant.clone(),
            job: target.id.clone(),
            ended_at: left,
            bare: false,
        };
        match told {
            One::Waits(_) => Ok(told),
            One::Gone | One::GoneBefore => {
                self.drop_record(&at, &mut Swept::default()).await?;
                Ok(told)
            }
            One::NoJob => self.erase_unknown(&at, wish).await,
        }
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
        let bare = ArchivePlace { bare: true, ..at.clone() };
        let text = serde_json::to_vec(&archived)
            .map_err(|error| EraseError::Record { job: at.job.clone(), why: error.to_string() })?;
        let others = marks(&archived.record.spec);
        bucket.put_record(&place(pool, &bare), Bytes::from(text), &others).await?;
        bucket.drop_record(&place(pool, at), &customer(&full.spec), &mut Swept::default()).await?;
        let lines = archived.timeline.len() as u64;
        self.count(&wish.id, Removed { jobs: 1, lines, ..Removed::default() }).await?;
        Ok(One::Gone)
    }

    /// Takes a record away that no tombstone names, with the object by which its customer finds it.
    pub(crate) async fn drop_record(
        &self,
        at: &ArchivePlace,
        swept: &mut Swept,
    ) -> Result<(), EraseError> {
        let (bucket, lies) = (self.buckets.of(&at.tenant), place(self.store.pool(), at));
        let Some(text) = bucket.read_record(&lies).await? else { return Ok(()) };
        let user = read(at.job.as_str(), &text).map(|read| customer(&read.record.spec));
        Ok(bucket.drop_record(&lies, &user.unwrap_or_default(), swept).await?)
    }

    /// Of a record that is in Redis again, or still: what an archiver has left in the bucket of its content.
    pub(crate) async fn drop_archived(
        &self,
        record: &Record,
        wish: &Erasure,
    ) -> Result<(), EraseError> {
        let Some(at) = ArchivePlace::of(record) else { return Ok(()) };
        let mut swept = Swept::default();
        let lies = place(self.store.pool(), &at);
        let bucket = self.buckets.of(&at.tenant);
        let told = bucket.drop_record(&lies, &customer(&record.spec), &mut swept).await;
        let Swept { objects, bytes } = swept;
        self.count(&wish.id, Removed { objects, bytes, ..Removed::default() }).await?;
        Ok(told?)
    }
}

/// A record's place by its names; none for what is not ours.
fn target(day: &str, job: &str) -> Option<Target> {
    let left = Timestamp::from_unix_ms(assets::day_begin(day)?);
    Some(Target { id: JobId::parse(job).ok()?, left: Some(left) })
}
