//! Pages printed from the code: the state diagram and the retry matrix. `docs/state-machine.md` and
//! `docs/retry-matrix.md` are compared with these by a test, so they cannot drift.

mod samples;
#[cfg(test)]
mod stored;

use crate::retry::{self, AfterRefusal, AfterTrouble, Stop};
use crate::{StateWord, Verdict, transition};
use seedance::Class;
use std::collections::BTreeMap;
use std::fmt::Write as _;

#[cfg(test)]
pub(crate) use samples::record;
#[cfg(test)]
pub(crate) use samples::{adopted, erased_by, open_attempt};
pub(crate) use samples::{events, instants, policy, records};

/// Edges of the machine: from, to, and the events that lead there. Found by asking `transition`
/// about every sample state and every sample event.
fn edges() -> BTreeMap<(StateWord, StateWord), Vec<&'static str>> {
    let mut edges: BTreeMap<(StateWord, StateWord), Vec<&'static str>> = BTreeMap::new();
    let policies = [policy(crate::DoubtPolicy::Strict), policy(crate::DoubtPolicy::Balanced)];
    for job in records() {
        for event in events() {
            for policy in &policies {
                for now in instants() {
                    let Ok(Verdict::Write { life, .. }) = transition(&job, &event, now, policy)
                    else {
                        continue;
                    };
                    let (from, to) = (job.life.state.word(), life.state.word());
                    if from == to {
                        continue;
                    }
                    let names = edges.entry((from, to)).or_default();
                    if !names.contains(&event.name()) {
                        names.push(event.name());
                    }
                }
            }
        }
    }
    edges
}

/// The page `docs/state-machine.md`.
#[must_use]
pub fn state_machine_markdown() -> String {
    let mut page = String::from(
        "# The life of a job\n\n\
         <!-- Printed by `cargo xtask docs`; edit crates/job/src/docs.rs instead. -->\n\n\
         Found by asking `job::transition` about every state and every event. What is not drawn is\n\
         ignored or, where no history we allow leads there, a contradiction that is paged.\n\n\
         ```mermaid\nstateDiagram-v2\n",
    );
    for ((from, to), names) in edges() {
        let _ = writeln!(page, "    {} --> {}: {}", from.as_str(), to.as_str(), names.join(", "));
    }
    page.push_str("```\n\n| From | To | On |\n| --- | --- | --- |\n");
    for ((from, to), names) in edges() {
        let _ = writeln!(page, "| {} | {} | {} |", from.as_str(), to.as_str(), names.join(", "));
    }
    page
}

/// The page `docs/retry-matrix.md`.
#[must_use]
pub fn retry_matrix_markdown() -> String {
    let mut page = String::from(
        "# What is tried again, and what never is\n\n\
         <!-- Printed by `cargo xtask docs`; edit crates/job/src/docs.rs instead. -->\n\n\
         Decided from the durable record by `job::transition`; no HTTP client retries anything.\n\n\
         | Operation | Rule | Where it is decided |\n| --- | --- | --- |\n",
    );
    for row in ROWS {
        let _ = writeln!(page, "| {} | {} | `{}` |", row.operation, row.rule, row.decided_in);
    }
    page.push_str(
        "\n## A create that was refused\n\nThe provider said no, so nothing was bought.\n\n\
         | Class | What follows |\n| --- | --- |\n",
    );
    for class in Class::ALL {
        let _ = writeln!(page, "| {} | {} |", class.word(), refusal_words(class));
    }
    page.push_str("\n## A read that failed\n\n| Class | What follows |\n| --- | --- |\n");
    for class in Class::ALL {
        let words = match retry::after_trouble(class) {
            AfterTrouble::Backoff => {
                "again, `poll.steady` doubling to `poll.max`, until `poll.deadline`"
            }
            AfterTrouble::BackoffAndPage => {
                "again every `poll.max` until `poll.deadline`; a person is told"
            }
        };
        let _ = writeln!(page, "| {} | {words} |", class.word());
    }
    page
}

fn refusal_words(class: Class) -> &'static str {
    match retry::after_refusal(class) {
        AfterRefusal::Fail => "the job fails with the provider's words; no second create",
        AfterRefusal::Doubt => "not a definite no: the job is in doubt and is settled",
        AfterRefusal::StopAccount(Stop::Backoff) => {
            "the account creates nothing of this slot class for `submit.retry_first` doubling to \
             `submit.retry_max` (or `Retry-After`); the job goes back to queued unspent"
        }
        AfterRefusal::StopAccount(Stop::Probe) => {
            "the account waits `submit.account_probe_first` doubling to \
             `submit.account_probe_max`, then one job probes; a person is told; the job waits unspent"
        }
        AfterRefusal::StopAccount(Stop::Reset) => {
            "the account waits until the time the provider names; the job waits unspent"
        }
    }
}

/// One row of M24, in our words.
struct Row {
    operation: &'static str,
    rule: &'static str,
    decided_in: &'static str,
}

const ROWS: [Row; 10] = [
    Row {
        operation: "Create, provably nothing sent",
        rule: "again after a pause, at most `submit.tries_max` attempts while the route is reachable",
        decided_in: "Event::AttemptNotSent",
    },
    Row {
        operation: "Create, unclear answer or silent worker",
        rule: "never again by itself: in doubt, look for the task; after two empty scans past the \
               quiet horizon park (strict) or send once more (balanced, if the account has shown what \
               the proof rests on and the day's budget has room)",
        decided_in: "Event::AttemptUnclear, Event::SubmitLeasePassed, Event::Looked",
    },
    Row {
        operation: "Create, the second fence holds an attempt that Redis has forgotten",
        rule: "nothing is sent: the job is in doubt about that attempt, and settled like any other",
        decided_in: "Event::IntentForgotten",
    },
    Row {
        operation: "Create, task id stored",
        rule: "never again; the task is polled",
        decided_in: "Event::SubmitBegan (only from queued)",
    },
    Row {
        operation: "Poll",
        rule: "again with backoff on network errors, 429 and 5xx; checks spend time, not a budget",
        decided_in: "Event::PollTroubled, Event::TaskSeen",
    },
    Row {
        operation: "Callback",
        rule: "replay is harmless: it only makes a ticket due, the read that follows is the truth",
        decided_in: "Store::hint",
    },
    Row {
        operation: "Download",
        rule: "again until the link dies, then with a fresh one as often as the provider gives any; lost \
               only when it gave none three times in a row; the bucket's own trouble counts against \
               no link",
        decided_in: "Event::DownloadTroubled, Event::BucketTroubled, Event::LinkDied",
    },
    Row {
        operation: "Failed generation",
        rule: "no automatic second task; the caller decides with the error class in hand",
        decided_in: "Event::TaskSeen",
    },
    Row {
        operation: "Expired generation",
        rule: "told as retryable while `useful_until` lies ahead; never created again by itself",
        decided_in: "Event::TaskSeen",
    },
    Row {
        operation: "Payload of a task without output",
        rule: "again every `download.retry_max` until it is filed",
        decided_in: "Event::FilingTroubled",
    },
];
