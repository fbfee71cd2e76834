//! `batch` over the gateway.

use super::gateway::Gateway;
use super::jobs::LOOK_EVERY;
use super::rows::{self, Walk};
use super::totals::BATCHES;
use super::{own_name, own_tenant};
use crate::cli::{BatchArgs, BatchNamed, BatchVerb, BudgetArgs, EditArgs, Global, StopOnArgs};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Format, Progress, Row, Rows, note};
use crate::patience::Patience;
use crate::verbs::batch::edit::{self, Wish};
use crate::verbs::batch::watch::How;
use crate::verbs::batch::{COLUMNS, pause_words};
use crate::verbs::jobs::{ended, in_words, too_long, verdict};
use job::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Instant;
use store::EditCount;

/// Runs the verb.
pub(super) async fn run(global: &Global, gateway: &Gateway, verb: BatchVerb) -> Outcome {
    match verb {
        BatchVerb::List { tenant, limit } => {
            own_tenant(tenant.as_deref())?;
            let mut walk = Walk::new(gateway, "batches", limit.into());
            let mut rows = Rows::new(&global.output, COLUMNS);
            while let Some(page) = walk.next().await? {
                for batch in page {
                    rows.add(line(global, batch)?)?;
                }
            }
            rows.end()?;
            Ok(Exit::Done)
        }
        BatchVerb::Show(named) => {
            output::object(&global.output, line(global, find(gateway, &named).await?)?)?;
            Ok(Exit::Done)
        }
        BatchVerb::Watch { named, timeout, every } => {
            own_tenant(named.tenant.as_deref())?;
            let how = How { timeout, every, lines: true };
            wait_for(global, gateway, &named.batch, how).await
        }
        BatchVerb::Edit(args) => edit_jobs(global, gateway, &args).await,
        BatchVerb::StopOn(args) => stop_on(global, gateway, &args).await,
        BatchVerb::Budget(args) => budget(global, gateway, &args).await,
        BatchVerb::Pause(args) => turn(global, gateway, "pause", &args).await,
        BatchVerb::Resume(args) => turn(global, gateway, "resume", &args).await,
        BatchVerb::Cancel(args) => turn(global, gateway, "cancel", &args).await,
    }
}

fn line(global: &Global, batch: Value) -> Result<Row, Failure> {
    let mut row = rows::row(batch)?;
    if global.output.has_columns() {
        let cost = rows::money(row.get("cost").unwrap_or(&Value::Null));
        row.insert("cost".into(), json!(cost));
        let paused = row.get("paused").filter(|paused| paused.is_object()).map(pause_words);
        row.insert("paused".into(), json!(paused));
        let eta = row.get("eta").map(|eta| eta["says"].clone());
        row.insert("eta".into(), json!(eta));
    }
    Ok(row)
}

/// A pause in words.
pub(super) fn why(paused: &Value) -> String {
    let of = |name: &str| paused[name].as_str().unwrap_or_default();
    format!("by {} since {} ({})", of("by"), of("at"), of("reason"))
}

async fn find(gateway: &Gateway, named: &BatchNamed) -> Result<Value, Failure> {
    own_tenant(named.tenant.as_deref())?;
    of_name(gateway, &named.batch).await
}

/// The batch of a name, or the sentence that there is none.
pub(super) async fn of_name(gateway: &Gateway, name: &str) -> Result<Value, Failure> {
    let found = gateway.get(&["batches", name], &[]).await;
    found.map_err(|failure| failure.if_absent(BATCHES))
}

/// Waits for all jobs of a batch and shows what they came to.
pub(super) async fn wait_for(global: &Global, gateway: &Gateway, name: &str, how: How) -> Outcome {
    let pause = LOOK_EVERY.min(how.every);
    let mut patience = Patience::new(global, pause, Some(how.timeout));
    let lines = how.lines && global.output.format == Format::Ndjson;
    let mut progress: Option<Progress> = None;
    let mut told: Option<Instant> = None;
    let mut counts = BTreeMap::new();
    loop {
        let late = || too_long(how.timeout, &counts);
        let question = async || of_name(gateway, name).await;
        let looked = patience.ask(progress.as_ref(), late, question).await?;
        counts = rows::counts(&looked["counts"]);
        let (all, done) = (looked["jobs"].as_u64().unwrap_or(0), ended(&counts));
        let left =
            looked["eta"]["says"].as_str().map(|says| format!(" · {says}")).unwrap_or_default();
        let shown = progress.get_or_insert_with(|| Progress::begin(Some(all), global.quiet));
        shown.at(done, &format!("{}{left}", in_words(&counts)));
        // Rows that are still coming keep it from being completed; parked and held jobs too, and those wait for a person.
        let parked_or_held = counts.iter().any(|(word, n)| *n > 0 && !word.is_finished());
        let completed = looked["state"].as_str().is_some_and(|word| word.starts_with("completed"));
        if done == all && (completed || parked_or_held) {
            if let Some(progress) = progress {
                progress.end();
            }
            let mut row = Row::from_iter([("batch".to_owned(), json!(name))]);
            for (word, n) in &counts {
                row.insert(word.as_str().into(), json!(n));
            }
            output::object(&global.output, row)?;
            return Ok(verdict(counts.into_iter()));
        }
        if lines && told.is_none_or(|told| told.elapsed() >= how.every) {
            told = Some(Instant::now());
            output::object(&global.output, sample(name, &looked))?;
        }
        if patience.is_over() {
            if let Some(progress) = progress {
                progress.end();
            }
            return Err(too_long(how.timeout, &counts));
        }
        tokio::time::sleep(pause).await;
    }
}

/// How far it is, as one line.
fn sample(name: &str, looked: &Value) -> Row {
    let of = |key: &str| (key.to_owned(), looked[key].clone());
    let mut row = Row::from_iter([("batch".to_owned(), json!(name))]);
    row.extend(["jobs", "finished", "counts", "eta"].map(of));
    row
}

async fn budget(global: &Global, gateway: &Gateway, args: &BudgetArgs) -> Outcome {
    own_name(args.decision.by.as_deref())?;
    let batch = &args.named.batch;
    if args.buy_day_max.is_none() && args.buy_total_max.is_none() {
        return Err(Failure::usage("--buy-day-max or --buy-total-max is missing"));
    }
    find(gateway, &args.named).await?;
    if !args.decision.yes {
        let what = format!("the caps of {batch} decide how much of it is bought");
        return Err(Failure::new(Exit::Guard, what).hint("do it with --reason WHY --yes"));
    }
    let mut body = json!({"reason": args.decision.reason()?});
    for (key, micros) in [("buy_day_max", args.buy_day_max), ("buy_total_max", args.buy_total_max)]
    {
        if let Some(micros) = micros {
            body[key] = json!(amount(micros));
        }
    }
    cap(gateway, batch, &body).await?;
    output::object(&global.output, line(global, of_name(gateway, batch).await?)?)?;
    Ok(Exit::Done)
}

fn amount(micros: u64) -> String {
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

async fn cap(gateway: &Gateway, batch: &str, body: &Value) -> Result<(), Failure> {
    let verb = format!("{batch}:budget");
    gateway.post(&["batches", &verb], body, &[], |status| status == 200).await.map(drop)
}

async fn edit_jobs(global: &Global, gateway: &Gateway, args: &EditArgs) -> Outcome {
    own_name(args.decision.by.as_deref())?;
    let (batch, wish) = (&args.named.batch, Wish::of(args)?);
    find(gateway, &args.named).await?;
    let mut body = json!({"dry_run": !args.decision.yes});
    if let Some(conditions) = &args.conditions {
        body["where"] = json!(conditions.to_string());
    }
    if let Some(priority) = wish.jobs.priority {
        body["priority"] = json!(priority.word());
    }
    if let Some(until) = wish.jobs.useful_until {
        body["useful_until"] = json!(until.map_or("none".to_owned(), Timestamp::rfc3339));
    }
    if !args.decision.yes {
        let quiet = Progress::begin(None, true);
        let count = stretches(gateway, batch, &wish, (body, &quiet)).await?;
        return Err(wish.would(batch, count));
    }
    let reason = args.decision.reason()?;
    body["reason"] = json!(reason);
    // The jobs first: what is wrong with the wish is found with the first of them.
    let progress = Progress::begin(None, global.quiet);
    let count = stretches(gateway, batch, &wish, (body, &progress)).await?;
    progress.end();
    if let Some(micros) = wish.budget {
        cap(gateway, batch, &json!({"reason": reason, "buy_total_max": amount(micros)})).await?;
    }
    edit::show(global, batch, count)
}

/// All jobs of an edit, stretch by stretch as the gateway walks over them.
async fn stretches(
    gateway: &Gateway,
    batch: &str,
    wish: &Wish,
    (mut body, progress): (Value, &Progress),
) -> Result<EditCount, Failure> {
    let (verb, mut count) = (format!("{batch}:edit"), EditCount::default());
    while wish.edits_jobs() {
        let told = gateway.post(&["batches", &verb], &body, &[], |status| status == 200).await;
        let told = told.map_err(|failure| match failure.exit {
            Exit::Outage => failure.because("the same command changes what is left"),
            _ => failure,
        })?;
        let of = |name: &str| told[name].as_u64().ok_or_else(|| rows::strange("a count of jobs"));
        let (changed, same, begun) = (of("changed")?, of("unchanged")?, of("begun")?);
        count = count.and(EditCount { changed, same, begun });
        edit::at(progress, count);
        if told["next"].is_null() {
            break;
        }
        body["cursor"] = told["next"].clone();
    }
    Ok(count)
}

async fn stop_on(global: &Global, gateway: &Gateway, args: &StopOnArgs) -> Outcome {
    own_name(args.decision.by.as_deref())?;
    let (batch, found) = (&args.named.batch, find(gateway, &args.named).await?);
    if !args.decision.yes {
        let is = rows::text(&found, "/stop_on").unwrap_or("nothing");
        let what = format!("{batch} stops on {is}; another condition decides when it is paused");
        return Err(Failure::new(Exit::Guard, what).hint("do it with --reason WHY --yes"));
    }
    let on = args.conditions.as_ref().map(ToString::to_string);
    let body = json!({"stop_on": on, "reason": args.decision.reason()?});
    let verb = format!("{batch}:stop-on");
    let told = gateway.post(&["batches", &verb], &body, &[], |status| status == 200).await?;
    output::object(&global.output, line(global, told)?)?;
    Ok(Exit::Done)
}

async fn turn(global: &Global, gateway: &Gateway, verb: &str, args: &BatchArgs) -> Outcome {
    own_name(args.decision.by.as_deref())?;
    let batch = find(gateway, &args.named).await?;
    let name = &args.named.batch;
    if !args.decision.yes {
        let of = |word: &str| batch["counts"][word].as_u64().unwrap_or(0);
        let all = |key: &str| batch[key].as_u64().unwrap_or(0);
        let jobs = match verb {
            "pause" => of("queued"),
            "resume" => of("held"),
            _ => all("jobs").saturating_sub(all("finished")),
        };
        let what = format!("{verb} would touch {jobs} jobs of {name}; it costs nothing");
        return Err(Failure::new(Exit::Guard, what).hint("do it with --reason WHY --yes"));
    }
    let body = json!({"reason": args.decision.reason()?});
    let path = format!("{name}:{verb}");
    let turned = gateway.post(&["batches", &path], &body, &[], |status| status == 202).await?;
    output::object(&global.output, rows::row(turned["operation"].clone())?)?;
    if !global.quiet {
        note("the gateway carries it out; `seedfleet batch show` tells how it stands");
    }
    Ok(Exit::Done)
}
