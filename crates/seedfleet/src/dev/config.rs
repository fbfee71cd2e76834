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

/// Where the parts of a run are.
pub(super) struct Places<'a> {
    pub(super) dir: &'a Path,
    pub(super) redis_url: &'a str,
    pub(super) api: &'a str,
    pub(super) media: &'a str,
    /// `127.0.0.1:port` of the gateway.
    pub(super) gateway: &'a str,
}

impl Places<'_> {
    fn text(&self, file: &str) -> Value {
        Value::String(self.dir.join(file).display().to_string())
    }
}

/// The file's text.
pub(super) fn written(places: &Places<'_>) -> String {
    let Places { redis_url, api, media, gateway, .. } = places;
    let key = places.text("api-key");
    let gateway_key = places.text("gateway-key");
    let callback_key = places.text("callback-key");
    let bucket = Value::String(format!("file://{}", places.dir.join("store").display()));
    let redis_url = Value::String((*redis_url).to_owned());
    format!(
        r#"# Written by `seedfleet dev` for this run only.

[redis]
url = {redis_url}

[pools.{POOL}]
route = "byteplus"
simulated = true
base_url = "http://{api}/api/v3"
output_origins = ["http://{media}"]

[pools.{POOL}.accounts.dev]
api_key_file = {key}
# Ten tasks of each model at once and 600 creates a minute, as the provider gives companies.
tier = "enterprise"

# The simulator was started with the same limits.
[pools.{POOL}.accounts.dev.limits]
retrieve_qps = {RETRIEVE_QPS}
list_qps = {LIST_QPS}
delete_qps = {DELETE_QPS}

# A doubt is settled when nothing of the attempt can show up any more: send deadline, what the kernel
# may still deliver, the provider's front door and the lag of its list, one after another. All four are
# short here because the simulator answers at once, and that is known. Never copy them to a real pool.
[provider]
connect_timeout = "2s"
create_timeout = "5s"
tcp_user_timeout = "1s"

[submit]
send_deadline = "3s"
lease = "4s"
renew = "1s"
retry_first = "200ms"
shutdown_grace = "10s"

[settle]
front_door_max = "1s"
list_lag_max = "1s"
scan_gap = "500ms"
look_first = "300ms"
look_max = "1s"
lease = "4s"
renew = "1s"

# A simulated generation takes seconds, so looks come sooner than the 10 to 20 s of a real one.
[poll]
first = "300ms"
steady = "1s"
max = "3s"
lease = "4s"
renew = "1s"

[download]
lease = "4s"
renew = "1s"
retry_first = "200ms"

[store]
url = {bucket}

# Both ends are on this machine.
[limits]
network_spread = "20ms"

[gateway]
listen = "{gateway}"
public_url = "http://{gateway}"

[gateway.keys.dev]
tenant = "default"
key_file = {gateway_key}
scopes = ["jobs:write", "jobs:read"]

[callbacks]
enabled = true
base_url = "http://{gateway}"

[callbacks.token_keys]
dev = {callback_key}

[telemetry]
log_format = "text"
"#
    )
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
        };
        let file = dir.path().join("config.toml");
        std::fs::write(&file, written(&places)).unwrap();
        let loaded = Sources::default().file(&file).load().unwrap_or_else(|e| panic!("{e}"));
        let pools = crate::session::pools(&loaded).unwrap();
        assert!(pools[POOL].simulated);
        worker::policy(&loaded, &pools[POOL]).unwrap();
    }
}
