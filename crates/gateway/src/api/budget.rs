//! `POST /v1/batches/{id}:budget`: what may be bought for a batch.

use super::batches::find;
use super::body::Given;
use super::job::to_json;
use super::operations::{reason_of, refused};
use crate::app::App;
use crate::caller::Caller;
use crate::problem::Problem;
use crate::settings::Scope;
use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use job::{By, CAP_UNITS_MAX};
use serde::Deserialize;
use std::sync::Arc;
use store::BatchCaps;
use survey::BatchView;
use utoipa::ToSchema;

/// Caps of a batch, in decimal numbers of the route's currency.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CapsWish {
    /// What may be bought for it on one day (UTC); "0" takes the cap away, and left out it stays as it is.
    #[serde(default)]
    #[schema(example = "25.00", pattern = r"^[0-9]+(\.[0-9]{1,6})?$")]
    buy_day_max: Option<String>,
    /// What may be bought for it in all, likewise.
    #[serde(default)]
    #[schema(example = "400", pattern = r"^[0-9]+(\.[0-9]{1,6})?$")]
    buy_total_max: Option<String>,
    /// Why; kept in the audit.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

/// Set a batch's budget.
///
/// A job whose estimate would pass a cap is held, not failed; it comes back by itself when the day turns (UTC), when the
/// cap is raised, or when something reserved turns out not to be owed.
#[utoipa::path(
    post,
    path = "/v1/batches/{id}:budget",
    operation_id = "set_batch_budget",
    tag = "batches",
    params(("id" = String, Path, description = "The batch.")),
    request_body(content = CapsWish),
    responses((status = 200, description = "The batch.", body = BatchView))
)]
pub(super) async fn set(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    Given(wish): Given<CapsWish>,
) -> Result<Response, Problem> {
    let store = &app.enter(&caller, Scope::JobsWrite)?.pool.store;
    find(store, &caller.tenant, &id).await?;
    let caps = caps(wish.buy_day_max.as_deref(), wish.buy_total_max.as_deref())
        .map_err(|(field, why)| refused(field, &why))?;
    if caps == BatchCaps::default() {
        return Err(refused("buy_day_max", "give it, or buy_total_max, or both"));
    }
    let reason = reason_of(&wish.reason)?;
    let by = By::named(&caller.name);
    store.set_batch_caps(&caller.tenant, &id, caps, &by, reason).await?;
    let batch = find(store, &caller.tenant, &id).await?;
    Ok(Json(to_json(&BatchView::from(&batch))?).into_response())
}

/// The caps that somebody wrote down, or the field that is none and why.
pub(super) fn caps(
    day: Option<&str>,
    total: Option<&str>,
) -> Result<BatchCaps, (&'static str, String)> {
    let read = |field, text: Option<&str>| {
        let wrong = || {
            let why = format!(
                "it is no amount: write a decimal number up to {CAP_UNITS_MAX}, such as 25.00; 0 takes the cap away"
            );
            (field, why)
        };
        text.map(|text| job::cap_micros(text).ok_or_else(wrong)).transpose()
    };
    Ok(BatchCaps {
        day_micros: read("buy_day_max", day)?,
        total_micros: read("buy_total_max", total)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_or_refused_by_name() {
        let read = caps(Some("12.5"), Some("0")).expect("amounts");
        assert_eq!((read.day_micros, read.total_micros), (Some(12_500_000), Some(0)));
        assert_eq!(caps(None, None), Ok(BatchCaps::default()));
        for text in ["", "-1", "1,5", "1000000001"] {
            assert_eq!(caps(None, Some(text)).map_err(|(field, _)| field), Err("buy_total_max"));
        }
    }
}
