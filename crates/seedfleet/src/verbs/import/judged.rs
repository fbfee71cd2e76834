//! What `--dry-run` tells beside counts: the least that the good rows can cost, when they would have ended, and what binds it.

use super::{Order, money};
use crate::cli::Global;
use crate::exit::Failure;
use crate::output::Row;
use crate::session::Session;
use crate::verbs::batch;
use admission::DryRun;
use serde_json::json;
use survey::{ScalingSettings, rows_eta};

/// Adds what is known of rows that were only judged to the summary.
pub(super) async fn tell(
    global: &Global,
    session: &Session,
    order: &Order,
    judged: &DryRun,
    row: &mut Row,
) -> Result<(), Failure> {
    let currency = session.pool.route.currency();
    row.insert("tokens_least".into(), json!(judged.tokens_least));
    row.insert("cost_least".into(), json!(money(currency, judged.micros_least)));
    let scaling: ScalingSettings = session.loaded.section("scaling")?;
    let (store, pool) = (&session.store, &session.pool);
    let eta = rows_eta(store, pool, &order.tenant, &judged.kinds, scaling.generate).await?;
    row.insert("eta".into(), batch::shown(global, Some(&eta)));
    Ok(())
}
