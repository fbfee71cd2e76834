//! `review` over the gateway.

use super::gateway::Gateway;
use super::jobs::{self, LISTED};
use super::own_name;
use super::rows::{self, text};
use crate::cli::{Global, ReviewVerb};
use crate::exit::Outcome;
use crate::verbs::tally::{Tally, Told};
use job::filter::Filter;
use job::{JobId, StateWord};
use serde_json::{Value, json};

/// The API wants a reason, and the command line asks for none.
const APPROVED: &str = "approved at the command line";

/// Runs the verb.
pub(super) async fn run(global: &Global, gateway: &Gateway, verb: ReviewVerb) -> Outcome {
    match verb {
        ReviewVerb::List { limit, cursor } => {
            let held = Filter::all().state(StateWord::Held);
            jobs::list(global, gateway, &held, limit, cursor).await
        }
        ReviewVerb::Approve { ids, by } => {
            own_name(by.as_deref())?;
            decide(global, gateway, &ids, "approve", APPROVED).await
        }
        ReviewVerb::Reject { ids, reason, by } => {
            own_name(by.as_deref())?;
            decide(global, gateway, &ids, "reject", &reason).await
        }
    }
}

async fn decide(
    global: &Global,
    gateway: &Gateway,
    ids: &[JobId],
    verb: &str,
    reason: &str,
) -> Outcome {
    let mut tally = Tally::new(&global.output);
    for id in ids {
        let path = format!("{id}:{verb}");
        let fine = |status| matches!(status, 200 | 409);
        let view = gateway.post(&["jobs", &path], &json!({"reason": reason}), &[], fine).await;
        let view: Value = view.map_err(|failure| failure.if_absent(LISTED))?;
        let told = match text(&view, "/id") {
            Some(_) => {
                Told { state: rows::state(&view)?.as_str(), answer: "done".to_owned(), done: true }
            }
            // A problem, of this job alone.
            None => {
                let state = rows::state(&jobs::find(gateway, id, &[]).await?)?.as_str();
                let answer = text(&view, "/title").unwrap_or("refused").to_owned();
                Told { state, answer, done: false }
            }
        };
        tally.add(id, &told)?;
    }
    tally.end()
}
