//! What goes wrong at the provider, in the simulator's own words (`docs/simulator.md`).
//!
//! One create in five loses its answer although a task
//! was made, one in ten finds trouble before that, one download in ten is spoiled. `once` marks what
//! the real provider would not do twice to one request: two lost sends of one job would ask for a
//! person by the policy's own rule and prove nothing more. Wrong bytes of the right length are left
//! out: the provider publishes no checksum, so nobody could tell them from a film.

use super::Order;
use serde_json::{Value, json};

/// The plan. Waits are those of the real provider divided by the run's factor.
pub(super) fn plan(order: &Order) -> Value {
    let ms = |real_ms: u64| (real_ms / u64::from(order.shorten)).max(1);
    // Made later than anybody waits for, yet within the front door's longest stay.
    let held = match order.held {
        0 => json!({"kind": "delay_create", "ms": ms(33_000), "probability": 0.01}),
        n => {
            json!({"kind": "delay_create", "ms": ms(58_000), "probability": f64::from(n) / 1_000.0})
        }
    };
    json!({
        "connect": [
            {"kind": "close", "probability": 0.004},
            {"kind": "reset", "probability": 0.004},
        ],
        "create": [
            // 20 in 100: made, and the answer is lost, late, or says otherwise.
            {"kind": "accept_then_drop", "probability": 0.035},
            {"kind": "accept_then_reset", "probability": 0.03},
            {"kind": "reset_after_half_head", "probability": 0.03},
            {"kind": "502_html_after_create", "probability": 0.03},
            {"kind": "500_after_create", "probability": 0.03},
            {"kind": "200_without_id", "probability": 0.025},
            {"kind": "200_cut_body", "probability": 0.025},
            {"kind": "delay_reply", "ms": ms(34_000), "probability": 0.02},
            held,
            {"kind": "callback_before_reply", "ms": ms(5_000), "probability": 0.05},
            // 10 in 100: nothing is made.
            {"kind": "answer", "code": "ServerOverloaded", "probability": 0.02},
            {"kind": "answer", "code": "ModelAccountRpmRateLimitExceeded", "probability": 0.015},
            {"kind": "answer", "code": "quota-exceeded-queued", "probability": 0.015},
            {"kind": "500_without_create", "probability": 0.015, "once": true},
            {"kind": "502_html_without_create", "probability": 0.01, "once": true},
            {"kind": "drop_after_read", "probability": 0.015, "once": true},
        ],
        "retrieve": [
            {"kind": "not_found_at_first", "ms": ms(5_000), "probability": 0.5},
            {"kind": "unknown_status", "probability": 0.02},
            {"kind": "500", "probability": 0.01},
            {"kind": "502_html", "probability": 0.01},
            {"kind": "drop", "probability": 0.01},
            {"kind": "cut_body", "probability": 0.01},
        ],
        "list": [
            {"kind": "lag", "ms": ms(25_000)},
            {"kind": "missing_page", "probability": 0.03},
            {"kind": "shifted_page", "count": 3, "probability": 0.05},
            {"kind": "answer", "code": "APIAccountRpmRateLimitExceeded", "probability": 0.02},
            {"kind": "500", "probability": 0.02},
            {"kind": "drop", "probability": 0.02},
        ],
        "task": [
            {"kind": "failed", "code": "OutputVideoSensitiveContentDetected", "probability": 0.01},
            {"kind": "failed", "code": "InternalServiceError", "probability": 0.01},
        ],
        "callback": callbacks(order.shorten),
        "media": media(order.shorten),
    })
}

fn callbacks(shorten: u32) -> Value {
    let ms = |real_ms: u64| (real_ms / u64::from(shorten)).max(1);
    json!([
        {"kind": "lose", "probability": 0.10},
        {"kind": "duplicate", "count": 3, "probability": 0.10},
        {"kind": "reorder", "ms": ms(5_000), "probability": 0.05},
        {"kind": "delay", "ms": ms(10_000), "probability": 0.05},
        {"kind": "forge", "probability": 0.03},
        {"kind": "forge_foreign", "probability": 0.03},
        {"kind": "forge_path", "probability": 0.03},
    ])
}

fn media(shorten: u32) -> Value {
    let ms = |real_ms: u64| (real_ms / u64::from(shorten)).max(1);
    json!([
        {"kind": "expired", "probability": 0.01, "once": true},
        {"kind": "truncated", "probability": 0.015},
        {"kind": "wrong_length", "probability": 0.01},
        {"kind": "reset", "probability": 0.01},
        {"kind": "stall", "ms": ms(40_000), "probability": 0.005},
        {"kind": "short_file", "probability": 0.01},
        {"kind": "ignore_range", "match": {"file": "mp4"}, "probability": 0.02},
        {"kind": "slow", "bytes_per_s": 20_000, "probability": 0.005},
        {"kind": "redirect", "url": "http://127.0.0.1:1/latest/meta-data", "probability": 0.005, "once": true},
        {"kind": "answer", "status": 503, "probability": 0.01},
    ])
}

/// Names and counts out of what the simulator says of its faults; one that shares its kind with
/// another of its group is told by its code.
pub(super) fn fired(faults: &Value) -> Vec<(String, u64)> {
    let mut counts = Vec::new();
    for (group, rules) in faults.as_object().into_iter().flatten() {
        for rule in rules.as_array().into_iter().flatten() {
            let kind = rule["kind"].as_str().unwrap_or("unknown");
            let code = rule["code"].as_str().map(|code| format!(".{code}")).unwrap_or_default();
            let fired = rule["fired"].as_u64().unwrap_or(0);
            counts.push((format!("provider.{group}.{kind}{code}"), fired));
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_create_in_five_is_ambiguous_and_names_are_unique() {
        let plan = plan(&Order::default());
        let creates = plan["create"].as_array().unwrap();
        let nothing =
            ["answer", "500_without_create", "502_html_without_create", "drop_after_read"];
        let (mut made, mut none) = (0.0, 0.0);
        for rule in creates {
            let share = rule["probability"].as_f64().unwrap();
            match nothing.contains(&rule["kind"].as_str().unwrap()) {
                true => none += share,
                false if rule["kind"] != "callback_before_reply" => made += share,
                false => {}
            }
        }
        assert!(made > 0.2 && none > 0.08, "{made} {none}");
        let mut names: Vec<_> = fired(&plan).into_iter().map(|(name, _)| name).collect();
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
