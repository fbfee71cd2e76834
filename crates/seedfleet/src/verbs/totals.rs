//! `usage`: what jobs come to.

use crate::cli::{Global, UsageArgs};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Row, Rows};
use crate::session::Session;
use serde::Serialize;
use serde_json::{Value, json};
use std::time::Duration;
use store::Purse;
use survey::{BudgetView, Group};

/// How far usage goes back where no beginning is told.
const USAGE_SPAN: Duration = Duration::from_secs(30 * 24 * 3_600);

pub(crate) const USAGE_COLUMNS: &[&str] = &["group", "jobs", "succeeded", "tokens", "cost"];

/// A value with named parts as a row.
pub(crate) fn row(value: &impl Serialize) -> Result<Row, Failure> {
    match serde_json::to_value(value) {
        Ok(Value::Object(row)) => Ok(row),
        Ok(other) => Err(Failure::new(Exit::Failed, format!("{other} has no columns"))),
        Err(error) => Err(Failure::new(Exit::Failed, error.to_string())),
    }
}

/// `usage`.
pub(crate) async fn usage(global: &Global, args: UsageArgs) -> Outcome {
    let session = Session::open(global).await?;
    let to = match args.to {
        Some(to) => to,
        None => session.store.now().await?,
    };
    let from = args.from.unwrap_or(to - USAGE_SPAN);
    if from > to {
        return Err(Failure::usage("--from is later than --to"));
    }
    let group = Group::from(args.by);
    let totals = survey::usage(&session.store, from, to, group, args.tenant.as_deref()).await?;
    let mut rows = Rows::new(&global.output, USAGE_COLUMNS);
    for total in &totals {
        let mut row = row(total)?;
        if global.output.has_columns() {
            row.insert("cost".into(), json!(money(&total.cost)));
        }
        rows.add(row)?;
    }
    rows.end()?;
    if global.output.is_a_page() {
        let purse = args.tenant.map_or(Purse::Pool, Purse::Tenant);
        let seen = session.store.purses(&[purse]).await?.pop().unwrap_or_default();
        let currency = session.pool.route.currency().to_string();
        output::say(&format!("\n{}", spent(&BudgetView::from(&seen), &currency)))?;
    }
    Ok(Exit::Done)
}

/// Costs as one cell.
pub(crate) fn money(cost: &std::collections::BTreeMap<String, String>) -> String {
    let each: Vec<String> =
        cost.iter().map(|(currency, n)| format!("{} {n}", currency.to_uppercase())).collect();
    each.join(" + ")
}

/// What was bought of a purse, of as much as may be.
pub(crate) fn spent(budget: &BudgetView, currency: &str) -> String {
    let spans = [("today", &budget.today), ("in all", &budget.total)];
    let each = spans.map(|(span, cap)| {
        let max = cap.max.as_ref().map(|max| format!(" of {max}")).unwrap_or_default();
        format!("{currency} {}{max} {span}", cap.spent)
    });
    format!("Bought or reserved: {}; the day turns at {}.\n", each.join(", "), budget.resets_at)
}
