//! `review`: jobs that wait for a person before anything is paid.

use crate::cli::{Global, ReviewVerb};
use crate::exit::{Exit, Failure, Outcome};
use crate::session::{Session, operator};
use crate::verbs::jobs;
use crate::verbs::tally::{Tally, Told};
use job::filter::Filter;
use job::{Event, JobId, StateWord};
use serde_json::json;
use store::{Decided, Stored};

/// Runs the verb.
pub(crate) async fn run(global: &Global, verb: ReviewVerb) -> Outcome {
    let session = Session::open(global).await?;
    match verb {
        ReviewVerb::List { limit, cursor } => {
            let held = Filter::all().state(StateWord::Held);
            jobs::list(global, &session, held, limit, cursor.as_deref()).await
        }
        ReviewVerb::Approve { ids, by } => {
            let event = Event::Approved { by: operator(by.as_deref()) };
            decide(global, &session, &ids, "review approve", &event).await
        }
        ReviewVerb::Reject { ids, reason, by } => {
            let by = operator(by.as_deref());
            let event = Event::ReviewRejected { by, reason };
            decide(global, &session, &ids, "review reject", &event).await
        }
    }
}

async fn decide(
    global: &Global,
    session: &Session,
    ids: &[JobId],
    verb: &str,
    event: &Event,
) -> Outcome {
    let (by, reason) = match event {
        Event::ReviewRejected { by, reason } => (by, reason.as_str()),
        Event::Approved { by } => (by, ""),
        other => return Err(Failure::usage(format!("{} is no decision", other.name()))),
    };
    let rules = admission::Settings::from_loaded(&session.loaded)?;
    let mut tally = Tally::new(&global.output);
    for id in ids {
        let spec = jobs::find(session, id).await?.record.spec;
        let approves = matches!(event, Event::Approved { .. });
        if approves && !rules.may_approve(by.as_str(), spec.made_by.as_deref()) {
            let what = format!("{id} was made by {}, who may not approve it", by.as_str());
            return Err(Failure::new(Exit::Conflict, what)
                .hint("review.four_eyes is on: somebody else must look"));
        }
        let evidence = json!({"people": spec.people, "consent_stated": spec.consent_ref.is_some()});
        let decided = Decided { by, verb, reason, evidence: &evidence };
        let told =
            session.store.decide(id, event, &session.policy, &decided, &|_: &Stored| true).await?;
        tally.add(id, &Told::of(id, &told, "done")?)?;
    }
    tally.end()
}
