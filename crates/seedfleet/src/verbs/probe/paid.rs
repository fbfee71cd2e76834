//! The questions that need one real video: the cheapest there is, bought by the fleet like any job.
//!
//! Nothing is sent from here. The job goes through the door, a submitter buys it, and its record says
//! which task came of it: so the one promise of the fleet holds for the probe as well.

use super::asker::{Asker, Listing};
use super::report::{Question, Report};
use crate::exit::Failure;
use crate::session::{Session, operator};
use admission::Intake;
use job::{Event, JobId, OpenAttempt, Record, Source, State, StateWord, TaskRef, Timestamp};
use provider::RawQuestion;
use seedance::{EXPIRES_AFTER_DEFAULT_S, Task, TaskStatus};
use serde_json::json;
use std::time::{Duration, Instant};
use store::{Evidence, Writer};

/// Between two looks at the record.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Between two looks at the list.
const LIST_EVERY: Duration = Duration::from_secs(1);
/// Looks at the list before the task is given up on there.
const LIST_LOOKS_MAX: u32 = 120;
/// Rows of the largest page.
const ROWS_MAX: usize = 500;
/// A look that came later than this after the one before leaves the lag open.
const LAG_GAP_MAX: Duration = Duration::from_secs(6);
/// Between two reads of a finished task: links are signed by the second.
const LINK_GAP: Duration = Duration::from_secs(3);

const NONCE: Question = (1, "nonce", "is execution_expires_after echoed unchanged?");
const NONCE_LISTED: Question = (1, "nonce_in_list", "and in a list?");
const IDENTIFIER: Question = (2, "identifier", "where is safety_identifier shown?");
const LAG: Question = (3, "list_lag", "how long until a new task shows in a list?");
const CALLBACKS: Question = (10, "callback_order", "does the first callback overtake the reply?");
const LINKS: Question = (11, "link", "does each read of a task sign its links anew?");
const LAST_FRAME: Question = (12, "last_frame", "is a last frame a PNG or a JPEG?");

/// Every question of this part, for a report that could not ask them.
const ALL: [Question; 7] = [NONCE, NONCE_LISTED, IDENTIFIER, LAG, CALLBACKS, LINKS, LAST_FRAME];

/// How long what may take.
pub(super) struct Patience {
    /// Until a submitter has taken the job.
    pub(super) start_max: Duration,
    /// Until the job has ended.
    pub(super) end_max: Duration,
}

/// The one job. `mark` makes it another than that of any earlier probe.
pub(super) fn intake(mark: &str) -> Intake {
    let body = json!({
        "model": "seedance-2.0-mini",
        "content": [{"type": "text", "text": format!("A paper boat on a calm lake at dawn. Study {mark}")}],
        "resolution": "480p", "ratio": "16:9", "duration": 4,
        "end_user": "seedfleet-probe", "custom_id": format!("probe-{mark}"),
    });
    let key = Some(format!("probe-{mark}"));
    Intake { idempotency_key: key, ..Intake::new(body, Source::Cli) }
}

/// What one look at the task showed.
struct Look {
    nonce_s: Option<u32>,
    identifier: Option<String>,
    status: TaskStatus,
    link: Option<String>,
}

impl Look {
    fn of(task: &Task) -> Self {
        Self {
            nonce_s: task.execution_expires_after_s,
            identifier: task.safety_identifier.clone(),
            status: task.status.clone(),
            link: task.video_url.clone(),
        }
    }
}

/// Buys the video and asks. `false`: something stayed open that a person should look at.
///
/// # Errors
///
/// Redis away, or the door refused.
pub(super) async fn ask(
    session: &Session,
    asker: &Asker,
    report: &mut Report,
    intake: Intake,
    patience: &Patience,
) -> Result<bool, Failure> {
    let before = session.store.evidence(&asker.account, session.store.now().await?).await?;
    let admitted = session.door()?.admit(intake).await.map_err(|refusal| {
        Failure::new(crate::exit::Exit::Failed, "the door refused the probe's job").because(refusal)
    })?;
    report.job = Some(admitted.id.to_string());
    let deadline = Instant::now() + patience.end_max;
    let (task, attempt) = match bought(session, &admitted.id, patience.start_max, deadline).await? {
        Ok(bought) => bought,
        Err(why) => {
            for question in ALL {
                report.open(question, "nothing was bought");
            }
            report.remarks.push(why);
            return Ok(false);
        }
    };
    report.task = Some(task.id.to_string());
    if task.facts.account != asker.account {
        let taken = &task.facts.account;
        report
            .remarks
            .push(format!("the job went to account {taken}; its answers are about that one"));
    }
    let early = look(asker, &task).await;
    let listed = list_lag(session, asker, report, &task, attempt.begun_at).await;
    let ended = end(session, &admitted.id, deadline).await?;
    let late = look(asker, &task).await;
    nonce(report, &attempt, early.as_ref().or(late.as_ref()), listed.as_ref());
    identifier(report, &attempt, early.as_ref(), listed.as_ref(), late.as_ref());
    let after = session.store.evidence(&task.facts.account, session.store.now().await?).await?;
    callbacks(report, session, &before, &after);
    links(asker, report, &task, late).await;
    Ok(last_frame(report, ended.as_ref()))
}

/// Waits for the task. `Err`: nothing was bought, and why.
async fn bought(
    session: &Session,
    id: &JobId,
    start_max: Duration,
    deadline: Instant,
) -> Result<Result<(TaskRef, OpenAttempt), String>, Failure> {
    let start_by = Instant::now() + start_max;
    loop {
        let Some(stored) = session.store.load(id).await? else {
            return Ok(Err(format!("{id} has left Redis")));
        };
        let Record { life, .. } = &stored.record;
        if let Some(task) = life.state.task() {
            let attempt = life.attempt(&task.attempt).cloned();
            return Ok(attempt.map(|attempt| (task.clone(), attempt)).ok_or_else(|| {
                format!("{id} has a task without its attempt: `seedfleet jobs show {id}`")
            }));
        }
        let word = life.state.word();
        match &life.state {
            State::Queued { .. } | State::Held { .. } if Instant::now() >= start_by => {
                let event = Event::CancelAsked { by: operator(None) };
                session.store.report(id, Writer::Outside, &event, &session.policy).await?;
                let now = session.store.load(id).await?;
                let cancelled =
                    now.is_some_and(|s| s.record.life.state.word() == StateWord::Cancelled);
                if cancelled {
                    return Ok(Err(format!(
                        "{id} was still {} after {start_max:?} and is cancelled, unpaid: start a submitter of this pool, or see \
                         `seedfleet jobs show {id}` for what it waited for",
                        word.as_str()
                    )));
                }
            }
            State::Finished { .. } | State::Parked { .. } => {
                return Ok(Err(format!("{id} is {}: `seedfleet jobs show {id}`", word.as_str())));
            }
            State::Queued { .. }
            | State::Held { .. }
            | State::Submitting { .. }
            | State::InDoubt { .. }
            | State::Generating { .. }
            | State::Overdue { .. }
            | State::Downloading { .. } => {}
        }
        if Instant::now() >= deadline {
            return Ok(Err(format!("{id} is {}; the fleet goes on with it", word.as_str())));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn look(asker: &Asker, task: &TaskRef) -> Option<Look> {
    let raw = asker.ask(RawQuestion::Task(task.id.as_str())).await.ok()?;
    Task::parse(&raw.body).ok().map(|task| Look::of(&task))
}

/// Lists once a second until the task shows; notes the lag as evidence. It is counted from before the
/// create was sent, so it is never told too short.
async fn list_lag(
    session: &Session,
    asker: &Asker,
    report: &mut Report,
    task: &TaskRef,
    begun_at: Timestamp,
) -> Option<Look> {
    let (mut absent_at, mut is_full): (Option<Duration>, bool) = (None, false);
    for _ in 0..LIST_LOOKS_MAX {
        let began = Instant::now();
        let asked = session.store.now().await.ok()?.since(begun_at);
        let filters = [("page_size", "500"), ("filter.model", task.facts.model_id.as_str())];
        let page = match asker.list(&filters).await {
            Ok(Listing { page: Some(page), .. }) => page,
            Ok(Listing { raw, .. }) if raw.status == 429 => {
                tokio::time::sleep(LIST_EVERY).await;
                continue;
            }
            Ok(Listing { raw, .. }) => {
                report.open(LAG, format!("the list was answered HTTP {}", raw.status));
                return None;
            }
            Err(why) => {
                report.open(LAG, why);
                return None;
            }
        };
        // The permit's wait counts as well: the bound is an upper one.
        let lag = asked + began.elapsed();
        if let Some(row) = page.items.iter().find(|row| row.id == task.id.as_str()) {
            let gap = lag.saturating_sub(absent_at.unwrap_or_default());
            let at_least = absent_at.unwrap_or_default().as_secs_f64();
            let word = format!("<= {:.1} s", lag.as_secs_f64());
            report.add(LAG, Some(word), format!("and more than {at_least:.1} s"));
            if gap <= LAG_GAP_MAX {
                note_lag(session, report, task, lag).await;
            }
            return Some(Look::of(row));
        }
        (absent_at, is_full) = (Some(asked), page.items.len() >= ROWS_MAX);
        tokio::time::sleep(LIST_EVERY.saturating_sub(began.elapsed())).await;
    }
    let lag = absent_at.unwrap_or_default();
    if is_full {
        report.open(LAG, "it is not on the first page, and there are more pages");
        return None;
    }
    report.add(LAG, Some(format!("> {:.0} s", lag.as_secs_f64())), "it never showed");
    note_lag(session, report, task, lag).await;
    None
}

async fn note_lag(session: &Session, report: &mut Report, task: &TaskRef, lag: Duration) {
    if let Err(error) = session.store.note_lag(&task.facts.account, lag).await {
        report.remarks.push(format!("the lag is not noted as evidence: {error}"));
    }
}

/// Waits for the job's end; `None` if it does not come in time.
async fn end(session: &Session, id: &JobId, deadline: Instant) -> Result<Option<Record>, Failure> {
    loop {
        let stored = session.store.load(id).await?;
        match stored.map(|stored| stored.record) {
            Some(record) if record.life.state.word().is_finished() => return Ok(Some(record)),
            Some(_) if Instant::now() < deadline => tokio::time::sleep(LOOK_EVERY).await,
            Some(_) | None => return Ok(None),
        }
    }
}

fn nonce(report: &mut Report, attempt: &OpenAttempt, read: Option<&Look>, listed: Option<&Look>) {
    let sent = attempt.nonce_s;
    for (question, look) in [(NONCE, read), (NONCE_LISTED, listed)] {
        let Some(look) = look else {
            report.open(question, "no read of the task");
            continue;
        };
        let word = match look.nonce_s {
            Some(shown) if shown == sent => "echoed",
            Some(EXPIRES_AFTER_DEFAULT_S) => "clamped",
            Some(_) => "changed",
            None => "absent",
        };
        let shown = look.nonce_s.map_or_else(|| "nothing".to_owned(), |shown| shown.to_string());
        report.add(
            question,
            Some(word),
            format!("sent {sent}, shown {shown} while {}", look.status),
        );
        if word != "echoed" {
            report.remarks.push(format!(
                "the mark is not echoed ({}): no create in doubt can be told from others by itself. Leave policy = \
                 \"strict\"; such jobs are parked, and a person adopts their task from the console's list",
                question.1
            ));
        }
    }
}

fn identifier(
    report: &mut Report,
    attempt: &OpenAttempt,
    early: Option<&Look>,
    listed: Option<&Look>,
    late: Option<&Look>,
) {
    let Some(sent) = &attempt.safety_identifier else {
        return report.open(IDENTIFIER, "none was sent");
    };
    let shows = |look: Option<&Look>| look.map(|look| look.identifier.as_ref() == Some(sent));
    let early = shows(early.filter(|look| !look.status.is_terminal()));
    let word = match (early, shows(listed), shows(late)) {
        (Some(true), Some(true), _) => "always",
        (Some(true), Some(false), _) => "not_in_list",
        (Some(false), _, Some(true)) => "at_success",
        (Some(false), _, Some(false)) => "never",
        (None, _, _) | (_, None, _) | (_, _, None) => {
            let seen = [("early", early), ("list", shows(listed)), ("end", shows(late))];
            return report.open(IDENTIFIER, format!("not every look was possible: {seen:?}"));
        }
    };
    report.add(IDENTIFIER, Some(word), "");
}

/// What the gateway noted meanwhile. Other jobs' callbacks count in; they say the same.
fn callbacks(report: &mut Report, session: &Session, before: &Evidence, after: &Evidence) {
    let enabled = session
        .loaded
        .section::<provider::CallbackSettings>("callbacks")
        .is_ok_and(|callbacks| callbacks.enabled);
    if !enabled {
        return report.open(CALLBACKS, "callbacks are off");
    }
    let early = after.callbacks_before.saturating_sub(before.callbacks_before);
    let late = after.callbacks_after.saturating_sub(before.callbacks_after);
    let word = match (early, late) {
        (0, 0) => {
            return report.open(
                CALLBACKS,
                "no first callback was heard: does the provider reach the gateway?",
            );
        }
        (_, 0) => "before_reply",
        (0, _) => "after_reply",
        (_, _) => "any",
    };
    report.add(
        CALLBACKS,
        Some(word),
        format!("{early} before the reply was written down, {late} after"),
    );
}

async fn links(asker: &Asker, report: &mut Report, task: &TaskRef, first: Option<Look>) {
    let Some(first) = first.and_then(|look| look.link) else {
        return report.open(LINKS, "the task shows no link");
    };
    tokio::time::sleep(LINK_GAP).await;
    match look(asker, task).await.and_then(|look| look.link) {
        Some(second) if second == first => report.add(LINKS, Some("same"), ""),
        Some(_) => report.add(LINKS, Some("signed_anew"), ""),
        None => report.open(LINKS, "the second read shows no link"),
    }
}

/// Also tells whether the job ended well.
fn last_frame(report: &mut Report, ended: Option<&Record>) -> bool {
    let Some(record) = ended else {
        report.open(LAST_FRAME, "the job has not ended in time; the fleet goes on with it");
        return false;
    };
    let Some(output) = record.life.state.output() else {
        let word = record.life.state.word().as_str();
        report.open(LAST_FRAME, format!("the job ended {word}"));
        report
            .remarks
            .push(format!("the video was not stored: `seedfleet jobs show {}`", record.id));
        return false;
    };
    report.tokens = output.tokens;
    match output.last_frame.as_deref().and_then(|path| path.rsplit_once('.')) {
        // The downloader looks at the bytes and names the file after them.
        Some((_, "png")) => report.add(LAST_FRAME, Some("png"), ""),
        Some((_, "jpg")) => report.add(LAST_FRAME, Some("jpeg"), ""),
        Some((_, other)) => report.add(LAST_FRAME, Some(other), ""),
        None => report.open(LAST_FRAME, "no last frame was stored"),
    }
    true
}
