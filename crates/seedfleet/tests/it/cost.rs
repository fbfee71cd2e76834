//! What requests would cost: the same numbers as the door's, with nobody to ask.

use crate::bench::{Bench, row, run};
use sandbox::TempDir;
use serde_json::Value;

const BIG: &str = r#"{"model":"seedance-2.0","resolution":"1080p","duration":10,"content":[{"type":"text","text":"a harbour"}]}"#;

#[test]
fn a_file_is_weighed_without_redis_and_as_the_door_weighs_it() {
    let bench = Bench::new();
    bench.write("a.jsonl", &format!("{}\n{}\n{BIG}\n", row(1), row(2)));
    let dry = bench.run(&["import", "a.jsonl", "--dry-run", "-o", "json"]).json();
    bench.redis.kill9();
    let ended = bench.run(&["cost", "estimate", "a.jsonl", "-o", "json"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let rows = ended.json();
    let rows = rows.as_array().expect("a list");
    let (total, kinds) = rows.split_last().expect("a total");
    assert_eq!((&total["model"], &total["requests"]), (&"total".into(), &3.into()));
    assert_eq!(
        (&total["tokens"], &total["cost"]),
        (&dry["tokens_estimated"], &dry["cost_estimated"])
    );
    let of = |model: &str| kinds.iter().find(|row| row["model"] == model).expect("a kind");
    assert_eq!(of("2.0-mini")["requests"], 2);
    assert_eq!((&of("2.0")["requests"], &of("2.0")["resolution"]), (&1.into(), &"1080p".into()));
    let table = bench.run(&["cost", "estimate", "a.jsonl"]);
    let head = table.stdout.lines().next().unwrap_or_default().to_ascii_lowercase();
    assert!(head.contains("model") && head.contains("tokens"), "{table:?}");
    assert!(table.stdout.contains("total"), "{table:?}");
}

#[test]
fn one_request_needs_neither_a_configuration_nor_a_batch() {
    let dir = TempDir::new("cost").expect("a folder");
    std::fs::write(dir.path().join("one.json"), format!("\n {BIG}")).expect("ours");
    let total = |args: &[&str]| -> Value {
        let ended = run(dir.path(), args);
        assert_eq!(ended.code, 0, "{ended:?}");
        ended.json().as_array().and_then(|rows| rows.last().cloned()).expect("a total")
    };
    let base = ["cost", "estimate", "one.json", "-o", "json", "--route"];
    let dollars = total(&[&base[..], &["byteplus"]].concat());
    assert!(dollars["cost"].as_str().is_some_and(|cost| cost.starts_with("USD ")), "{dollars}");
    let yuan = total(&[&base[..], &["volcengine"]].concat());
    assert!(yuan["cost"].as_str().is_some_and(|cost| cost.starts_with("CNY ")), "{yuan}");
    assert_eq!(dollars["tokens"], yuan["tokens"]);
}

#[test]
fn a_price_is_that_of_the_day_and_none_is_guessed() {
    let bench = Bench::new();
    bench.write("one.json", BIG);
    let ended = bench.run(&["cost", "estimate", "one.json", "--on", "1999-01-01"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(
        ended.stderr.contains("no price for") && ended.stderr.contains("1999-01-01"),
        "{ended:?}"
    );
}

#[test]
fn faulty_rows_are_told_and_the_good_ones_weighed() {
    let bench = Bench::new();
    bench.write("mixed.jsonl", &format!("{}\nnot json\n{{\"model\":\"seedance-9\"}}\n", row(1)));
    let ended = bench.run(&["cost", "estimate", "mixed.jsonl", "-o", "json"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    for told in ["row 2: ", "row 3: /model: ", "2 of the rows"] {
        assert!(ended.stderr.contains(told), "{told}: {ended:?}");
    }
    let rows = ended.json();
    assert_eq!(rows.as_array().and_then(|rows| rows.last()).expect("a total")["requests"], 1);
    let missing = bench.run(&["cost", "estimate", "nowhere.json"]);
    assert_eq!(missing.code, 5, "{missing:?}");
}
