//! Certificates and proxies as the environment gives them. The environment of a running process
//! cannot be changed safely, so these run this test binary once more as a child.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use egress::{
    BuildError, CallLimits, CreateClient, FetchTimeouts, Gate, GuardedClient, HeaderMap, Hosts,
    Origin, PostOutcome, RouteClient, Rules, Secret, Settings, Trust,
};

use crate::peer::{End, Peer, Plan, answer};

const CHILD: &str = "SEEDFLEET_EGRESS_TEST_CHILD";

/// Runs one test of this binary in a process of its own, with these variables.
fn run_child(test: &str, variables: &[(&str, &str)]) {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", test, "--nocapture"]).env(CHILD, "1");
    child.envs(variables.iter().copied());
    let output = child.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("1 passed"), "the child ran nothing: {said}");
}

fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

#[test]
fn no_certificates_are_said_when_building() {
    if is_child() {
        return child_without_certificates();
    }
    let empty = tempfile::tempdir().unwrap();
    let file = empty.path().join("none.pem");
    run_child(
        "trust::no_certificates_are_said_when_building",
        &[
            ("SSL_CERT_FILE", file.to_str().unwrap()),
            ("SSL_CERT_DIR", empty.path().to_str().unwrap()),
        ],
    );
}

fn child_without_certificates() {
    let limits = CallLimits::for_reads();
    let patience = FetchTimeouts::default();
    let rules = || Rules { hosts: Hosts::AnyPublic, origins: Vec::new(), redirects_max: 3 };
    let errors = [
        CreateClient::new(&CallLimits::for_creates(), Trust::System).err(),
        RouteClient::new(&limits, Trust::System).err(),
        GuardedClient::new(rules(), patience, Trust::System).err(),
    ];
    for error in errors {
        let error = error.expect("no certificates, yet a client");
        assert!(matches!(error, BuildError::NoCaCertificates), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("no CA certificates") && text.contains("ca-certificates"), "{text}");
    }
    // A simulator spoken to in plain HTTP needs none.
    CreateClient::new(&CallLimits::for_creates(), Trust::Nobody).unwrap();
    GuardedClient::new(rules(), patience, Trust::Nobody).unwrap();
}

#[tokio::test]
async fn proxy_variables_are_not_read() {
    if is_child() {
        return child_behind_a_proxy().await;
    }
    let proxy = Peer::start(Plan::Whole(answer("502 Bad Gateway", "", ""), End::Fin)).await;
    let address = proxy.url("/").to_string();
    let child = tokio::task::spawn_blocking(move || {
        let names =
            ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
        let variables: Vec<_> = names.iter().map(|name| (*name, address.as_str())).collect();
        run_child("trust::proxy_variables_are_not_read", &variables);
    });
    child.await.unwrap();
    assert_eq!(proxy.now().connections, 0);
}

async fn child_behind_a_proxy() {
    let peer = Peer::start(Plan::Paths(vec![("/", answer("200 OK", "", "{}"))])).await;
    let limits = CallLimits::for_reads();
    let patience = FetchTimeouts::default();
    let key = Secret::new("key").unwrap();
    let url = peer.url("/");

    let create = CreateClient::new(&CallLimits::for_creates(), Trust::Nobody).unwrap();
    let gate = Gate::until(Instant::now() + Duration::from_secs(60));
    let outcome = create.post(&url, HeaderMap::new(), &key, "{}".into(), gate).await;
    assert!(matches!(outcome, PostOutcome::Answered { .. }), "{outcome:?}");
    let route = RouteClient::new(&limits, Trust::Nobody).unwrap();
    assert_eq!(route.get(&url, HeaderMap::new(), &key).await.unwrap().status, 200);
    let origins = vec![Origin::parse(url.as_str()).unwrap()];
    let rules = Rules { hosts: Hosts::AnyPublic, origins, redirects_max: 3 };
    let guarded = GuardedClient::new(rules, patience, Trust::Nobody).unwrap();
    assert_eq!(guarded.get(url.as_str(), None).await.unwrap().status, 200);
    assert_eq!(peer.now().whole, 3);
}

#[tokio::test]
async fn a_configured_proxy_is_used_for_the_provider() {
    let proxy = Peer::start(Plan::Paths(vec![("/", answer("200 OK", "", "{}"))])).await;
    let limits = CallLimits { proxy: Some(proxy.url("/").to_string()), ..CallLimits::for_reads() };
    let route = RouteClient::new(&limits, Trust::Nobody).unwrap();
    let far = egress::Url::parse("http://provider.invalid/t").unwrap();
    let key = Secret::new("key").unwrap();
    assert_eq!(route.get(&far, HeaderMap::new(), &key).await.unwrap().status, 200);
    assert!(proxy.now().heads[0].starts_with("get http://provider.invalid/t http/1.1"));
}

#[test]
fn settings_refuse_unknown_keys() {
    let given = serde_json::json!({"output_host_suffixes": [".x.example"]});
    let settings: Settings = serde_json::from_value(given).unwrap();
    assert_eq!(settings.output_host_suffixes, [".x.example"]);
    assert_eq!(settings.redirects_max, Settings::default().redirects_max);
    let error = serde_json::from_value::<Settings>(serde_json::json!({"redirect": 1})).unwrap_err();
    assert!(error.to_string().contains("redirect"), "{error}");
}
