//! `config`: what is configured, who said it, and what it means.

use crate::cli::{ConfigVerb, Global};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Row, Rows, say};
use crate::session;
use serde_json::json;

/// Runs the verb.
pub(crate) fn run(global: &Global, verb: &ConfigVerb) -> Outcome {
    match verb {
        ConfigVerb::Check => check(global),
        ConfigVerb::Show { origin } => show(global, *origin),
        ConfigVerb::Explain { key } => {
            let told = settings::explain(key).map_err(|unknown| {
                Failure::new(Exit::NotFound, format!("there is no key {key}")).because(unknown)
            })?;
            say(&told)?;
            Ok(Exit::Done)
        }
        ConfigVerb::Env => {
            let mut rows = Rows::new(&global.output, &["name", "reload"]);
            for env in settings::env_names() {
                let mut row = Row::new();
                row.insert("name".into(), json!(env.name));
                row.insert("reload".into(), json!(reload(env.applied)));
                rows.add(row)?;
            }
            rows.end()?;
            Ok(Exit::Done)
        }
    }
}

/// Reads every section as its room would, so that what is told here is what a worker would tell.
fn check(global: &Global) -> Outcome {
    let loaded = session::load(global)?;
    let pools = session::pools(&loaded)?;
    loaded.section::<store::Settings>("redis")?;
    worker::buckets(&loaded)?;
    loaded.section::<provider::Settings>("provider")?;
    loaded.section::<limiter::Settings>("limits")?;
    loaded.section::<telemetry::Settings>("telemetry")?;
    let callbacks: provider::CallbackSettings = loaded.section("callbacks")?;
    admission::Settings::from_loaded(&loaded)?;
    for (name, pool) in &pools {
        worker::policy(&loaded, pool)?;
        provider::Keys::open(name, pool).map_err(|fault| faulty(&fault))?;
    }
    provider::Callbacks::open(&callbacks, pools.values()).map_err(|fault| faulty(&fault))?;
    if pools.is_empty() {
        return Err(Failure::new(Exit::Findings, "no pool is configured").hint(
            "add [pools.<name>] with `route` and [pools.<name>.accounts.<name>] with `api_key_file`",
        ));
    }
    let names: Vec<String> = pools.keys().cloned().collect();
    let shown = loaded.shown();
    let applied = shown.iter().filter(|line| line.applied).map(|line| line.key.as_str());
    let applied: Vec<&str> = applied.collect();
    let mut row = Row::new();
    row.insert("configuration".into(), json!("ok"));
    row.insert("keys".into(), json!(shown.len()));
    row.insert("applied_at_reload".into(), json!(applied.join(", ")));
    row.insert("pools".into(), json!(names.join(", ")));
    crate::output::object(&global.output, row)?;
    Ok(Exit::Done)
}

/// Whether a running process takes a change over.
const fn reload(applied: bool) -> &'static str {
    if applied { "applied" } else { "restart" }
}

fn faulty(fault: &dyn std::error::Error) -> Failure {
    Failure::new(Exit::Findings, "the configuration has a fault").because(fault)
}

fn show(global: &Global, origin: bool) -> Outcome {
    let loaded = session::load(global)?;
    if global.output.is_a_page() {
        say(&loaded.show(origin))?;
        return Ok(Exit::Done);
    }
    let mut rows = Rows::new(&global.output, &["key", "value", "origin", "reload"]);
    for shown in loaded.shown() {
        let mut row = Row::new();
        row.insert("key".into(), json!(shown.key));
        row.insert("value".into(), json!(shown.value));
        row.insert("origin".into(), json!(shown.layer.to_string()));
        row.insert("reload".into(), json!(reload(shown.applied)));
        rows.add(row)?;
    }
    rows.end()?;
    Ok(Exit::Done)
}
