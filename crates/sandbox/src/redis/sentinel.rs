//! Private Sentinels: they watch a primary of ours and make one of its replicas the next.

use std::process::Command;

use super::find::find;
use super::resp::{self, CommandError};
use super::server::StartError;
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
    /// Where the primary listens on 127.0.0.1.
    pub port: u16,
    /// How many of them must agree that it is gone.
    pub quorum: u32,
    /// Silence that means that it is gone.
    pub down_after: Duration,
    /// After twice this a failover that came to nothing is tried again.
    pub failover_timeout: Duration,
}

/// A running Sentinel. Dropping it kills it.
pub struct Sentinel {
    port: u16,
    name: String,
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
        let Watch { name, quorum, .. } = watch;
        let (down_after, failover) =
            (watch.down_after.as_millis(), watch.failover_timeout.as_millis());
        let lines = [
            format!("port {port}"),
            "bind 127.0.0.1".to_owned(),
            format!("sentinel monitor {name} 127.0.0.1 {} {quorum}", watch.port),
            format!("sentinel down-after-milliseconds {name} {down_after}"),
            format!("sentinel failover-timeout {name} {failover}"),
        ];
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
        Ok(Self { port, name: name.clone(), process, _home: home })
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it says of the primary now: a field of `SENTINEL MASTER`, such as `port` or `num-slaves`.
    ///
    /// # Errors
    ///
    /// As [`Redis::command`](super::Redis::command).
    pub fn told(&self, field: &str) -> Result<Option<String>, CommandError> {
        let told = resp::command(self.port, &["SENTINEL", "MASTER", &self.name])?;
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
