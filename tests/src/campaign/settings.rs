//! The fleet's configuration in a run: ordinary keys, every time-out shortened by one factor.

use super::Order;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

/// The file, with marks for what differs.
const BASE: &str = include_str!("base.toml");
/// The defaults that are shortened.
const DEFAULTS: &str = include_str!("../../../config/default.toml");

/// Every key whose value is a time that something is waited for, held or looked at again after. Those
/// that only say when a server of our own counts as silent keep their defaults: here it is slow
/// because everybody shares one small machine.
const SHORTENED: &[(&str, &[&str])] = &[
    ("provider", &["connect_timeout", "create_timeout", "read_timeout", "tcp_user_timeout"]),
    (
        "submit",
        &[
            "send_deadline",
            "retry_first",
            "retry_max",
            "lease",
            "renew",
            "account_probe_first",
            "account_probe_max",
        ],
    ),
    (
        "settle",
        &[
            "front_door_max",
            "list_lag_max",
            "scan_gap",
            "look_first",
            "look_max",
            "lease",
            "renew",
            "parked_look",
        ],
    ),
    ("limits", &["lead_max", "recover_every", "ramp_every", "deepen_every"]),
    ("poll", &["first", "steady", "max", "lease", "renew", "overdue_look", "not_found_grace"]),
    ("download", &["retry_first", "retry_max", "idle_timeout", "lease", "renew"]),
    ("callbacks", &["coalesce"]),
];

/// Creates a minute of one model of one account where the order says nothing: the provider's own
/// figure for companies.
pub(super) const CREATE_RPM: u32 = 600;
/// Tasks of one model of one account at once where the order says nothing. More than the provider
/// gives, for the load of a run.
pub(super) const RUNNING: u32 = 80;
/// Reads of one task a second and account.
pub(super) const RETRIEVE_QPS: u32 = 200;
/// List pages a second and account.
pub(super) const LIST_QPS: u32 = 10;
/// Deletes a second and account.
pub(super) const DELETE_QPS: u32 = 20;

/// Where no list can show a task, a person is told soon: its slot is free again, and the run goes on.
const BLIND_MAX: &str = "20s";

/// What the file depends on.
pub(super) struct Places<'a> {
    pub(super) dir: &'a Path,
    pub(super) redis: &'a str,
    pub(super) api: &'a str,
    pub(super) media: &'a str,
    pub(super) gateway_port: u16,
}

/// The whole configuration file.
///
/// # Errors
///
/// The defaults lack a key that should be shortened: this room is behind.
pub(super) fn file(order: &Order, places: &Places<'_>) -> Result<String, String> {
    let marks = [
        ("@redis@", places.redis.to_owned()),
        ("@api@", places.api.to_owned()),
        ("@media@", places.media.to_owned()),
        ("@dir@", places.dir.display().to_string()),
        ("@gateway_port@", places.gateway_port.to_string()),
        ("@policy@", order.policy.clone()),
        ("@fence@", order.fence.to_string()),
        ("@limits@", limits(order)),
        ("@blind_max@", if order.hides_tasks() { BLIND_MAX } else { "24h" }.to_owned()),
    ];
    let text = marks.iter().fold(BASE.to_owned(), |page, (mark, value)| page.replace(mark, value));
    let mut file: toml::Table = toml::from_str(&text).map_err(|error| error.to_string())?;
    for (section, key, value) in shortened(order.shorten)? {
        let table = file.entry(section).or_insert_with(|| toml::Table::new().into());
        if let Some(table) = table.as_table_mut() {
            table.insert(key.to_owned(), value.into());
        }
    }
    toml::to_string(&file).map_err(|error| error.to_string())
}

fn limits(order: &Order) -> String {
    let (rpm, running) = (order.create_rpm, order.running);
    let mut classes = String::new();
    for class in ["2.0", "2.0-4k", "2.0-fast", "2.0-mini"] {
        let _ = write!(classes, "\"{class}\" = {{ create_rpm = {rpm}, running = {running} }}, ");
    }
    format!(
        "{{ retrieve_qps = {RETRIEVE_QPS}, list_qps = {LIST_QPS}, delete_qps = {DELETE_QPS}, \
         classes = {{ {} }} }}",
        classes.trim_end_matches(", ")
    )
}

/// Section, key and value of every shortened time.
pub(super) fn shortened(factor: u32) -> Result<Vec<(&'static str, &'static str, String)>, String> {
    let shortened = |(section, key, time): (_, _, Duration)| {
        (section, key, format!("{}ms", (time / factor).as_millis()))
    };
    Ok(shipped(SHORTENED)?.into_iter().map(shortened).collect())
}

/// Section, key and value of times as they are shipped.
///
/// # Errors
///
/// The defaults lack one of them.
pub(crate) fn shipped(
    keys: &[(&'static str, &[&'static str])],
) -> Result<Vec<(&'static str, &'static str, Duration)>, String> {
    let defaults: toml::Table = toml::from_str(DEFAULTS).map_err(|error| error.to_string())?;
    let each = keys.iter().flat_map(|(section, keys)| keys.iter().map(move |key| (*section, *key)));
    let time = |(section, key): (&'static str, &'static str)| {
        let text = defaults.get(section).and_then(|table| table.get(key)?.as_str());
        let time = text.and_then(duration);
        Ok((section, key, time.ok_or_else(|| format!("{section}.{key} has no default time"))?))
    };
    each.map(time).collect()
}

/// One default, shortened.
pub(super) fn time(factor: u32, section: &str, key: &str) -> Duration {
    let times = shortened(factor).unwrap_or_default();
    let found = times.iter().find(|(s, k, _)| *s == section && *k == key);
    found.and_then(|(_, _, text)| duration(text)).unwrap_or(Duration::from_secs(1))
}

/// `250ms`, `5s`, `2m`, `1h`.
fn duration(text: &str) -> Option<Duration> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().ok()?;
    let unit_ms = match &text[digits.len()..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    Some(Duration::from_millis(number * unit_ms))
}

/// What a reader of the output must know: limits and time-outs in force.
pub(super) fn told(order: &Order) -> String {
    let mut text = format!(
        "limits of each account, at the simulator as in the fleet: create_rpm {} and running {} for each \
         model, retrieve_qps {RETRIEVE_QPS}, list_qps {LIST_QPS}, delete_qps {DELETE_QPS}; two accounts, three models\n\
         policy {}, appendfsync {}, second fence {}; time-outs are the defaults divided by {}:\n",
        order.create_rpm,
        order.running,
        order.policy,
        order.fsync,
        if order.fence { "on" } else { "off" },
        order.shorten
    );
    let mut before = "";
    for (section, key, value) in shortened(order.shorten).unwrap_or_default() {
        if section != before {
            let _ = write!(text, "{}  [{section}]", if before.is_empty() { "" } else { "\n" });
            before = section;
        }
        let _ = write!(text, " {key}={value}");
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_is_shortened_by_the_same_factor() {
        let times = shortened(10).unwrap();
        let of = |section, key| times.iter().find(|(s, k, _)| (*s, *k) == (section, key)).unwrap();
        assert_eq!(of("submit", "send_deadline").2, "2000ms");
        assert_eq!(of("settle", "front_door_max").2, "6000ms");
        assert_eq!(time(10, "submit", "lease"), Duration::from_secs(3));
    }

    #[test]
    fn the_file_is_a_configuration() {
        let places = Places {
            dir: Path::new("/tmp/x"),
            redis: "redis://127.0.0.1:1/",
            api: "127.0.0.1:2",
            media: "127.0.0.1:3",
            gateway_port: 4,
        };
        let text = file(&Order::default(), &places).unwrap();
        let table: toml::Table = toml::from_str(&text).unwrap();
        assert_eq!(table["submit"]["lease"].as_str(), Some("3000ms"));
        assert!(!text.contains('@'), "{text}");
    }
}
