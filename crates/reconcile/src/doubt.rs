//! Jobs whose create ended without a clear answer, before a person: what is known, and the three decisions
//! no program may take.
//!
//! The command line and the dashboard both come through here, so that one rule holds at both: a decision
//! is taken on the evidence the person was shown, or not at all, and it is written down with what it
//! does.

use job::settle::{self, Sighting};
use job::{
    By, DoubtCause, Event, FoundVia, JobId, Looks, OpenAttempt, ParkWhy, Policy, PoolSettings,
    Record, State, StateWord, TaskId, Timestamp,
};
use limiter::Limiter;
use provider::{Client, OpenError, Retrieved, Site};
use seedance::{Call, Class, Day, PriceTable, Route};
use serde_json::{Map, Value, json};
use std::time::Duration;
use store::{Decided, ReportError, Reported, Store, StoreError, Stored};

/// How long a permit to read may take: the fleet may be using all of them.
const PERMIT_MAX: Duration = Duration::from_secs(15);

/// What is open about a job.
#[derive(Debug)]
pub struct Doubt<'a> {
    /// The attempt in question.
    pub attempt: &'a OpenAttempt,
    /// Since when.
    pub since: Timestamp,
    /// Look-ups so far.
    pub looks: Looks,
    /// What went wrong with the create; not of a parked job.
    pub cause: Option<&'a DoubtCause>,
    /// Only of a parked job.
    pub why: Option<&'a ParkWhy>,
}

impl<'a> Doubt<'a> {
    /// `None` for a job that is not in doubt.
    #[must_use]
    pub fn of(record: &'a Record) -> Option<Self> {
        match &record.life.state {
            State::InDoubt { attempt, since, looks, cause, .. } => {
                Some(Self { attempt, since: *since, looks: *looks, cause: Some(cause), why: None })
            }
            State::Parked { attempt, since, looks, why } => {
                Some(Self { attempt, since: *since, looks: *looks, cause: None, why: Some(why) })
            }
            State::Held { .. }
            | State::Queued { .. }
            | State::Submitting { .. }
            | State::Generating { .. }
            | State::Overdue { .. }
            | State::Downloading { .. }
            | State::Finished { .. } => None,
        }
    }

    /// Why a person must decide, or else what went wrong with the create.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        let parked = self.why.map(ToString::to_string);
        parked.or_else(|| self.cause.map(ToString::to_string))
    }

    /// Tasks that fit, where several do.
    #[must_use]
    pub fn tasks(&self) -> &'a [TaskId] {
        match self.why {
            Some(ParkWhy::SeveralTasks { tasks }) => tasks,
            Some(_) | None => &[],
        }
    }

    /// From when on nothing of the attempt can show up any more.
    #[must_use]
    pub fn settled_from(&self, policy: &Policy) -> Timestamp {
        settle::quiet_horizon(self.attempt, policy)
    }

    /// Both facts: how often was looked, and for how long.
    #[must_use]
    pub fn seen(&self, now: Timestamp) -> String {
        let minutes = now.since(self.attempt.begun_at).as_secs() / 60;
        let scans = self.looks.count;
        let fit = self.tasks().len();
        if fit > 0 {
            return format!("{fit} tasks fit, seen in {scans} scans over {minutes} min");
        }
        let proving = self.looks.empty_after_horizon;
        format!(
            "no task seen in {scans} scans over {minutes} min; {proving} of them began late enough \
             to prove something"
        )
    }
}

/// What one more send would cost, where the price table knows it.
#[must_use]
pub fn cost(route: Route, stored: &Stored) -> Option<seedance::Cost> {
    let spec = &stored.record.spec;
    let day = Day::from_unix_s(stored.now.unix_ms().div_euclid(1_000));
    PriceTable::in_force().cost(route, &spec.request, spec.estimate_tokens, day).ok()
}

/// What is known about the doubt, field by field; empty for a job that is not in doubt.
#[must_use]
pub fn evidence(stored: &Stored, route: Route, policy: &Policy) -> Map<String, Value> {
    let (record, mut row) = (&stored.record, Map::new());
    let Some(doubt) = Doubt::of(record) else { return row };
    let Doubt { attempt, since, looks, why, .. } = &doubt;
    let horizon = doubt.settled_from(policy);
    let mut tell = |name: &str, value: Value| drop(row.insert(name.to_owned(), value));
    tell("reason_kind", json!(why.map(ParkWhy::kind)));
    tell("seen", json!(doubt.seen(stored.now)));
    tell("since", json!(since.rfc3339()));
    tell("looks", json!(looks.count));
    tell("empty_looks", json!(looks.empty_after_horizon));
    tell("last_empty_look", json!(looks.last_empty_at.map(Timestamp::rfc3339)));
    tell("nothing_shows_up_after", json!(horizon.rfc3339()));
    tell("attempt", json!(attempt.id));
    tell("attempt_number", json!(attempt.number));
    tell("begun_at", json!(attempt.begun_at.rfc3339()));
    tell("send_by", json!(attempt.send_by.rfc3339()));
    tell("execution_expires_after", json!(attempt.nonce_s));
    tell("account", json!(attempt.facts.account));
    tell("model_id", json!(attempt.facts.model_id));
    tell("create_url", json!(attempt.facts.create_url));
    tell("body_sha256", json!(attempt.body_sha256));
    tell("safety_identifier", json!(attempt.safety_identifier));
    tell("callback_named", json!(stored.hint));
    tell("resends", json!(record.life.resends));
    tell("cost", json!(cost(route, stored).map(|cost| cost.to_string())));
    row
}

/// What a decision rests on, in a form that two looks can be compared by.
///
/// Counts of looks are left out: one more that saw nothing changes no decision. Whatever else is
/// learned, such as a callback, a second task or another attempt, does. A job in doubt that is not
/// parked has none that a person could have weighed: its attempt is checked by the event.
#[must_use]
pub fn grounds(stored: &Stored) -> Option<Value> {
    let record = &stored.record;
    let doubt = Doubt::of(record)?;
    let why = doubt.why?;
    Some(json!({
        "attempt": doubt.attempt.id,
        "reason": why,
        "begun_at": doubt.attempt.begun_at.unix_ms(),
        "body_sha256": doubt.attempt.body_sha256,
        "callback_named": stored.hint,
        "resends": record.life.resends,
        "cancel_asked": record.life.cancel.is_some(),
        "strays": record.life.strays,
    }))
}

/// What a person may do about a doubt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// A task is the attempt's.
    Adopt {
        /// Which.
        task: TaskId,
        /// Take it even if it cannot be read or shows another mark.
        unverified: bool,
    },
    /// One more create.
    Resend,
    /// The job is over.
    GiveUp,
}

impl Deed {
    /// As the audit calls it.
    #[must_use]
    pub const fn verb(&self) -> &'static str {
        match self {
            Self::Adopt { unverified: false, .. } => "doubt adopt",
            Self::Adopt { unverified: true, .. } => "doubt adopt --unverified",
            Self::Resend => "doubt resend",
            Self::GiveUp => "doubt give-up",
        }
    }
}

/// Why a decision is not taken.
#[derive(Debug, thiserror::Error)]
pub enum DoubtError {
    /// The job stands elsewhere, or its time has not come.
    #[error("{id} is {}: {rule}", .word.as_str())]
    Not {
        /// Which job.
        id: JobId,
        /// Where it stands.
        word: StateWord,
        /// The rule.
        rule: &'static str,
        /// When it will be possible, where it will.
        from: Option<Timestamp>,
    },
    /// The task is another job's.
    #[error("{task} belongs to {by}")]
    Owned {
        /// Which task.
        task: TaskId,
        /// Whose.
        by: JobId,
    },
    /// The account's keys are not usable.
    #[error(transparent)]
    Client(#[from] OpenError),
    /// The fleet uses every permit to read.
    #[error("no permit to read account {account} within {PERMIT_MAX:?}")]
    NoPermit {
        /// Which account.
        account: String,
    },
    /// The provider says 404.
    #[error("the provider knows no task {0}")]
    Unknown(TaskId),
    /// The read did not succeed.
    #[error("{task} could not be read: {code}: {message}")]
    Unreadable {
        /// Which task.
        task: TaskId,
        /// Sorted by what to do about it.
        class: Class,
        /// The provider's code, or what the transport said.
        code: String,
        /// In words.
        message: String,
    },
    /// The task was read, and is not the attempt's by what it shows.
    #[error("{task} does not show the mark of {attempt}")]
    OtherMark {
        /// Which task.
        task: TaskId,
        /// The attempt.
        attempt: job::AttemptId,
        /// Both marks, in words.
        told: String,
    },
    /// Redis.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Redis, or an event that contradicts the record: nothing was written.
    #[error(transparent)]
    Report(#[from] ReportError),
}

/// Where doubts of one pool are decided.
#[derive(Debug, Clone, Copy)]
pub struct Desk<'a> {
    /// Records.
    pub store: &'a Store,
    /// Section `pools.<pool>`.
    pub pool: &'a PoolSettings,
    /// The numbers the pool's jobs are decided with.
    pub policy: &'a Policy,
    /// Section `limits`.
    pub limits: &'a limiter::Settings,
    /// Section `provider`.
    pub provider: &'a provider::Settings,
}

impl Desk<'_> {
    /// Whether the deed is possible now; for an adoption the task is read, unless that is waived.
    ///
    /// # Errors
    ///
    /// [`DoubtError`]: why not.
    pub async fn check(&self, stored: &Stored, deed: &Deed) -> Result<(), DoubtError> {
        let record = &stored.record;
        let not = |rule, from| DoubtError::Not {
            id: record.id.clone(),
            word: record.life.state.word(),
            rule,
            from,
        };
        let doubt = Doubt::of(record);
        match deed {
            Deed::Resend => match doubt {
                Some(Doubt { why: Some(_), .. }) => Ok(()),
                Some(_) | None => Err(not("only a parked job is sent again by hand", None)),
            },
            Deed::GiveUp => {
                let doubt = doubt.ok_or_else(|| not("only a job in doubt is given up", None))?;
                let horizon = doubt.settled_from(self.policy);
                if stored.now < horizon {
                    let rule = "a task of it may still appear, so it is not given up yet";
                    return Err(not(rule, Some(horizon)));
                }
                Ok(())
            }
            Deed::Adopt { task, unverified } => {
                let doubt = doubt.ok_or_else(|| not("only a job in doubt takes a task", None))?;
                let owner = self.store.owners(std::slice::from_ref(task)).await?.pop().flatten();
                if let Some(by) = owner {
                    return Err(DoubtError::Owned { task: task.clone(), by });
                }
                if *unverified { Ok(()) } else { self.verify(doubt.attempt, task).await }
            }
        }
    }

    /// A task is the attempt's if an authenticated read shows the attempt's own mark.
    async fn verify(&self, attempt: &OpenAttempt, task: &TaskId) -> Result<(), DoubtError> {
        let client = Client::open(self.store.pool(), self.pool, self.provider)?;
        let limiter =
            Limiter::new(self.store.clone(), self.pool, self.limits, self.provider.under_way());
        let site = Site::for_reads(&attempt.facts);
        let permit = limiter.permit(&site.account, Call::Retrieve);
        let Ok(Ok(permit)) = tokio::time::timeout(PERMIT_MAX, permit).await else {
            return Err(DoubtError::NoPermit { account: site.account });
        };
        let seen = match client.retrieve(permit, &site, task).await {
            Retrieved::Task { task, .. } => task,
            Retrieved::NotFound => return Err(DoubtError::Unknown(task.clone())),
            Retrieved::Trouble(trouble) => {
                return Err(DoubtError::Unreadable {
                    task: task.clone(),
                    class: trouble.class,
                    code: trouble.code,
                    message: trouble.message,
                });
            }
        };
        let sighting = Sighting::of(task.clone(), &seen);
        if settle::fits(attempt, &sighting, self.policy) {
            return Ok(());
        }
        let told = format!(
            "the task: model {:?}, execution_expires_after {:?}, made {:?}\nthe attempt: model {:?}, \
             execution_expires_after {}, begun {:?}",
            sighting.model_id,
            sighting.nonce_s,
            sighting.created_at.map(Timestamp::rfc3339),
            attempt.facts.model_id,
            attempt.nonce_s,
            attempt.begun_at.rfc3339(),
        );
        Err(DoubtError::OtherMark { task: task.clone(), attempt: attempt.id.clone(), told })
    }

    /// Takes the decision on the evidence the person was shown; what the machine made of it.
    ///
    /// # Errors
    ///
    /// [`DoubtError`]: nothing was written.
    pub async fn decide(
        &self,
        shown: &Stored,
        deed: &Deed,
        by: &By,
        reason: &str,
        evidence: &Value,
    ) -> Result<(Event, Reported), DoubtError> {
        let event = event(shown, deed, by, reason)?;
        let decided = Decided { by, verb: deed.verb(), reason, evidence };
        let weighed = grounds(shown);
        let still = |now: &Stored| grounds(now) == weighed;
        let id = &shown.record.id;
        let told = self.store.decide(id, &event, self.policy, &decided, &still).await?;
        Ok((event, told))
    }
}

fn event(shown: &Stored, deed: &Deed, by: &By, reason: &str) -> Result<Event, DoubtError> {
    let (by, reason) = (by.clone(), reason.to_owned());
    Ok(match deed {
        Deed::Resend => Event::ResendOrdered { by, reason },
        Deed::GiveUp => Event::GaveUp { by, reason },
        Deed::Adopt { task, .. } => {
            let record = &shown.record;
            let doubt = Doubt::of(record).ok_or_else(|| DoubtError::Not {
                id: record.id.clone(),
                word: record.life.state.word(),
                rule: "only a job in doubt takes a task",
                from: None,
            })?;
            let said = Some(format!("by {}: {reason}", by.as_str()));
            let (attempt, task) = (doubt.attempt.id.clone(), task.clone());
            Event::TaskFound { attempt, task, via: FoundVia::Operator, said }
        }
    })
}
