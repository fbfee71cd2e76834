//! `doubt` over the gateway, for operators. A decision carries the mark of the evidence it was shown, so that it is taken
//! on that or not at all.

use super::gateway::Gateway;
use super::pool::of_operators;
use super::rows::{self, Walk, text};
use super::{lacks, own_name};
use crate::cli::{Decision, DoubtVerb, Global};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Row, Rows};
use crate::verbs::doubt::{COLUMNS, GIVEN_UP, LIFT, RESENT, evidence, show, unsaid, waiting};
use job::filter::Filter;
use job::{JobId, StateWord};
use serde_json::{Value, json};

/// What to do where a job is not there.
const LISTED: &str = "`seedfleet doubt list` shows those there are";

/// Runs the verb.
pub(super) async fn run(global: &Global, gateway: &Gateway, verb: DoubtVerb) -> Outcome {
    match verb {
        DoubtVerb::List => list(global, gateway).await,
        DoubtVerb::Show { id } => {
            tell(global, &look(gateway, &id).await?)?;
            Ok(Exit::Done)
        }
        DoubtVerb::Adopt { id, task, unverified, decision } => {
            let what = format!("would own task {task}");
            let body = json!({"task": task, "unverified": unverified});
            let deed = Deed { id: &id, verb: "adopt", what: &what, body };
            decide(global, gateway, deed, &decision).await.map_err(|failure| match failure.exit {
                Exit::Guard | Exit::NotFound => failure.or_hint(LIFT),
                _ => failure,
            })
        }
        DoubtVerb::Resend(chosen) => {
            let id = chosen.id.as_ref().ok_or_else(|| many("doubt resend --all"))?;
            // Whoever says --yes has been told that two may be paid.
            let body = json!({"accept_charge": chosen.decision.yes});
            let deed = Deed { id, verb: "resend", what: RESENT, body };
            decide(global, gateway, deed, &chosen.decision).await
        }
        DoubtVerb::GiveUp(chosen) => {
            let id = chosen.id.as_ref().ok_or_else(|| many("doubt give-up --all"))?;
            let deed = Deed { id, verb: "give-up", what: GIVEN_UP, body: json!({}) };
            decide(global, gateway, deed, &chosen.decision).await
        }
        DoubtVerb::Apply { .. } => Err(many("doubt apply")),
    }
}

/// Many go by way of a preview.
fn many(verb: &str) -> Failure {
    lacks(verb, "the records that a preview binds", "one job is decided over the gateway")
}

async fn list(global: &Global, gateway: &Gateway) -> Outcome {
    let mut out = Rows::new(&global.output, COLUMNS);
    let mut parked = 0;
    for state in [StateWord::Parked, StateWord::InDoubt] {
        let filter = Filter::all().state(state);
        let mut walk = Walk::new(gateway, "doubts", 0).of(&filter).in_pool();
        while let Some(page) = walk.next().await.map_err(of_operators)? {
            for view in &page {
                parked += u64::from(state == StateWord::Parked);
                out.add(row(view))?;
            }
        }
    }
    out.end()?;
    waiting(global, parked);
    Ok(Exit::Done)
}

async fn look(gateway: &Gateway, id: &JobId) -> Result<Value, Failure> {
    let found = gateway.get(&["doubts", id.as_str()], &[]).await;
    found.map_err(|failure| of_operators(failure.if_absent(LISTED)))
}

/// The job of a doubt, with the columns of the direct one.
fn job(view: &Value) -> Row {
    let mut row = rows::job(&view["job"]);
    row.insert("mode".into(), view["mode"].clone());
    row.insert("tenant".into(), view["tenant"].clone());
    row
}

/// The evidence as one row.
fn row(view: &Value) -> Row {
    let mut row = job(view);
    let ended = || text(view, "/job/error/message");
    row.insert("reason".into(), json!(text(view, "/reason").or_else(ended)));
    row.extend(view["evidence"].as_object().cloned().unwrap_or_default());
    row
}

fn tell(global: &Global, view: &Value) -> Result<(), Failure> {
    let row = row(view);
    let mut steps = Vec::new();
    if !view["grounds"].is_null() {
        let id = text(view, "/job/id").unwrap_or_default();
        let tasks = view["tasks"].as_array().into_iter().flatten();
        let tasks: Vec<&str> = tasks.filter_map(Value::as_str).collect();
        steps = evidence::steps(id, &row, &tasks, view["settled"] == true);
    }
    show(global, row, &steps)
}

/// A decision that is asked for.
struct Deed<'a> {
    id: &'a JobId,
    verb: &'static str,
    /// What it would do, in words.
    what: &'a str,
    body: Value,
}

/// Takes the decision on the evidence as it is now, or says why not; without `--yes` it only looks.
async fn decide(
    global: &Global,
    gateway: &Gateway,
    deed: Deed<'_>,
    decision: &Decision,
) -> Outcome {
    let Deed { id, verb, what, mut body } = deed;
    let reason = decision.reason()?;
    own_name(decision.by.as_deref())?;
    let shown = look(gateway, id).await?;
    body["reason"] = json!(reason);
    body["grounds"] = json!(text(&shown, "/grounds").unwrap_or_default());
    body["dry_run"] = json!(!decision.yes);
    let path = format!("{id}:{verb}");
    let told = gateway.post(&["doubts", &path], &body, &[], |status| status == 200).await?;
    if !decision.yes {
        tell(global, &shown)?;
        return Err(unsaid(id, what));
    }
    let mut row = job(&told);
    row.insert("did".into(), told["did"].clone());
    output::object(&global.output, row)?;
    Ok(Exit::Done)
}
