//! `import` over the gateway: the same counts, refusals and guards as from Redis.

use super::{of, remote, said, server, told};
use e2e::kit::{ALICE, BOB, FileHost, Fleet, Options, Served, item, picture, text};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Output;

/// As Alice, with this exit code.
fn import(fleet: &Fleet, file: &str, more: &[&str], exit: i32) -> Output {
    let args = [&["-o", "json", "import", file], more].concat();
    let ended = of(fleet, ALICE, &args);
    assert_eq!(ended.status.code(), Some(exit), "{args:?}: {ended:?}");
    ended
}

fn write(fleet: &Fleet, file: &str, rows: &[Value]) {
    let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
    std::fs::write(fleet.path(file), lines).expect("the folder is ours");
}

/// A file of refused rows, in no order.
fn rejects(fleet: &Fleet, file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(fleet.path(file)).expect("rejects");
    let lines = text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON"));
    let mut lines: Vec<Value> = lines.collect();
    lines.sort_by_key(ToString::to_string);
    lines
}

/// Three rows, of which one is no request.
fn rows(fleet: &Fleet) -> PathBuf {
    let row =
        |n: u32| Value::from(text(&format!("boat {n}")).with("custom_id", format!("row-{n}")));
    let bad = json!({"model": "no such", "custom_id": "row-2"});
    let file = fleet.path("spring.jsonl");
    let text = format!("{}\n{bad}\n{}\n", row(1), row(3));
    std::fs::write(&file, text).expect("the folder is ours");
    file
}

#[test]
fn a_file_is_taken_in_and_its_results_come_out_over_the_gateway_as_from_redis() {
    let fleet = Fleet::start(Options::with_gateway());
    let file = rows(&fleet);
    judged(&fleet, file.to_str().expect("text"));
    let import = [
        "-o",
        "json",
        "import",
        file.to_str().expect("text"),
        "--stop-on",
        "failed>9",
        "--output-prefix",
        "own/folder/",
    ];
    let taken = of(&fleet, ALICE, &import);
    assert_eq!(taken.status.code(), Some(3), "a row was refused: {taken:?}");
    let counts = |output: &Value| {
        ["batch", "rows", "created", "existing", "rejected"].map(|name| output[name].clone())
    };
    let first = [json!("spring"), json!(3), json!(2), json!(0), json!(1)];
    assert_eq!(counts(&told(&taken)), first, "{taken:?}");
    let rejects = || rejects(&fleet, "spring.rejects.jsonl");
    let told_over = rejects();
    assert_eq!(told_over[0]["line"], 2, "{told_over:?}");
    // The same file from Redis finds the same jobs, and refuses the same row in the same words.
    let direct = fleet.cli(&import);
    let again = [json!("spring"), json!(3), json!(0), json!(2), json!(1)];
    assert_eq!(counts(&direct.json()), again, "{direct:?}");
    assert_eq!(rejects(), told_over);

    let watched = of(&fleet, ALICE, &["-o", "json", "batch", "watch", "spring"]);
    assert_eq!(watched.status.code(), Some(0), "{watched:?}");
    assert_eq!(told(&watched)["succeeded"], 2, "{watched:?}");
    let export = ["-o", "ndjson", "export", "--batch", "spring"];
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let over = of(&fleet, ALICE, &export);
    let results = sorted(&String::from_utf8_lossy(&over.stdout));
    assert_eq!(results.len(), 2, "{over:?}");
    assert!(results.iter().all(|row| row.contains("own/folder/")), "{results:?}");
    assert_eq!(results, sorted(&fleet.cli(&export).stdout));
    assert_eq!(of(&fleet, BOB, &export).status.code(), Some(5), "another tenant has no such batch");
    chosen(&fleet);

    let show = || told(&of(&fleet, ALICE, &["-o", "json", "batch", "show", "spring"]));
    assert_eq!(show()["stop_on"], "failed>9", "{}", show());
    let asked = of(&fleet, ALICE, &["batch", "stop-on", "spring", "--conditions", "in_doubt>3"]);
    assert_eq!(asked.status.code(), Some(9), "{asked:?}");
    assert!(said(&asked).contains("stops on failed>9"), "{asked:?}");
    for (conditions, is) in [(Some("in_doubt>3"), json!("in_doubt>3")), (None, Value::Null)] {
        let mut set = vec!["batch", "stop-on", "spring", "--reason", "a test", "--yes"];
        set.extend(conditions.into_iter().flat_map(|on| ["--conditions", on]));
        assert_eq!(of(&fleet, ALICE, &set).status.code(), Some(0));
        assert_eq!(show()["stop_on"], is);
    }
    let id = told(&of(&fleet, ALICE, &["-o", "json", "jobs", "list"]))[0]["job"].clone();
    let id = id.as_str().expect("an id");
    copies(&fleet, id);
    let opened = of(&fleet, ALICE, &["jobs", "open", id]);
    let link = String::from_utf8_lossy(&opened.stdout).into_owned();
    assert_eq!(link, format!("{}/v1/jobs/{id}/output\n", server(&fleet)), "{opened:?}");
}

/// Results of chosen jobs come out over the gateway as from Redis.
fn chosen(fleet: &Fleet) {
    let of_some = |more: &[&str]| {
        let some = [&["-o", "csv", "export", "--where", "custom_id=row-1,row-3"], more].concat();
        let over = String::from_utf8_lossy(&of(fleet, ALICE, &some).stdout).into_owned();
        assert_eq!(over, fleet.cli(&some).stdout, "{some:?}");
        over.lines().count()
    };
    assert_eq!(of_some(&["--state", "succeeded", "--ended-from", "2000-01-01"]), 3);
    assert_eq!(of_some(&["--ended-until", "2000-01-01"]), 1, "the line of names");
    let of_bob = of(fleet, BOB, &["-o", "id", "export", "--where", "custom_id=row-1"]);
    assert_eq!((of_bob.status.code(), of_bob.stdout), (Some(0), Vec::new()), "not his");
}

/// A job is copied over the gateway and from Redis, each time as the next take of its request.
fn copies(fleet: &Fleet, id: &str) {
    let clone = ["-o", "json", "jobs", "clone", id];
    let asked = of(fleet, ALICE, &clone);
    assert_eq!(asked.status.code(), Some(9), "{asked:?}");
    for part in ["another take of its request, would cost about USD ", "--yes"] {
        assert!(said(&asked).contains(part), "{part}: {asked:?}");
    }
    let yes = [&clone[..], &["--yes"]].concat();
    let (over, direct) = (told(&of(fleet, ALICE, &yes)), fleet.cli(&yes).json());
    assert_eq!((&over["take"], &direct["take"]), (&json!(2), &json!(3)), "{over} {direct}");
    // Its state may have moved on by the time it is told.
    for same in ["copy_of", "existing", "tokens_estimated", "cost_estimated"] {
        assert_eq!(over[same], direct[same], "{same}");
    }
    let changed = [&yes[..], &["--set", "prompt=a ship"]].concat();
    let ship = told(&of(fleet, ALICE, &changed));
    assert_eq!((&ship["take"], &ship["existing"]), (&json!(1), &Value::Null), "{ship}");
    let again = of(fleet, ALICE, &changed);
    assert_eq!(told(&again)["job"], ship["job"], "{again:?}");
    assert!(said(&again).contains("nothing was bought"), "{again:?}");
    let faulty = of(fleet, ALICE, &[&yes[..], &["--set", "duration=99"]].concat());
    assert_eq!(faulty.status.code(), Some(3), "{faulty:?}");
    assert_eq!(of(fleet, BOB, &clone).status.code(), Some(5), "another tenant has no such job");
}

/// Nothing is taken in, and what is told is what an import from Redis tells.
fn judged(fleet: &Fleet, file: &str) {
    let over = told(&import(fleet, file, &["--dry-run"], 3));
    let rejects_over = rejects(fleet, "spring.rejects.jsonl");
    let direct = fleet.cli(&["-o", "json", "import", file, "--dry-run"]).json();
    for (name, value) in over.as_object().expect("an object") {
        // Their instants differ by what lies between the two commands.
        if name != "eta" {
            assert_eq!(value, &direct[name], "{name}: {over} {direct}");
        }
    }
    assert_eq!((&over["valid"], &over["rejected"]), (&json!(2), &json!(1)), "{over}");
    assert_eq!(over["eta"]["limited_by"], direct["eta"]["limited_by"], "{over} {direct}");
    assert_eq!(rejects_over, rejects(fleet, "spring.rejects.jsonl"));

    let dear = import(fleet, file, &["--max-cost", "0.01"], 9);
    assert!(said(&dear).contains("2 good rows would cost up to USD "), "{dear:?}");
    let piped = import(fleet, "-", &["--max-cost", "10"], 2);
    assert!(said(&piped).contains("read once"), "{piped:?}");
    assert_eq!(fleet.get("/v1/batches/spring", ALICE).status, 404, "nothing was taken in");
}

#[test]
fn files_are_looked_at_here_and_a_pilot_is_bought_first() {
    let host = FileHost::start();
    host.serve("/good.png", [Served::File(picture(640, 480))]);
    let fleet = Fleet::start(Options::with_gateway());
    looked_at(&fleet, &host);

    let row = |n: u32| text(&format!("pier {n}")).with("ratio", "16:9");
    let rows: Vec<Value> = (1..=5).map(|n| row(n).into()).collect();
    let other = Value::from(row(6).with("resolution", "480p"));
    write(&fleet, "ads.jsonl", &[rows, vec![other]].concat());
    let pilot = ["--pilot", "2", "--timeout", "60s", "--max-cost", "1000"];
    let ended = import(&fleet, "ads.jsonl", &pilot, 0);
    let first = told(&ended);
    let counts = ["rows", "created", "existing", "pilot", "pilot_succeeded"];
    let of_counts = |told: &Value| counts.map(|name| told[name].as_u64());
    assert_eq!(of_counts(&first), [6, 6, 0, 2, 2].map(Some), "{first}");
    assert_eq!(first["pilot_cost"], first["pilot_estimated"], "texts are reckoned exactly");
    let jobs = first["pilot_jobs"].as_array().expect("jobs");
    let kinds = jobs.iter().map(|job| job["settings"].as_str().expect("a text"));
    assert_eq!(kinds.filter(|kind| kind.contains("480p")).count(), 1, "one of each: {first}");
    assert!(said(&ended).contains("seedfleet batch resume ads"), "{ended:?}");
    // The other rows leave the queue.
    let ads = || fleet.get("/v1/batches/ads", ALICE).body;
    fleet.until("the others are held", || {
        (ads()["counts"] == json!({"held": 4, "succeeded": 2})).then_some(())
    });
    assert_eq!(ads()["pilot"], json!({"rows": 2, "waits": true}));
    let again = told(&import(&fleet, "ads.jsonl", &pilot, 0));
    assert_eq!(of_counts(&again), [6, 0, 6, 2, 2].map(Some), "the same rows: {again}");

    let go = ["batch", "resume", "ads", "--reason", "good", "--yes"];
    assert_eq!(of(&fleet, ALICE, &go).status.code(), Some(0));
    let over = import(&fleet, "ads.jsonl", &pilot, 0);
    assert!(said(&over).contains("the pilot of ads is over"), "{over:?}");
    assert_eq!(ads()["pilot"], json!({"rows": 2, "waits": false}));
    fleet.until("all are bought", || (ads()["counts"] == json!({"succeeded": 6})).then_some(()));
    import(&fleet, "ads.jsonl", &["--batch", "looks", "--pilot", "2"], 6);
}

/// A file that nobody gives refuses its row here, and the gateway the row that is none; both are told by their lines.
fn looked_at(fleet: &Fleet, host: &FileHost) {
    let picture = |path: &str| item("image_url", &host.url(path), "reference_image");
    let bad = json!({"model": "no such"});
    let (good, gone) = (picture("/good.png"), picture("/gone.png"));
    let rows = [text("one").and(gone).into(), text("two").and(good).into(), bad];
    write(fleet, "looks.jsonl", &rows);
    // The machine that looks may go where the fleet may not.
    let eyes = format!("[pools.sim]\noutput_origins = [{:?}]\n", host.origin());
    std::fs::write(fleet.path("eyes.toml"), eyes).expect("the folder is ours");
    let server = server(fleet);
    let environment = [
        ("SEEDFLEET_SERVER", server.as_str()),
        ("SEEDFLEET_API_KEY", ALICE),
        ("SEEDFLEET_CONFIG", "fleet.toml:eyes.toml"),
    ];
    let look = |more: &[&str]| {
        let args = [&["-o", "json", "import", "looks.jsonl", "--check-urls"], more].concat();
        let ended = remote(fleet, &environment, &args);
        assert_eq!(ended.status.code(), Some(3), "{ended:?}");
        let told = told(&ended);
        let counts = ["rows", "rejected", "urls", "urls_not_checked"].map(|name| &told[name]);
        assert_eq!(counts, [3, 2, 2, 0], "{told}");
        told
    };
    assert_eq!(look(&["--dry-run"])["valid"], 1);
    let mut asked = host.asked();
    asked.sort();
    assert_eq!(asked, ["/gone.png", "/good.png"]);
    let refused = rejects(fleet, "looks.rejects.jsonl");
    let of = |line: u64| refused.iter().filter(|fault| fault["line"] == line).collect::<Vec<_>>();
    assert_eq!(of(1).len(), 1, "{refused:?}");
    assert_eq!(of(1)[0]["code"], "media-unreachable");
    assert_eq!(of(1)[0]["pointer"], "/content/1/image_url/url");
    assert!(!of(3).is_empty(), "{refused:?}");
    assert_eq!(refused.len(), of(1).len() + of(3).len());
    assert_eq!(look(&[])["created"], 1);
    assert_eq!(rejects(fleet, "looks.rejects.jsonl"), refused);
}

/// Rows in place of jobs that failed, of a fleet where whatever speaks of a storm fails.
pub(super) fn mends(fleet: &Fleet) {
    let row = |name: &str, prompt: &str| Value::from(text(prompt).with("custom_id", name));
    write(fleet, "spring.jsonl", &[row("row-1", "storm at sea")]);
    import(fleet, "spring.jsonl", &[], 0);
    let watched = of(fleet, ALICE, &["batch", "watch", "spring", "--timeout", "60s"]);
    assert_eq!(watched.status.code(), Some(1), "it fails: {watched:?}");

    write(fleet, "mend.jsonl", &[row("row-1", "calm at sea"), row("row-9", "nobody's")]);
    let mend = ["--retry-of", "spring"];
    let dry = told(&import(fleet, "mend.jsonl", &[&mend[..], &["--dry-run"]].concat(), 3));
    assert_eq!((&dry["valid"], &dry["rejected"]), (&json!(1), &json!(1)), "{dry}");
    for (created, existing) in [(1, 0), (0, 1)] {
        let taken = told(&import(fleet, "mend.jsonl", &mend, 3));
        assert_eq!(taken["batch"], "spring", "{taken}");
        assert_eq!((&taken["created"], &taken["existing"]), (&json!(created), &json!(existing)));
        assert_eq!(rejects(fleet, "mend.rejects.jsonl")[0]["code"], "no-job-to-mend");
    }
    let found = of(fleet, ALICE, &["-o", "json", "jobs", "list", "--where", "custom_id=row-1"]);
    let found = told(&found);
    let shown =
        of(fleet, ALICE, &["-o", "json", "jobs", "show", found[0]["job"].as_str().expect("id")]);
    assert_eq!(told(&shown)["retry_of"], found[1]["job"], "{found}");
    import(fleet, "mend.jsonl", &["--retry-of", "autumn"], 5);
    for (query, status, code) in [
        ("retry_of=spring&on_duplicates=keep", 400, "bad-query"),
        ("take=0", 400, "bad-query"),
        ("pilot=1001&dry_run=true", 400, "bad-query"),
        ("retry_of=autumn", 404, "not-found"),
        ("batch=spring&pilot=1", 409, "batch-not-new"),
    ] {
        let path = format!("/v1/batches?{query}");
        let request = fleet.ask(fleet.gateway_port(), Method::POST, &path, ALICE);
        let refused = fleet.send(request.header("content-type", "application/jsonl"));
        let answered = (refused.status, refused.body["code"].as_str());
        assert_eq!(answered, (status, Some(code)), "{query}: {}", refused.body);
    }
}
