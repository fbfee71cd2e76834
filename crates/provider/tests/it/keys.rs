//! Keys from files, and pools that cannot be opened.

use provider::{Client, Settings};
use seedance::Call;

use crate::route::{ACCOUNT, Route, permit, settings, task};

#[tokio::test]
async fn a_rotated_key_is_used_after_rereading_and_a_bad_file_changes_nothing() {
    let route = Route::json(404, "", "").await;
    let client = route.client();
    let (site, task) = (route.site(), task());
    let ask = || client.retrieve(permit(Call::Retrieve), &site, &task);
    std::fs::write(route.key_file(), "second-key\n").unwrap();
    ask().await;
    assert_eq!(client.keys().reread().taken, [ACCOUNT]);
    ask().await;
    std::fs::write(route.key_file(), "").unwrap();
    let faults = client.keys().reread().faults;
    ask().await;

    let text = faults[0].to_string();
    assert!(text.starts_with("pools.sim.accounts.a.api_key_file: "), "{text}");
    let used: Vec<String> = route
        .asked()
        .iter()
        .filter_map(|asked| {
            asked.head.lines().find_map(|line| line.strip_prefix("authorization: "))
        })
        .map(str::to_owned)
        .collect();
    let expected = ["canary-key-4711", "second-key", "second-key"];
    assert_eq!(used, expected.map(|key| format!("Bearer {key}")));
    assert!(client.keys().of(ACCOUNT).is_some() && client.keys().of("b").is_none());
}

#[tokio::test]
async fn a_pool_that_cannot_work_says_why_and_where() {
    let route = Route::json(200, "", "{}").await;
    let open = |pool: &job::PoolSettings, settings: &Settings| {
        Client::open("sim", pool, settings).unwrap_err().to_string()
    };
    let mut missing = route.pool();
    missing.accounts.get_mut(ACCOUNT).unwrap().api_key_file = "/nowhere/key".into();
    let text = open(&missing, &settings());
    assert!(text.contains("pools.sim.accounts.a.api_key_file") && text.contains("/nowhere/key"));

    let mut plain = route.pool();
    plain.simulated = false;
    let text = open(&plain, &settings());
    assert!(text.starts_with("pools.sim.base_url: plain http"), "{text}");

    let long = Settings { create_timeout: std::time::Duration::from_secs(61), ..settings() };
    let text = open(&route.pool(), &long);
    assert!(text.starts_with("provider.create_timeout: 61s"), "{text}");
}

#[test]
fn settings_refuse_unknown_keys_and_read_durations() {
    let given = serde_json::json!({"create_timeout": "45s", "proxy": "http://p:3128"});
    let read: Settings = serde_json::from_value(given).unwrap();
    assert_eq!(read.create_timeout, std::time::Duration::from_secs(45));
    assert_eq!(read.read_timeout, Settings::default().read_timeout);
    let unknown = serde_json::from_value::<Settings>(serde_json::json!({"retries": 3}));
    assert!(unknown.unwrap_err().to_string().contains("retries"));
}
