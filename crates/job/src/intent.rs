//! The intent of one send, kept outside Redis: the second fence.
//!
//! A lost or rolled-back Redis forgets attempts, and a forgotten attempt is how a job comes to be
//! bought twice. The intent is created, if absent, before the first byte leaves; it names the attempt
//! with everything a look-up needs, and the whole request, so that even a job that Redis has lost
//! with its attempt can be brought back.

use crate::attempt::OpenAttempt;
use crate::erase::Erased;
use crate::event::DoubtCause;
use crate::mutant::{self, Mutant};
use crate::record::{CancelAsk, Life, Record, Spec};
use crate::state::{Looks, State};
use crate::{AttemptId, JobId, Timestamp};
use serde::{Deserialize, Serialize};

/// One send of one fingerprint, as the bucket or a local folder holds it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Intent {
    /// Version of the stored form: that of the record, see [`SCHEMA_VERSION`](crate::SCHEMA_VERSION).
    pub schema: u32,
    /// 1 for the first send of this fingerprint, ever; the object's name.
    pub number: u32,
    /// Whose attempt.
    pub job: JobId,
    /// When the job was accepted.
    pub created_at: Timestamp,
    /// What was asked.
    pub spec: Spec,
    /// The attempt that is about to be sent.
    pub attempt: OpenAttempt,
    /// What was asked has been erased: `spec` is without content, and must never be sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erased: Option<Erased>,
}

impl Intent {
    /// The intent to send `attempt` of `record`.
    #[must_use]
    pub fn of(record: &Record, attempt: &OpenAttempt, number: u32) -> Self {
        Self {
            schema: record.schema,
            number,
            job: record.id.clone(),
            created_at: record.created_at,
            spec: record.spec.clone(),
            attempt: attempt.clone(),
            erased: record.life.erased.clone(),
        }
    }

    /// Whether `record` knows how this attempt ended, or still works on it.
    ///
    /// A record that has begun an attempt of a higher number has answered for all lower ones, also
    /// for those that it no longer lists.
    #[must_use]
    pub fn is_known_to(&self, record: &Record) -> bool {
        if mutant::on(Mutant::ForgottenIntentIgnored) {
            return true;
        }
        let life = &record.life;
        let open = life.state.open_attempt();
        let mut attempts = life.attempts.iter().map(|closed| &closed.open).chain(open);
        attempts.any(|a| a.id == self.attempt.id || a.intent.is_some_and(|n| n > self.number))
            || life.state.task().is_some_and(|task| task.attempt == self.attempt.id)
    }

    /// Whether the intent that stands under its number is the attempt's own: only then may it be sent.
    #[must_use]
    pub fn is_of(&self, attempt: &OpenAttempt) -> bool {
        self.attempt.id == attempt.id || mutant::on(Mutant::FenceTakenIgnored)
    }

    /// The job as it must come back when Redis has lost it: in doubt about this attempt.
    #[must_use]
    pub fn restored(&self, now: Timestamp) -> Record {
        let state = State::InDoubt {
            attempt: self.attempt.clone(),
            cause: forgotten(&self.attempt.id),
            since: now,
            looks: Looks::default(),
            tries: 0,
        };
        let mut life = Life::begin(state, now);
        life.attempts_begun = self.attempt.number;
        life.erased.clone_from(&self.erased);
        // Nothing is left to send: once it is settled what was bought, the job ends.
        let stop = |erased: &Erased| CancelAsk { by: erased.by.clone(), at: erased.at };
        life.cancel = self.erased.as_ref().map(stop);
        Record {
            schema: self.schema,
            id: self.job.clone(),
            created_at: self.created_at,
            spec: self.spec.clone(),
            life,
        }
    }
}

/// What makes a forgotten attempt doubtful.
pub(crate) fn forgotten(attempt: &AttemptId) -> DoubtCause {
    DoubtCause {
        kind: "intent-forgotten".to_owned(),
        detail: format!("Redis has forgotten {attempt}, which the second fence still holds"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docs::{open_attempt, policy, record};
    use crate::{DoubtPolicy, Event, Step, Ticket, Verdict, transition};

    fn queued() -> Record {
        record(State::Queued { tries: 1 })
    }

    fn told(job: &Record, attempt: &OpenAttempt, instead_of: Option<AttemptId>) -> Verdict {
        let event = Event::IntentForgotten { attempt: attempt.clone(), instead_of };
        let now = job.created_at;
        transition(job, &event, now, &policy(DoubtPolicy::Balanced)).expect("no contradiction")
    }

    #[test]
    fn a_forgotten_attempt_is_settled_before_anything_is_sent() {
        let (job, forgotten) = (queued(), open_attempt('Z'));
        let Verdict::Write { life, ticket, .. } = told(&job, &forgotten, None) else {
            panic!("it must move")
        };
        assert!(
            matches!(&life.state, State::InDoubt { attempt, tries: 1, .. } if *attempt == forgotten)
        );
        assert!(matches!(ticket, Ticket::Due(Step::Settle, _)));
        let known = Record { life: *life, ..job };
        assert!(Intent::of(&known, &forgotten, 1).is_known_to(&known));
        assert!(matches!(told(&known, &forgotten, None), Verdict::Ignore { .. }));
    }

    #[test]
    fn an_attempt_that_met_another_has_sent_nothing_and_only_it_may_say_so() {
        let (own, forgotten) = (open_attempt('A'), open_attempt('Z'));
        let job = record(State::Submitting { attempt: own.clone(), tries: 0 });
        assert!(matches!(told(&job, &forgotten, None), Verdict::Ignore { .. }));
        let stranger = open_attempt('B').id;
        assert!(matches!(told(&job, &forgotten, Some(stranger)), Verdict::Ignore { .. }));
        let Verdict::Write { life, .. } = told(&job, &forgotten, Some(own.id.clone())) else {
            panic!("it must move")
        };
        assert!(life.attempts.iter().any(|a| a.open.id == own.id && a.outcome.bought_nothing()));
        assert_eq!(life.state.open_attempt(), Some(&forgotten));
    }

    /// Redis has fallen back to before a refusal, after which the job was sent once more: waiting for
    /// the refused attempt would leave the task of the other to nobody.
    #[test]
    fn a_later_intent_answers_for_the_attempt_in_doubt() {
        let own = OpenAttempt { intent: Some(2), ..open_attempt('A') };
        let (looks, tries, cause) = (Looks::default(), 1, forgotten(&own.id));
        let since = own.begun_at;
        let in_doubt = State::InDoubt { attempt: own.clone(), cause, since, looks, tries };
        let why = crate::ParkWhy::NoTaskStrict;
        let parked = State::Parked { attempt: own.clone(), why, since, looks };
        for state in [in_doubt, parked] {
            let job = record(state);
            for intent in [Some(2), Some(3)] {
                let later = OpenAttempt { intent, ..open_attempt('Z') };
                let Verdict::Write { life, ticket, .. } = told(&job, &later, None) else {
                    panic!("it must move")
                };
                assert!(matches!(&life.state, State::InDoubt { attempt, .. } if *attempt == later));
                assert!(matches!(ticket, Ticket::Due(Step::Settle, _)));
                assert!(life.attempts.iter().any(|closed| closed.open.id == own.id));
            }
            for intent in [None, Some(1)] {
                let earlier = OpenAttempt { intent, ..open_attempt('Z') };
                assert!(matches!(told(&job, &earlier, None), Verdict::Ignore { .. }));
            }
        }
    }

    #[test]
    fn a_record_answers_for_every_number_below_its_own() {
        let mut job = queued();
        let old = OpenAttempt { intent: Some(1), ..open_attempt('Z') };
        let intent = Intent::of(&job, &old, 1);
        assert!(!intent.is_known_to(&job));
        let same = OpenAttempt { intent: Some(1), ..open_attempt('B') };
        job.life.state = State::Submitting { attempt: same, tries: 0 };
        assert!(!intent.is_known_to(&job), "another attempt of the same number says nothing");
        let later = OpenAttempt { intent: Some(2), ..open_attempt('C') };
        job.life.state = State::Submitting { attempt: later, tries: 0 };
        assert!(intent.is_known_to(&job));
    }

    #[test]
    fn a_lost_job_comes_back_in_doubt_with_all_that_was_asked() {
        let (job, attempt) = (queued(), open_attempt('Z'));
        let text = serde_json::to_string(&Intent::of(&job, &attempt, 3)).expect("json");
        let intent: Intent = serde_json::from_str(&text).expect("an intent");
        let back = intent.restored(job.created_at);
        assert_eq!((&back.id, &back.spec, back.created_at), (&job.id, &job.spec, job.created_at));
        assert_eq!(back.life.state.open_attempt(), Some(&attempt));
    }
}
