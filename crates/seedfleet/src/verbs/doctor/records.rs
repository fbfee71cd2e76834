//! Records against the rest of Redis: told, and repaired when a person asks.

use super::{Grade, Line, Report};
use crate::cli::DoctorArgs;
use crate::exit::{Exit, Failure};
use crate::output::note;
use crate::session::{Session, operator};
use std::io::{self, BufRead as _, IsTerminal as _};
use std::time::Duration;
use store::{Drift, Recount};

/// Differences told one by one.
const DRIFTS_SHOWN: usize = 20;
/// Two doctors with one pool in their hands would move one sum twice.
const REPAIR_LOCK: &str = "repair";
const REPAIR_MAX: Duration = Duration::from_secs(600);

/// Counts, repairs if asked, and tells what is left.
pub(super) async fn check(
    report: &mut Report,
    session: &Session,
    args: &DoctorArgs,
) -> Result<(), Failure> {
    let mut recount = session.store.recount().await?;
    if args.repair && !recount.drifts.is_empty() {
        repair(report, session, args, &recount).await?;
        recount = session.store.recount().await?;
    }
    tell(report, &recount);
    Ok(())
}

fn tell(report: &mut Report, recount: &Recount) {
    if recount.unreadable > 0 {
        report.warn(
            "records",
            format!("{} records cannot be read by this version", recount.unreadable),
            "upgrade this program to the version that wrote them",
        );
    }
    if recount.drifts.is_empty() {
        let records = recount.records;
        report.ok("records", format!("{records} records agree with slots, counters and tickets"));
    }
    for drift in recount.drifts.iter().take(DRIFTS_SHOWN) {
        let hint = if drift.is_curable() {
            "seedfleet doctor --repair --reason <WHY> writes what the record calls for"
        } else {
            "no program knows the truth here: look at the job's timeline and at the provider"
        };
        report.0.push(Line {
            grade: Grade::Fail,
            about: "records".to_owned(),
            what: sentence(drift),
            hint: Some(hint.to_owned()),
            kind: Some(drift.kind.word()),
        });
    }
    let more = recount.drifts.len().saturating_sub(DRIFTS_SHOWN);
    if more > 0 || recount.more {
        let least = if recount.more { "at least " } else { "" };
        report.fail(
            "records",
            format!("{least}{more} more differences"),
            "repair, then look again",
        );
    }
}

fn sentence(drift: &Drift) -> String {
    let kind = drift.kind.word();
    format!("{kind}: {}: {} by the records, {} in Redis", drift.what, drift.expected, drift.found)
}

async fn repair(
    report: &mut Report,
    session: &Session,
    args: &DoctorArgs,
    recount: &Recount,
) -> Result<(), Failure> {
    let reason = args.reason.as_deref().unwrap_or_default();
    let reason = crate::verbs::freeze::given(reason)?;
    agree(args, &recount.drifts)?;
    let store = &session.store;
    if !store.lock(REPAIR_LOCK, REPAIR_MAX).await? {
        return Err(Failure::new(Exit::Conflict, "somebody else repairs this pool")
            .hint("wait for it, then look again"));
    }
    let by = operator(args.by.as_deref());
    let mended = store.mend(&recount.drifts, by.as_str(), reason).await;
    store.unlock(REPAIR_LOCK).await?;
    let mended = mended?;
    let (written, passed, left) = (mended.mended, mended.passed, mended.left);
    report.ok(
        "records",
        format!(
            "{written} differences repaired, {passed} were gone by then, {left} left to a person"
        ),
    );
    Ok(())
}

/// `--yes`, or a yes on the terminal.
fn agree(args: &DoctorArgs, drifts: &[Drift]) -> Result<(), Failure> {
    if args.yes {
        return Ok(());
    }
    for drift in drifts.iter().take(DRIFTS_SHOWN) {
        let cure = if drift.is_curable() { "" } else { " (left to a person)" };
        note(&format!("{}{cure}", sentence(drift)));
    }
    let refused = || {
        let what = format!("{} differences, nothing was repaired", drifts.len());
        Failure::new(Exit::Guard, what).hint("agree with --yes, or on a terminal")
    };
    if !io::stdin().is_terminal() {
        return Err(refused());
    }
    note("repair them? [y/N]");
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(refused()),
    }
}
