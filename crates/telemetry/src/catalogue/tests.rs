//! The rules every entry keeps.

use super::*;
use std::collections::BTreeSet;

#[test]
fn names_follow_the_grammar() {
    let mut seen = BTreeSet::new();
    for metric in CATALOGUE {
        let name = metric.name;
        assert!(seen.insert(name), "{name} stands twice");
        assert!(name.starts_with("seedfleet_"), "{name} lacks the prefix");
        let plain = |b: u8| b.is_ascii_lowercase() || b == b'_';
        assert!(name.bytes().all(plain) && !name.contains("__"), "{name}");
        let counted = name.strip_suffix("_total");
        assert_eq!(
            counted.is_some(),
            metric.kind == Kind::Counter,
            "{name}: _total is for counters"
        );
        let stem = counted.unwrap_or(name);
        match metric.unit {
            unit @ ("seconds" | "bytes" | "ratio") => {
                assert!(stem.ends_with(&format!("_{unit}")), "{name} lacks its unit");
            }
            unit => {
                assert!(!unit.is_empty(), "{name} has no unit");
                let alien = ["_seconds", "_bytes", "_ratio", "_ms", "_milliseconds"];
                assert!(!alien.iter().any(|a| stem.ends_with(a)), "{name} is in {unit}");
            }
        }
        assert!(metric.help.ends_with('.'), "{name} is not explained");
    }
}

#[test]
fn histograms_have_growing_buckets_and_nothing_else_has_any() {
    for Metric { name, kind, buckets, unit, .. } in CATALOGUE {
        assert_eq!(!buckets.is_empty(), *kind == Kind::Histogram, "{name}");
        assert!(buckets.windows(2).all(|pair| pair[0] < pair[1]), "{name}");
        assert!(*kind != Kind::Histogram || *unit == "seconds", "{name} records durations");
    }
}

#[test]
fn labels_are_few_and_never_ids() {
    for metric in CATALOGUE {
        for label in metric.labels {
            let forbidden = ["job", "task", "batch", "prompt", "url", "attempt", "id"];
            let words: Vec<&str> = label.name.split('_').collect();
            assert!(!forbidden.iter().any(|f| words.contains(f)), "{}", metric.name);
        }
        // A bound on what is thinkable; the series that occur are far fewer.
        let series: usize = metric
            .labels
            .iter()
            .map(|label| match label.values {
                Values::Closed(words) => words.len() + 1,
                Values::Declared(_) | Values::Internal => 1,
            })
            .product();
        assert!(series < 8_000, "{} may have {series} series", metric.name);
    }
}
