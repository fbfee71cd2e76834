//! `freeze` and `thaw`: a person stops creates of a pool, and lets them go on.

use crate::cli::{FreezeArgs, Global, ThawArgs};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Row};
use crate::session::{Session, operator};
use serde_json::json;
use store::{Freeze, FreezeKind};

/// Runs `freeze`.
pub(crate) async fn freeze(global: &Global, args: &FreezeArgs) -> Outcome {
    let reason = given(&args.reason)?;
    let session = Session::open(global).await?;
    let by = operator(args.by.as_deref());
    session.store.freeze(reason, by.as_str()).await?;
    let frozen = session.store.watch().await?.frozen;
    output::object(&global.output, row(&session, frozen.as_ref()))?;
    Ok(Exit::Done)
}

/// Runs `thaw`.
pub(crate) async fn thaw(global: &Global, args: &ThawArgs) -> Outcome {
    let reason = given(&args.reason)?;
    let session = Session::open(global).await?;
    let Some(frozen) = session.store.watch().await?.frozen else {
        return Err(Failure::new(Exit::Conflict, "creates are not frozen"));
    };
    if frozen.kind == FreezeKind::Rollback && !args.yes {
        let what = "Redis lost data, and what it forgot may have been bought";
        return Err(Failure::new(Exit::Guard, what)
            .because(&frozen.why)
            .hint("`seedfleet reconcile --after-restore` looks first; --yes thaws all the same"));
    }
    let by = operator(args.by.as_deref());
    session.store.thaw(by.as_str(), reason).await?;
    output::object(&global.output, row(&session, None))?;
    Ok(Exit::Done)
}

/// A reason that says something.
pub(crate) fn given(reason: &str) -> Result<&str, Failure> {
    let reason = reason.trim();
    if reason.is_empty() {
        return Err(Failure::usage("--reason is empty").hint("write what you know"));
    }
    Ok(reason)
}

fn row(session: &Session, frozen: Option<&Freeze>) -> Row {
    let mut row = Row::new();
    row.insert("pool".into(), json!(session.store.pool()));
    row.insert("frozen".into(), json!(frozen.is_some()));
    row.insert("since".into(), json!(frozen.map(|freeze| freeze.since.rfc3339())));
    row.insert("why".into(), json!(frozen.map(|freeze| &freeze.why)));
    row.insert("by".into(), json!(frozen.map(|freeze| &freeze.by)));
    row
}
