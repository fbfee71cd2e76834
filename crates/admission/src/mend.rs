//! A row in place of a job that ended badly: which job that is, and the new one that is linked to it.

use crate::check::Sound;
use crate::door::{Ready, Told, unavailable};
use crate::envelope::TAKE_MAX;
use crate::identity::row_key;
use crate::{Admitted, Checked, Door, How, Intake, Mends, Refusal, codes};
use futures::{StreamExt, stream};
use job::filter::Filter;
use job::{Again, Fingerprint, JobId, Record};
use seedance::Fault;
use std::collections::HashSet;
use std::sync::Arc;
use store::{ListQuery, Match, NewJob, Pulse};

/// Rows looked up and taken in at once.
const AT_ONCE: usize = 8;
/// Jobs of one batch with one `custom_id`; each but the first was made in place of one before.
const CHAIN_MAX: usize = 100;

/// Where a row stands with the jobs of its batch.
enum Stand {
    /// It is to be made in place of this one.
    Old(Box<Record>),
    /// That was done before.
    Made(Box<Record>),
}

impl Door {
    /// Whether the job that a request would stand in place of ended badly.
    pub(crate) async fn is_mended(
        &self,
        tenant: &str,
        mends: &Mends,
        checked: &Checked,
    ) -> Result<(), Refusal> {
        self.stand(tenant, mends, checked).await.map(drop)
    }

    /// Takes rows in of which some stand in place of older jobs.
    pub(crate) async fn mend_all(
        &self,
        group: Vec<Intake>,
        pulse: Pulse,
    ) -> Vec<Result<Admitted, Refusal>> {
        // Of two rows in place of one job, the second must see what became of the first.
        let mut names = HashSet::new();
        let apart = group.iter().all(|intake| {
            let job = intake.mends.as_ref().and_then(|mends| mends.job.as_ref());
            let name = (intake.body["custom_id"].as_str(), job);
            name == (None, None) || names.insert(name)
        });
        let at_once = if apart { AT_ONCE } else { 1 };
        let one = |intake: Intake| self.mend(intake, pulse);
        let told = group.clone().into_iter().map(one);
        stream::iter(told).buffered(at_once).collect().await
    }

    async fn mend(&self, intake: Intake, pulse: Pulse) -> Result<Admitted, Refusal> {
        let Some(mends) = intake.mends.clone() else {
            let prepared = self.prepare_all(vec![intake], pulse).await;
            return self.store_all(prepared).await.pop().unwrap_or_else(no_answer);
        };
        let judge = Arc::clone(&self.judge);
        // Decoding media is no work for a thread that serves others.
        let judged = tokio::task::spawn_blocking(move || judge.judge(intake, pulse.now)).await;
        let sound = judged.map_err(unavailable)??;
        match self.stand(&sound.intake.tenant, &mends, &sound.checked).await? {
            Stand::Made(made) => Ok(existing(&made, &sound.checked)),
            Stand::Old(old) => self.in_place_of(&old, sound, pulse).await,
        }
    }

    /// The newest job of the row decides: the row's own, or that which was last made in place of it.
    async fn stand(
        &self,
        tenant: &str,
        mends: &Mends,
        checked: &Checked,
    ) -> Result<Stand, Refusal> {
        let chain = self.chain(tenant, mends, checked).await?;
        let Some(newest) = chain.last() else {
            let what = format!("no job of batch {} is this row's", mends.batch);
            let fix =
                "name it by custom_id, leave _job in the row, or import it without --retry-of";
            return Err(refused(codes::NO_JOB_TO_MEND, what, fix));
        };
        let first = mends.job.as_ref().or(chain.first().map(|first| &first.id));
        let made = chain.iter().find(|job| {
            Some(&job.id) > first
                && job.spec.retry_of.is_some()
                && job.spec.request == checked.request
        });
        if let Some(made) = made {
            return Ok(Stand::Made(Box::new(made.clone())));
        }
        let word = newest.life.state.word();
        if !Again::WORDS.contains(&word) {
            let what = format!("its job {} is {}", newest.id, word.as_str());
            let fix = "take the row out; only a job that ended badly is made again";
            return Err(refused(codes::NOT_FAILED, what, fix));
        }
        Ok(Stand::Old(Box::new(newest.clone())))
    }

    /// The jobs of the batch that a row stands for, oldest first.
    async fn chain(
        &self,
        tenant: &str,
        mends: &Mends,
        checked: &Checked,
    ) -> Result<Vec<Record>, Refusal> {
        let mut chain = Vec::new();
        let mut wanted: Vec<JobId> = mends.job.iter().cloned().collect();
        if let Some(custom_id) = &checked.custom_id {
            let filter = Filter::all().tenant(tenant).batch(&mends.batch).custom_id(custom_id);
            let query = ListQuery { limit: CHAIN_MAX, ..ListQuery::of(filter) };
            let page = self.store.list(&query).await.map_err(unavailable)?;
            chain.extend(page.items.into_iter().map(|stored| stored.record));
            let key = row_key(&mends.batch, custom_id);
            wanted.extend(self.store.job_of_key(tenant, &key).await.map_err(unavailable)?);
        } else if wanted.is_empty() {
            let found = self.store.job_of_request(tenant, &checked.fingerprint).await;
            wanted.extend(found.map_err(unavailable)?);
        }
        // These may have left Redis.
        for id in wanted {
            if chain.iter().any(|job| job.id == id) {
                continue;
            }
            let found = self.store.load(&id).await.map_err(unavailable)?;
            chain.extend(found.map(|found| found.record).filter(|job| {
                job.spec.tenant == tenant && job.spec.batch.as_ref() == Some(&mends.batch)
            }));
        }
        chain.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(chain)
    }

    /// Makes the new job, as the first take that is free. A take that this was made as before answers.
    async fn in_place_of(
        &self,
        old: &Record,
        sound: Sound,
        pulse: Pulse,
    ) -> Result<Admitted, Refusal> {
        let Ready { job, told } = self.prepare(sound, pulse.now, self.paused(pulse)).await?;
        let mut record = job.record;
        record.spec.retry_of = Some(old.id.clone());
        let end_user = record.spec.end_user.clone();
        for take in record.spec.take..=TAKE_MAX {
            let (route, request) = (self.judge.route, &record.spec.request);
            record.spec.fingerprint = Fingerprint::of(route, request, end_user.as_deref(), take);
            record.spec.take = take;
            let (estimate_tokens, cost) = (told.estimate_tokens, told.cost);
            let told = Told { estimate_tokens, cost, warnings: told.warnings.clone() };
            let job = NewJob { record: record.clone(), idempotency: None };
            let mut answers = self.store_all(vec![Ok(Ready { job, told })]).await;
            let admitted = answers.pop().unwrap_or_else(no_answer)?;
            if admitted.how == How::Created {
                return Ok(admitted);
            }
            let found = self.store.load(&admitted.id).await.map_err(unavailable)?;
            let found = found.map(|found| found.record);
            if found.is_none_or(|found| !is_a_step(&found, old)) {
                return Ok(admitted);
            }
        }
        let what = "all takes of this request exist".to_owned();
        Err(refused(codes::OUT_OF_RANGE, what, "vary the request"))
    }
}

/// Whether a job that has the same request is one that the new job is to be made beside: the old one, or another
/// made before it for the same row. Any other is what was asked for.
fn is_a_step(found: &Record, old: &Record) -> bool {
    if found.spec.retry_of.as_ref() == Some(&old.id) {
        return false;
    }
    let same_row = found.spec.custom_id.is_some()
        && found.spec.custom_id == old.spec.custom_id
        && found.spec.batch == old.spec.batch;
    found.id == old.id || same_row || found.spec.request == old.spec.request
}

fn existing(made: &Record, checked: &Checked) -> Admitted {
    Admitted {
        id: made.id.clone(),
        state: Some(made.life.state.word()),
        how: How::Deduplicated { by: Match::Fingerprint },
        created_at: Some(made.created_at),
        estimate_tokens: checked.estimate_tokens,
        cost: checked.cost,
        warnings: checked.warnings.clone(),
    }
}

fn refused(code: &str, what: String, fix: &str) -> Refusal {
    Refusal::Faults(vec![Fault::new("", code, what, fix)])
}

fn no_answer() -> Result<Admitted, Refusal> {
    Err(unavailable("no answer"))
}
