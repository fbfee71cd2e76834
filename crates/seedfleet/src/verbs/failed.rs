//! `failed`: what went wrong, by code, and what becomes of it.

mod export;

pub(crate) use export::document;

use crate::cli::{FailedArgs, FailedVerb, Global};
use crate::exit::{Exit, Outcome};
use crate::output::{Rows, note};
use crate::session::Session;
use crate::verbs::totals::row;
use crate::verbs::{batch, bulk, jobs};
use serde_json::json;
use store::{OperationVerb, Scope};
use survey::FailureView;

const COLUMNS: &[&str] = &[
    "code",
    "class",
    "jobs",
    "dismissed",
    "archived",
    "first",
    "last",
    "paid",
    "retryable",
    "sample",
    "advice",
];

/// Runs the verb.
pub(crate) async fn run(global: &Global, verb: FailedVerb) -> Outcome {
    let session = Session::open(global).await?;
    match verb {
        FailedVerb::List { whose, dismissed, all } => {
            list(global, &session, &whose, Shown::of(dismissed, all)).await
        }
        FailedVerb::Show { code, which, limit, cursor } => {
            let filter = which.filter().code(&code);
            jobs::list(global, &session, filter, limit, cursor.as_deref()).await
        }
        FailedVerb::Retry { code, which, many, decision } => {
            let wish = (OperationVerb::Retry, which.filter().code(&code));
            bulk::run(global, &session, wish, &many, &decision).await
        }
        FailedVerb::Export { code, which, no_archive } => {
            export::run(global, &session, code.as_deref(), (&which, !no_archive)).await
        }
        FailedVerb::Dismiss { code, whose, conditions, many, decision } => {
            let filter = whose.filter(conditions.as_ref()).code(&code);
            let wish = (OperationVerb::Dismiss, filter);
            bulk::run(global, &session, wish, &many, &decision).await
        }
    }
}

/// Which failures a list is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// Those that somebody should look at.
    Open,
    /// Those that were dismissed.
    Dismissed,
    /// All there ever were.
    All,
}

impl Shown {
    const fn of(dismissed: bool, all: bool) -> Self {
        match (dismissed, all) {
            (_, true) => Self::All,
            (true, false) => Self::Dismissed,
            (false, false) => Self::Open,
        }
    }

    const fn jobs(self, group: &FailureView) -> u64 {
        match self {
            Self::Open => group.open,
            Self::Dismissed => group.dismissed,
            Self::All => group.jobs,
        }
    }
}

async fn list(global: &Global, session: &Session, whose: &FailedArgs, shown: Shown) -> Outcome {
    let batch = match &whose.batch {
        Some(name) => Some(batch::find(session, name, whose.tenant.as_deref()).await?),
        None => None,
    };
    let scope = match (&batch, &whose.tenant) {
        (Some(batch), _) => Scope::Batch(&batch.tenant, &batch.name),
        (None, Some(tenant)) => Scope::Tenant(tenant),
        (None, None) => Scope::Pool,
    };
    let mut groups = survey::failures(&session.store, scope).await?;
    let (dismissed, archived) = groups.iter().fold((0, 0), |(dismissed, archived), group| {
        (dismissed + group.dismissed, archived + group.archived)
    });
    groups.retain(|group| shown.jobs(group) > 0);
    groups.sort_by_key(|group| std::cmp::Reverse(shown.jobs(group)));
    let mut rows = Rows::new(&global.output, COLUMNS);
    for group in groups {
        let mut row = row(&group)?;
        row.insert("jobs".into(), json!(shown.jobs(&group)));
        row.insert("sample".into(), json!(group.samples.first()));
        rows.add(row)?;
    }
    rows.end()?;
    if shown == Shown::Open && !global.quiet {
        if dismissed > 0 {
            note(&format!("{dismissed} more were dismissed: `seedfleet failed list --dismissed`"));
        }
        if archived > 0 {
            note(&bulk::archived_words(archived, None));
        }
    }
    Ok(Exit::Done)
}
