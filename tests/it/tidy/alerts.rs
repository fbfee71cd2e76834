//! Alerts, dashboards and runbooks speak of what there is: metrics of the catalogue with their labels and values,
//! commands and options of the command line, keys of the configuration, and of each other.

use super::none;
use super::source::root;
use sandbox::bins;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use telemetry::{CATALOGUE, Kind, Metric, Values};

const RULES: &str = "deploy/prometheus/rules.yaml";
const RULE_TESTS: &str = "deploy/prometheus/rules_test.yaml";
const DASHBOARDS: &str = "deploy/grafana";
const RUNBOOKS: &str = "docs/runbooks";
/// Given by whoever scrapes, or by the query language.
const OUTSIDE: [&str; 4] = ["namespace", "instance", "le", "alertname"];

/// One alert as `rules.yaml` writes it.
#[derive(Debug, Default)]
struct Alert {
    name: String,
    expr: String,
    severity: String,
    command: String,
    runbook: String,
}

/// The file has one form, which its own linter keeps: a block for `expr`, one line for the rest.
fn alerts(rules: &str) -> Vec<Alert> {
    let mut alerts: Vec<Alert> = Vec::new();
    let mut in_expr = false;
    for line in rules.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("- alert: ") {
            alerts.push(Alert { name: name.to_owned(), ..Alert::default() });
        }
        let Some(alert) = alerts.last_mut() else { continue };
        in_expr = line == "expr: |-" || in_expr && !line.starts_with("for: ");
        if in_expr && line != "expr: |-" {
            alert.expr += line;
            alert.expr.push('\n');
        }
        let fields = [
            ("severity: ", &mut alert.severity),
            ("command: ", &mut alert.command),
            ("runbook_url: ", &mut alert.runbook),
        ];
        for (key, field) in fields {
            if let Some(value) = line.strip_prefix(key) {
                value.clone_into(field);
            }
        }
    }
    alerts
}

/// `InDoubtStuck` is `in-doubt-stuck`.
fn kebab(name: &str) -> String {
    let mut words = String::new();
    for (at, c) in name.char_indices() {
        if at > 0 && c.is_ascii_uppercase() {
            words.push('-');
        }
        words.push(c.to_ascii_lowercase());
    }
    words
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn metric(name: &str) -> Option<&'static Metric> {
    CATALOGUE.iter().find(|metric| match metric.kind {
        Kind::Counter | Kind::Gauge | Kind::Level => metric.name == name,
        Kind::Histogram => name
            .strip_prefix(metric.name)
            .is_some_and(|end| matches!(end, "_bucket" | "_sum" | "_count")),
    })
}

/// What is wrong with a query: names, labels and values that no process exports.
fn faults(query: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let mut labels: BTreeSet<&str> = OUTSIDE.into();
    for (at, _) in query.match_indices("seedfleet_") {
        let rest = &query[at..];
        let end = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
        let Some(metric) = metric(&rest[..end]) else {
            faults.push(format!("no metric is called {}", &rest[..end]));
            continue;
        };
        labels.extend(metric.labels.iter().map(|label| label.name));
        let selector = rest[end..].strip_prefix('{').and_then(|inside| inside.split_once('}'));
        faults.extend(selector.into_iter().flat_map(|(inside, _)| wrong_matchers(metric, inside)));
    }
    for by in ["by (", "without (", "on ("] {
        for (at, _) in query.match_indices(by) {
            let inside = query[at + by.len()..].split(')').next().unwrap_or_default();
            let alien = inside.split(',').map(str::trim).filter(|name| !labels.contains(name));
            faults.extend(alien.map(|name| format!("no metric here has the label {name}")));
        }
    }
    faults
}

fn wrong_matchers(metric: &Metric, selector: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let parts: Vec<&str> = selector.split('"').collect();
    for pair in parts.chunks_exact(2) {
        let name = pair[0].trim_start_matches([',', ' ']);
        let name = name.trim_end_matches(|c: char| !is_word(c));
        if OUTSIDE.contains(&name) {
            continue;
        }
        let Some(label) = metric.labels.iter().find(|label| label.name == name) else {
            faults.push(format!("{} has no label {name}", metric.name));
            continue;
        };
        // What others tell at start, or the words of another room, is not known here.
        let Values::Closed(words) = label.values else { continue };
        let alien = pair[1].split('|').filter(|word| !words.contains(word));
        faults.extend(alien.map(|word| format!("{name} of {} is never {word}", metric.name)));
    }
    faults
}

/// Commands in a page: lines of shell, and whole words between backquotes.
fn commands(page: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let mut fenced = false;
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if fenced {
            commands.push(line.split('#').next().unwrap_or_default().trim().to_owned());
        } else {
            commands.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    commands.retain(|command| command.starts_with("seedfleet "));
    commands
}

/// What the command line says of its verbs, asked once each.
#[derive(Default)]
struct CommandLine(BTreeMap<Vec<String>, Option<String>>);

impl CommandLine {
    fn help(&mut self, verb: &[&str]) -> Option<&str> {
        let key: Vec<String> = verb.iter().map(|word| (*word).to_owned()).collect();
        let asked = self.0.entry(key).or_insert_with(|| {
            let mut command = Command::new(bins::path("seedfleet"));
            let output = command.env_clear().args(verb).arg("--help").output().ok()?;
            output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
        });
        asked.as_deref()
    }

    fn faults(&mut self, command: &str) -> Vec<String> {
        let words: Vec<&str> = command.split_whitespace().skip(1).collect();
        let is_verb = |word: &&str| {
            !word.starts_with('-') && word.chars().all(|c| c.is_ascii_lowercase() || c == '-')
        };
        let verbs: Vec<&str> = words.iter().copied().take_while(is_verb).collect();
        let Some(help) = self.help(&verbs) else {
            return vec![format!("`{command}`: there is no such command")];
        };
        let known: BTreeSet<&str> = help.split(|c: char| !(is_word(c) || c == '-')).collect();
        let mut faults = Vec::new();
        for (at, word) in words.iter().enumerate().filter(|(_, word)| word.starts_with("--")) {
            let option = word.split('=').next().unwrap_or(word);
            if !known.contains(option) {
                faults.push(format!("`{command}`: there is no {option}"));
            }
            let state = words.get(at + 1).filter(|_| option == "--state");
            if let Some(state) = state.filter(|state| job::StateWord::parse(state).is_none()) {
                faults.push(format!("`{command}`: no state is called {state}"));
            }
        }
        faults
    }
}

/// Keys of the configuration that a page names and nobody knows.
fn unknown_keys(page: &str, sections: &BTreeSet<&str>) -> Vec<String> {
    let spans = page.split('`').skip(1).step_by(2);
    let keys = spans.filter(|span| {
        span.chars().all(|c| is_word(c) || ".<>".contains(c))
            && span.split_once('.').is_some_and(|(section, _)| sections.contains(section))
    });
    let unknown = keys.filter(|key| {
        let named = key.replace(['<', '>'], "");
        settings::explain(&named).is_err() && settings::explain(&format!("{named}.x")).is_err()
    });
    unknown.map(|key| format!("the configuration has no key {key}")).collect()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn names(dir: &str) -> BTreeSet<String> {
    let entries = std::fs::read_dir(root().join(dir)).expect("a folder").flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Each text of a dashboard under this key, wherever it stands.
fn texts(value: &serde_json::Value, key: &str, into: &mut Vec<String>) {
    if let Some(text) = value.get(key).and_then(serde_json::Value::as_str) {
        into.push(text.to_owned());
    }
    let below = value.as_array().into_iter().flatten();
    let below = below.chain(value.as_object().into_iter().flat_map(serde_json::Map::values));
    below.for_each(|value| texts(value, key, into));
}

fn dashboards(key: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for name in names(DASHBOARDS).into_iter().filter(|name| name.ends_with(".json")) {
        let path = format!("{DASHBOARDS}/{name}");
        let board = serde_json::from_str(&read(&path)).unwrap_or_else(|e| panic!("{path}: {e}"));
        let mut of_board = Vec::new();
        texts(&board, key, &mut of_board);
        found.extend(of_board.into_iter().map(|text| (path.clone(), text)));
    }
    found
}

/// Everything that people read when something is wrong, with its place.
fn pages() -> Vec<(String, String)> {
    let runbooks = names(RUNBOOKS).into_iter().map(|name| format!("{RUNBOOKS}/{name}"));
    let places = runbooks.chain(["deploy/README.md".to_owned()]);
    let mut pages: Vec<_> = places.map(|place| (place.clone(), read(&place))).collect();
    pages.extend(dashboards("description"));
    let shown = alerts(&read(RULES)).into_iter().map(|alert| format!("`{}`", alert.command));
    pages.extend(shown.map(|command| (RULES.to_owned(), command)));
    pages
}

#[test]
fn queries_name_metrics_that_exist() {
    let alerts = alerts(&read(RULES));
    let mut queries: Vec<(String, String)> =
        alerts.into_iter().map(|alert| (alert.name, alert.expr)).collect();
    assert!(queries.len() > 20, "the rules were not read");
    let alerting = queries.len();
    queries.extend(dashboards("expr"));
    queries.extend(dashboards("definition"));
    assert!(queries.len() > alerting + 20, "the dashboards were not read");
    let complaints = queries.iter().flat_map(|(place, query)| {
        assert!(query.contains("seedfleet_"), "{place} asks for nothing of ours: {query}");
        faults(query).into_iter().map(move |fault| format!("{place}: {fault}"))
    });
    none("queries", &complaints.collect::<Vec<_>>());
}

#[test]
fn every_alert_has_its_page_and_its_test() {
    let (tests, index) = (read(RULE_TESTS), read(&format!("{RUNBOOKS}/README.md")));
    let mut complaints = Vec::new();
    let mut expected = BTreeSet::from(["README.md".to_owned()]);
    for Alert { name, severity, command, runbook, .. } in alerts(&read(RULES)) {
        let file = format!("{}.md", kebab(&name));
        let mut demand = |holds: bool, what: &str| {
            if !holds {
                complaints.push(format!("{name}: {what}"));
            }
        };
        demand(runbook == format!("{RUNBOOKS}/{file}"), "runbook_url is not its page");
        demand(severity == "page" || severity == "ticket", "severity is neither page nor ticket");
        demand(tests.contains(&format!("alertname=\"{name}\"")), "no test makes it fire");
        demand(index.contains(&format!("[{name}]({file}) | {severity} |")), "not in the index");
        let page = std::fs::read_to_string(root().join(RUNBOOKS).join(&file)).unwrap_or_default();
        demand(page.starts_with(&format!("# {name}\n")), "its page is not there");
        demand(page.contains(&format!("```sh\n{command}\n```")), "its page lacks its command");
        expected.insert(file);
    }
    let idle = names(RUNBOOKS).difference(&expected).cloned().collect::<Vec<_>>();
    complaints.extend(idle.iter().map(|file| format!("{RUNBOOKS}/{file} belongs to no alert")));
    none("alerts", &complaints);
}

#[test]
fn pages_name_commands_and_keys_that_exist() {
    let defaults = read("config/default.toml");
    let heads = defaults.lines().filter_map(|line| line.strip_prefix('['));
    let sections = heads.filter_map(|head| head.split([']', '.']).next()).chain(["tenants"]);
    let sections: BTreeSet<&str> = sections.collect();
    let mut line = CommandLine::default();
    let mut complaints = Vec::new();
    for (place, page) in pages() {
        let wrong = commands(&page).into_iter().flat_map(|command| line.faults(&command));
        let wrong = wrong.chain(unknown_keys(&page, &sections));
        let names = page.split(|c: char| !is_word(c)).filter(|word| word.starts_with("seedfleet_"));
        let unknown = names.filter(|name| !CATALOGUE.iter().any(|metric| metric.name == *name));
        let wrong = wrong.chain(unknown.map(|name| format!("no metric is called {name}")));
        complaints.extend(wrong.map(|fault| format!("{place}: {fault}")));
    }
    assert!(line.0.len() > 10, "hardly a command was found");
    none("pages", &complaints);
}

#[test]
fn what_does_not_exist_is_seen() {
    let good =
        "sum by (namespace, role) (rate(seedfleet_lease_expired_total{role=~\"poller|cli\"}[5m]))";
    assert_eq!(faults(good), Vec::<String>::new());
    let bad = [
        "seedfleet_leases_total",
        "seedfleet_list_lag_seconds",
        "seedfleet_in_doubt{pool=\"a\"}",
        "seedfleet_lease_expired_total{role=~\"poller|baker\"}",
        "sum by (shard) (seedfleet_in_doubt)",
    ];
    for query in bad {
        assert_eq!(faults(query).len(), 1, "{query}");
    }
    let page = "See `seedfleet doctor --repairs`.\n```sh\nseedfleet doubts list\n```\n`seedfleet jobs list --state lost`";
    let mut line = CommandLine::default();
    let wrong = commands(page).into_iter().flat_map(|command| line.faults(&command));
    assert_eq!(wrong.count(), 3);
    let keys =
        "`poll.steady` `poll.steadily` `callbacks.token_keys` `tenants.<tenant>.rpm` `other.key`";
    let sections = BTreeSet::from(["poll", "callbacks", "tenants"]);
    assert_eq!(unknown_keys(keys, &sections), ["the configuration has no key poll.steadily"]);
    let rule = "      - alert: InDoubt\n        expr: |-\n          a\n          b\n        for: 1m\n        annotations:\n          command: c\n";
    let read = alerts(rule);
    assert_eq!((read[0].expr.as_str(), read[0].command.as_str()), ("a\nb\n", "c"));
    assert_eq!(kebab("InDoubt"), "in-doubt");
}
