//! What is known about a doubt, in words and as a row, and what a person may do about it.

use crate::output::Row;
use crate::session::Session;
use crate::verbs::rows;
use job::{Looks, OpenAttempt, ParkWhy, Record, State, Timestamp, settle};
use seedance::{Day, PriceTable};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use store::Stored;

/// What is open about a job.
pub(super) struct Doubt<'a> {
    pub(super) attempt: &'a OpenAttempt,
    pub(super) since: Timestamp,
    pub(super) looks: Looks,
    /// Only of a parked job.
    pub(super) why: Option<&'a ParkWhy>,
}

impl<'a> Doubt<'a> {
    pub(super) fn of(record: &'a Record) -> Option<Self> {
        match &record.life.state {
            State::InDoubt { attempt, since, looks, .. } => {
                Some(Self { attempt, since: *since, looks: *looks, why: None })
            }
            State::Parked { attempt, since, looks, why } => {
                Some(Self { attempt, since: *since, looks: *looks, why: Some(why) })
            }
            State::Held { .. }
            | State::Queued { .. }
            | State::Submitting { .. }
            | State::Generating { .. }
            | State::Overdue { .. }
            | State::Downloading { .. }
            | State::Finished { .. } => None,
        }
    }

    /// Both facts: how often was looked, and for how long.
    pub(super) fn seen(&self, now: Timestamp) -> String {
        let minutes = now.since(self.attempt.begun_at).as_secs() / 60;
        let scans = self.looks.count;
        if let Some(ParkWhy::SeveralTasks { tasks }) = self.why {
            return format!("{} tasks fit, seen in {scans} scans over {minutes} min", tasks.len());
        }
        let proving = self.looks.empty_after_horizon;
        format!(
            "no task seen in {scans} scans over {minutes} min; {proving} of them began late enough \
             to prove something"
        )
    }
}

/// What one more send would cost, where the price table knows it.
pub(super) fn cost(session: &Session, stored: &Stored) -> Option<seedance::Cost> {
    let spec = &stored.record.spec;
    let day = Day::from_unix_s(stored.now.unix_ms().div_euclid(1_000));
    let route = session.pool.route;
    PriceTable::builtin().cost(route, &spec.request, spec.estimate_tokens, day).ok()
}

/// The evidence as one row.
pub(super) fn row(session: &Session, stored: &Stored) -> Row {
    let record = &stored.record;
    let mut row = rows::job(record);
    row.insert("reason".into(), json!(rows::reason(&record.life.state)));
    let Some(doubt) = Doubt::of(record) else { return row };
    let Doubt { attempt, since, looks, why } = &doubt;
    let horizon = settle::quiet_horizon(attempt, &session.policy);
    row.insert("reason_kind".into(), json!(why.map(ParkWhy::kind)));
    row.insert("seen".into(), json!(doubt.seen(stored.now)));
    row.insert("since".into(), json!(since.rfc3339()));
    row.insert("looks".into(), json!(looks.count));
    row.insert("empty_looks".into(), json!(looks.empty_after_horizon));
    row.insert("last_empty_look".into(), json!(looks.last_empty_at.map(Timestamp::rfc3339)));
    row.insert("nothing_shows_up_after".into(), json!(horizon.rfc3339()));
    row.insert("attempt".into(), json!(attempt.id));
    row.insert("attempt_number".into(), json!(attempt.number));
    row.insert("begun_at".into(), json!(attempt.begun_at.rfc3339()));
    row.insert("send_by".into(), json!(attempt.send_by.rfc3339()));
    row.insert("execution_expires_after".into(), json!(attempt.nonce_s));
    row.insert("account".into(), json!(attempt.facts.account));
    row.insert("model_id".into(), json!(attempt.facts.model_id));
    row.insert("create_url".into(), json!(attempt.facts.create_url));
    row.insert("body_sha256".into(), json!(attempt.body_sha256));
    row.insert("safety_identifier".into(), json!(attempt.safety_identifier));
    row.insert("callback_named".into(), json!(stored.hint));
    row.insert("resends".into(), json!(record.life.resends));
    row.insert("cost".into(), json!(cost(session, stored).map(|cost| cost.to_string())));
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

/// What a decision rests on, in a form that two looks can be compared by.
///
/// Counts of looks are left out: one more that saw nothing changes no decision. Whatever else is
/// learned, such as a callback, a second task or another attempt, does.
pub(super) fn grounds(stored: &Stored) -> Option<Value> {
    let record = &stored.record;
    let doubt = Doubt::of(record)?;
    let why = doubt.why?;
    Some(json!({
        "attempt": doubt.attempt.id,
        "reason": why,
        "begun_at": doubt.attempt.begun_at.unix_ms(),
        "body_sha256": doubt.attempt.body_sha256,
        "callback_named": stored.hint,
        "resends": record.life.resends,
        "cancel_asked": record.life.cancel.is_some(),
        "strays": record.life.strays,
    }))
}

/// SHA-256 (hex) of what would be done to which job on which grounds.
pub(super) fn digest(action: &str, pool: &str, stored: &Stored) -> Option<String> {
    let grounds = grounds(stored)?;
    let text = json!([action, pool, stored.record.id, grounds]).to_string();
    Some(Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect())
}
