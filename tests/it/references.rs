//! `import --check-urls`: files that rows refer to are looked at before anything is bought, once each, within bounds,
//! and never where nobody should be sent.

use e2e::kit::{BOUND, Ended, FileHost, Fleet, Options, Served, item, picture, text};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const MIB: u64 = 1 << 20;

/// A fleet in which nobody works, whose pool may be sent to these origins.
fn fleet(origins: &[String]) -> Fleet {
    let own = format!("[pools.sim]\noutput_origins = {origins:?}\n");
    Fleet::start(Options::empty().config(&own))
}

fn write(fleet: &Fleet, rows: &[Value]) -> String {
    let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
    std::fs::write(fleet.path("rows.jsonl"), lines).unwrap();
    fleet.path("rows.jsonl").display().to_string()
}

/// A row that refers to files of these kinds and addresses.
fn row(name: &str, files: &[(&str, &str)]) -> Value {
    files
        .iter()
        .fold(text(name).with("custom_id", name), |row, (kind, url)| {
            let role = match *kind {
                "image_url" => "reference_image",
                "video_url" => "reference_video",
                _ => "reference_audio",
            };
            row.and(item(kind, url, role))
        })
        .into()
}

/// A picture of each address, in a row of its own.
fn pictures(urls: impl IntoIterator<Item = String>) -> Vec<Value> {
    let rows = urls.into_iter().enumerate();
    rows.map(|(n, url)| row(&format!("row-{n}"), &[("image_url", &url)])).collect()
}

/// The faults of each refused row: where, and which.
fn rejects(fleet: &Fleet) -> BTreeMap<String, Vec<(String, String)>> {
    let text = std::fs::read_to_string(fleet.path("rows.rejects.jsonl")).unwrap();
    let mut told: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for line in text.lines() {
        let fault: Value = serde_json::from_str(line).unwrap();
        let word =
            |field: &str| fault[field].as_str().unwrap_or_else(|| panic!("{line}")).to_owned();
        assert!(!word("fix").is_empty() && !word("reason").contains("http://"), "{line}");
        told.entry(word("custom_id")).or_default().push((word("pointer"), word("code")));
    }
    told
}

fn count(ended: &Ended, field: &str) -> u64 {
    ended.json()[field].as_u64().unwrap_or_else(|| panic!("{field}: {ended:?}"))
}

fn jobs(fleet: &Fleet) -> u64 {
    let batch = fleet.run(fleet.store().batch("default", "rows")).unwrap();
    batch.map_or(0, |batch| batch.jobs())
}

/// Good and bad files, and what is to be told of each row that names them.
fn files(host: &FileHost) -> (Vec<Value>, Vec<(&'static str, &'static str, &'static str)>) {
    let film = b"\0\0\0\x18ftypisom\0\0\x02\0isomiso2mp41".to_vec();
    let page = b"<!doctype html><html><body>please log in</body></html>".to_vec();
    host.serve("/good.png", [Served::File(picture(640, 480))]);
    host.serve("/film.mp4", [Served::Long(film.clone(), MIB)]);
    host.serve("/moved.png", [Served::Redirect("/good.png".to_owned())]);
    host.serve("/small.png", [Served::File(picture(299, 300))]);
    host.serve("/empty.png", [Served::File(Vec::new())]);
    host.serve("/private.png", [Served::Status(403)]);
    host.serve("/page.png", [Served::File(page)]);
    host.serve("/long.mp4", [Served::Long(film, 200_000_001)]);
    host.serve("/huge.png", [Served::Long(picture(640, 480), 64 * MIB)]);
    let url = |path: &str| host.url(path);
    let rows = vec![
        row("both", &[("image_url", &url("/good.png")), ("video_url", &url("/film.mp4"))]),
        row("same", &[("image_url", &url("/good.png")), ("image_url", "asset://one")]),
        row("moved", &[("image_url", &url("/moved.png"))]),
        text("plain").with("custom_id", "plain").into(),
        row("small", &[("image_url", &url("/small.png"))]),
        row("empty", &[("image_url", &url("/empty.png"))]),
        row("gone", &[("image_url", &url("/good.png")), ("image_url", &url("/gone.png?sig=s"))]),
        row("private", &[("image_url", &url("/private.png"))]),
        row("page", &[("image_url", &url("/page.png"))]),
        row("film", &[("image_url", &url("/film.mp4"))]),
        row("long", &[("image_url", &url("/good.png")), ("video_url", &url("/long.mp4"))]),
        row("huge", &[("image_url", &url("/huge.png"))]),
    ];
    let (first, second) = ("/content/1/image_url/url", "/content/2/image_url/url");
    let faults = vec![
        ("small", first, "image-side"),
        ("empty", first, "media-unreadable"),
        ("gone", second, "media-unreachable"),
        ("private", first, "media-unreachable"),
        ("page", first, "media-format"),
        ("film", first, "media-format"),
        ("long", "/content/2/video_url/url", "media-too-large"),
        ("huge", first, "media-too-large"),
    ];
    (rows, faults)
}

#[test]
fn each_file_is_looked_at_once_and_rows_with_bad_ones_are_refused() {
    let host = FileHost::start();
    let fleet = fleet(&[host.origin()]);
    let (mut rows, faults) = files(&host);
    // What else is wrong is told beside it.
    let mut bad = row("ratio", &[("image_url", &host.url("/small.png"))]);
    bad["ratio"] = json!("2:1");
    rows.push(bad);
    let file = write(&fleet, &rows);
    let mut expected: BTreeMap<String, Vec<(String, String)>> = faults
        .into_iter()
        .map(|(name, at, code)| (name.to_owned(), vec![(at.to_owned(), code.to_owned())]))
        .collect();
    let pair = |at: &str, code: &str| (at.to_owned(), code.to_owned());
    expected.insert(
        "ratio".to_owned(),
        vec![pair("/ratio", "value-not-allowed"), pair("/content/1/image_url/url", "image-side")],
    );
    let mut once = [
        "/empty.png",
        "/film.mp4",
        "/gone.png?sig=s",
        "/good.png",
        "/huge.png",
        "/long.mp4",
        "/moved.png",
        "/page.png",
        "/private.png",
        "/small.png",
    ]
    .map(str::to_owned)
    .to_vec();
    let urls = once.len() as u64;
    // A redirect leads there once more.
    once.push("/good.png".to_owned());
    once.sort();

    let dry = ["-o", "json", "import", &file, "--check-urls", "--dry-run"];
    // The passes of one run share what they know.
    let priced = ["-o", "json", "import", &file, "--check-urls", "--max-cost", "1000"];
    for (args, good, stored) in [(&dry[..], "valid", 0), (&priced[..], "created", 4)] {
        let before = host.asked().len();
        let ended = fleet.cli(args);
        assert_eq!(ended.code, 3, "{ended:?}");
        assert_eq!((count(&ended, good), count(&ended, "rejected")), (4, 9), "{ended:?}");
        assert_eq!((count(&ended, "urls"), count(&ended, "urls_not_checked")), (urls, 0));
        assert_eq!(rejects(&fleet), expected);
        let mut asked = host.asked()[before..].to_vec();
        asked.sort();
        assert_eq!(asked, once);
        assert_eq!(jobs(&fleet), stored);
    }
    // Of the long ones no more than what fits on the way.
    assert!(host.written() < 128 * MIB, "{} bytes of 2 × (64 + 190) MiB", host.written());
    // Without the flag nobody is asked, and the rows are good as they stand.
    let before = host.asked().len();
    let plain = fleet.cli(&["-o", "json", "import", &file, "--dry-run"]);
    assert_eq!((plain.code, count(&plain, "valid")), (3, 12), "{plain:?}");
    assert_eq!(host.asked().len(), before);
}

#[test]
fn no_more_are_asked_at_once_than_may_be() {
    let (one, other) = (FileHost::start(), FileHost::start());
    let fleet = fleet(&[one.origin(), other.origin()]);
    let paths = |host: &FileHost, run: &str| {
        (0..12)
            .map(|n| {
                let path = format!("/{run}-{n}.png");
                host.serve(&path, [Served::File(picture(640, 480))]);
                host.url(&path)
            })
            .collect::<Vec<_>>()
    };
    // Six at once, four of them at one host; each host answers nothing before that many have come.
    one.gather(4);
    other.gather(2);
    let file = write(&fleet, &pictures([paths(&one, "a"), paths(&other, "a")].concat()));
    let bounds = ["--check-urls-parallel", "6", "--check-urls-per-host", "4"];
    let import = ["-o", "json", "import", &file, "--check-urls", "--dry-run"];
    let ended = fleet.cli(&[&import[..], &bounds].concat());
    assert_eq!((ended.code, count(&ended, "valid")), (0, 24), "{ended:?}");
    assert_eq!((one.asked().len(), other.asked().len()), (12, 12));
    assert_eq!(one.most_at_once(), 4);
    assert!((2..=4).contains(&other.most_at_once()), "{}", other.most_at_once());

    let all = FileHost::start();
    all.gather(3);
    fleet.reconfigure(&format!("[pools.sim]\noutput_origins = [{:?}]\n", all.origin()));
    write(&fleet, &pictures(paths(&all, "b")));
    let bounds = ["--check-urls-parallel", "3", "--check-urls-per-host", "64"];
    let ended = fleet.cli(&[&import[..], &bounds].concat());
    assert_eq!((ended.code, count(&ended, "valid")), (0, 12), "{ended:?}");
    assert_eq!(all.most_at_once(), 3);
    for wrong in ["0", "65"] {
        let ended = fleet.cli(&["import", &file, "--check-urls", "--check-urls-parallel", wrong]);
        assert_eq!(ended.code, 2, "{ended:?}");
    }
}

#[test]
fn what_may_pass_by_itself_is_a_warning_and_the_row_stays_good() {
    let (host, down) = (FileHost::start(), FileHost::start());
    let fleet = fleet(&[host.origin(), down.origin()]);
    host.serve("/late.png", [Served::Status(503), Served::File(picture(640, 480))]);
    host.serve("/never.png?sig=canary", [Served::Status(503)]);
    host.serve("/busy.png", [Served::Status(429)]);
    // A JPEG that does not say its size where it should.
    let hidden = b"\xFF\xD8\xFF\xE0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0".to_vec();
    host.serve("/hidden.png", [Served::Long(hidden, MIB)]);
    let ours = ["/late.png", "/never.png?sig=canary", "/busy.png", "/hidden.png"];
    let file = write(&fleet, &pictures(ours.map(|path| host.url(path))));
    let import = ["-o", "json", "import", &file, "--check-urls"];
    let ended = fleet.cli(&import);
    assert_eq!((ended.code, count(&ended, "created")), (0, 4), "{ended:?}");
    assert_eq!((count(&ended, "urls"), count(&ended, "urls_not_checked")), (4, 3), "{ended:?}");
    let asked = host.asked();
    let tries = |path: &str| asked.iter().filter(|asked| *asked == path).count();
    assert_eq!(ours.map(tries), [2, 3, 3, 1]);
    for word in ["could not be checked", "media-not-checked", "answers 503", "answers 429"] {
        assert!(ended.stderr.contains(word), "{word}: {ended:?}");
    }
    assert!(ended.stderr.contains("row 2 /content/1/image_url/url"), "{ended:?}");
    assert!(!ended.stderr.contains("canary"), "a signature is nobody's business: {ended:?}");
    assert!(!fleet.path("rows.rejects.jsonl").exists());

    // A host that is down is given up: the tries of each of its files would take longer than the import.
    let urls = (0..40).map(|n| {
        down.serve(&format!("/{n}.png"), [Served::Status(502)]);
        down.url(&format!("/{n}.png"))
    });
    write(&fleet, &pictures(urls));
    let ended = fleet.cli(&[&import[..], &["--dry-run"]].concat());
    assert_eq!((ended.code, count(&ended, "valid")), (0, 40), "{ended:?}");
    assert_eq!(count(&ended, "urls_not_checked"), 40);
    let asked: BTreeSet<String> = down.asked().into_iter().collect();
    // Eight are under way at most when the fifth has failed.
    assert!((8..=12).contains(&asked.len()), "{asked:?}");
    assert!(ended.stderr.contains("is not asked again"), "{ended:?}");
    assert!(ended.stderr.contains("are only counted"), "{ended:?}");
}

#[test]
fn nobody_is_sent_into_a_private_network() {
    let (host, canary) = (FileHost::start(), FileHost::start());
    let fleet = fleet(&[host.origin()]);
    host.serve("/inside.png", [Served::Redirect("https://10.0.0.1/a.png".to_owned())]);
    host.serve("/named.png", [Served::Redirect("https://localhost/a.png".to_owned())]);
    host.serve("/canary.png", [Served::Redirect(canary.url("/redirected.png"))]);
    let rows = pictures([
        canary.url("/other-port.png"),
        "https://127.0.0.1/a.png".to_owned(),
        "http://0x7f.1/a.png".to_owned(),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "https://[::1]/a.png".to_owned(),
        "https://localhost/a.png".to_owned(),
        host.url("/inside.png"),
        host.url("/named.png"),
        host.url("/canary.png"),
    ]);
    let file = write(&fleet, &rows);
    let mut command = fleet.command(&["-o", "json", "import", &file, "--check-urls", "--dry-run"]);
    // What a shell says of proxies is not heard.
    for name in ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"]
    {
        command.env(name, canary.origin());
    }
    let output = command.output().unwrap();
    let (stdout, stderr) = (output.stdout, String::from_utf8_lossy(&output.stderr).into_owned());
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    let told: Value = serde_json::from_slice(&stdout).unwrap();
    assert_eq!((&told["valid"], &told["rejected"]), (&json!(1), &json!(8)), "{told} {stderr}");
    for (name, faults) in rejects(&fleet) {
        let at = "/content/1/image_url/url".to_owned();
        assert_eq!(faults, [(at, "media-unreachable".to_owned())], "{name}");
    }
    // Where a redirect leads to a port that is not asked, the provider may fare better.
    assert!(stderr.contains("row 9 ") && stderr.contains("port"), "{stderr}");
    assert_eq!(canary.asked(), [""; 0]);
}

#[test]
fn whoever_interrupts_is_heard_while_files_are_looked_at() {
    let host = FileHost::start();
    let fleet = fleet(&[host.origin()]);
    // Nobody is answered before a second one comes, and there is none.
    host.gather(2);
    let file = write(&fleet, &pictures([host.url("/one.png")]));
    let child = fleet.cli_child("import", &["import", &file, "--check-urls"]);
    fleet.until("the file is asked for", || (!host.asked().is_empty()).then_some(()));
    child.signal("INT").unwrap();
    let ended = child.wait_bounded(BOUND).expect("it ends");
    assert_eq!(ended.code(), Some(130), "{}", child.log());
    assert!(child.log().contains("--batch rows --check-urls"), "{}", child.log());
    assert_eq!(jobs(&fleet), 0);
}
