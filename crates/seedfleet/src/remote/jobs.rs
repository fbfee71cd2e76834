//! `jobs` over the gateway.

use super::gateway::Gateway;
use super::rows::{self, Walk, text};
use super::{TENANT_DEFAULT, batch, bulk, lacks, own_name, own_tenant, requests};
use crate::cli::{AdoptArgs, Global, JobsArgs, JobsVerb};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Form, Format, Progress, Row, Rows, note, say, streamed};
use crate::patience::Patience;
use crate::verbs::batch::watch::How;
use crate::verbs::bulk::agree;
use crate::verbs::jobs::open as link;
use crate::verbs::jobs::{chosen, ended, in_words, too_long, verdict, watch};
use crate::verbs::rows::JOB_COLUMNS;
use crate::verbs::tally::{Tally, Told};
use job::filter::Filter;
use job::{JobId, StateWord, Timestamp};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use store::OperationVerb;

/// Between two looks of a wait: a tenant may have a cap on requests.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a link opens where nothing else is said.
const LIVES_DEFAULT: Duration = Duration::from_secs(3_600);
/// What to do where a job is not there.
pub(super) const LISTED: &str = "`seedfleet jobs list` shows those there are";

/// Runs the verb.
pub(super) async fn run(global: &Global, gateway: &Gateway, verb: JobsVerb) -> Outcome {
    match verb {
        JobsVerb::List { which, limit, cursor } => {
            own_tenant(which.tenant.as_deref())?;
            list(global, gateway, &which.filter(), limit, cursor).await
        }
        JobsVerb::Show { id } => show(global, gateway, &id).await,
        JobsVerb::Watch { id, timeout } => follow(global, gateway, &id, timeout).await,
        JobsVerb::Wait { ids, batch: None, tenant: _, timeout } => {
            let patience = Patience::new(global, LOOK_EVERY, Some(timeout));
            wait_for(global, gateway, &ids, (patience, timeout)).await
        }
        JobsVerb::Wait { ids: _, batch: Some(name), tenant, timeout } => {
            own_tenant(tenant.as_deref())?;
            batch::wait_for(global, gateway, &name, How::wait(timeout)).await
        }
        JobsVerb::Adopt(args) => adopt(global, gateway, &args).await,
        JobsVerb::Open { id, last_frame, print, lives } => {
            if lives != LIVES_DEFAULT {
                let needs = "the bucket, since a gateway's links open for five minutes";
                return Err(lacks("jobs open --lives", needs, "without --lives, a link is told"));
            }
            open(gateway, &id, last_frame, print).await
        }
        JobsVerb::Clone(args) => requests::clone(global, gateway, &args).await,
        JobsVerb::Retry(args) => retry(global, gateway, &args).await,
        JobsVerb::Cancel(args) => cancel(global, gateway, &args).await,
    }
}

/// Takes over a task that was bought elsewhere.
async fn adopt(global: &Global, gateway: &Gateway, args: &AdoptArgs) -> Outcome {
    own_tenant((args.tenant != TENANT_DEFAULT).then_some(args.tenant.as_str()))?;
    let (is_new, taken) = gateway.post_new(&["jobs:adopt"], &args.body()).await?;
    let row = Row::from_iter([
        ("job".to_owned(), taken["id"].clone()),
        ("task".to_owned(), json!(args.task)),
        ("new".to_owned(), json!(is_new)),
    ]);
    output::object(&global.output, row)?;
    Ok(Exit::Done)
}

/// Shows the jobs of a filter.
pub(super) async fn list(
    global: &Global,
    gateway: &Gateway,
    filter: &Filter,
    limit: u64,
    cursor: Option<String>,
) -> Outcome {
    let mut walk = Walk::new(gateway, "jobs", limit).of(filter).behind(cursor);
    let mut rows = Rows::new(&global.output, JOB_COLUMNS);
    while let Some(page) = walk.next().await? {
        for job in &page {
            rows.add(rows::job(job))?;
        }
    }
    rows.end()?;
    if let Some(cursor) = walk.cursor()
        && !global.quiet
    {
        note(&format!("more: --cursor {cursor}"));
    }
    Ok(Exit::Done)
}

/// One job, or the sentence that there is none.
pub(super) async fn find(
    gateway: &Gateway,
    id: &JobId,
    query: &[(&str, &str)],
) -> Result<Value, Failure> {
    let found = gateway.get(&["jobs", id.as_str()], query).await;
    found.map_err(|failure| failure.if_absent(LISTED))
}

/// The link of a stored video.
async fn open(gateway: &Gateway, id: &JobId, last_frame: bool, print: bool) -> Outcome {
    let path = ["jobs", id.as_str(), if last_frame { "last-frame" } else { "output" }];
    let hint = format!("`seedfleet jobs show {id}` tells its way; `jobs wait` waits for it");
    let opened = gateway.open(&path, &[], &[]).await.map_err(|failure| failure.or_hint(hint))?;
    if let Some(link) = &opened.location {
        return link::show(link, print);
    }
    note("the bucket signs no links: this one wants the API key");
    say(&format!("{}\n", gateway.url(&path, &[])))?;
    Ok(Exit::Done)
}

async fn show(global: &Global, gateway: &Gateway, id: &JobId) -> Outcome {
    let view = find(gateway, id, &[("include", "timeline,attempts")]).await?;
    let mut row = rows::detail(&view);
    let lines = view["timeline"].as_array().cloned().unwrap_or_default();
    if !global.output.is_a_page() {
        row.insert("attempts_made".into(), view["attempts_made"].clone());
        row.insert("timeline".into(), json!(lines));
        output::object(&global.output, row)?;
        return Ok(Exit::Done);
    }
    output::object(&Form::plain(Format::Table), row)?;
    let mut table = output::plain_table(&["after", "state", "what"], true);
    for line in &lines {
        let cell = |name: &str| output::plain(line[name].as_str().unwrap_or_default());
        table.add_row([after(line, &view), cell("to"), cell("what")]);
    }
    say(&format!("\n{}\n", output::trimmed(&table)))?;
    Ok(Exit::Done)
}

/// When a step was written, counted from the job's beginning.
fn after(line: &Value, view: &Value) -> String {
    let instant = |value: &Value, key: &str| Timestamp::parse_instant(value[key].as_str()?).ok();
    match (instant(line, "at"), instant(view, "created_at")) {
        (Some(at), Some(begun)) => format!("+{:.1} s", at.since(begun).as_secs_f64()),
        _ => String::new(),
    }
}

/// Tells each step as it is written, until the job has ended or waits for a person.
async fn follow(global: &Global, gateway: &Gateway, id: &JobId, timeout: Duration) -> Outcome {
    let mut patience = Patience::new(global, LOOK_EVERY, Some(timeout));
    let mut counts = BTreeMap::new();
    let mut last: Option<Value> = None;
    loop {
        let late = || too_long(timeout, &counts);
        let question = async || find(gateway, id, &[("include", "timeline")]).await;
        let view = patience.ask(None, late, question).await?;
        let lines = view["timeline"].as_array().cloned().unwrap_or_default();
        let known = last.as_ref().and_then(|last| lines.iter().rposition(|line| line == last));
        for line in &lines[known.map_or(0, |at| at + 1)..] {
            let row = Row::from_iter([
                ("after".to_owned(), json!(after(line, &view))),
                ("state".to_owned(), line["to"].clone()),
                ("what".to_owned(), line["what"].clone()),
                ("by".to_owned(), Value::Null),
                ("at".to_owned(), line["at"].clone()),
            ]);
            say(&streamed(&global.output, watch::COLUMNS, row)?)?;
        }
        last = lines.last().cloned().or(last);
        counts = BTreeMap::from([(rows::state(&view)?, 1)]);
        if ended(&counts) == 1 {
            return Ok(verdict(counts.into_iter()));
        }
        if patience.is_over() {
            return Err(too_long(timeout, &counts));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Waits for a few jobs and shows how each ended.
pub(super) async fn wait_for(
    global: &Global,
    gateway: &Gateway,
    ids: &[JobId],
    (patience, timeout): (Patience, Duration),
) -> Outcome {
    let late = |counts: &_| too_long(timeout, counts);
    let (seen, over) = look_until(global, gateway, ids, patience, late).await?;
    if !over {
        return Err(late(&counted(&seen)));
    }
    let mut rows = Rows::new(&global.output, &["job", "state", "video", "tokens", "reason"]);
    for (_, view) in &seen {
        rows.add(rows::detail(view))?;
    }
    rows.end()?;
    Ok(verdict(seen.iter().map(|(word, _)| (*word, 1))))
}

/// Looks at jobs until nothing more comes of any by itself; whether that is so when time is up.
///
/// # Errors
///
/// As every read; `late` of what was seen last, where time is up in an outage.
pub(super) async fn look_until(
    global: &Global,
    gateway: &Gateway,
    ids: &[JobId],
    mut patience: Patience,
    late: impl Fn(&BTreeMap<StateWord, u64>) -> Failure,
) -> Result<(Vec<(StateWord, Value)>, bool), Failure> {
    let progress = Progress::begin(Some(ids.len() as u64), global.quiet);
    let mut seen: Vec<(StateWord, Value)> = Vec::with_capacity(ids.len());
    loop {
        for (at, id) in ids.iter().enumerate() {
            let open = |(word, _): &(StateWord, Value)| ended(&BTreeMap::from([(*word, 1)])) == 0;
            if seen.get(at).is_none_or(open) {
                let late = || late(&counted(&seen));
                let question = async || find(gateway, id, &[]).await;
                let view = patience.ask(Some(&progress), late, question).await?;
                let look = (rows::state(&view)?, view);
                match seen.get_mut(at) {
                    Some(before) => *before = look,
                    None => seen.push(look),
                }
            }
        }
        let counts = counted(&seen);
        progress.at(ended(&counts), &in_words(&counts));
        let over = ended(&counts) == ids.len() as u64;
        if over || patience.is_over() {
            progress.end();
            return Ok((seen, over));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn counted(seen: &[(StateWord, Value)]) -> BTreeMap<StateWord, u64> {
    let mut counts = BTreeMap::new();
    for (word, _) in seen {
        *counts.entry(*word).or_insert(0_u64) += 1;
    }
    counts
}

async fn cancel(global: &Global, gateway: &Gateway, args: &JobsArgs) -> Outcome {
    let JobsArgs { ids, which, many, decision } = args;
    if let Some(filter) = chosen(ids, which)? {
        own_tenant(which.tenant.as_deref())?;
        let wish = (OperationVerb::Cancel, &filter);
        return bulk::run(global, gateway, wish, many, decision).await;
    }
    own_name(decision.by.as_deref())?;
    let mut tally = Tally::new(&global.output);
    for id in ids {
        let verb = format!("{id}:cancel");
        let fine = |status| matches!(status, 200 | 202 | 409);
        let view = gateway.post(&["jobs", &verb], &Value::Null, &[], fine).await;
        let view = view.map_err(|failure| failure.if_absent(LISTED))?;
        let (answer, done) = match text(&view, "/outcome") {
            Some("cancelled") => ("cancelled, unpaid", true),
            Some("cancel_requested") => {
                ("asked; it stops if the provider has not begun with it", true)
            }
            Some("already_terminal") => ("it had ended already", view["state"] == "cancelled"),
            Some("too_late_running") => ("the provider has begun with it", false),
            _ => return Err(rows::strange("an outcome")),
        };
        let state = rows::state(&view)?.as_str();
        tally.add(id, &Told { state, answer: answer.to_owned(), done })?;
    }
    tally.end()
}

async fn retry(global: &Global, gateway: &Gateway, args: &JobsArgs) -> Outcome {
    let JobsArgs { ids, which, many, decision } = args;
    if let Some(filter) = chosen(ids, which)? {
        own_tenant(which.tenant.as_deref())?;
        let wish = (OperationVerb::Retry, &filter);
        return bulk::run(global, gateway, wish, many, decision).await;
    }
    own_name(decision.by.as_deref())?;
    let what = format!("{} jobs would be made again, each bought anew", ids.len());
    agree(&what, decision)?;
    let mut tally = Tally::new(&global.output);
    for id in ids {
        let verb = format!("{id}:retry");
        let body = json!({"accept_charge": true});
        let fine = |status| matches!(status, 200 | 202 | 409);
        let view = gateway.post(&["jobs", &verb], &body, &[], fine).await;
        let view = view.map_err(|failure| failure.if_absent(LISTED))?;
        let told = match (text(&view, "/id"), view["deduplicated"].as_bool()) {
            (Some(new), known) => {
                let how = if known == Some(true) { "made before" } else { "new" };
                let state = rows::state(&view)?.as_str();
                Told { state, answer: format!("{new}, {how}"), done: true }
            }
            // A problem, of this job alone.
            (None, _) => {
                let before = find(gateway, id, &[]).await?;
                let title = text(&view, "/title").unwrap_or("refused").to_owned();
                Told { state: rows::state(&before)?.as_str(), answer: title, done: false }
            }
        };
        tally.add(id, &told)?;
    }
    tally.end()
}
