//! The configuration of one run: ordinary keys, and every number that differs from a real fleet's
//! with the reason.

use std::path::Path;
use toml::Value;

/// The only pool of a run.
pub(super) const POOL: &str = "sim";
/// The key the simulator accepts.
pub(super) const API_KEY: &str = "sim-key";
/// Calls a second that simulator and fleet agree on, so that a hundred jobs take seconds. The real
/// service allows 20, 1 and 20.
pub(super) const RETRIEVE_QPS: u32 = 200;
/// See [`RETRIEVE_QPS`].
pub(super) const LIST_QPS: u32 = 20;
/// See [`RETRIEVE_QPS`].
pub(super) const DELETE_QPS: u32 = 200;

/// What the simulated account may do, of each model but 4k: fleet and simulator agree on it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowed {
    /// Creates a minute.
    pub(crate) create_rpm: u32,
    /// Tasks at once.
    pub(crate) running: u32,
}

impl Default for Allowed {
    /// As the provider gives companies (`provider-contract.md` §8).
    fn default() -> Self {
        Self { create_rpm: 600, running: 10 }
    }
}

/// Where the parts of a run are.
pub(super) struct Places<'a> {
    pub(super) dir: &'a Path,
    pub(super) redis_url: &'a str,
    pub(super) api: &'a str,
    pub(super) media: &'a str,
    /// `127.0.0.1:port` of the gateway.
    pub(super) gateway: &'a str,
    /// Origins that webhooks may call, beside public ones.
    pub(super) webhooks_to: &'a [String],
    pub(super) allowed: Allowed,
}

/// The file with a mark for everything that differs between runs.
const TEMPLATE: &str = include_str!("run.toml");

/// The file's text.
pub(super) fn written(places: &Places<'_>) -> String {
    let Places { dir, redis_url, api, media, gateway, webhooks_to, allowed } = places;
    let text = |text: String| Value::String(text).to_string();
    let file = |name: &str| text(dir.join(name).display().to_string());
    let marks = [
        ("@redis_url@", text((*redis_url).to_owned())),
        ("@api_key@", file("api-key")),
        ("@gateway_key@", file("gateway-key")),
        ("@operator_key@", file("operator-key")),
        ("@callback_key@", file("callback-key")),
        ("@bucket@", text(format!("file://{}", dir.join("store").display()))),
        ("@api@", (*api).to_owned()),
        ("@media@", (*media).to_owned()),
        ("@gateway@", (*gateway).to_owned()),
        ("@webhooks_to@", Value::from(webhooks_to.to_vec()).to_string()),
        ("@retrieve_qps@", RETRIEVE_QPS.to_string()),
        ("@list_qps@", LIST_QPS.to_string()),
        ("@delete_qps@", DELETE_QPS.to_string()),
        ("@create_rpm@", allowed.create_rpm.to_string()),
        ("@running@", allowed.running.to_string()),
    ];
    marks.iter().fold(TEMPLATE.to_owned(), |page, (mark, value)| page.replace(mark, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use settings::Sources;

    #[test]
    fn the_written_configuration_is_accepted_whole() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places {
            dir: dir.path(),
            redis_url: "redis://127.0.0.1:1/",
            api: "127.0.0.1:2",
            media: "127.0.0.1:3",
            gateway: "127.0.0.1:4",
            webhooks_to: &["http://127.0.0.1:5".to_owned()],
            allowed: Allowed { create_rpm: 60_000, running: 300 },
        };
        let text = written(&places);
        assert!(!text.contains('@'), "every mark is filled: {text}");
        let file = dir.path().join("config.toml");
        std::fs::write(&file, text).unwrap();
        let loaded = Sources::default().file(&file).load().unwrap_or_else(|e| panic!("{e}"));
        let pools = crate::session::pools(&loaded).unwrap();
        assert!(pools[POOL].simulated);
        worker::policy(&loaded, &pools[POOL]).unwrap();
    }
}
