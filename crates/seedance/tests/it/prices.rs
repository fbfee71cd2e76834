//! The price table: data, by day, never guessed.

use proptest::prelude::*;
use seedance::{
    Currency, Day, ModelKey, PriceTable, PricingError, Resolution, Route, estimate_tokens,
};
use serde_json::json;

use crate::bench::{accepted, request, text, video};

fn day(text: &str) -> Day {
    text.parse().expect("a day")
}

#[test]
fn the_published_examples_come_out() {
    let table = PriceTable::builtin();
    let mut body = request(vec![text()]);
    body["ratio"] = json!("16:9");
    for (seconds, micros) in [(5, 762_300), (15, 2_274_300)] {
        body["duration"] = json!(seconds);
        let request = accepted(&body).request;
        let cost = table
            .cost(Route::Byteplus, &request, estimate_tokens(&request), day("2026-11-22"))
            .unwrap();
        assert_eq!((cost.currency, cost.micros), (Currency::Usd, micros));
        assert_eq!(cost.effective_from, day("2026-10-01"));
    }
}

#[test]
fn an_unknown_price_is_an_error() {
    let table = PriceTable::builtin();
    let mut body = request(vec![video()]);
    body["model"] = json!("seedance-2.0-mini");
    let mini = accepted(&body).request;
    let error = table.cost(Route::Byteplus, &mini, 1, day("2026-11-22")).unwrap_err();
    assert!(error.video_input);
    assert!(error.to_string().contains("2.0-mini"), "{error}");
    assert!(table.cost(Route::Volcengine, &mini, 1, day("2026-11-22")).is_ok());
    let before = table.cost(Route::Volcengine, &mini, 1, day("2026-09-30"));
    assert!(before.is_err(), "no price before the first one");
}

#[test]
fn every_model_and_resolution_has_a_price_without_video() {
    for route in Route::ALL {
        for model in ModelKey::ALL {
            for &resolution in model.capabilities().resolutions {
                let cost = PriceTable::builtin()
                    .cost_of(route, model, resolution, false, 1_000_000, day("2026-11-22"))
                    .unwrap();
                assert_eq!(cost.currency, route.currency());
                assert!(cost.micros > 0);
            }
        }
    }
}

const ROW: &str = r#"
[[price]]
effective_from = "2026-10-01"
route = "byteplus"
currency = "USD"
model = "2.0"
resolutions = ["720p"]
per_million_tokens = "7.0"
"#;

#[test]
fn a_later_price_counts_from_its_day() {
    let later = ROW.replace("2026-10-01", "2026-12-01").replace("7.0", "0.000001");
    let table = PriceTable::parse(&format!("{later}{ROW}")).unwrap();
    let cost = |on: &str, tokens| {
        let (model, size) = (ModelKey::V20, Resolution::P720);
        table.cost_of(Route::Byteplus, model, size, false, tokens, day(on)).unwrap()
    };
    assert_eq!(cost("2026-11-30", 1_000_000).micros, 7_000_000);
    assert_eq!(cost("2026-12-01", 1_000_000).micros, 1);
    assert_eq!(cost("2026-12-01", 1).micros, 1, "rounded up, never to nothing");
    assert_eq!(cost("2026-11-30", 108_900).to_string(), "USD 0.762300");
}

#[test]
fn a_table_that_contradicts_itself_is_refused() {
    let twice = PriceTable::parse(&format!("{ROW}{ROW}"));
    assert!(matches!(twice, Err(PricingError::Twice { .. })));
    let currency = PriceTable::parse(&ROW.replace("USD", "CNY"));
    assert!(matches!(currency, Err(PricingError::Currency { .. })));
    assert!(matches!(PriceTable::parse("prices = 1"), Err(PricingError::Form(_))));
    let first = ROW.replace("2026-10-01", "2026-09-01");
    for (from, to, field) in [
        ("7.0", "seven", "per_million_tokens"),
        ("7.0", "-1", "per_million_tokens"),
        ("7.0", "1.0000001", "per_million_tokens"),
        ("2.0\"", "9\"", "model"),
        ("per_million", "per_milion", "per_milion_tokens"),
        ("2026-10-01", "2026-02-30", "effective_from"),
        ("\"7.0\"", "7.0", "per_million_tokens"),
    ] {
        let wrong = PriceTable::parse(&format!("{first}{}", ROW.replace(from, to)));
        let Err(PricingError::Row { row: 2, .. }) = &wrong else { panic!("{to}: {wrong:?}") };
        let said = wrong.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(said.starts_with("row 2: ") && said.contains(field), "{to}: {said}");
    }
}

#[test]
fn days_are_utc_days() {
    assert_eq!(Day::from_unix_s(0), day("1970-01-01"));
    assert_eq!(Day::from_unix_s(1_795_348_800), day("2026-11-22"));
    assert_eq!(Day::from_unix_s(1_795_391_999), day("2026-11-22"));
    assert_eq!(Day::from_unix_s(1_795_392_000), day("2026-11-23"));
    for wrong in ["", "2026-1-1", "2026-13-01", "2027-02-29", "2026-11-22-1", "26-11-22", "x"] {
        assert!(wrong.parse::<Day>().is_err(), "{wrong}");
    }
}

proptest! {
    #[test]
    fn a_day_survives_a_round_trip(unix_s in 0_i64..253_402_300_800) {
        let day = Day::from_unix_s(unix_s);
        prop_assert_eq!(day.to_string().parse::<Day>().unwrap(), day);
    }
}
