//! `limits`: what the provider allows, what of it is used, and what an operator lowers while the fleet runs.

use super::freeze::given;
use super::totals::{row, spent};
use crate::cli::{Global, LimitsOf, LimitsResetArgs, LimitsSetArgs, LimitsVerb};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Form, Format, Rows};
use crate::session::{Session, operator};
use limiter::{Feed, Wanted};
use seedance::Fault;
use serde_json::json;
use std::time::Duration;
use store::{Limit, LimitChange, LimitChanges};
use survey::{CauseView, ClassView, LimitsSettings, LimitsView};

pub(crate) const COLUMNS: &[&str] =
    &["account", "class", "slots_used", "slots", "lookahead", "create_rpm", "stopped_until"];

/// Runs `limits`.
pub(crate) async fn run(global: &Global, verb: LimitsVerb) -> Outcome {
    let session = Session::open(global).await?;
    let feed: Feed = session.loaded.section("submit")?;
    match verb {
        LimitsVerb::Show => {}
        LimitsVerb::Set(args) => set(&session, feed, &args).await?,
        LimitsVerb::Reset(args) => reset(&session, &args).await?,
    }
    let settings = LimitsSettings::from_loaded(&session.loaded)?;
    let view = survey::limits(&session.store, &session.pool, &settings, None).await?;
    if !global.output.is_a_page() {
        output::object(&global.output, row(&view)?)?;
        return Ok(Exit::Done);
    }
    show(&view, &session.pool.route.currency().to_string())?;
    Ok(Exit::Done)
}

async fn set(session: &Session, feed: Feed, args: &LimitsSetArgs) -> Result<(), Failure> {
    let given = [
        (Limit::CreateRpm, args.create_rpm),
        (Limit::Running, args.running),
        (Limit::Lookahead, args.lookahead),
        (Limit::RetrieveQps, args.retrieve_qps),
        (Limit::ListQps, args.list_qps),
        (Limit::DeleteQps, args.delete_qps),
    ];
    let wanted = Wanted {
        account: account(session, &args.of)?,
        class: args.of.class,
        limits: given.into_iter().filter_map(|(limit, n)| Some((limit, n?))).collect(),
        lasts: args.lasts,
    };
    let changes = limiter::judge(&session.pool, feed.lookahead, &wanted);
    change(session, &args.of, changes.map_err(|faults| refused(&faults))?, args.lasts).await
}

async fn reset(session: &Session, args: &LimitsResetArgs) -> Result<(), Failure> {
    let account = account(session, &args.of)?;
    let changes = limiter::taken_back(&session.pool, &account, args.of.class, &args.limits);
    change(session, &args.of, changes.map_err(|faults| refused(&faults))?, None).await
}

async fn change(
    session: &Session,
    of: &LimitsOf,
    changes: Vec<LimitChange>,
    lasts: Option<Duration>,
) -> Result<(), Failure> {
    let reason = limiter::reason(given(&of.reason)?).map_err(|fault| refused(&[fault]))?.to_owned();
    let by = operator(of.by.as_deref()).as_str().to_owned();
    session.store.change_limits(&LimitChanges { changes, lasts, by, reason }).await?;
    Ok(())
}

/// The account that is meant.
fn account(session: &Session, of: &LimitsOf) -> Result<String, Failure> {
    let known = session.pool.accounts.keys().cloned().collect::<Vec<_>>().join(", ");
    match &of.account {
        Some(name) => Ok(name.clone()),
        None if session.pool.accounts.len() == 1 => Ok(known),
        None => Err(Failure::usage(format!("the pool has several accounts: {known}"))
            .hint("choose one with --account")),
    }
}

fn refused(faults: &[Fault]) -> Failure {
    let failure = Failure::usage("the limits are not changed");
    faults.iter().fold(failure, |failure, fault| {
        let Fault { pointer, message, allowed, fix, .. } = fault;
        let field = pointer.trim_start_matches('/');
        let allowed = allowed.as_ref().map(|allowed| format!("; allowed: {allowed}"));
        failure.because(format!("{field}: {message}{}; {fix}", allowed.unwrap_or_default()))
    })
}

/// A limit in force, and beside it what is configured where that is another.
pub(crate) fn of(now: f64, configured: u32) -> String {
    if (now - f64::from(configured)).abs() < f64::EPSILON {
        return configured.to_string();
    }
    format!("{now} of {configured}")
}

/// What to do about the first cause, whose sentence stands above, and the other causes with theirs. Each is what it
/// says, the next command, the page.
pub(crate) fn steps<'v>(causes: impl Iterator<Item = (&'v str, &'v str, &'v str)>) -> String {
    let mut said = String::new();
    for (n, (says, next, page)) in causes.enumerate() {
        if n > 0 {
            said.push_str(&format!("Also: {}\n", output::plain(says)));
        }
        said.push_str(&format!("  next: {next} ({page})\n"));
    }
    said
}

fn show(view: &LimitsView, currency: &str) -> Result<(), Failure> {
    let mut rows = Rows::new(&Form::plain(Format::Table), COLUMNS);
    for account in &view.accounts {
        for class in &account.classes {
            let ClassView { slots, lookahead, create_rpm, configured, .. } = class;
            let mut row = row(class)?;
            row.insert("account".into(), json!(account.account));
            let stopped = account.stopped_until.as_ref().or(class.stopped_until.as_ref());
            row.insert("stopped_until".into(), json!(stopped));
            row.insert("slots".into(), json!(of((*slots).into(), configured.slots)));
            row.insert("lookahead".into(), json!(of((*lookahead).into(), configured.lookahead)));
            row.insert("create_rpm".into(), json!(of(*create_rpm, configured.create_rpm)));
            rows.add(row)?;
        }
    }
    rows.end()?;
    let mut said = format!("\n{}\n", output::plain(&view.limited_by));
    let told =
        view.causes.iter().map(|CauseView { says, next, page, .. }| (says.as_str(), *next, *page));
    said.push_str(&steps(told));
    if let Some(budget) = &view.budget {
        said.push_str(&spent(budget, currency));
    }
    for account in &view.accounts {
        for held in &account.held {
            let (name, survey::HeldView { call, until, code }) = (&account.account, held);
            said.push_str(&format!("No {call} on account {name} until {until}: {code}.\n"));
        }
        for sentence in account.lowered() {
            said.push_str(&format!("{sentence}\n"));
        }
    }
    output::say(&said)?;
    Ok(())
}
