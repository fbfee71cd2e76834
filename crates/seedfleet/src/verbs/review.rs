//! `review`: jobs that wait for a person before anything is paid.

use crate::cli::{Filter, Global, ReviewVerb};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Row, Rows};
use crate::session::{Session, operator};
use crate::verbs::jobs;
use job::{Event, JobId, StateWord};
use serde_json::json;
use store::{Reported, Writer};

/// Runs the verb.
pub(crate) async fn run(global: &Global, verb: ReviewVerb) -> Outcome {
    let session = Session::open(global).await?;
    match verb {
        ReviewVerb::List { limit } => {
            let filter = Filter { state: Some(StateWord::Held), ..Filter::default() };
            jobs::list(global, &session, &filter, limit, None).await
        }
        ReviewVerb::Approve { ids, by } => {
            decide(global, &session, &ids, &Event::Approved { by: operator(by.as_deref()) }).await
        }
        ReviewVerb::Reject { ids, reason, by } => {
            let by = operator(by.as_deref());
            decide(global, &session, &ids, &Event::ReviewRejected { by, reason }).await
        }
    }
}

async fn decide(global: &Global, session: &Session, ids: &[JobId], event: &Event) -> Outcome {
    let mut rows = Rows::new(global.output, &["job", "state", "answer"]);
    let (mut done, mut refused) = (0, 0);
    for id in ids {
        let told = session.store.report(id, Writer::Outside, event, &session.policy).await?;
        let (state, answer) = match told {
            Reported::Written { stored, .. } => {
                done += 1;
                (stored.record.life.state.word().as_str(), "done")
            }
            Reported::Ignored { why, stored } => {
                refused += 1;
                (stored.record.life.state.word().as_str(), why)
            }
            Reported::Gone => {
                refused += 1;
                ("gone", "there is no such job")
            }
            Reported::Fenced | Reported::Owned { .. } => {
                let what = format!("{id}: the store gave a worker's answer");
                return Err(Failure::new(Exit::Failed, what));
            }
        };
        let mut row = Row::new();
        row.insert("job".into(), json!(id));
        row.insert("state".into(), json!(state));
        row.insert("answer".into(), json!(answer));
        rows.add(row)?;
    }
    rows.end()?;
    Ok(match (done, refused) {
        (_, 0) => Exit::Done,
        (0, _) => Exit::Conflict,
        (_, _) => Exit::Partial,
    })
}
