//! Whether the time that is told to be left comes true: a fleet drains one batch, `batch watch` is written down, and what
//! it told at a quarter, half and three quarters of the rows is compared with what came.

use super::order;
use super::run::options;
use super::trouble::pass;
use crate::kit::{Fleet, text};
use sandbox::TempDir;
use serde_json::{Value, json};
use std::io::Write as _;
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

/// What to measure.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// Rows of the batch.
    pub rows: usize,
    /// Once so many percent of them are over, an operator lowers what runs at once by a quarter; 100: never.
    pub lower_at: u64,
    /// How far the middle may be off, of the time that was left.
    pub within: f64,
    /// The fleet and its provider.
    pub of: order::Order,
}

impl Default for Order {
    fn default() -> Self {
        let second = Duration::from_secs(1);
        let of = order::Order {
            submitters: 2,
            create_rpm: 6_000,
            running: 40,
            // Tasks of 2.3 s beside looks every 0.75 s: the waits bear no larger scale, and ten thousand rows no longer
            // tasks.
            run: (33 * second, 60 * second),
            scale: 20,
            ..order::Order::default()
        };
        Self { rows: 10_000, lower_at: 12, within: 0.15, of }
    }
}

/// Shares of the rows at which what is told is judged, in percent.
const MARKS: [u64; 3] = [25, 50, 75];
const BATCH: &str = "told";
/// Longer than any run that is worth waiting for.
const LASTS_MAX: Duration = Duration::from_secs(6 * 3_600);

/// What was told at a share of the rows, and what came.
struct Told {
    percent: u64,
    least_s: f64,
    middle_s: f64,
    most_s: f64,
    left_s: f64,
}

impl Told {
    fn off(&self) -> f64 {
        self.middle_s / self.left_s - 1.0
    }

    fn in_range(&self) -> bool {
        // Told in whole seconds.
        self.least_s - 1.0 <= self.left_s && self.left_s <= self.most_s + 1.0
    }

    fn json(&self) -> Value {
        json!({
            "percent": self.percent, "least_s": self.least_s, "middle_s": self.middle_s,
            "most_s": self.most_s, "left_s": self.left_s,
            "off": (self.off() * 1_000.0).round() / 1_000.0, "in_range": self.in_range(),
        })
    }
}

/// Plays it, prints one line of JSON, and fails where something told was too far off.
pub(super) fn judged(order: &Order) -> ExitCode {
    let (told, says) = play(order);
    let marks: Vec<Value> = told.iter().map(Told::json).collect();
    let line = json!({
        "suite": "limits", "measured": "eta", "rows": order.rows, "scale": order.of.scale,
        "running": order.of.running, "lowered_at_percent": order.lower_at, "within": order.within,
        "marks": marks, "says": says,
    });
    let _ = writeln!(std::io::stdout(), "{line}");
    let good = |told: &Told| told.off().abs() <= order.within && told.in_range();
    match told.len() == MARKS.len() && told.iter().all(good) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn play(order: &Order) -> (Vec<Told>, Vec<String>) {
    let keys = TempDir::new("eta").expect("a temporary folder");
    let fleet = Fleet::start(options(&order.of, &keys));
    let row = |n| format!("{}\n", Value::from(text(&format!("row {n} of many"))));
    let rows: String = (0..order.rows).map(row).collect();
    std::fs::write(fleet.path("told.jsonl"), rows).expect("the folder is ours");
    let taken = fleet.cli(&["import", "told.jsonl", "--batch", BATCH, "-o", "json"]);
    assert_eq!(taken.code, 0, "{taken:?}");
    for n in 0..order.of.submitters {
        fleet.start_as(&format!("submitter-{n}"), "submitter", &[]);
    }
    for n in 0..order.of.pollers {
        fleet.start_as(&format!("poller-{n}"), "poller", &[]);
    }
    fleet.start_role("downloader");
    let told = std::fs::File::create(fleet.path("told.ndjson")).expect("the folder is ours");
    let every = ["--every", "1s", "--timeout", "6h"];
    let mut watch = fleet.command(&["batch", "watch", BATCH, "-o", "ndjson", "-q"]);
    let mut watch =
        watch.args(every).stdout(told).stderr(Stdio::null()).spawn().expect("it starts");
    let (began, mut lowered) = (Instant::now(), order.lower_at >= 100);
    let ended = loop {
        if let Some(ended) = watch.try_wait().expect("it is ours") {
            break ended;
        }
        assert!(began.elapsed() < LASTS_MAX, "the batch has not ended");
        pass(Duration::from_secs(1));
        let last = samples(&fleet).last().and_then(|sample| sample["finished"].as_u64());
        if !lowered && last.is_some_and(|over| over * 100 >= order.lower_at * order.rows as u64) {
            lowered = true;
            lower(&fleet, order);
        }
    };
    assert!(matches!(ended.code(), Some(0 | 7)), "batch watch: {ended:?}");
    let shown = fleet.cli(&["batch", "show", BATCH, "-o", "json"]).json();
    let end_ms = at_ms(&shown["last_ended_at"]);
    judge(&samples(&fleet), order.rows as u64, end_ms)
}

/// What the watch has written so far; its last line is the end.
fn samples(fleet: &Fleet) -> Vec<Value> {
    let text = std::fs::read_to_string(fleet.path("told.ndjson")).unwrap_or_default();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["finished"].is_u64()).collect()
}

fn lower(fleet: &Fleet, order: &Order) {
    let running = (order.of.running * 3 / 4).to_string();
    for n in 0..order.of.accounts {
        let account = if n == 0 { "a".to_owned() } else { format!("a{n}") };
        let set = ["limits", "set", "--account", &account, "--class", "2.0", "--running", &running];
        let set = fleet.cli(&[&set[..], &["--reason", "others use it"]].concat());
        assert_eq!(set.code, 0, "{set:?}");
    }
}

fn at_ms(at: &Value) -> i64 {
    let at = at.as_str().expect("an instant");
    job::Timestamp::parse_instant(at).expect("an instant").unix_ms()
}

/// The first estimate from each share of the rows on, beside the time that was left then.
fn judge(samples: &[Value], rows: u64, end_ms: i64) -> (Vec<Told>, Vec<String>) {
    let (mut told, mut says) = (Vec::new(), Vec::new());
    for percent in MARKS {
        let at = |sample: &&Value| {
            sample["finished"].as_u64().is_some_and(|over| over * 100 >= percent * rows)
        };
        let Some(sample) = samples.iter().find(at) else { continue };
        let of = |name: &str| sample["eta"]["seconds"][name].as_f64();
        says.push(sample["eta"]["says"].as_str().unwrap_or_default().to_owned());
        if let (Some(least_s), Some(middle_s), Some(most_s)) =
            (of("least"), of("middle"), of("most"))
        {
            let left_s = (end_ms - at_ms(&sample["at"])) as f64 / 1_000.0;
            told.push(Told { percent, least_s, middle_s, most_s, left_s });
        }
    }
    (told, says)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(s: i64, finished: u64, middle: u64) -> Value {
        let at = job::Timestamp::from_unix_s(1_795_705_200 + s).rfc3339();
        let seconds = json!({"least": middle - 10, "middle": middle, "most": middle + 10});
        json!({"at": at, "finished": finished, "eta": {"says": "about", "seconds": seconds}})
    }

    #[test]
    fn the_first_estimate_behind_each_mark_is_judged() {
        let end_ms = 1_795_705_200_000 + 400_000;
        let samples =
            [sample(0, 0, 999), sample(100, 26, 300), sample(200, 60, 260), sample(300, 80, 95)];
        let (told, says) = judge(&samples, 100, end_ms);
        let found: Vec<(u64, bool)> =
            told.iter().map(|told| (told.percent, told.in_range())).collect();
        assert_eq!(found, [(25, true), (50, false), (75, true)]);
        assert!((told[1].off() - 0.3).abs() < 1e-9 && (told[2].off() + 0.05).abs() < 1e-9);
        assert_eq!(says.len(), 3);
        let unknown = json!({"at": "2026-11-27T00:00:00Z", "finished": 99, "eta": null});
        assert!(judge(&[unknown], 100, end_ms).0.is_empty(), "nothing was told");
    }
}
