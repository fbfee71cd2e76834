//! Before buying again: has an earlier attempt bought after all?
//!
//! A callback may name a task of an attempt that was closed on good evidence (two empty scans, a
//! person's order) while its job waits to be sent again. The hint then lies in the record. It is
//! read and, if it shows the mark of a closed attempt, taken in instead of a second purchase.

use crate::submit::Shared;
use job::settle::{Sighting, bought_late};
use job::{Event, FoundVia, Record, TaskId};
use limiter::NoPermit;
use provider::{Retrieved, Site};
use seedance::Call;
use worker::Outcome;

/// What to do instead of sending; `None` when there is nothing to take in.
pub(crate) async fn late_proof(shared: &Shared, record: &Record, hint: &TaskId) -> Option<Outcome> {
    let mut sites: Vec<Site> = Vec::new();
    for attempt in record.life.attempts.iter().rev() {
        let site = Site::for_reads(&attempt.open.facts);
        if !sites.contains(&site) {
            sites.push(site);
        }
    }
    for site in sites {
        let permit = match shared.limiter.permit(&site.account, Call::Retrieve).await {
            Ok(permit) => permit,
            Err(NoPermit::Unconfigured { .. }) => continue,
            // The question stays open.
            Err(why @ NoPermit::Held { .. }) => {
                let why = format!("a callback named a task that cannot be read: {why}");
                return Some(Outcome::hand_back(shared.policy.submit.retry_max, why));
            }
        };
        match shared.client.retrieve(permit, &site, hint).await {
            Retrieved::Task { task, .. } => {
                let sighting = Sighting::of(hint.clone(), &task);
                if let Some(attempt) = bought_late(record, &sighting, &shared.policy) {
                    tracing::error!(
                        attempt = %attempt.id, task.id = %hint,
                        "a closed attempt has bought after all; its task is taken in, nothing is sent"
                    );
                    let (attempt, task) = (attempt.id.clone(), hint.clone());
                    let via = FoundVia::Callback;
                    return Some(Outcome::Report(Event::TaskFound {
                        attempt,
                        task,
                        via,
                        said: None,
                    }));
                }
            }
            Retrieved::NotFound => {}
            // As long as the question is open, nothing is bought.
            Retrieved::Trouble(trouble) => {
                let why = format!("a callback named a task that cannot be read: {}", trouble.code);
                return Some(Outcome::hand_back(shared.policy.submit.retry_max, why));
            }
        }
    }
    None
}
