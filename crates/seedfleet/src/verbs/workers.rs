//! `workers`: how many processes of each role are of use, as gateways tell an autoscaler, and how many are at work.

use super::totals::row;
use crate::cli::Global;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Row, Rows};
use crate::session::{self, Session};
use limiter::Feed;
use serde_json::json;
use settings::Loaded;
use survey::{ScalingSettings, Staff, Wanted};

const COLUMNS: &[&str] =
    &["role", "desired", "at_work", "silent", "silent_s", "bound_by", "reason"];

/// In the order of a job's way.
const ROLES: [&str; 4] = ["submitter", "poller", "downloader", "notifier"];

/// Runs `workers`: over the pool that is named, or all of them, since a process serves all.
pub(crate) async fn run(global: &Global) -> Outcome {
    show(global, row(&wanted(global, &session::load(global)?).await?)?)
}

/// What each role is told, by its name, as the API tells it.
///
/// # Errors
///
/// As of all rows.
pub(crate) fn show(global: &Global, mut wanted: Row) -> Outcome {
    if !global.output.has_columns() {
        output::object(&global.output, wanted)?;
        return Ok(Exit::Done);
    }
    let mut rows = Rows::new(&global.output, COLUMNS);
    for role in ROLES {
        let view = wanted.shift_remove(role).unwrap_or_default();
        let mut line = Row::from_iter([("role".to_owned(), json!(role))]);
        line.extend(COLUMNS[1..].iter().map(|name| ((*name).to_owned(), view[*name].clone())));
        rows.add(line)?;
    }
    rows.end()?;
    Ok(Exit::Done)
}

/// What is of use now, and why.
///
/// # Errors
///
/// The configuration, or Redis away.
pub(crate) async fn wanted(global: &Global, loaded: &Loaded) -> Result<Wanted, Failure> {
    let arithmetic: ScalingSettings = loaded.section("scaling")?;
    let feed: Feed = loaded.section("submit")?;
    let pools = match &global.pool {
        Some(_) => [session::choose(global, None, loaded)?].into(),
        None => session::pools(loaded)?,
    };
    let mut facts = Vec::with_capacity(pools.len());
    let mut staff: Option<Staff> = None;
    for (name, pool) in pools {
        let session = Session::connect(loaded.clone(), &name, pool).await?;
        let steady = session.policy.poll.steady;
        let (store, pool) = (&session.store, &session.pool);
        facts.push(survey::pool_facts(store, pool, feed.lookahead, steady).await?);
        // The same whichever pool is asked: processes belong to the fleet.
        if staff.is_none() {
            staff = Some(survey::staff(&store.fleet()).await?);
        }
    }
    Ok(survey::wanted(&facts, &arithmetic, &staff.unwrap_or_default()))
}
