//! Private Sentinels: they watch a primary of ours and make one of its replicas the next.

use std::process::Command;

use super::find::find;
use super::resp::{self, CommandError};
use super::server::StartError;
use super::tls::Tls;
use crate::process::Logs;
use crate::{Process, TempDir, ports, wait};
use std::time::Duration;

/// From its start to its first PONG.
const START_MAX: Duration = Duration::from_secs(60);

/// What a Sentinel is to watch, and how soon it acts.
#[derive(Debug, Clone)]
pub struct Watch {
    /// What it calls the primary.
    pub name: String,
    /// Where the primary listens on 127.0.0.1 for its replicas.
    pub port: u16,
    /// How many of them must agree that it is gone.
    pub quorum: u32,
    /// Silence that means that it is gone.
    pub down_after: Duration,
    /// After twice this a failover that came to nothing is tried again.
    pub failover_timeout: Duration,
    /// A second port for TLS, which it then speaks with the servers and the other Sentinels; [`None`]: there is none.
    pub tls: Option<Tls>,
    /// More lines of its configuration, after the others.
    pub lines: Vec<String>,
}

/// A running Sentinel. Dropping it kills it.
pub struct Sentinel {
    port: u16,
    tls_port: Option<u16>,
    process: Process,
    /// Declared last: it writes its configuration there.
    _home: TempDir,
}

impl Sentinel {
    /// Starts one and waits until it answers.
    ///
    /// # Errors
    ///
    /// [`StartError`], with a message fit for a person.
    pub fn start(watch: &Watch) -> Result<Self, StartError> {
        let server = find().map_err(StartError::NotFound)?;
        let home = TempDir::new("sentinel")?;
        let port = ports::free();
        let tls = watch.tls.as_ref().map(|tls| (ports::free(), tls));
        let Watch { name, quorum, .. } = watch;
        let (down_after, failover) =
            (watch.down_after.as_millis(), watch.failover_timeout.as_millis());
        let mut lines = vec![format!("port {port}"), "bind 127.0.0.1".to_owned()];
        let settings = tls.into_iter().flat_map(|(port, tls)| tls.settings(port));
        lines.extend(settings.map(|(name, value)| format!("{name} {value}")));
        lines.extend([
            format!("sentinel monitor {name} 127.0.0.1 {} {quorum}", watch.port),
            format!("sentinel down-after-milliseconds {name} {down_after}"),
            format!("sentinel failover-timeout {name} {failover}"),
        ]);
        lines.extend_from_slice(&watch.lines);
        std::fs::write(home.path().join("sentinel.conf"), lines.join("\n") + "\n")?;
        let mut command = Command::new(&server.path);
        command.args(["sentinel.conf", "--sentinel"]).current_dir(home.path());
        let process = Process::spawn_logged("sentinel", command, &Logs::to(home.path()))?;
        let up = wait::until("PONG", START_MAX, || {
            let ended = !process.is_running();
            (ended || resp::command(port, &["PING"]).is_ok()).then_some(())
        });
        if up.is_err() || !process.is_running() {
            return Err(StartError::Failed(process.log_tail(12)));
        }
        let tls_port = tls.map(|(port, _)| port);
        Ok(Self { port, tls_port, process, _home: home })
    }

    /// Its port on 127.0.0.1 for others: that for TLS where there is one.
    #[must_use]
    pub fn peer_port(&self) -> u16 {
        self.tls_port.unwrap_or(self.port)
    }

    /// As [`Redis::command`](super::Redis::command).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn command(&self, words: &[&str]) -> Result<String, CommandError> {
        resp::command(self.port, words)
    }

    /// As [`Redis::command_as`](super::Redis::command_as).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn command_as(
        &self,
        user: &str,
        password: &str,
        words: &[&str],
    ) -> Result<String, CommandError> {
        resp::converse(self.port, &[&["AUTH", user, password], words])
    }

    /// What it says of the primary now: a field of `SENTINEL MASTERS`, such as `port` or `num-slaves`.
    ///
    /// # Errors
    ///
    /// As [`Redis::command`](super::Redis::command).
    pub fn told(&self, field: &str) -> Result<Option<String>, CommandError> {
        // It watches one. The question about that one by name is what the fleet asks, which a test may keep for it.
        let told = self.command(&["SENTINEL", "MASTERS"])?;
        let lines: Vec<&str> = told.lines().collect();
        let pair = lines.chunks(2).find(|pair| pair[0] == field);
        Ok(pair.and_then(|pair| pair.get(1)).map(|value| (*value).to_owned()))
    }

    /// The last lines it printed, for messages.
    #[must_use]
    pub fn log_tail(&self, lines_max: usize) -> String {
        self.process.log_tail(lines_max)
    }
}
