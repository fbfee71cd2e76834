//! Autoscalers ask for what is told: a page that a gateway serves, roles and metrics of the catalogue, keys of the
//! configuration.

use super::none;
use super::source::root;
use std::path::Path;
use telemetry::{CATALOGUE, Values};

fn files(dir: &Path, into: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(dir).expect("a folder").flatten() {
        let path = entry.path();
        match path.is_dir() {
            true => files(&path, into),
            false => {
                let text = std::fs::read_to_string(&path).expect("a text");
                into.push((path.display().to_string(), text));
            }
        }
    }
}

fn faults(text: &str, page: &str) -> Vec<String> {
    let scaled = CATALOGUE.iter().find(|metric| metric.name == "seedfleet_desired_replicas");
    let scaled = scaled.expect("the metric is there");
    let Values::Closed(roles) = scaled.labels[0].values else { panic!("roles are closed") };
    let mut faults = Vec::new();
    for line in text.lines().map(str::trim) {
        let value = |key: &str| line.strip_prefix(key).map(str::trim);
        if let Some(url) = value("url: ").filter(|url| url.starts_with("http://seedfleet"))
            && !url.ends_with(&format!(":9090{page}"))
        {
            faults.push(format!("{url}: no gateway serves that"));
        }
        let role = value("valueLocation: ").map(|at| at.strip_suffix(".desired").unwrap_or(""));
        let role = role.or_else(|| value("role: ")).filter(|role| !roles.contains(role));
        if let Some(role) = role {
            faults.push(format!("{line}: no role is called {role:?}"));
        }
        let metric = value("name: ").filter(|name| name.starts_with("seedfleet_"));
        if let Some(name) = metric.filter(|name| *name != scaled.name) {
            faults.push(format!("{name} is not what is told of processes"));
        }
        for (at, _) in line.match_indices("SEEDFLEET__") {
            let rest = &line[at..];
            let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
            let name = rest["SEEDFLEET__".len()..end.unwrap_or(rest.len())].to_lowercase();
            let key = name.replace("__", ".");
            let bare = key.strip_suffix("_file").unwrap_or(&key);
            if settings::explain(&key).is_err() && settings::explain(bare).is_err() {
                faults.push(format!("the configuration has no key {key}"));
            }
        }
    }
    faults
}

#[test]
fn autoscalers_and_manifests_name_what_is_there() {
    let gateway = root().join("crates/gateway/src/scaling.rs");
    let gateway = std::fs::read_to_string(gateway).expect("the room is there");
    let page = "/internal/scaling";
    assert!(gateway.contains(&format!("route(\"{page}\"")), "no gateway serves {page}");
    let mut manifests = Vec::new();
    files(&root().join("deploy/kubernetes"), &mut manifests);
    let asked = manifests.iter().filter(|(_, text)| text.contains(".desired")).count();
    assert!(asked > 0, "the ScaledObjects were not read");
    let complaints = manifests.iter().flat_map(|(place, text)| {
        faults(text, page).into_iter().map(move |fault| format!("{place}: {fault}"))
    });
    none("autoscalers", &complaints.collect::<Vec<_>>());

    let wrong = "url: http://seedfleet-scaling.x.svc:9090/scaling\nvalueLocation: baker.desired\n\
                 name: seedfleet_desired\nrole: baker\n- name: SEEDFLEET__SCALING__TOKENS_FILE";
    assert_eq!(faults(wrong, page).len(), 5, "{:?}", faults(wrong, page));
}
