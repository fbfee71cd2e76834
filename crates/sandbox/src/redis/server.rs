//! A private server as a child of ours.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::find::{NotFound, Server, find};
use super::resp::{self, CommandError};
use super::stamp::{self, Refusal};
use super::tls::Tls;
use crate::process::Logs;
use crate::{Process, TempDir, ports, wait};

/// A port found free may be gone a moment later; so many others are tried.
const PORT_TRIES_MAX: u32 = 5;
/// How long SHUTDOWN may take before the server is killed.
const STOP_MAX: Duration = Duration::from_secs(20);
/// The time one server may take from its start to its first PONG; loading a large data set counts.
const START_MAX: Duration = Duration::from_secs(60);

/// How to start a server. The default is durable: every write on disk before it is answered.
#[derive(Debug, Clone)]
pub struct Options {
    /// The data directory; [`None`]: a temporary one that goes away with the [`Redis`].
    pub dir: Option<PathBuf>,
    /// The port; [`None`]: a free one.
    pub port: Option<u16>,
    /// `always`, `everysec` or `no`.
    pub appendfsync: String,
    /// What happens at the memory limit; the fleet accepts `noeviction` only.
    pub maxmemory_policy: String,
    /// More arguments, such as `["--maxmemory", "50mb"]`; they win over ours.
    pub extra_args: Vec<String>,
    /// A second port, for TLS; [`None`]: there is none.
    pub tls: Option<Tls>,
    /// More variables for the server's environment, at every start.
    pub env: Vec<(String, String)>,
    /// The program; [`None`]: what [`find`] finds.
    pub server: Option<Server>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            dir: None,
            port: None,
            appendfsync: "always".to_owned(),
            maxmemory_policy: "noeviction".to_owned(),
            extra_args: Vec::new(),
            tls: None,
            env: Vec::new(),
            server: None,
        }
    }
}

/// Why there is no running server.
#[derive(Debug)]
pub enum StartError {
    /// No program to run.
    NotFound(NotFound),
    /// The data directory belongs to another engine or a newer version; one plain sentence.
    ForeignData(String),
    /// The program ended or never answered; with the last lines it printed.
    Failed(String),
    /// The directory or the program could not be used.
    Io(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound(missing) => missing.fmt(f),
            Self::ForeignData(why) => f.write_str(why),
            Self::Failed(why) => write!(f, "the private Redis did not start: {why}"),
            Self::Io(error) => write!(f, "the private Redis did not start: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Where it listens.
#[derive(Debug, Clone, Copy)]
struct Ports {
    plain: u16,
    tls: Option<u16>,
}

/// A private, running server. Dropping it kills it and removes its directory, if that is temporary.
///
/// Every method takes `&self`: a test may share it between the part that works and the part that
/// breaks things.
#[derive(Debug)]
pub struct Redis {
    server: Server,
    options: Options,
    ports: Ports,
    dir: PathBuf,
    process: Mutex<Process>,
    /// Declared last: the directory goes after the process that writes to it.
    _temporary: Option<TempDir>,
}

impl Redis {
    /// Starts a server and waits until it answers PING.
    ///
    /// # Errors
    ///
    /// [`StartError`], each with a message fit for a person.
    pub fn start(options: Options) -> Result<Self, StartError> {
        let server = match &options.server {
            Some(server) => server.clone(),
            None => find().map_err(StartError::NotFound)?,
        };
        let (dir, temporary) = match &options.dir {
            Some(dir) => (dir.clone(), None),
            None => {
                let home = TempDir::new("redis")?;
                (home.path().to_owned(), Some(home))
            }
        };
        std::fs::create_dir_all(&dir)?;
        let dir = dir.canonicalize()?;
        stamp::claim(&dir, &server).map_err(|refusal| match refusal {
            Refusal::Foreign(why) => StartError::ForeignData(why),
            Refusal::Io(error) => StartError::Io(error),
        })?;
        let mut tries = 1;
        let (process, ports) = loop {
            let plain = options.port.unwrap_or_else(ports::free);
            let ports = Ports { plain, tls: options.tls.as_ref().map(|_| ports::free()) };
            match launch(&server, &options, &dir, ports) {
                Ok(process) => break (process, ports),
                Err(Launch::PortTaken(_)) if options.port.is_none() && tries < PORT_TRIES_MAX => {
                    tries += 1;
                }
                Err(Launch::PortTaken(why) | Launch::Failed(why)) => {
                    return Err(StartError::Failed(why));
                }
                Err(Launch::Io(error)) => return Err(StartError::Io(error)),
            }
        };
        let process = Mutex::new(process);
        Ok(Self { server, options, ports, dir, process, _temporary: temporary })
    }

    /// `redis://127.0.0.1:<port>/`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.ports.plain)
    }

    /// The port on 127.0.0.1; the same after a restart.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.ports.plain
    }

    /// The port for TLS where there is one, else the only one: where others of its kind reach it.
    #[must_use]
    pub fn peer_port(&self) -> u16 {
        self.ports.tls.unwrap_or(self.ports.plain)
    }

    /// The id of the running, or last, server process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process().pid()
    }

    /// True until the end of its process has been seen, whatever it answers.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.process().is_running()
    }

    /// The data directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The program that runs.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// SIGKILL, as when the machine's memory runs out.
    pub fn kill9(&self) {
        self.process().kill9();
    }

    /// Starts it again on the same port and data, killing it first if it still runs.
    ///
    /// # Errors
    ///
    /// As [`Redis::start`].
    pub fn restart(&self) -> Result<(), StartError> {
        let mut process = self.process();
        process.kill9();
        *process =
            launch(&self.server, &self.options, &self.dir, self.ports).map_err(
                |why| match why {
                    Launch::PortTaken(why) | Launch::Failed(why) => StartError::Failed(why),
                    Launch::Io(error) => StartError::Io(error),
                },
            )?;
        Ok(())
    }

    /// SIGSTOP: connections stay open and nobody answers.
    ///
    /// # Errors
    ///
    /// The signal could not be sent.
    pub fn pause(&self) -> io::Result<()> {
        self.process().signal("STOP")
    }

    /// SIGCONT after [`Redis::pause`].
    ///
    /// # Errors
    ///
    /// The signal could not be sent.
    pub fn resume(&self) -> io::Result<()> {
        self.process().signal("CONT")
    }

    /// Asks it to end by SHUTDOWN, and kills it when it does not.
    pub fn stop(&self) {
        // A server that shuts down closes the connection instead of answering.
        let _ = self.command(&["SHUTDOWN"]);
        let process = self.process();
        if process.wait_bounded(STOP_MAX).is_none() {
            process.kill9();
        }
    }

    /// Sends one command on a fresh connection. Strings and numbers come back as text, nil as an
    /// empty string, arrays one element per line.
    ///
    /// # Errors
    ///
    /// [`CommandError`]: the server refused it, or there was no answer within ten seconds.
    pub fn command(&self, words: &[&str]) -> Result<String, CommandError> {
        resp::command(self.ports.plain, words)
    }

    /// As [`Redis::command`], by a user of the server's access list.
    ///
    /// # Errors
    ///
    /// As there; the user or the password are wrong.
    pub fn command_as(
        &self,
        user: &str,
        password: &str,
        words: &[&str],
    ) -> Result<String, CommandError> {
        resp::converse(self.ports.plain, &[&["AUTH", user, password], words])
    }

    /// The last lines the server printed, for messages.
    #[must_use]
    pub fn log_tail(&self, lines_max: usize) -> String {
        self.process().log_tail(lines_max)
    }

    fn process(&self) -> MutexGuard<'_, Process> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tls_args(options: &Options, ports: Ports) -> Vec<String> {
    let settings = options.tls.as_ref().zip(ports.tls).map(|(tls, port)| tls.settings(port));
    let words = settings.into_iter().flatten();
    words.flat_map(|(name, value)| [format!("--{name}"), value]).collect()
}

enum Launch {
    PortTaken(String),
    Failed(String),
    Io(io::Error),
}

fn launch(server: &Server, options: &Options, dir: &Path, ports: Ports) -> Result<Process, Launch> {
    let port = ports.plain;
    let mut command = Command::new(&server.path);
    command
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--daemonize", "no"])
        .args(["--appendonly", "yes", "--appendfsync", &options.appendfsync, "--save", ""])
        .args(["--maxmemory-policy", &options.maxmemory_policy])
        // Tests use DEBUG to slow a server down or to reload it; only this machine can call it.
        .args(["--enable-debug-command", "local"])
        // Relative, so that a path with spaces needs no quoting in the server's own syntax.
        .args(["--dir", "./"])
        .args(tls_args(options, ports))
        .args(&options.extra_args)
        .envs(options.env.iter().map(|(name, value)| (name, value)))
        .current_dir(dir);
    let process = Process::spawn_logged("redis", command, &Logs::to(dir)).map_err(Launch::Io)?;
    let started = wait::until("PONG", START_MAX, || {
        if !process.is_running() {
            return Some(false);
        }
        // An answer counts only while our child lives: a stranger on the port answers PING too.
        resp::command(port, &["INFO", "server"])
            .is_ok_and(|info| info.contains(&format!("process_id:{}\r\n", process.pid())))
            // While it loads its data it answers INFO, and refuses PING.
            .then(|| resp::command(port, &["PING"]).is_ok().then_some(true))
            .flatten()
    });
    if started == Ok(true) {
        return Ok(process);
    }
    let tail = process.log_tail(12);
    if tail.contains("Address already in use") {
        return Err(Launch::PortTaken(format!("port {port} is taken; its last lines:\n{tail}")));
    }
    let what = match process.exit_status() {
        Some(status) => format!("{} ended ({status})", server.path.display()),
        None => format!("{} did not answer within {START_MAX:?}", server.path.display()),
    };
    Err(Launch::Failed(format!("{what}; its last lines:\n{tail}")))
}
