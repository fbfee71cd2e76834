//! `failed`: what went wrong, by code, and what becomes of it.

pub(crate) mod export;

use crate::cli::{FailedArgs, FailedVerb, Global};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Row, Rows, note};
use crate::session::Session;
use crate::verbs::totals::row;
use crate::verbs::{batch, bulk, jobs};
use serde_json::{Value, json};
use store::{OperationVerb, Scope};

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
pub(crate) enum Shown {
    /// Those that somebody should look at.
    Open,
    /// Those that were dismissed.
    Dismissed,
    /// All there ever were.
    All,
}

impl Shown {
    /// Of the options.
    pub(crate) const fn of(dismissed: bool, all: bool) -> Self {
        match (dismissed, all) {
            (_, true) => Self::All,
            (true, false) => Self::Dismissed,
            (false, false) => Self::Open,
        }
    }

    fn jobs(self, group: &Row) -> u64 {
        count(
            group,
            match self {
                Self::Open => "open",
                Self::Dismissed => "dismissed",
                Self::All => "jobs",
            },
        )
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
    let groups = survey::failures(&session.store, scope).await?;
    show(global, groups.iter().map(row).collect::<Result<_, Failure>>()?, shown)
}

fn count(group: &Row, name: &str) -> u64 {
    group.get(name).and_then(Value::as_u64).unwrap_or(0)
}

/// Failures by code, as the API tells them.
pub(crate) fn show(global: &Global, mut groups: Vec<Row>, shown: Shown) -> Outcome {
    let sum = |name: &str| groups.iter().map(|group| count(group, name)).sum::<u64>();
    let (dismissed, archived) = (sum("dismissed"), sum("archived"));
    groups.retain(|group| shown.jobs(group) > 0);
    groups.sort_by_key(|group| std::cmp::Reverse(shown.jobs(group)));
    let mut rows = Rows::new(&global.output, COLUMNS);
    for mut group in groups {
        group.insert("jobs".into(), json!(shown.jobs(&group)));
        let sample = group.get("samples").and_then(|samples| samples.get(0)).cloned();
        group.insert("sample".into(), json!(sample));
        rows.add(group)?;
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
