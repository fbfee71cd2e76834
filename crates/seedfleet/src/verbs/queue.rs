//! `queue`: what waits, and what people paused.

use crate::cli::{DrainArgs, Global, PauseArgs, QueueVerb, ResumeArgs};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Progress, Row, Rows};
use crate::patience::Patience;
use crate::session::{Session, operator};
use crate::verbs::batch;
use crate::verbs::totals::row;
use serde_json::Value;
use std::time::Duration;
use store::{DOWNLOAD_MARGIN, PAUSES_MAX, PauseScope};

/// Between two looks at what is in hand.
const LOOK_EVERY: Duration = Duration::from_millis(500);

const COLUMNS: &[&str] = &["queue", "waiting", "due", "leased", "paused"];

/// Runs the verb.
pub(crate) async fn run(global: &Global, verb: QueueVerb) -> Outcome {
    let session = Session::open(global).await?;
    match verb {
        QueueVerb::Status => show(global, whole(&session).await?),
        QueueVerb::Pause(args) => pause(global, &session, &args).await,
        QueueVerb::Resume(args) => resume(global, &session, &args).await,
        QueueVerb::Drain(args) => drain(global, &session, &args).await,
    }
}

/// How the queues stand.
///
/// # Errors
///
/// Redis away.
pub(crate) async fn whole(session: &Session) -> Result<Row, Failure> {
    row(&survey::queues(&session.store).await?)
}

/// How the queues stand, as the API tells it.
///
/// # Errors
///
/// As of all rows.
pub(crate) fn show(global: &Global, whole: Row) -> Outcome {
    if !global.output.has_columns() {
        output::object(&global.output, whole)?;
        return Ok(Exit::Done);
    }
    let all = |name: &str| whole.get(name).and_then(Value::as_array).into_iter().flatten();
    let mut rows = Rows::new(&global.output, COLUMNS);
    for queue in all("queues") {
        rows.add(row(queue)?)?;
    }
    rows.end()?;
    if global.output.is_a_page() {
        let words = all("pauses").map(pause_words).chain(all("batches").map(batch_words));
        let said: Vec<String> = words.map(|words| output::plain(&words)).collect();
        if !said.is_empty() {
            output::say(&format!("\nPaused: {}.\n", said.join(".\nPaused: ")))?;
        }
    }
    Ok(Exit::Done)
}

fn text<'v>(view: &'v Value, name: &str) -> &'v str {
    view[name].as_str().unwrap_or_default()
}

/// A pause of a part in words.
fn pause_words(pause: &Value) -> String {
    let of = text(pause, "of");
    let scope = match text(pause, "scope") {
        "submit" => "all creates".to_owned(),
        "tenant" => format!("creates of tenant {of}"),
        "model" => format!("creates of {of}"),
        "poll" => "polls".to_owned(),
        "download" => "downloads".to_owned(),
        // A newer gateway may know more.
        other => format!("{other} {of}"),
    };
    let until = match pause["until"].as_str() {
        Some(until) => format!("until {until}"),
        None => "until it is resumed".to_owned(),
    };
    format!("{scope} by {} {until} ({})", text(pause, "by"), text(pause, "reason"))
}

/// A batch that is paused, in words.
fn batch_words(batch: &Value) -> String {
    let why = batch::pause_words(&batch["paused"]);
    format!("batch {} of tenant {} {why}", text(batch, "batch"), text(batch, "tenant"))
}

async fn pause(global: &Global, session: &Session, args: &PauseArgs) -> Outcome {
    begin(global, session, args).await?;
    shown(global, session, &args.scope()).await
}

async fn begin(global: &Global, session: &Session, args: &PauseArgs) -> Result<(), Failure> {
    agree(args)?;
    let scope = args.scope();
    let (by, reason) = (operator(args.decision.by.as_deref()), args.decision.reason()?);
    if !session.store.pause(&scope, args.lasts(), &by, reason).await? {
        let what = format!("{PAUSES_MAX} pauses hold already");
        return Err(Failure::new(Exit::Conflict, what).hint("`seedfleet queue resume` ends one"));
    }
    remind(global, &scope);
    Ok(())
}

/// Whether it may be paused so, and was agreed to.
///
/// # Errors
///
/// It may not, or nobody agreed.
pub(crate) fn agree(args: &PauseArgs) -> Result<(), Failure> {
    let (scope, lasts) = (args.scope(), args.lasts());
    if let Some(why) = scope.refuses(lasts) {
        return Err(Failure::usage(why).hint("say how long with --for, such as --for 30m"));
    }
    let span = match lasts {
        Some(lasts) => format!("for {lasts:?}"),
        None => "until it is resumed".to_owned(),
    };
    if !args.decision.yes {
        let what = format!("{scope} would be paused {span}; what was begun goes on");
        return Err(Failure::new(Exit::Guard, what).hint("do it with --reason WHY --yes"));
    }
    args.decision.reason().map(drop)
}

/// What is done all the same.
pub(crate) fn remind(global: &Global, scope: &PauseScope) {
    if *scope == PauseScope::Download && !global.quiet {
        let hours = DOWNLOAD_MARGIN.as_secs() / 3_600;
        output::note(&format!("copies whose link dies within {hours} h are made all the same"));
    }
}

/// Pauses, and waits until what was handed out before has ended: a film that is being made is not in hand, it is
/// only looked at.
async fn drain(global: &Global, session: &Session, args: &DrainArgs) -> Outcome {
    begin(global, session, &args.pause).await?;
    drained(global, args, async || whole(session).await).await?;
    shown(global, session, &args.pause.scope()).await
}

/// Waits until nothing of a paused part is in hand; `look` tells how the queues stand.
///
/// # Errors
///
/// Time is up, or the pause ended.
pub(crate) async fn drained(
    global: &Global,
    args: &DrainArgs,
    look: impl AsyncFn() -> Result<Row, Failure>,
) -> Result<(), Failure> {
    let scope = args.pause.scope();
    let mut patience = Patience::new(global, LOOK_EVERY, Some(args.timeout)).answered();
    let progress = Progress::begin(None, global.quiet);
    let still = |left: &str| {
        let what = format!("{left} still in hand after {:?}: {scope}", args.timeout);
        Failure::new(Exit::Deadline, what)
            .hint("it stays paused; the same command with a longer --timeout waits on")
    };
    let mut before: Option<u64> = None;
    loop {
        let late = || match before {
            Some(left) => still(&left.to_string()),
            None => still("it is not known what is"),
        };
        let is = in_hand(&patience.ask(Some(&progress), late, &look).await?, &scope);
        // Of a pause that ended, what was left when it was last seen.
        let left = is.or(before).unwrap_or(0);
        before = Some(left);
        if is.is_some() && left > 0 && !patience.is_over() {
            progress.at(0, &format!("{scope}: {left} in hand"));
            tokio::time::sleep(LOOK_EVERY).await;
            continue;
        }
        progress.end();
        return match (is, left) {
            (Some(_), 0) => Ok(()),
            (Some(_), _) => Err(still(&left.to_string())),
            (None, _) => {
                let what = format!("{scope}: the pause ended while {left} were in hand");
                Err(Failure::new(Exit::Conflict, what)
                    .hint("drain again with a longer --for, or with --until-resumed"))
            }
        };
    }
}

/// What is in hand of a part; none where nothing pauses it.
fn in_hand(whole: &Row, scope: &PauseScope) -> Option<u64> {
    let wanted = named(scope);
    let mut pauses = whole.get("pauses")?.as_array()?.iter();
    let found = pauses.find(|pause| (text(pause, "scope"), pause["of"].as_str()) == wanted)?;
    found["in_hand"].as_u64()
}

/// A part as the API names it: its kind, and of which tenant or class.
pub(crate) fn named(scope: &PauseScope) -> (&'static str, Option<&str>) {
    let of = match scope {
        PauseScope::Tenant(tenant) => Some(tenant.as_str()),
        PauseScope::Model(class) => Some(class.word()),
        PauseScope::Submit | PauseScope::Poll | PauseScope::Download => None,
    };
    (scope.kind(), of)
}

/// Whether it was agreed to that a part goes on.
///
/// # Errors
///
/// Nobody agreed.
pub(crate) fn agree_to_resume(args: &ResumeArgs) -> Result<(), Failure> {
    if !args.decision.yes {
        let what = format!("{} would go on", args.scope());
        return Err(Failure::new(Exit::Guard, what).hint("do it with --reason WHY --yes"));
    }
    args.decision.reason().map(drop)
}

async fn resume(global: &Global, session: &Session, args: &ResumeArgs) -> Outcome {
    agree_to_resume(args)?;
    let scope = args.scope();
    let (by, reason) = (operator(args.decision.by.as_deref()), args.decision.reason()?);
    if !session.store.resume(&scope, &by, reason).await? {
        return Err(Failure::new(Exit::Conflict, format!("{scope}: nobody paused that"))
            .hint("`seedfleet queue status` shows what is paused"));
    }
    shown(global, session, &scope).await
}

async fn shown(global: &Global, session: &Session, scope: &PauseScope) -> Outcome {
    output::object(&global.output, row(&survey::part(&session.store, scope).await?)?)?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use job::{By, Timestamp};
    use seedance::SlotClass;
    use store::Pause;
    use survey::QueuePauseView;

    #[test]
    fn pauses_are_told_in_the_words_of_the_store() {
        let at = Timestamp::from_unix_ms(1_790_000_000_000);
        let scopes = [
            PauseScope::Submit,
            PauseScope::Tenant("acme".to_owned()),
            PauseScope::Model(SlotClass::ALL[0]),
            PauseScope::Poll,
            PauseScope::Download,
        ];
        assert_eq!(scopes.each_ref().map(PauseScope::kind), PauseScope::KINDS, "every kind");
        for (scope, until) in scopes.into_iter().flat_map(|s| [(s.clone(), None), (s, Some(at))]) {
            let pause = Pause { scope, by: By::named("ann"), reason: "a look".into(), at, until };
            let view = serde_json::to_value(QueuePauseView::from(&pause)).unwrap();
            assert_eq!(pause_words(&view), pause.words());
            let (kind, of) = named(&pause.scope);
            assert_eq!((text(&view, "scope"), view["of"].as_str()), (kind, of));
        }
    }
}
