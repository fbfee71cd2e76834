//! One verb for all jobs of a filter: the gateway counts and prices them, a person agrees, and the operation is followed.

use super::gateway::Gateway;
use super::{operations, own_name, rows};
use crate::cli::{Decision, Global, Many};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::note;
use crate::verbs::bulk::{NONE_TOUCHED, agree, would};
use job::filter::Filter;
use serde_json::{Value, json};
use store::OperationVerb;

/// Counts, asks, begins the operation and follows it to its end.
pub(super) async fn run(
    global: &Global,
    gateway: &Gateway,
    (verb, filter): (OperationVerb, &Filter),
    many: &Many,
    decision: &Decision,
) -> Outcome {
    own_name(decision.by.as_deref())?;
    let mut wish = json!({"verb": verb.word(), "where": filter.to_string()});
    if let Some(limit) = many.limit {
        wish["limit"] = json!(limit);
    }
    let count = counted(gateway, &wish).await?;
    let matched = count["matched"].as_u64().ok_or_else(|| rows::strange("a count of jobs"))?;
    if matched == 0 {
        note(NONE_TOUCHED);
        return Ok(Exit::Done);
    }
    agree(&told(verb, matched, &count), decision)?;
    wish["reason"] = json!(decision.reason()?);
    if verb == OperationVerb::Retry {
        wish["accept_charge"] = json!(true);
    }
    let begun = gateway.post(&["operations"], &wish, &[], |s| matches!(s, 200 | 202)).await;
    let begun = begun.map_err(|failure| {
        failure.or_hint("`seedfleet operations list` tells whether it was begun")
    })?;
    let id = rows::text(&begun, "/id").ok_or_else(|| rows::strange("an id"))?;
    operations::follow(global, gateway, id, matched, many.timeout).await
}

/// What it would touch.
async fn counted(gateway: &Gateway, wish: &Value) -> Result<Value, Failure> {
    let mut wish = wish.clone();
    wish["dry_run"] = json!(true);
    gateway.post(&["operations"], &wish, &[], |status| status == 200).await
}

fn told(verb: OperationVerb, matched: u64, count: &Value) -> String {
    // A gateway counts so many and no more.
    let least = if count["matched_is_exact"] == false { "at least " } else { "" };
    let of = |name: &str| count[name].as_u64().unwrap_or(0);
    let paid = [of("paid_again"), of("unpaid_before")];
    would(verb, &format!("{least}{matched}"), &rows::money(&count["cost"]), paid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_done_is_told_with_its_price() {
        let count = json!({"matched": 3, "matched_is_exact": false, "cost": {"usd": "1.500000"},
                           "paid_again": 1, "unpaid_before": 2});
        let retry = told(OperationVerb::Retry, 3, &count);
        for part in ["at least 3 jobs", "about USD 1.500000 more", "1 of them", "2 were not"] {
            assert!(retry.contains(part), "{part} in {retry}");
        }
        let cancel = told(OperationVerb::Cancel, 3, &json!({"matched_is_exact": true}));
        assert_eq!(cancel, "3 unfinished jobs would be cancelled; it costs nothing");
    }
}
