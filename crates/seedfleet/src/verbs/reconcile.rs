//! `reconcile`: our records against the provider's list and the second fence, told so that a person
//! can act on it.

use super::freeze::given;
use crate::cli::{Global, ReconcileArgs};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Form, Format, Row, Rows, note};
use crate::session::{Session, operator};
use assets::{IntentError, Intents};
use job::{JobId, TaskId};
use limiter::Limiter;
use provider::Client;
use reconcile::scan::Scanners;
use reconcile::{
    ClaimError, Finding, FindingKind, Ground, ReconcileError, Report, quarantine, sweep,
};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use store::Freeze;

/// The provider keeps no older records (`docs/provider.md` §3.1).
const BACK_MAX: Duration = Duration::from_secs(7 * 24 * 3_600);

const FINDINGS: &[&str] = &["finding", "account", "job", "task", "what", "cure"];

/// Runs the verb.
pub(crate) async fn run(global: &Global, args: &ReconcileArgs) -> Outcome {
    let reason = args.reason.as_deref().map(given).transpose()?;
    let session = Session::open(global).await?;
    let ground = ground(&session)?;
    if let Some((job, task)) = &args.claim {
        return claim(global, args, &ground, (job, task), reason).await;
    }
    let report = match args.after_restore {
        true => after_restore(global, args, &ground, reason).await?,
        false => compare(&ground, args, args.since).await?,
    };
    tell(global, args, &report)?;
    Ok(if report.is_clean() { Exit::Done } else { Exit::Findings })
}

fn ground(session: &Session) -> Result<Ground, Failure> {
    let (limits, provider): (limiter::Settings, provider::Settings) =
        (session.loaded.section("limits")?, session.loaded.section("provider")?);
    let (store, pool) = (session.store.clone(), &session.pool);
    let client = Client::open(store.pool(), pool, &provider)
        .map_err(|error| Failure::new(Exit::Findings, error.to_string()))?;
    let client = Arc::new(client);
    let limiter = Limiter::new(store.clone(), pool, &limits, provider.under_way());
    let scanners = Scanners::new(store.clone(), limiter.clone(), Arc::clone(&client));
    let fence = session.loaded.section("fence")?;
    Ok(Ground {
        limiter,
        client,
        scanners: Arc::new(scanners),
        settings: pool.clone(),
        policy: Arc::new(session.policy.clone()),
        intents: Intents::open(&fence, &session.loaded.section("store")?)?,
        store,
    })
}

/// The comparison, with a word about a freeze that stands.
async fn compare(ground: &Ground, args: &ReconcileArgs, back: Duration) -> Result<Report, Failure> {
    let options = sweep::Options {
        back: back.min(BACK_MAX),
        dry_run: args.dry_run,
        cancel_queued: args.cancel_queued,
        ended: true,
        unexplained: BTreeSet::new(),
    };
    let mut report = sweep::run(ground, &options).await?;
    if let Some(freeze) = ground.store.watch().await?.frozen {
        let cure = "seedfleet reconcile --after-restore --yes --reason TEXT";
        report.find(frozen(&freeze, cure.to_owned()));
    }
    Ok(report)
}

/// Freeze, wait, walk, compare, thaw. Every part may be repeated.
async fn after_restore(
    global: &Global,
    args: &ReconcileArgs,
    ground: &Ground,
    reason: Option<&str>,
) -> Result<Report, Failure> {
    if args.yes && reason.is_none() && ground.intents.is_none() {
        return Err(Failure::usage("without the second fence, --yes needs --reason"));
    }
    let store = &ground.store;
    let by = operator(args.by.as_deref());
    let why = reason.unwrap_or("after a restore");
    let freeze = match store.watch().await?.frozen {
        Some(freeze) => freeze,
        None => {
            store.freeze(why, by.as_str()).await?;
            let frozen = store.watch().await?.frozen;
            frozen.ok_or_else(|| Failure::new(Exit::Conflict, "somebody thawed meanwhile"))?
        }
    };
    if !global.quiet {
        let until = (freeze.since + ground.horizon()).rfc3339();
        note(&format!("creates are frozen; what was being sent shows in lists by {until}"));
    }
    quarantine::wait_out(ground, freeze.since).await?;
    let walked = match ground.intents.is_some() {
        true => Some(quarantine::recover(ground, freeze.since, args.dry_run).await?),
        false => None,
    };
    let mut report = sweep_all(ground, args).await?;
    if let Some(walked) = walked {
        report.recovered = walked.recovered;
        walked.deeds.into_iter().for_each(|deed| report.did(deed));
        walked.findings.into_iter().for_each(|finding| report.find(finding));
    }
    let unread = report.recovered.is_none_or(|recovered| recovered.unreadable > 0);
    if args.yes && !args.dry_run && (reason.is_some() || !unread) {
        store.thaw(by.as_str(), why).await?;
        if !global.quiet {
            note("creates go on");
        }
    } else {
        let cure = "seedfleet reconcile --after-restore --yes --reason TEXT thaws";
        report.find(frozen(&freeze, cure.to_owned()));
    }
    Ok(report)
}

/// As far back as the provider remembers.
async fn sweep_all(ground: &Ground, args: &ReconcileArgs) -> Result<Report, Failure> {
    let options = sweep::Options {
        back: ground.policy.settle.records_kept.min(BACK_MAX),
        dry_run: args.dry_run,
        cancel_queued: args.cancel_queued,
        ended: true,
        unexplained: BTreeSet::new(),
    };
    Ok(sweep::run(ground, &options).await?)
}

fn frozen(freeze: &Freeze, cure: String) -> Finding {
    let Freeze { since, why, by, .. } = freeze;
    Finding {
        kind: FindingKind::Frozen,
        account: None,
        job: None,
        task: None,
        sentence: format!("creates are frozen since {} by {by}: {why}", since.rfc3339()),
        cure,
    }
}

async fn claim(
    global: &Global,
    args: &ReconcileArgs,
    ground: &Ground,
    (job, task): (&JobId, &TaskId),
    reason: Option<&str>,
) -> Outcome {
    let Some(reason) = reason else {
        return Err(Failure::usage("--claim needs --reason").hint("write how you know"));
    };
    if !args.yes {
        let what = format!("{job} would own {task} and buy nothing itself");
        return Err(Failure::new(Exit::Guard, what).hint("do it with --yes"));
    }
    let by = operator(args.by.as_deref());
    let claimed = reconcile::claim(ground, job, task, &by, reason).await?;
    let mut row = Row::new();
    row.insert("job".into(), json!(job));
    row.insert("task".into(), json!(task));
    row.insert("attempt".into(), json!(claimed.attempt));
    row.insert("account".into(), json!(claimed.account));
    output::object(&form(global, args), row)?;
    Ok(Exit::Done)
}

fn form(global: &Global, args: &ReconcileArgs) -> Form {
    if args.json { global.output.as_a(Format::Ndjson) } else { global.output.clone() }
}

fn tell(global: &Global, args: &ReconcileArgs, report: &Report) -> Result<(), Failure> {
    if args.json || !global.output.is_a_page() {
        let whole = serde_json::to_value(report).map_err(|error| {
            Failure::new(Exit::Failed, format!("a report that is no JSON: {error}"))
        })?;
        return output::object(&form(global, args), whole.as_object().cloned().unwrap_or_default());
    }
    output::object(&global.output, summary(report))?;
    if report.findings.is_empty() {
        return Ok(());
    }
    let mut out = Rows::new(&global.output, FINDINGS);
    for finding in &report.findings {
        let Finding { kind, account, job, task, sentence, cure } = finding;
        let mut row = Row::new();
        row.insert("finding".into(), json!(kind.word()));
        row.insert("account".into(), json!(account));
        row.insert("job".into(), json!(job));
        row.insert("task".into(), json!(task));
        row.insert("what".into(), json!(sentence));
        row.insert("cure".into(), json!(cure));
        out.add(row)?;
    }
    out.end()
}

/// The sums, for people.
fn summary(report: &Report) -> Row {
    let mut row = Row::new();
    row.insert("pool".into(), json!(report.pool));
    row.insert("since".into(), json!(report.since.rfc3339()));
    for account in &report.accounts {
        let name = &account.account;
        let mut words = format!(
            "{} tasks: {} owned, {} in doubt, {} nobody's; {} of ours unknown there",
            account.tasks, account.owned, account.in_doubt, account.orphans, account.unknown
        );
        if account.unknown_paid > 0 {
            words.push_str(&format!(", and {} that count as paid", account.unknown_paid));
        }
        if let Some(tokens) = account.tokens {
            words.push_str(&format!(
                "; {} tokens there, {} in our records, {} on their way, difference {}",
                tokens.provider,
                tokens.ours,
                tokens.pending,
                tokens.difference()
            ));
        }
        row.insert(format!("account {name}"), json!(words));
    }
    if let Some(fence) = report.recovered {
        let words = format!(
            "{} requests: {} known, {} jobs restored, {} put in doubt, {} left, {} unreadable",
            fence.intents, fence.known, fence.restored, fence.doubted, fence.left, fence.unreadable
        );
        row.insert("second fence".into(), json!(words));
    }
    row.insert("mended".into(), json!(report.deeds.len()));
    row.insert("findings".into(), json!(report.findings.len()));
    row
}

impl From<ReconcileError> for Failure {
    fn from(error: ReconcileError) -> Self {
        match error {
            ReconcileError::Store(error) => error.into(),
            ReconcileError::Report(error) => error.into(),
            ReconcileError::Fence(error @ IntentError::Away(_)) => {
                Self::new(Exit::Outage, error.to_string()).hint("repeat the command")
            }
            ReconcileError::Fence(error) => Self::new(Exit::Failed, error.to_string())
                .hint("`seedfleet doctor` looks at the bucket"),
            ReconcileError::NoFence => Self::usage(error.to_string()),
        }
    }
}

impl From<ClaimError> for Failure {
    fn from(error: ClaimError) -> Self {
        match error {
            ClaimError::Away(error) => error.into(),
            ClaimError::Refused(why) => Self::new(Exit::Conflict, why),
        }
    }
}
