//! A task that was bought elsewhere and is watched and fetched here from now on.
//!
//! Its record is born running: nothing was admitted, nothing is sent, and no attempt of ours exists.
//! What it was asked for is not known; what the provider tells of it is written down when it has ended.

use crate::attempt::{Facts, TaskRef};
use crate::record::{Record, Source, Spec};
use crate::state::{Cause, State};
use crate::{AttemptId, Fingerprint, JobId, TaskId, Timestamp};
use seedance::{Class, Request, Task};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// The code of an adopted task that the provider does not know.
pub const TASK_UNKNOWN: &str = "task-unknown";

/// The longest `execution_expires_after` there is: how long a task may live by its own rules.
const EXPIRES_MAX: Duration = Duration::from_secs(259_200);

/// What the provider tells about a task. Absent is absent, never a default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The model's id on the wire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_id: Option<String>,
    /// Height class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<String>,
    /// Shape.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio: Option<String>,
    /// Whole seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_s: Option<u32>,
    /// Sound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generate_audio: Option<bool>,
    /// Tokens billed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
}

impl Told {
    /// What a read of the task says.
    #[must_use]
    pub fn of(task: &Task) -> Self {
        Self {
            model_id: task.model.clone(),
            resolution: task.resolution.clone(),
            ratio: task.ratio.clone(),
            duration_s: task.duration_s,
            generate_audio: task.generate_audio,
            tokens: task.completion_tokens.or(task.total_tokens),
        }
    }
}

/// A wish to take a task over.
#[derive(Debug, Clone, PartialEq)]
pub struct Adoption {
    /// Whose job it becomes.
    pub tenant: String,
    /// The pool that watches it.
    pub pool: String,
    /// The task.
    pub task: TaskId,
    /// What it is read with.
    pub facts: Facts,
    /// The model and size as far as the caller knows them, without content.
    pub request: Request,
    /// By whose hand.
    pub made_by: Option<String>,
    /// The caller's own id.
    pub custom_id: Option<String>,
    /// The caller's notes.
    pub metadata: BTreeMap<String, String>,
    /// Where it wants its files.
    pub output_prefix: Option<String>,
}

impl Adoption {
    /// The record, born running at `now` under fresh ids. `watch` is our own limit.
    #[must_use]
    pub fn record(self, id: JobId, attempt: AttemptId, now: Timestamp, watch: Duration) -> Record {
        // No request has this identity, since none is without content; the same task has the same.
        let named = format!("task {}", self.task);
        let fingerprint = Fingerprint::of(self.facts.route, &self.request, Some(&named), 1);
        let task = TaskRef {
            id: self.task,
            attempt,
            known_at: now,
            expires_at: now + EXPIRES_MAX,
            facts: self.facts,
        };
        let state = State::Generating {
            task,
            seen: String::new(),
            checks: 0,
            troubles: 0,
            odd: 0,
            give_up_at: now + watch,
        };
        let spec = Spec {
            custom_id: self.custom_id,
            metadata: self.metadata,
            output_prefix: self.output_prefix,
            made_by: self.made_by,
            ..Spec::plain(&self.tenant, &self.pool, Source::Adopted, fingerprint, self.request)
        };
        Record::begin(id, spec, state, now)
    }
}

/// Nobody has ever seen this task: it was named, and no read has found it.
pub(crate) fn was_never_seen(job: &Record) -> bool {
    match &job.life.state {
        State::Generating { seen, .. } => job.spec.source == Source::Adopted && seen.is_empty(),
        State::Held { .. }
        | State::Queued { .. }
        | State::Submitting { .. }
        | State::InDoubt { .. }
        | State::Parked { .. }
        | State::Overdue { .. }
        | State::Downloading { .. }
        | State::Finished { .. } => false,
    }
}

/// How the job of such a task ends.
pub(crate) fn unknown_task() -> Cause {
    Cause {
        code: TASK_UNKNOWN.to_owned(),
        class: Class::Input,
        message: "the provider does not know this task: check its id, account and route".to_owned(),
        task_existed: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docs::{adopted, instants, policy};
    use crate::{DoubtPolicy, End, Event, StateWord, TaskReport, Verdict, transition};

    fn told(job: &Record, event: &Event, now: Timestamp) -> Record {
        let policy = policy(DoubtPolicy::Strict);
        match transition(job, event, now, &policy).expect("no contradiction") {
            Verdict::Write { life, .. } => Record { life: *life, ..job.clone() },
            Verdict::Ignore { why } => panic!("ignored: {why}"),
        }
    }

    #[test]
    fn a_task_nobody_knows_ends_with_its_cause() {
        let mut job = adopted();
        let task = job.life.state.task().expect("a task").id.clone();
        for _ in 0..20 {
            if job.life.state.word().is_finished() {
                break;
            }
            job = told(&job, &Event::TaskMissing { task: task.clone() }, instants()[0]);
        }
        let State::Finished { end: End::Failed { cause }, .. } = &job.life.state else {
            panic!("{:?}", job.life.state)
        };
        assert_eq!((cause.code.as_str(), cause.task_existed), (TASK_UNKNOWN, false));
    }

    #[test]
    fn what_the_provider_tells_is_kept() {
        let job = adopted();
        let task = job.life.state.task().expect("a task").id.clone();
        let seen = TaskReport::InProgress {
            word: "running".into(),
            unknown: false,
            outlook: crate::Outlook::default(),
        };
        let job = told(&job, &Event::TaskSeen { task: task.clone(), report: seen }, instants()[0]);
        let payload = r#"{"id":"cgt-1","status":"failed","model":"m-1","resolution":"720p",
            "duration":5,"error":{"code":"X","message":"no"}}"#;
        let cause = unknown_task();
        let report = TaskReport::Failed { cause, payload: payload.into() };
        let job = told(&job, &Event::TaskSeen { task, report }, instants()[0]);
        assert_eq!(job.life.state.word(), StateWord::Failed);
        let told = job.life.told.expect("it told something");
        assert_eq!(told.model_id.as_deref(), Some("m-1"));
        assert_eq!((told.duration_s, told.tokens), (Some(5), None));
    }

    #[test]
    fn the_same_task_is_the_same_job_and_another_is_another() {
        let (one, two) = (adopted(), adopted());
        assert_eq!(one.spec.fingerprint, two.spec.fingerprint);
        assert!(one.spec.request.content.is_empty());
    }
}
