//! `doubt`: jobs whose create call ended without a clear answer, and the three decisions no program
//! may take. Each shows its evidence first and is taken only with `--yes`; each is written to the audit
//! together with what it does. Many at once go by way of a preview that a person has read.

mod bulk;
pub(crate) mod evidence;

use super::rows::Walk;
use crate::cli::{Decision, DoubtVerb, Global};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Form, Format, Row, Rows, note};
use crate::session::{Session, operator};
use crate::verbs::jobs::find;
use crate::verbs::{rows, tally};
use job::filter::Filter;
use job::{JobId, State, StateWord, TaskId};
use reconcile::doubt::{Deed, Desk, DoubtError};
use seedance::Class;
use serde_json::json;
use store::{Reported, Stored};

/// Columns of the list.
pub(crate) const COLUMNS: &[&str] =
    &["job", "state", "since", "account", "attempt", "seen", "reason"];

/// Runs the verb.
pub(crate) async fn run(global: &Global, verb: DoubtVerb) -> Outcome {
    let session = Session::open(global).await?;
    match verb {
        DoubtVerb::List => list(global, &session).await,
        DoubtVerb::Show { id } => {
            let stored = find(&session, &id).await?;
            tell(global, &session, &stored)?;
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
    let mut out = Rows::new(&global.output, COLUMNS);
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
    waiting(global, parked);
    Ok(Exit::Done)
}

/// How many wait for a person, and how to go on.
pub(crate) fn waiting(global: &Global, parked: u64) {
    if parked > 0 && !global.quiet {
        note(&format!(
            "{parked} wait for a person; one: `seedfleet doubt show JOB`, many: `seedfleet doubt \
             resend --all --preview FILE`"
        ));
    }
}

fn tell(global: &Global, session: &Session, stored: &Stored) -> Result<(), Failure> {
    let row = evidence::row(session, stored);
    show(global, row, &evidence::next_steps(session, stored))
}

/// The evidence about one job, and the commands by which a person goes on.
///
/// # Errors
///
/// Standard output is closed.
pub(crate) fn show(global: &Global, mut row: Row, steps: &[String]) -> Result<(), Failure> {
    if !global.output.is_a_page() {
        row.insert("next".into(), json!(steps));
        return output::object(&global.output, row);
    }
    output::object(&Form::plain(Format::Table), row)?;
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
    tell(global, session, stored)?;
    Err(unsaid(&stored.record.id, what))
}

/// What would happen, to whoever has not said that it may.
pub(crate) fn unsaid(id: &JobId, what: &str) -> Failure {
    Failure::new(Exit::Guard, format!("{id} {what}")).hint("do it with --yes")
}

/// What a resend would do.
pub(crate) const RESENT: &str =
    "would be sent again; if the first create made a task, two are paid";
/// What giving up would do.
pub(crate) const GIVEN_UP: &str =
    "would end without a result; a task that exists may still be billed";
/// What takes a task that a read does not prove.
pub(crate) const LIFT: &str = "--unverified takes it all the same";

async fn resend(global: &Global, session: &Session, id: &JobId, decision: &Decision) -> Outcome {
    decide(global, session, id, RESENT, &Deed::Resend, decision).await
}

async fn give_up(global: &Global, session: &Session, id: &JobId, decision: &Decision) -> Outcome {
    decide(global, session, id, GIVEN_UP, &Deed::GiveUp, decision).await
}

async fn adopt(
    global: &Global,
    session: &Session,
    id: &JobId,
    task: TaskId,
    unverified: bool,
    decision: &Decision,
) -> Outcome {
    let what = format!("would own task {task}");
    decide(global, session, id, &what, &Deed::Adopt { task, unverified }, decision).await
}

/// Takes the decision on the evidence the person was shown, or says that it has changed.
async fn decide(
    global: &Global,
    session: &Session,
    id: &JobId,
    what: &str,
    deed: &Deed,
    decision: &Decision,
) -> Outcome {
    decision.reason()?;
    let shown = find(session, id).await?;
    let limits: limiter::Settings = session.loaded.section("limits")?;
    let settings: provider::Settings = session.loaded.section("provider")?;
    let desk = Desk {
        store: &session.store,
        pool: &session.pool,
        policy: &session.policy,
        limits: &limits,
        provider: &settings,
    };
    desk.check(&shown, deed).await.map_err(failure)?;
    confirm(global, session, &shown, what, decision)?;
    let by = operator(decision.by.as_deref());
    let row = serde_json::Value::Object(evidence::row(session, &shown));
    let told = desk.decide(&shown, deed, &by, decision.reason()?, &row).await.map_err(failure)?;
    match told {
        (event, Reported::Written { stored, .. }) => {
            let mut row = rows::job(&stored.record);
            row.insert("did".into(), json!(event.name()));
            output::object(&global.output, row)?;
            Ok(Exit::Done)
        }
        (_, Reported::Ignored { why, stored }) => Err(wrong_state(&stored, why)),
        (_, Reported::Gone) => Err(Failure::new(Exit::NotFound, format!("there is no {id}"))),
        (_, Reported::Owned { task, by }) => {
            Err(Failure::new(Exit::Conflict, format!("{task} belongs to {by}")))
        }
        (_, Reported::Fenced) => Err(tally::strange(id)),
    }
}

fn failure(error: DoubtError) -> Failure {
    let what = error.to_string();
    match error {
        DoubtError::Not { from, .. } => {
            let failure = Failure::new(Exit::Conflict, what);
            match from {
                Some(from) => failure.hint(format!("possible from {} on", from.rfc3339())),
                None => failure,
            }
        }
        DoubtError::Owned { .. } => Failure::new(Exit::Conflict, what),
        DoubtError::Client(_) => Failure::new(Exit::Findings, what),
        DoubtError::NoPermit { .. } => Failure::new(Exit::Outage, what),
        DoubtError::Unknown(_) => Failure::new(Exit::NotFound, what).hint(LIFT),
        DoubtError::Unreadable { task, class, code, message } => {
            let exit = if class == Class::Auth { Exit::Auth } else { Exit::Outage };
            let what = format!("{task} could not be read");
            Failure::new(exit, what).because(format!("{code}: {message}")).hint(LIFT)
        }
        DoubtError::OtherMark { told, .. } => {
            Failure::new(Exit::Guard, what).because(told).hint(LIFT)
        }
        DoubtError::Store(error) => error.into(),
        DoubtError::Report(error) => error.into(),
    }
}
