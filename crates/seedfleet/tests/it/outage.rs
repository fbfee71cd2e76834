//! Redis away.

use crate::bench::{Bench, row};

#[test]
fn a_redis_that_is_away_is_one_sentence_and_exit_75() {
    let bench = Bench::new();
    bench.redis.kill9();
    bench.write("b.jsonl", &row(1));
    for args in [&["jobs", "list"][..], &["import", "b.jsonl"], &["submit", "-p", "boat"]] {
        let ended = bench.run(args);
        assert_eq!(ended.code, 75, "{args:?}: {ended:?}");
        let errors = ended.stderr.lines().filter(|line| line.starts_with("error:")).count();
        assert_eq!(errors, 1, "{args:?}: {ended:?}");
        assert!(ended.stderr.contains("Redis") && ended.stderr.contains("hint:"), "{ended:?}");
        assert!(ended.stdout.is_empty(), "{ended:?}");
    }
}

#[test]
fn the_configuration_is_checked_without_it() {
    let bench = Bench::new();
    bench.redis.kill9();
    let ended = bench.run(&["config", "check"]);
    assert_eq!(ended.code, 0, "{ended:?}");
}
