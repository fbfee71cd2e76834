//! `jobs`: look, wait, cancel, retry.

mod again;
pub(crate) mod copy;
pub(crate) mod open;
pub(crate) mod watch;

use super::rows::{self, JOB_COLUMNS, Walk};
use crate::cli::{AdoptArgs, Global, JobsArgs, JobsVerb, Which};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Form, Format, Progress, Row, Rows, note};
use crate::patience::Patience;
use crate::session::{Session, operator};
use crate::verbs::batch::watch::How;
use crate::verbs::submit::refused;
use crate::verbs::tally::{Tally, Told};
use crate::verbs::{batch, bulk};
use admission::{AdoptRefusal, AdoptWish};
use job::filter::Filter;
use job::{Event, JobId, Record, StateWord, Timestamp};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;
use store::{OperationVerb, Reported, Stored, TimelineLine, Writer};

/// Between two looks of a wait.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Runs the verb.
pub(crate) async fn run(global: &Global, verb: JobsVerb) -> Outcome {
    let session = Session::open(global).await?;
    match verb {
        JobsVerb::List { which, limit, cursor } => {
            list(global, &session, which.filter(), limit, cursor.as_deref()).await
        }
        JobsVerb::Show { id } => show(global, &session, &id).await,
        JobsVerb::Watch { id, timeout } => watch::run(global, &session, &id, timeout).await,
        JobsVerb::Wait { ids, batch: None, tenant: _, timeout } => {
            wait_for(global, &session, &ids, timeout).await
        }
        JobsVerb::Wait { ids: _, batch: Some(name), tenant, timeout } => {
            let batch = batch::find(&session, &name, tenant.as_deref()).await?;
            batch::watch::run(global, &session, batch, How::wait(timeout)).await
        }
        JobsVerb::Adopt(args) => adopt(global, &session, args).await,
        JobsVerb::Open { id, last_frame, print, lives } => {
            let wanted = open::Wanted { last_frame, print, lives };
            open::run(&session, &id, wanted).await
        }
        JobsVerb::Clone(args) => copy::run(global, &session, args).await,
        JobsVerb::Retry(args) => again::run(global, &session, args).await,
        JobsVerb::Cancel(args) => cancel(global, &session, args).await,
    }
}

/// Takes over a task that was bought elsewhere.
async fn adopt(global: &Global, session: &Session, args: AdoptArgs) -> Outcome {
    let body = args.body();
    let AdoptArgs { task, tenant, .. } = args;
    let made_by = Some(operator(None).as_str().to_owned());
    let wish = AdoptWish { body, tenant, made_by };
    let watch = session.policy.poll.deadline;
    let taken = session.door()?.adopt(wish, watch).await.map_err(|refusal| match refusal {
        AdoptRefusal::Refused(refusal) => refused(&refusal),
        AdoptRefusal::Owned { by } => {
            Failure::new(Exit::Conflict, format!("the task belongs to {by}"))
                .hint(format!("`seedfleet jobs show {by}`"))
        }
    })?;
    let mut row = Row::new();
    row.insert("job".into(), json!(taken.id));
    row.insert("task".into(), json!(task));
    row.insert("new".into(), json!(taken.new));
    output::object(&global.output, row)?;
    Ok(Exit::Done)
}

/// Shows the jobs of a filter: a page of them, or all for a limit of 0. A page looks at no more than
/// [`store::LOOKS_MAX`] jobs where the filter lets few of them through, and tells where it stopped.
pub(crate) async fn list(
    global: &Global,
    session: &Session,
    filter: Filter,
    limit: u64,
    cursor: Option<&str>,
) -> Outcome {
    let mut walk = Walk::new(&session.store, filter, limit).behind(cursor)?;
    let mut rows = Rows::new(&global.output, JOB_COLUMNS);
    while let Some(page) = walk.next().await? {
        for stored in page {
            rows.add(rows::job(&stored.record))?;
        }
        if limit > 0 && walk.is_cut() {
            break;
        }
    }
    rows.end()?;
    if let Some(cursor) = walk.cursor() {
        if walk.is_cut() && limit > 0 {
            // Said even to who wants it quiet: few rows, or none, are not all there are.
            let looks = store::LOOKS_MAX;
            note(&format!(
                "{looks} jobs were looked at; there may be more: --cursor {cursor}, or --limit 0 for all"
            ));
        } else if !global.quiet {
            note(&format!("more: --cursor {cursor}"));
        }
    }
    Ok(Exit::Done)
}

/// One job, or the sentence that there is none.
pub(crate) async fn find(session: &Session, id: &JobId) -> Result<Stored, Failure> {
    session.store.load(id).await?.ok_or_else(|| {
        Failure::new(Exit::NotFound, format!("there is no {id} in pool {}", session.store.pool()))
            .hint("`seedfleet jobs list` shows those there are; another pool has its own")
    })
}

async fn show(global: &Global, session: &Session, id: &JobId) -> Outcome {
    let stored = find(session, id).await?;
    let timeline = session.store.timeline(id).await?;
    let record = &stored.record;
    let mut row = detail(session, record)?;
    row.insert("revision".into(), json!(stored.revision));
    let lines: Vec<_> = timeline
        .iter()
        .rev()
        .map(|line| {
            json!({"at": line.at.rfc3339(), "from": line.from.as_str(), "to": line.to.as_str(),
                   "what": line.what, "by": line.by})
        })
        .collect();
    if !global.output.is_a_page() {
        row.insert("request".into(), json!(record.spec.request));
        row.insert("timeline".into(), json!(lines));
        output::object(&global.output, row)?;
        return Ok(Exit::Done);
    }
    output::object(&Form::plain(Format::Table), row)?;
    let mut table = output::plain_table(&["after", "state", "what", "by"], true);
    for line in timeline.iter().rev() {
        table.add_row([
            after(line, record),
            line.to.as_str().to_owned(),
            output::plain(&line.what),
            line.by.clone(),
        ]);
    }
    output::say(&format!("\n{}\n", output::trimmed(&table)))?;
    Ok(Exit::Done)
}

/// When a step was written, counted from the job's beginning.
fn after(line: &TimelineLine, record: &Record) -> String {
    format!("+{:.1} s", line.at.since(record.created_at).as_secs_f64())
}

/// Everything about a job that fits on a line each.
fn detail(session: &Session, record: &Record) -> Result<Row, Failure> {
    let mut row = rows::job(record);
    let (spec, life) = (&record.spec, &record.life);
    let request = &spec.request;
    row.insert("reason".into(), json!(rows::reason(&life.state)));
    if let Some(held) = survey::HeldFor::of(record) {
        row.insert("held".into(), json!(held));
    }
    row.insert("resolution".into(), json!(request.resolution));
    row.insert("ratio".into(), json!(request.ratio));
    row.insert("duration_s".into(), json!(request.duration_s));
    row.insert("prompt".into(), json!(request.prompt().map(shortened)));
    row.insert("pool".into(), json!(spec.pool));
    if session.pool.simulated {
        row.insert("simulated".into(), json!(true));
    }
    row.insert("priority".into(), json!(spec.priority.word()));
    row.insert("useful_until".into(), json!(spec.useful_until.map(Timestamp::rfc3339)));
    row.insert("output_prefix".into(), json!(spec.output_prefix));
    row.insert("take".into(), json!(spec.take));
    row.insert("retry_of".into(), json!(spec.retry_of));
    row.insert("fingerprint".into(), json!(spec.fingerprint));
    row.insert("attempts_begun".into(), json!(life.attempts_begun));
    row.insert("resends".into(), json!(life.resends));
    let task = life.state.task();
    row.insert("account".into(), json!(task.map(|task| &task.facts.account)));
    row.insert("model_id".into(), json!(task.map(|task| &task.facts.model_id)));
    if !life.strays.is_empty() {
        row.insert("strays".into(), json!(life.strays));
    }
    if let Some(output) = life.state.output() {
        let buckets = session.buckets()?;
        let assets = buckets.of(&spec.tenant);
        if output.is_here() {
            row.insert("video".into(), json!(assets.address(&output.video)));
            row.insert("manifest".into(), json!(assets.address(&output.manifest)));
            row.insert("sha256".into(), json!(output.video_sha256));
        }
        row.insert("bytes".into(), json!(output.video_bytes));
        row.insert("tokens".into(), json!(output.tokens));
    }
    if let Some(erased) = &life.erased {
        row.insert("erased_at".into(), json!(erased.at.rfc3339()));
        row.insert("erasure".into(), json!(erased.erasure));
    }
    row.insert("consent_ref".into(), json!(spec.consent_ref));
    row.insert("made_by".into(), json!(spec.made_by));
    if let Some(told) = &life.told {
        row.insert("told".into(), json!(told));
    }
    if let Some(cancel) = &life.cancel {
        row.insert("cancel_asked_by".into(), json!(cancel.by));
    }
    Ok(row)
}

fn shortened(prompt: &str) -> String {
    const CHARS_MAX: usize = 100;
    let mut short: String = prompt.chars().take(CHARS_MAX).collect();
    if prompt.chars().nth(CHARS_MAX).is_some() {
        short.push('…');
    }
    short
}

/// Waits for a few jobs and shows how each ended.
pub(crate) async fn wait_for(
    global: &Global,
    session: &Session,
    ids: &[JobId],
    timeout: Duration,
) -> Outcome {
    let mut patience = Patience::new(global, LOOK_EVERY, Some(timeout)).answered();
    let progress = Progress::begin(Some(ids.len() as u64), global.quiet);
    let mut counts: BTreeMap<StateWord, u64> = BTreeMap::new();
    let found = loop {
        let late = || too_long(timeout, &counts);
        let question = async || records(session, ids).await;
        let found = patience.ask(Some(&progress), late, question).await?;
        counts.clear();
        for record in &found {
            *counts.entry(record.life.state.word()).or_insert(0) += 1;
        }
        progress.at(ended(&counts), &in_words(&counts));
        if ended(&counts) == ids.len() as u64 {
            progress.end();
            break found;
        }
        if patience.is_over() {
            progress.end();
            return Err(too_long(timeout, &counts));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    };
    let mut rows = Rows::new(&global.output, &["job", "state", "video", "tokens", "reason"]);
    for record in &found {
        rows.add(detail(session, record)?)?;
    }
    rows.end()?;
    Ok(verdict(found.iter().map(|record| (record.life.state.word(), 1))))
}

/// All of these jobs, or that there is none of some id.
async fn records(session: &Session, ids: &[JobId]) -> Result<Vec<Record>, Failure> {
    let mut records = Vec::with_capacity(ids.len());
    for (id, stored) in ids.iter().zip(session.store.load_many(ids).await?) {
        records.push(match stored? {
            Some(stored) => stored.record,
            None => find(session, id).await?.record,
        });
    }
    Ok(records)
}

/// A parked job waits for a person, a held one too: waiting longer brings nothing.
pub(crate) fn ended(counts: &BTreeMap<StateWord, u64>) -> u64 {
    let still = |word: &StateWord| {
        word.is_finished() || matches!(word, StateWord::Parked | StateWord::Held)
    };
    counts.iter().filter(|(word, _)| still(word)).map(|(_, n)| n).sum()
}

pub(crate) fn in_words(counts: &BTreeMap<StateWord, u64>) -> String {
    let words: Vec<String> =
        counts.iter().map(|(word, n)| format!("{} {n}", word.as_str())).collect();
    words.join(" · ")
}

pub(crate) fn too_long(timeout: Duration, counts: &BTreeMap<StateWord, u64>) -> Failure {
    // In an outage that began before the first look, nothing was seen.
    let seen = if counts.is_empty() { String::new() } else { format!(": {}", in_words(counts)) };
    let what = format!("not ended within {timeout:?}{seen}");
    Failure::new(Exit::Deadline, what).hint("the work goes on; wait again with a longer --timeout")
}

pub(crate) fn verdict(ends: impl Iterator<Item = (StateWord, u64)>) -> Exit {
    let (mut good, mut bad) = (0, 0);
    for (word, n) in ends {
        if word == StateWord::Succeeded { good += n } else { bad += n }
    }
    match (good, bad) {
        (_, 0) => Exit::Done,
        (0, _) => Exit::Failed,
        (_, _) => Exit::Partial,
    }
}

/// The filter that chooses jobs; none where they are named. One of both it must be.
pub(crate) fn chosen(ids: &[JobId], which: &Which) -> Result<Option<Filter>, Failure> {
    let filter = which.filter();
    if ids.is_empty() == filter.is_all() {
        return Err(Failure::usage(
            "name jobs, or choose them with --where, --batch, --state, --tenant or --code",
        ));
    }
    Ok(ids.is_empty().then_some(filter))
}

async fn cancel(global: &Global, session: &Session, args: JobsArgs) -> Outcome {
    let JobsArgs { ids, which, many, decision } = args;
    if let Some(filter) = chosen(&ids, &which)? {
        let wish = (OperationVerb::Cancel, filter);
        return bulk::run(global, session, wish, &many, &decision).await;
    }
    let event = Event::CancelAsked { by: operator(decision.by.as_deref()) };
    let mut tally = Tally::new(&global.output);
    for id in &ids {
        find(session, id).await?;
        tally.add(id, &ask(session, id, &event).await?)?;
    }
    tally.end()
}

/// A job without a task stops at once; one with a task is stopped by the poller, and only if a read
/// still says `queued`.
async fn ask(session: &Session, id: &JobId, event: &Event) -> Result<Told, Failure> {
    let reported = session.store.report(id, Writer::Outside, event, &session.policy).await?;
    let mut told =
        Told::of(id, &reported, "asked; it stops if the provider has not begun with it")?;
    match reported {
        Reported::Written { .. } if told.state == StateWord::Cancelled.as_str() => {
            told.answer = "cancelled, unpaid".to_owned();
        }
        Reported::Ignored { stored, .. } => {
            let word = stored.record.life.state.word();
            told.done = stored.record.life.cancel.is_some() || word == StateWord::Cancelled;
        }
        Reported::Written { .. } | Reported::Gone | Reported::Fenced | Reported::Owned { .. } => {}
    }
    Ok(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_tells_whether_all_succeeded() {
        use StateWord::{Failed, Succeeded};
        assert_eq!(verdict([(Succeeded, 2)].into_iter()), Exit::Done);
        assert_eq!(verdict([(Succeeded, 2), (Failed, 1)].into_iter()), Exit::Partial);
        assert_eq!(verdict([(Failed, 1)].into_iter()), Exit::Failed);
    }
}
