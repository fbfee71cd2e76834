//! `doubt`: jobs whose create call ended without a clear answer, and the three decisions no program
//! may take. Each shows its evidence first and is taken only with `--yes`.

use super::rows::{self, Walk};
use crate::cli::{Decision, DoubtVerb, Filter, Global};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Row, Rows, note};
use crate::session::{Session, operator};
use crate::verbs::jobs::find;
use job::settle::{self, Sighting};
use job::{
    Event, FoundVia, JobId, Looks, OpenAttempt, Record, State, StateWord, TaskId, Timestamp,
};
use limiter::Limiter;
use provider::{Client, Retrieved, Site};
use seedance::{Call, Class};
use serde_json::json;
use std::time::Duration;
use store::{Reported, Stored, Writer};

/// How long a permit to read may take: the fleet may be using all of them.
const PERMIT_MAX: Duration = Duration::from_secs(15);

const COLUMNS: &[&str] =
    &["job", "state", "since", "looks", "empty_looks", "account", "attempt", "reason"];

/// Runs the verb.
pub(crate) async fn run(global: &Global, verb: DoubtVerb) -> Outcome {
    let session = Session::open(global).await?;
    match verb {
        DoubtVerb::List => list(global, &session).await,
        DoubtVerb::Show { id } => {
            let stored = find(&session, &id).await?;
            show(global, &session, &stored)?;
            Ok(Exit::Done)
        }
        DoubtVerb::Adopt { id, task, unverified, decision } => {
            adopt(global, &session, &id, task, unverified, &decision).await
        }
        DoubtVerb::Resend { id, decision } => {
            let stored = find(&session, &id).await?;
            if !matches!(stored.record.life.state, State::Parked { .. }) {
                return Err(wrong_state(&stored, "only a parked job is sent again by hand"));
            }
            let what = "would be sent again; if the first create made a task, two are paid";
            confirm(global, &session, &stored, what, &decision)?;
            let by = operator(decision.by.as_deref());
            let event = Event::ResendOrdered { by, reason: decision.reason };
            report(global, &session, &id, &event).await
        }
        DoubtVerb::GiveUp { id, decision } => {
            let stored = find(&session, &id).await?;
            let Some(Doubt { attempt, .. }) = doubtful(&stored.record) else {
                return Err(wrong_state(&stored, "only a job in doubt is given up"));
            };
            let horizon = settle::quiet_horizon(attempt, &session.policy);
            if stored.now < horizon {
                let rule = "a task of it may still appear, so it is not given up yet";
                let from = horizon.rfc3339();
                return Err(wrong_state(&stored, rule).hint(format!("possible from {from} on")));
            }
            let what = "would end without a result; a task that exists may still be billed";
            confirm(global, &session, &stored, what, &decision)?;
            let by = operator(decision.by.as_deref());
            let event = Event::GaveUp { by, reason: decision.reason };
            report(global, &session, &id, &event).await
        }
    }
}

/// What is open about a job.
struct Doubt<'a> {
    attempt: &'a OpenAttempt,
    since: Timestamp,
    looks: Looks,
}

fn doubtful(record: &Record) -> Option<Doubt<'_>> {
    match &record.life.state {
        State::InDoubt { attempt, since, looks, .. }
        | State::Parked { attempt, since, looks, .. } => {
            Some(Doubt { attempt, since: *since, looks: *looks })
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

async fn list(global: &Global, session: &Session) -> Outcome {
    let mut out = Rows::new(global.output, COLUMNS);
    for state in [StateWord::Parked, StateWord::InDoubt] {
        let filter = Filter { state: Some(state), ..Filter::default() };
        let mut walk = Walk::new(&session.store, &filter, 0, None);
        while let Some(page) = walk.next().await? {
            for stored in &page {
                out.add(evidence(session, stored))?;
            }
        }
    }
    out.end()?;
    Ok(Exit::Done)
}

/// The evidence as one row.
fn evidence(session: &Session, stored: &Stored) -> Row {
    let record = &stored.record;
    let mut row = rows::job(record);
    row.insert("reason".into(), json!(rows::reason(&record.life.state)));
    let Some(Doubt { attempt, since, looks }) = doubtful(record) else { return row };
    let horizon = settle::quiet_horizon(attempt, &session.policy);
    row.insert("since".into(), json!(since.rfc3339()));
    row.insert("looks".into(), json!(looks.count));
    row.insert("empty_looks".into(), json!(looks.empty_after_horizon));
    row.insert("last_empty_look".into(), json!(looks.last_empty_at.map(Timestamp::rfc3339)));
    row.insert("nothing_shows_up_after".into(), json!(horizon.rfc3339()));
    row.insert("attempt".into(), json!(attempt.id));
    row.insert("attempt_number".into(), json!(attempt.number));
    row.insert("begun_at".into(), json!(attempt.begun_at.rfc3339()));
    row.insert("send_by".into(), json!(attempt.send_by.rfc3339()));
    row.insert("execution_expires_after".into(), json!(attempt.nonce_s));
    row.insert("account".into(), json!(attempt.facts.account));
    row.insert("model_id".into(), json!(attempt.facts.model_id));
    row.insert("create_url".into(), json!(attempt.facts.create_url));
    row.insert("body_sha256".into(), json!(attempt.body_sha256));
    row.insert("safety_identifier".into(), json!(attempt.safety_identifier));
    row.insert("callback_named".into(), json!(stored.hint));
    row.insert("resends".into(), json!(record.life.resends));
    row
}

fn show(global: &Global, session: &Session, stored: &Stored) -> Result<(), Failure> {
    output::object(global.output, evidence(session, stored))?;
    if doubtful(&stored.record).is_none() && !global.quiet {
        note("this job is not in doubt");
    }
    Ok(())
}

fn wrong_state(stored: &Stored, rule: &str) -> Failure {
    let word = stored.record.life.state.word().as_str();
    Failure::new(Exit::Conflict, format!("{} is {word}: {rule}", stored.record.id))
}

fn confirm(
    global: &Global,
    session: &Session,
    stored: &Stored,
    what: &str,
    decision: &Decision,
) -> Result<(), Failure> {
    if decision.reason.trim().is_empty() {
        return Err(Failure::usage("--reason is empty").hint("write what you know"));
    }
    if decision.yes {
        return Ok(());
    }
    show(global, session, stored)?;
    let what = format!("{} {what}", stored.record.id);
    Err(Failure::new(Exit::Guard, what).hint("do it with --yes"))
}

async fn adopt(
    global: &Global,
    session: &Session,
    id: &JobId,
    task: TaskId,
    unverified: bool,
    decision: &Decision,
) -> Outcome {
    let stored = find(session, id).await?;
    let Some(Doubt { attempt, .. }) = doubtful(&stored.record) else {
        return Err(wrong_state(&stored, "only a job in doubt takes a task"));
    };
    if let Some(owner) = session.store.owners(std::slice::from_ref(&task)).await?.pop().flatten() {
        let what = format!("{task} belongs to {owner}");
        return Err(Failure::new(Exit::Conflict, what));
    }
    if !unverified {
        verify(session, attempt, &task).await?;
    }
    confirm(global, session, &stored, &format!("would own task {task}"), decision)?;
    let by = operator(decision.by.as_deref());
    let said = Some(format!("by {}: {}", by.as_str(), decision.reason));
    let via = FoundVia::Operator;
    let event = Event::TaskFound { attempt: attempt.id.clone(), task, via, said };
    report(global, session, id, &event).await
}

/// A task is the attempt's if an authenticated read shows the attempt's own mark.
async fn verify(session: &Session, attempt: &OpenAttempt, task: &TaskId) -> Result<(), Failure> {
    let limits: limiter::Settings = session.loaded.section("limits")?;
    let settings: provider::Settings = session.loaded.section("provider")?;
    let pool = session.store.pool();
    let client = Client::open(pool, &session.pool, &settings)
        .map_err(|error| Failure::new(Exit::Findings, error.to_string()))?;
    let limiter = Limiter::new(session.store.clone(), &session.pool, &limits);
    let site = Site::for_reads(&attempt.facts);
    let permit = tokio::time::timeout(PERMIT_MAX, limiter.permit(&site.account, Call::Retrieve));
    let Ok(Some(permit)) = permit.await else {
        let what = format!("no permit to read account {} within {PERMIT_MAX:?}", site.account);
        return Err(Failure::new(Exit::Outage, what));
    };
    let lift = "--unverified takes it all the same";
    let seen = match client.retrieve(permit, &site, task).await {
        Retrieved::Task { task, .. } => task,
        Retrieved::NotFound => {
            let what = format!("the provider knows no task {task}");
            return Err(Failure::new(Exit::NotFound, what).hint(lift));
        }
        Retrieved::Trouble(trouble) => {
            let what = format!("{task} could not be read");
            let cause = format!("{}: {}", trouble.code, trouble.message);
            let exit = if trouble.class == Class::Auth { Exit::Auth } else { Exit::Outage };
            return Err(Failure::new(exit, what).because(cause).hint(lift));
        }
    };
    let sighting = Sighting::of(task.clone(), &seen);
    if settle::fits(attempt, &sighting, &session.policy) {
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
    let what = format!("{task} does not show the mark of {}", attempt.id);
    Err(Failure::new(Exit::Guard, what).because(told).hint(lift))
}

async fn report(global: &Global, session: &Session, id: &JobId, event: &Event) -> Outcome {
    match session.store.report(id, Writer::Outside, event, &session.policy).await? {
        Reported::Written { stored, .. } => {
            let mut row = rows::job(&stored.record);
            row.insert("did".into(), json!(event.name()));
            output::object(global.output, row)?;
            Ok(Exit::Done)
        }
        Reported::Ignored { why, stored } => Err(wrong_state(&stored, why)),
        Reported::Gone => Err(Failure::new(Exit::NotFound, format!("there is no {id}"))),
        Reported::Owned { task, by } => {
            Err(Failure::new(Exit::Conflict, format!("{task} belongs to {by}")))
        }
        Reported::Fenced => {
            Err(Failure::new(Exit::Failed, format!("{id}: the store gave a worker's answer")))
        }
    }
}
