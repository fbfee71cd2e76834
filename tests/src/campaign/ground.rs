//! What a run stands on: its folder, the server, the simulator with its ledger, the keys.

use super::Order;
use super::settings::{self, DELETE_QPS, LIST_QPS, Places, RETRIEVE_QPS};
use crate::kit::{PowerOptions, PowerRedis, TcpProxy};
use sandbox::{Logs, Process, bins, ports, wait};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Words no log may hold.
pub(super) const PROVIDER_KEYS: [&str; 2] =
    ["canary-provider-key-a-81c7", "canary-provider-key-b-5f20"];
/// See [`PROVIDER_KEYS`].
pub(super) const CALLER_KEY: &str = "canary-alice-key-0f2b9a";
/// See [`PROVIDER_KEYS`].
const CALLBACK_KEY: &str = "canary-callback-key-of-forty-bytes-5d0e1f";
/// In every prompt.
pub(super) const PROMPT_CANARY: &str = "canarylantern";

/// Lines between programs, and whose they are: one of each role stands behind one, the rest do not,
/// so that a fault splits the fleet.
const LINES: &[(&str, &str)] = &[
    ("provider", "submitter-1"),
    ("redis.submitter", "submitter-2"),
    ("redis.poller", "poller-1"),
    ("redis.downloader", "downloader-1"),
];

/// How long a program may take to listen.
const START_MAX: Duration = Duration::from_secs(30);

/// Everything that outlives the fleet's programs.
pub(super) struct Ground {
    pub(super) dir: PathBuf,
    pub(super) redis: PowerRedis,
    /// Lines that can be made bad, by name; whose they are is told by [`Ground::lines_of`].
    pub(super) lines: BTreeMap<&'static str, TcpProxy>,
    pub(super) gateway_port: u16,
    pub(super) control: String,
    simulator: Process,
}

#[derive(serde::Deserialize)]
struct Ports {
    api: String,
    media: String,
    control: String,
}

impl Ground {
    /// Starts the server and the simulator and writes the configuration.
    ///
    /// # Errors
    ///
    /// What does not start, with its last words.
    pub(super) fn start(order: &Order, dir: &Path) -> Result<Self, String> {
        let appendfsync = if order.fsync == "always" { "always" } else { "everysec" };
        let redis = PowerRedis::start(&PowerOptions { appendfsync, ..PowerOptions::default() });
        let (simulator, listens) = start_simulator(order, dir)?;
        let gateway_port = ports::free();
        let keys = [
            ("provider-a.key", PROVIDER_KEYS[0]),
            ("provider-b.key", PROVIDER_KEYS[1]),
            ("alice.key", CALLER_KEY),
            ("callback.key", CALLBACK_KEY),
        ];
        for (name, key) in keys {
            std::fs::write(dir.join(name), key).map_err(|error| format!("{name}: {error}"))?;
        }
        let places = Places {
            dir,
            redis: &redis.server().url(),
            api: &listens.api,
            media: &listens.media,
            gateway_port,
        };
        let text = settings::file(order, &places)?;
        std::fs::write(dir.join("fleet.toml"), text).map_err(|error| error.to_string())?;
        let server = format!("127.0.0.1:{}", redis.server().port());
        let lines = LINES.iter().map(|(name, _)| {
            let upstream = if *name == "provider" { &listens.api } else { &server };
            (*name, TcpProxy::start(upstream))
        });
        let (lines, dir) = (lines.collect(), dir.to_owned());
        let Ports { control, .. } = listens;
        Ok(Self { dir, redis, lines, gateway_port, control, simulator })
    }

    pub(super) fn config(&self) -> PathBuf {
        self.dir.join("fleet.toml")
    }

    pub(super) fn log_dir(&self) -> PathBuf {
        self.dir.join("logs")
    }

    /// What differs for a program that stands behind lines of its own.
    pub(super) fn lines_of(&self, program: &str) -> Vec<(&'static str, String)> {
        let own = LINES.iter().filter(|(_, whose)| *whose == program);
        let own = own.filter_map(|(name, _)| Some((*name, self.lines.get(name)?.addr())));
        own.map(|(name, address)| match name {
            "provider" => ("SEEDFLEET__POOLS__SIM__BASE_URL", format!("http://{address}/api/v3")),
            _ => ("SEEDFLEET__REDIS__URL", format!("redis://{address}/")),
        })
        .collect()
    }

    /// One of the workspace's programs, with nothing of this machine's own configuration.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(bins::path(program));
        command.env_clear().env("RUST_BACKTRACE", "1").env("SEEDFLEET_ETC", "/nonexistent");
        command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.arg("--config").arg(self.config());
        command
    }

    /// The simulator still runs: it never may die in a run, for its ledger is the judge.
    pub(super) fn judge_lives(&self) -> bool {
        self.simulator.is_running()
    }

    /// `GET /_sim/<what>`.
    ///
    /// # Errors
    ///
    /// No answer.
    pub(super) async fn ask(&self, what: &str) -> Result<Value, String> {
        let url = format!("http://{}/_sim/{what}", self.control);
        let answer = client().get(url).send().await.map_err(|error| error.to_string())?;
        answer.json().await.map_err(|error| error.to_string())
    }

    /// `PUT /_sim/<what>`.
    ///
    /// # Errors
    ///
    /// It was not taken.
    pub(super) async fn put(&self, what: &str, body: &Value) -> Result<(), String> {
        let url = format!("http://{}/_sim/{what}", self.control);
        let answer =
            client().put(url).json(body).send().await.map_err(|error| error.to_string())?;
        match answer.status().as_u16() {
            200 => Ok(()),
            status => {
                Err(format!("{what}: HTTP {status}: {}", answer.text().await.unwrap_or_default()))
            }
        }
    }

    pub(super) fn stop(self) {
        self.simulator.stop();
        self.redis.server().stop();
    }
}

/// A client that goes through no proxy of this machine.
pub(super) fn client() -> reqwest::Client {
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build();
    client.expect("a client without any extras")
}

fn start_simulator(order: &Order, dir: &Path) -> Result<(Process, Ports), String> {
    let ports_file = dir.join("ports.json");
    let mut command = Command::new(bins::path("simulator"));
    for listen in ["--listen", "--media-listen", "--control-listen"] {
        command.args([listen, "127.0.0.1:0"]);
    }
    command.env("RUST_LOG", "warn");
    command.arg("--ports-file").arg(&ports_file).arg("--ledger").arg(dir.join("ledger.ndjson"));
    command.args(["--api-key", &format!("{}=a", PROVIDER_KEYS[0])]);
    command.args(["--api-key", &format!("{}=b", PROVIDER_KEYS[1])]);
    command.args(["--seed", &order.seed.to_string(), "--clock-scale", &order.shorten.to_string()]);
    // A clip of four seconds, as fast as the real thing at its best.
    command.args(["--queue-s", "0-1", "--run-s", "3-12", "--limits", "enterprise"]);
    let limits = [
        format!("create_rpm={}", order.create_rpm),
        format!("running={}", order.running),
        format!("retrieve_qps={RETRIEVE_QPS}"),
        format!("list_qps={LIST_QPS}"),
        format!("delete_qps={DELETE_QPS}"),
        "queued=none".to_owned(),
    ];
    for limit in &limits {
        command.args(["--limits", limit]);
    }
    for doubt in &order.doubts {
        command.args(["--doubt", doubt]);
    }
    let process = Process::spawn_logged("simulator", command, &Logs::to(&dir.join("logs")))
        .map_err(|error| error.to_string())?;
    let found = wait::until("the simulator's ports", START_MAX, || {
        let text = std::fs::read(&ports_file).ok()?;
        serde_json::from_slice::<Ports>(&text).ok()
    });
    match found {
        Ok(ports) => Ok((process, ports)),
        Err(missed) => Err(format!("{missed}:\n{}", process.log_tail(20))),
    }
}
