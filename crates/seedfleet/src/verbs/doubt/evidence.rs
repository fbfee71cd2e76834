//! What is known about a doubt, in words and as a row, and what a person may do about it.

use crate::output::Row;
use crate::session::Session;
use crate::verbs::rows;
use job::TaskId;
use reconcile::doubt::{self, Doubt};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use store::Stored;

/// What one more send would cost, where the price table knows it.
pub(super) fn cost(session: &Session, stored: &Stored) -> Option<seedance::Cost> {
    doubt::cost(session.pool.route, stored)
}

/// The evidence as one row.
pub(super) fn row(session: &Session, stored: &Stored) -> Row {
    let record = &stored.record;
    let mut row = rows::job(record);
    row.insert("reason".into(), json!(rows::reason(&record.life.state)));
    row.extend(doubt::evidence(stored, session.pool.route, &session.policy));
    row
}

/// The commands by which a person goes on, each with what speaks for it.
pub(super) fn next_steps(session: &Session, stored: &Stored) -> Vec<String> {
    let Some(doubt) = Doubt::of(&stored.record) else { return Vec::new() };
    let tasks: Vec<&str> = doubt.tasks().iter().map(TaskId::as_str).collect();
    let settled = stored.now >= doubt.settled_from(&session.policy);
    steps(stored.record.id.as_str(), &row(session, stored), &tasks, settled)
}

/// The same by what is known of a doubt, wherever it was asked for.
pub(crate) fn steps(id: &str, known: &Row, tasks: &[&str], settled: bool) -> Vec<String> {
    let text = |name: &str| known.get(name).and_then(Value::as_str);
    let adopt = |task: &str| format!("seedfleet doubt adopt {id} {task} --reason WHY --yes");
    let mut steps: Vec<String> =
        tasks.iter().map(|task| adopt(task) + "   # this one is the job's").collect();
    if steps.is_empty() {
        steps.push(adopt("TASK") + "   # the provider's console shows the task");
    }
    if !settled {
        let horizon = text("nothing_shows_up_after").unwrap_or_default();
        steps.push(format!("# more than that is possible from {horizon} on"));
        return steps;
    }
    if text("reason_kind").is_some() {
        let price = match text("cost") {
            Some(cost) => format!("about {cost} more, twice that if a task exists after all"),
            None => "its price is not in the table".to_owned(),
        };
        steps.push(format!("seedfleet doubt resend {id} --reason WHY --yes   # {price}"));
    } else {
        steps.push("# the fleet is still looking; only a parked job is sent again".to_owned());
    }
    steps.push(format!(
        "seedfleet doubt give-up {id} --reason WHY --yes   # ends it; a task that exists is billed"
    ));
    steps
}

/// SHA-256 (hex) of what would be done to which job on which grounds.
pub(super) fn digest(action: &str, pool: &str, stored: &Stored) -> Option<String> {
    let grounds = doubt::grounds(stored)?;
    let text = json!([action, pool, stored.record.id, grounds]).to_string();
    Some(hex::encode(Sha256::digest(text.as_bytes())))
}
