//! Once more: the request of a job that ended badly becomes a new job, as its next take.

use crate::door::{Ready, Told, count, unavailable};
use crate::envelope::TAKE_MAX;
use crate::trace;
use crate::{Admitted, Door, How, Refusal, codes};
use job::{Fingerprint, HeldWhy, Record, Source, Spec, State, Timestamp};
use seedance::{Day, Fault};
use store::NewJob;
use telemetry::{Span, SpanName};

impl Door {
    /// Makes a new job of an older one's request. The new job is a task of its own and will be paid; asked a
    /// second time, the same new job answers.
    ///
    /// The request was judged when it came, so only price, review and memory are asked again. A
    /// `useful_until` that has passed is left out. `by`: the key or person that asks.
    ///
    /// # Errors
    ///
    /// [`Refusal`], sorted by what to do next.
    pub async fn retry(
        &self,
        old: &Record,
        source: Source,
        by: Option<&str>,
    ) -> Result<Admitted, Refusal> {
        let span = Span::linked(SpanName::SendJobs, old.spec.traceparent.as_deref());
        let answer = self.retry_takes(old, source, by, span.traceparent()).await;
        count(source, &old.spec.tenant, &answer);
        trace::end(&span, self.store.pool(), &answer);
        answer
    }

    async fn retry_takes(
        &self,
        old: &Record,
        source: Source,
        by: Option<&str>,
        traceparent: Option<String>,
    ) -> Result<Admitted, Refusal> {
        if old.life.erased.is_some() || old.spec.source == Source::Adopted {
            let (what, fix) =
                ("nobody here knows what it was asked for", "send the request itself");
            return Err(Refusal::Faults(vec![Fault::new("", codes::MISSING_FIELD, what, fix)]));
        }
        let pulse = self.store.pulse().await.map_err(unavailable)?;
        if let Some(paused) = self.paused(pulse) {
            return Err(paused);
        }
        for take in old.spec.take.saturating_add(1)..=TAKE_MAX {
            let mut ready = self.next_take(old, source, take, pulse.now)?;
            ready.job.record.spec.made_by = by.map(str::to_owned);
            ready.job.record.spec.traceparent.clone_from(&traceparent);
            let mut answers = self.store_all(vec![Ok(ready)]).await;
            let admitted = answers.pop().unwrap_or_else(|| Err(unavailable("no answer")))?;
            if admitted.how == How::Created || self.is_retry_of(&admitted, old).await? {
                return Ok(admitted);
            }
            // This take was wanted for itself: the one after it is asked for.
        }
        Err(Refusal::Faults(vec![
            Fault::new(
                "",
                codes::OUT_OF_RANGE,
                "all takes of this request exist",
                "vary the request",
            )
            .allowing(format!("up to {TAKE_MAX} takes of one request")),
        ]))
    }

    async fn is_retry_of(&self, admitted: &Admitted, old: &Record) -> Result<bool, Refusal> {
        let found = self.store.load(&admitted.id).await.map_err(unavailable)?;
        Ok(found.is_some_and(|found| found.record.spec.retry_of.as_ref() == Some(&old.id)))
    }

    fn next_take(
        &self,
        old: &Record,
        source: Source,
        take: u32,
        now: Timestamp,
    ) -> Result<Ready, Refusal> {
        let (judge, request) = (&self.judge, &old.spec.request);
        let day = Day::from_unix_s(now.unix_ms().div_euclid(1_000));
        let tokens = old.spec.estimate_tokens;
        let cost =
            judge.prices.cost(judge.route, request, tokens, day).map_err(Refusal::NoPrice)?;
        let held = judge.settings.review_of(&old.spec.tenant).holds(request, old.spec.people);
        let state =
            if held { State::Held { why: HeldWhy::Review } } else { State::Queued { tries: 0 } };
        let end_user = old.spec.end_user.as_deref();
        let spec = Spec {
            take,
            fingerprint: Fingerprint::of(judge.route, request, end_user, take),
            retry_of: Some(old.id.clone()),
            useful_until: old.spec.useful_until.filter(|until| *until > now),
            traceparent: None,
            source,
            ..old.spec.clone()
        };
        let record = Record::begin(crate::check::job_id(now), spec, state, now);
        let told = Told { estimate_tokens: tokens, cost, warnings: Vec::new() };
        Ok(Ready { job: NewJob { record, idempotency: None }, told })
    }
}
