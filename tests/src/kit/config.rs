//! The configuration of a fleet in a test: short horizons, so that minutes become seconds.

use std::path::Path;

/// What the configuration depends on.
pub(super) struct Places<'a> {
    pub(super) dir: &'a Path,
    pub(super) redis: &'a str,
    pub(super) api: &'a str,
    pub(super) media: &'a str,
    pub(super) gateway_port: u16,
}

/// The whole file. A test puts its own settings into a second file, which wins.
pub(super) fn text(places: &Places<'_>) -> String {
    let Places { dir, redis, api, media, gateway_port } = places;
    let dir = dir.display();
    format!(
        r#"[redis]
url = "{redis}"
key_prefix = "e2e"

[pools.sim]
route = "byteplus"
simulated = true
base_url = "http://{api}/api/v3"
output_origins = ["http://{media}"]

[pools.sim.accounts.a]
api_key_file = "{dir}/provider.key"
tier = "enterprise"

[pools.sim.accounts.a.limits]
retrieve_qps = 200
list_qps = 20
delete_qps = 20

[pools.sim.accounts.a.limits.classes]
"2.0" = {{ create_rpm = 6000, running = 60 }}
"2.0-4k" = {{ create_rpm = 6000, running = 60 }}
"2.0-fast" = {{ create_rpm = 6000, running = 60 }}
"2.0-mini" = {{ create_rpm = 6000, running = 60 }}

[provider]
connect_timeout = "2s"
create_timeout = "5s"
read_timeout = "3s"
tcp_user_timeout = "200ms"

[submit]
send_deadline = "2s"
retry_first = "100ms"
retry_max = "400ms"
lease = "3s"
renew = "500ms"
account_probe_first = "300ms"
account_probe_max = "1s"

[settle]
front_door_max = "300ms"
list_lag_max = "500ms"
scan_gap = "300ms"
look_first = "200ms"
look_max = "1s"
lease = "3s"
renew = "500ms"
parked_look = "1s"

[poll]
first = "100ms"
steady = "300ms"
max = "1s"
lease = "2s"
renew = "500ms"
overdue_look = "300ms"
not_found_grace = "2s"

[download]
retry_first = "100ms"
retry_max = "500ms"
idle_timeout = "1s"
lease = "2s"
renew = "500ms"

[store]
url = "file://{dir}/bucket"

[limits]
use_within = "500ms"
network_spread = "50ms"

[gateway]
listen = "127.0.0.1:{gateway_port}"

[gateway.keys.alice]
tenant = "default"
key_file = "{dir}/alice.key"
scopes = ["jobs:write", "jobs:read"]

[gateway.keys.bob]
tenant = "bob"
key_file = "{dir}/bob.key"
scopes = ["jobs:write", "jobs:read"]

[callbacks]
base_url = "http://127.0.0.1:{gateway_port}"
source_qps = 1000
total_qps = 1000
attempt_rpm = 600

[callbacks.token_keys]
k1 = "{dir}/callback.key"

[telemetry]
log_format = "text"
"#
    )
}
