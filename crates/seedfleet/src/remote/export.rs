//! `export` over the gateway: the results of whatever jobs are meant.

use super::gateway::Gateway;
use super::lines::Lines;
use super::{batch, lacks, own_tenant, rows};
use crate::cli::{ExportArgs, Global};
use crate::exit::Outcome;
use crate::verbs::export::Sheet;
use survey::RESULT_COLUMNS;

/// Runs the verb.
pub(super) async fn run(global: &Global, gateway: &Gateway, args: &ExportArgs) -> Outcome {
    own_tenant(args.which.tenant.as_deref())?;
    if args.download.is_some() {
        let needs = "the bucket itself, and a gateway gives one video at a time";
        let instead = "`seedfleet jobs open JOB --print` tells the link of one";
        return Err(lacks("export --download", needs, instead));
    }
    if let Some(name) = &args.which.batch {
        batch::of_name(gateway, name).await?;
    }
    let (filter, days) = (args.which.filter().to_string(), args.days());
    let mut query = vec![("where", filter.as_str())];
    query.extend(days.from.as_deref().map(|day| ("ended_from", day)));
    query.extend(days.until.as_deref().map(|day| ("ended_until", day)));
    if args.no_archive {
        query.push(("archive", "false"));
    }
    let mut lines = Lines::of(gateway, gateway.open(&["results"], &query, &[]).await?);
    let mut sheet = Sheet::begin(global, RESULT_COLUMNS);
    while let Some(row) = lines.next_value().await? {
        let row = rows::row(row)?;
        let incomplete = row.get("incomplete").and_then(|why| why.as_str()).map(str::to_owned);
        sheet.add(row, incomplete, "")?;
    }
    sheet.end()
}
