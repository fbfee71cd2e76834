//! What is known about a doubt, in words and as a row, and what a person may do about it.

use crate::output::Row;
use crate::session::Session;
use crate::verbs::rows;
use job::{ParkWhy, settle};
use reconcile::doubt::{self, Doubt};
use serde_json::json;
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
    let id = &stored.record.id;
    let Some(doubt) = Doubt::of(&stored.record) else { return Vec::new() };
    let horizon = settle::quiet_horizon(doubt.attempt, &session.policy);
    let adopt = |task: &str| format!("seedfleet doubt adopt {id} {task} --reason WHY --yes");
    let mut steps = match doubt.why {
        Some(ParkWhy::SeveralTasks { tasks }) => {
            let tasks = tasks.iter().map(|task| adopt(task.as_str()));
            tasks.map(|step| step + "   # this one is the job's").collect()
        }
        Some(_) | None => {
            vec![adopt("TASK") + "   # the provider's console shows the task"]
        }
    };
    if stored.now < horizon {
        steps.push(format!("# more than that is possible from {} on", horizon.rfc3339()));
        return steps;
    }
    if doubt.why.is_some() {
        let price = match cost(session, stored) {
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
