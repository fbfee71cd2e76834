//! `erase`: what must go, with a receipt.

use crate::cli::{EraseVerb, Erasing, Global};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Row};
use crate::session::{Session, operator};
use crate::verbs::freeze::given;
use crate::verbs::jobs;
use erasure::{EraseError, Eraser, Erasure, Progress, Subject, Wish};
use job::{JobId, StateWord};
use serde_json::json;
use store::keys::user_hash;

/// Runs the verb.
pub(crate) async fn run(global: &Global, verb: EraseVerb) -> Outcome {
    match verb {
        EraseVerb::Job { id, how } => {
            let session = Session::open(global).await?;
            let record = jobs::find(&session, &id).await?.record;
            let what = would_go(&id, record.life.state.word(), &how)?;
            let tenant = record.spec.tenant;
            erase(global, &session, &how, what, tenant, Subject::Job { job: id }).await
        }
        EraseVerb::EndUser { end_user, tenant, how } => {
            let session = Session::open_for(global, Some(&tenant)).await?;
            let hash = user_hash(&tenant, &end_user);
            let jobs = eraser(&session)?.first_jobs(&tenant, &hash).await?.len();
            let more = if jobs >= store::MEMBERS_MAX { " or more" } else { "" };
            let what = format!("the content of {jobs}{more} jobs of this end user would go");
            erase(global, &session, &how, what, tenant, Subject::EndUser { hash }).await
        }
        EraseVerb::Tenant { tenant, how } => {
            let session = Session::open_for(global, Some(&tenant)).await?;
            let what = format!("the content of every job of tenant {tenant} would go");
            erase(global, &session, &how, what, tenant, Subject::Tenant).await
        }
        EraseVerb::Show { id } => {
            let session = Session::open(global).await?;
            let Some(erasure) = eraser(&session)?.look(&id).await? else {
                return Err(Failure::new(Exit::NotFound, format!("there is no erasure {id}")));
            };
            tell(global, &erasure)
        }
    }
}

/// What would go of a job in this state, in words.
///
/// # Errors
///
/// It has not ended, and is not to be stopped.
pub(crate) fn would_go(id: &JobId, word: StateWord, how: &Erasing) -> Result<String, Failure> {
    if !word.is_finished() && !word.is_in_doubt() && !how.cancel {
        let what = format!("{id} has not ended: it is {}", word.as_str());
        return Err(Failure::new(Exit::Conflict, what)
            .hint("--cancel stops it as far as it can be; or wait for its end"));
    }
    Ok(format!("the content of {id} ({}) would go", word.as_str()))
}

/// Whether somebody agreed to it.
///
/// # Errors
///
/// Nobody did.
pub(crate) fn agree(how: &Erasing, what: &str) -> Result<(), Failure> {
    if how.yes {
        return Ok(());
    }
    Err(Failure::new(Exit::Guard, what).hint("it cannot be brought back; do it with --yes"))
}

fn eraser(session: &Session) -> Result<Eraser, Failure> {
    let intents = session.intents()?;
    let policy = session.policy.clone();
    Ok(Eraser::new(session.store.clone(), session.buckets()?, intents, policy))
}

async fn erase(
    global: &Global,
    session: &Session,
    how: &Erasing,
    what: String,
    tenant: String,
    subject: Subject,
) -> Outcome {
    let reason = given(&how.reason)?.to_owned();
    agree(how, &what)?;
    let eraser = eraser(session)?;
    let by = operator(how.by.as_deref());
    let wish = Wish { tenant, subject, by, reason, cancel: how.cancel };
    let asked = eraser.ask(Eraser::draw(), wish).await?;
    let mut worked = eraser.work(&asked.id).await?.unwrap_or(asked);
    // A long one takes several turns; what waits for jobs to end is the fleet's.
    while worked.progress == Progress::Working
        && let Some(next) = eraser.work(&worked.id).await?
        && next != worked
    {
        worked = next;
    }
    tell(global, &worked)
}

fn tell(global: &Global, erasure: &Erasure) -> Outcome {
    let mut row = Row::new();
    let value = serde_json::to_value(erasure)
        .map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    let told = ["id", "tenant", "progress", "by", "reason", "waits_for"];
    for key in told.into_iter().chain(["jobs_waiting", "jobs_before", "interruptions"]) {
        row.insert(key.into(), value[key].clone());
    }
    row.insert("subject".into(), value["subject"]["kind"].clone());
    row.insert("asked_at".into(), json!(erasure.asked_at.rfc3339()));
    row.insert("done_at".into(), json!(erasure.done_at.map(job::Timestamp::rfc3339)));
    for (name, n) in erasure.removed.named() {
        row.insert(name.into(), json!(n));
    }
    output::object(&global.output, row)?;
    Ok(match erasure.progress {
        Progress::Done => Exit::Done,
        // The fleet goes on with it.
        Progress::Working | Progress::Waiting => Exit::Partial,
    })
}

impl From<EraseError> for Failure {
    fn from(error: EraseError) -> Self {
        match error {
            EraseError::Store(error) => error.into(),
            EraseError::Report(error) => error.into(),
            EraseError::Bucket(error) => error.into(),
            EraseError::Fence(error) => Self::new(Exit::Outage, error.to_string()),
            unreadable @ (EraseError::Unreadable { .. }
            | EraseError::Record { .. }
            | EraseError::TooMany { .. }) => Self::new(Exit::Failed, unreadable.to_string()),
        }
    }
}
