//! `schema` without a fleet around it. Processes of two versions at work: `tests/it/upgrades.rs`.

use crate::bench::Bench;

/// The versions that a process of another program would tell of itself.
fn enters(bench: &Bench, name: &str, newest: u32) {
    let now = bench.redis.command(&["TIME"]).expect("answers");
    let ms = format!("{}000", now.lines().next().expect("seconds"));
    let about =
        format!("{{\"role\":\"poller\",\"program\":\"0\",\"oldest\":1,\"newest\":{newest}}}");
    let keys = store::keys::FleetKeys::new(&store::Settings::default().key_prefix);
    bench.redis.command(&["ZADD", &keys.workers(), &ms, name]).expect("answers");
    bench.redis.command(&["HSET", &keys.workers_about(), name, &about]).expect("answers");
}

#[test]
fn the_state_of_versions_is_shown_with_what_was_looked_at() {
    let bench = Bench::new();
    assert_eq!(bench.run(&["submit", "--prompt", "a lighthouse"]).code, 0);
    enters(&bench, "poller-1", 1);
    let ended = bench.run(&["schema", "status", "-o", "json"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let told = ended.json();
    assert_eq!(told["live_processes"], 1, "{told:#}");
    assert_eq!(told["processes"][0]["reads"], "1..1", "{told:#}");
    let pool = &told["pools"][0];
    let seen = (&pool["looked_at"], &pool["older"], &pool["count"]);
    assert_eq!(seen, (&1.into(), &0.into(), &"exact".into()), "{told:#}");
    let page = bench.run(&["schema", "status"]).stdout;
    for words in ["this_program_reads", "PROCESS", "poller-1", "LOOKED AT", "exact"] {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert_eq!(bench.run(&["schema", "status", "--pool", "nobody"]).code, 2);
}

#[test]
fn a_version_is_put_in_force_by_a_person_and_by_nobody_while_one_process_cannot_read_it() {
    let bench = Bench::new();
    let finalize = ["schema", "finalize", "--reason", "a test", "--by", "ann"];
    let with_yes = [finalize.as_slice(), &["--yes"]].concat();
    enters(&bench, "poller-old", 0);
    let held = bench.run(&with_yes);
    assert_eq!(held.code, 9, "{held:?}");
    assert!(held.stderr.contains("poller-old") && held.stderr.contains("version 0"), "{held:?}");
    enters(&bench, "poller-old", 1);
    let asked = bench.run(&finalize);
    assert_eq!(asked.code, 9, "nobody is at the keyboard: {asked:?}");
    assert!(asked.stderr.contains("--yes"), "{asked:?}");
    let done = bench.run(&with_yes);
    assert_eq!(done.code, 0, "{done:?}");
    let again = bench.run(&with_yes);
    assert!(again.code == 0 && again.stderr.contains("in force already"), "{again:?}");
    let audit = bench.run(&["audit", "-o", "ndjson"]);
    let lines = audit.stdout.matches("schema_finalized").count();
    assert!(lines == 1 && audit.stdout.contains("ann"), "{audit:?}");
    let beyond = bench.run(&["schema", "finalize", "--to", "9", "--reason", "x", "--yes"]);
    assert_eq!(beyond.code, 2, "{beyond:?}");
    assert_eq!(bench.run(&["schema", "finalize", "--reason", " ", "--yes"]).code, 2);
}
