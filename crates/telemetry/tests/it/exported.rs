//! What `/metrics` shows. Tests may share a process, so each looks at series of its own.

use std::time::Duration;
use telemetry::{CATALOGUE, Kind, catalogue_markdown, declare, metrics, render};

/// The value of the one series that begins with `name` and has all of `labels`.
fn value(page: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let line = page.lines().find(|line| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
            && labels.iter().all(|label| line.contains(label))
    })?;
    line.rsplit_once(' ')?.1.parse().ok()
}

#[test]
fn counters_count_without_init_under_the_names_of_the_catalogue() {
    metrics().transitions.add(2, ["queued", "submitting", "submit"]);
    metrics().transitions.add(1, ["queued", "submitting", "submit"]);
    let page = render();
    let labels = [r#"from="queued""#, r#"to="submitting""#, r#"by="submit""#];
    assert_eq!(value(&page, "seedfleet_transitions_total", &labels), Some(3.0), "{page}");
    let version = concat!("version=\"", env!("CARGO_PKG_VERSION"), "\"");
    assert_eq!(value(&page, "seedfleet_build_info", &[version]), Some(1.0));
    assert!(!page.contains("otel_scope") && !page.contains("target_info"), "{page}");
}

#[test]
fn unknown_words_become_other() {
    let name = "seedfleet_provider_errors_total";
    metrics().provider_errors.add(1, ["list", "MadeUp.Code", "rate"]);
    declare("code", ["AccountOverdueError"]);
    metrics().provider_errors.add(1, ["list", "AccountOverdueError", "account"]);
    let page = render();
    let other = [r#"op="list""#, r#"code="other""#, r#"class="rate""#];
    assert_eq!(value(&page, name, &other), Some(1.0), "{page}");
    let told = [r#"code="AccountOverdueError""#, r#"class="account""#];
    assert_eq!(value(&page, name, &told), Some(1.0), "{page}");
    assert!(!page.contains("MadeUp"), "{page}");
}

#[test]
fn alerts_find_their_zeros_before_the_first_event() {
    let page = render();
    let lost = [r#"reason="link_dead""#];
    assert_eq!(value(&page, "seedfleet_outputs_lost_total", &lost), Some(0.0), "{page}");
    let twice = [r#"detected_by="list""#];
    assert_eq!(value(&page, "seedfleet_duplicate_submissions_total", &twice), Some(0.0));
}

#[test]
fn durations_fall_into_buckets_of_seconds() {
    let name = "seedfleet_step_duration_seconds";
    metrics().step_duration.record(Duration::from_millis(90_500), ["generate", "2.0-mini"]);
    let page = render();
    let below = [r#"step="generate""#, r#"model="2.0-mini""#, r#"le="60""#];
    let above = [r#"step="generate""#, r#"model="2.0-mini""#, r#"le="120""#];
    assert_eq!(value(&page, &format!("{name}_bucket"), &below), Some(0.0), "{page}");
    assert_eq!(value(&page, &format!("{name}_bucket"), &above), Some(1.0), "{page}");
    let sum = value(&page, &format!("{name}_sum"), &[r#"model="2.0-mini""#]).expect("a sum");
    assert!((sum - 90.5).abs() < 1e-9);
}

#[test]
fn a_level_falls_when_its_step_ends_however_it_ends() {
    let inflight = || value(&render(), "seedfleet_worker_inflight", &[r#"role="settler""#]);
    let first = metrics().worker_inflight.enter(["settler"]);
    let second = metrics().worker_inflight.enter(["settler"]);
    assert_eq!(inflight(), Some(2.0));
    drop(first);
    assert_eq!(inflight(), Some(1.0));
    let ended = std::thread::spawn(move || {
        let _second = second;
        std::panic::resume_unwind(Box::new("a step that panics"));
    })
    .join();
    assert!(ended.is_err());
    assert_eq!(inflight(), Some(0.0));
}

#[test]
fn a_gauge_tells_the_wall_clock() {
    metrics().worker_last_progress.set_to_now(["gateway"]);
    let name = "seedfleet_worker_last_progress_timestamp_seconds";
    let told = value(&render(), name, &[r#"role="gateway""#]).expect("it was set");
    assert!(told > 1_700_000_000.0, "{told}");
}

#[test]
fn types_are_those_of_the_catalogue() {
    metrics().worker_inflight.add(0, ["cli"]);
    metrics().redis_safe.set(1.0, ["aof"]);
    metrics().limiter_wait.record(Duration::ZERO, ["byteplus"]);
    metrics().jobs_accepted.add(1, ["cli", "default"]);
    let page = render();
    let mut met = 0;
    for metric in CATALOGUE {
        let word = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge | Kind::Level => "gauge",
            Kind::Histogram => "histogram",
        };
        if page.contains(&format!("# TYPE {} ", metric.name)) {
            assert!(page.contains(&format!("# TYPE {} {word}\n", metric.name)), "{page}");
            assert!(page.contains(&format!("# HELP {} {}\n", metric.name, metric.help)), "{page}");
            met += 1;
        }
    }
    assert!(met >= 5, "{met} metrics in {page}");
}

#[test]
fn the_page_lists_every_metric_and_field() {
    let page = catalogue_markdown();
    for metric in CATALOGUE {
        assert!(page.contains(&format!("| `{}` |", metric.name)), "{}", metric.name);
    }
    for (field, _) in telemetry::fields::FIELDS {
        assert!(page.contains(&format!("| `{field}` |")), "{field}");
    }
}
