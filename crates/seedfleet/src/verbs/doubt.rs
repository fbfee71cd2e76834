//! `doubt`: jobs whose create call ended without a clear answer, and the three decisions no program
//! may take. Each shows its evidence first and is taken only with `--yes`; each is written to the audit
//! together with what it does. Many at once go by way of a preview that a person has read.

mod bulk;
mod evidence;

use super::rows::Walk;
use crate::cli::{Decision, DoubtVerb, Global};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Format, Rows, note};
use crate::session::{Session, operator};
use crate::verbs::jobs::find;
use crate::verbs::{rows, tally};
use evidence::Doubt;
use job::filter::Filter;
use job::settle::{self, Sighting};
use job::{Event, FoundVia, JobId, OpenAttempt, State, StateWord, TaskId, Timestamp};
use limiter::Limiter;
use provider::{Client, Retrieved, Site};
use seedance::{Call, Class};
use serde_json::json;
use std::time::Duration;
use store::{Decided, Reported, Stored};

/// How long a permit to read may take: the fleet may be using all of them.
const PERMIT_MAX: Duration = Duration::from_secs(15);

const COLUMNS: &[&str] = &["job", "state", "since", "account", "attempt", "seen", "reason"];

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
        DoubtVerb::Resend(chosen) => match &chosen.id {
            Some(id) => resend(global, &session, id, &chosen.decision).await,
            None => bulk::preview(global, &session, bulk::Action::Resend, &chosen.bulk).await,
        },
        DoubtVerb::GiveUp(chosen) => match &chosen.id {
            Some(id) => give_up(global, &session, id, &chosen.decision).await,
            None => bulk::preview(global, &session, bulk::Action::GiveUp, &chosen.bulk).await,
        },
        DoubtVerb::Apply { file, decision } => {
            bulk::apply(global, &session, &file, &decision).await
        }
    }
}

async fn list(global: &Global, session: &Session) -> Outcome {
    let mut out = Rows::new(global.output, COLUMNS);
    let mut parked = 0_u64;
    for state in [StateWord::Parked, StateWord::InDoubt] {
        let mut walk = Walk::new(&session.store, Filter::all().state(state), 0);
        while let Some(page) = walk.next().await? {
            for stored in &page {
                parked += u64::from(matches!(stored.record.life.state, State::Parked { .. }));
                out.add(evidence::row(session, stored))?;
            }
        }
    }
    out.end()?;
    if parked > 0 && !global.quiet {
        note(&format!(
            "{parked} wait for a person; one: `seedfleet doubt show JOB`, many: `seedfleet doubt \
             resend --all --preview FILE`"
        ));
    }
    Ok(Exit::Done)
}

fn show(global: &Global, session: &Session, stored: &Stored) -> Result<(), Failure> {
    let mut row = evidence::row(session, stored);
    let steps = evidence::next_steps(session, stored);
    if global.output != Format::Table {
        row.insert("next".into(), json!(steps));
        return output::object(global.output, row);
    }
    output::object(Format::Table, row)?;
    if steps.is_empty() {
        if !global.quiet {
            note("this job is not in doubt");
        }
        return Ok(());
    }
    output::say(&format!("\nnext:\n  {}\n", steps.join("\n  ")))
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
    decision.reason()?;
    if decision.yes {
        return Ok(());
    }
    show(global, session, stored)?;
    let what = format!("{} {what}", stored.record.id);
    Err(Failure::new(Exit::Guard, what).hint("do it with --yes"))
}

async fn resend(global: &Global, session: &Session, id: &JobId, decision: &Decision) -> Outcome {
    decision.reason()?;
    let stored = find(session, id).await?;
    if !matches!(stored.record.life.state, State::Parked { .. }) {
        return Err(wrong_state(&stored, "only a parked job is sent again by hand"));
    }
    let what = "would be sent again; if the first create made a task, two are paid";
    confirm(global, session, &stored, what, decision)?;
    let by = operator(decision.by.as_deref());
    let event = Event::ResendOrdered { by, reason: decision.reason()?.to_owned() };
    report(global, session, &stored, "doubt resend", decision, &event).await
}

async fn give_up(global: &Global, session: &Session, id: &JobId, decision: &Decision) -> Outcome {
    decision.reason()?;
    let stored = find(session, id).await?;
    let Some(Doubt { attempt, .. }) = Doubt::of(&stored.record) else {
        return Err(wrong_state(&stored, "only a job in doubt is given up"));
    };
    let horizon = settle::quiet_horizon(attempt, &session.policy);
    if stored.now < horizon {
        let rule = "a task of it may still appear, so it is not given up yet";
        let from = horizon.rfc3339();
        return Err(wrong_state(&stored, rule).hint(format!("possible from {from} on")));
    }
    let what = "would end without a result; a task that exists may still be billed";
    confirm(global, session, &stored, what, decision)?;
    let by = operator(decision.by.as_deref());
    let event = Event::GaveUp { by, reason: decision.reason()?.to_owned() };
    report(global, session, &stored, "doubt give-up", decision, &event).await
}

async fn adopt(
    global: &Global,
    session: &Session,
    id: &JobId,
    task: TaskId,
    unverified: bool,
    decision: &Decision,
) -> Outcome {
    decision.reason()?;
    let stored = find(session, id).await?;
    let Some(Doubt { attempt, .. }) = Doubt::of(&stored.record) else {
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
    let said = Some(format!("by {}: {}", by.as_str(), decision.reason()?));
    let via = FoundVia::Operator;
    let event = Event::TaskFound { attempt: attempt.id.clone(), task, via, said };
    let verb = if unverified { "doubt adopt --unverified" } else { "doubt adopt" };
    report(global, session, &stored, verb, decision, &event).await
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

/// Takes the decision on the evidence the person was shown, or says that it has changed.
async fn report(
    global: &Global,
    session: &Session,
    shown: &Stored,
    verb: &str,
    decision: &Decision,
    event: &Event,
) -> Outcome {
    let id = &shown.record.id;
    let by = operator(decision.by.as_deref());
    let row = serde_json::Value::Object(evidence::row(session, shown));
    let decided = Decided { by: &by, verb, reason: decision.reason()?, evidence: &row };
    // A job in doubt has no grounds a person could have weighed: its attempt is checked by the event.
    let grounds = evidence::grounds(shown);
    let still = |now: &Stored| evidence::grounds(now) == grounds;
    match session.store.decide(id, event, &session.policy, &decided, &still).await? {
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
        Reported::Fenced => Err(tally::strange(id)),
    }
}
