//! One child process: its output in a file, its end in our hands.
//!
//! Children run in a process group of their own, because Ctrl-C in a terminal goes to the whole
//! foreground group and would take the private Redis away from workers that are still draining.
//!
//! The standard library cannot ask the kernel to end a child with its parent, so each child has a
//! **leash**: a waiting shell that holds the reading end of a pipe whose writing end only we hold.
//! When we end in any way, the pipe closes and the shell kills the child.

mod leash;
mod logs;

use std::fmt;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use self::leash::Leash;
pub use self::logs::{Echo, Logs};
use crate::{TempDir, wait};

/// The longest from SIGSTOP until all threads of a child stand still, on a machine that is busy.
const STILL_MAX: Duration = Duration::from_secs(10);

/// How long [`Process::stop`] waits for a child that was asked to end before it is killed.
const STOP_MAX: Duration = Duration::from_secs(30);

/// A running child. Dropping it kills and reaps it.
///
/// Every method takes `&self`, so a test may share it between the part that works and the part that
/// kills.
pub struct Process {
    name: String,
    pid: u32,
    log: PathBuf,
    state: Mutex<Alive>,
    echoes: Mutex<Vec<JoinHandle<()>>>,
    _log_home: Option<TempDir>,
}

struct Alive {
    child: Child,
    /// Gone once the child has been reaped: from then on its id may belong to a stranger.
    leash: Option<Leash>,
    status: Option<ExitStatus>,
}

impl Process {
    /// Starts `command` with its standard output and error in a file that goes away on drop.
    ///
    /// # Errors
    ///
    /// The program cannot be started; the message names it.
    pub fn spawn(name: &str, command: Command) -> io::Result<Self> {
        let home = TempDir::new("log")?;
        let logs = Logs::to(home.path());
        let mut process = Self::spawn_logged(name, command, &logs)?;
        process._log_home = Some(home);
        Ok(process)
    }

    /// Starts `command` with its output in `<logs.dir>/<name>.log` (appended) and, where asked for,
    /// told line by line.
    ///
    /// # Errors
    ///
    /// The program cannot be started or the file cannot be written; the message names it.
    pub fn spawn_logged(name: &str, mut command: Command, logs: &Logs) -> io::Result<Self> {
        let (log, output) = logs.open(name)?;
        command.stdin(Stdio::null()).process_group(0);
        if logs.echoes() {
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
        } else {
            command.stdout(output.try_clone()?).stderr(output.try_clone()?);
        }
        let mut child = command.spawn().map_err(|error| {
            let program = Path::new(command.get_program()).display();
            io::Error::new(error.kind(), format!("cannot start {program}: {error}"))
        })?;
        let pid = child.id();
        let echoes = logs.follow(name, &mut child, &output);
        let leash = Leash::tie(pid).inspect_err(|_| {
            let _ = child.kill();
            let _ = child.wait();
        })?;
        let state = Mutex::new(Alive { child, leash: Some(leash), status: None });
        let echoes = Mutex::new(echoes);
        Ok(Self { name: name.to_owned(), pid, log, state, echoes, _log_home: None })
    }

    /// The name given at the start.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The child's process id; kept reserved by the kernel until its end has been seen here.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The file that holds what it printed.
    #[must_use]
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// What it printed so far; empty when the file cannot be read.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read(&self.log)
            .map_or_else(|_| String::new(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The last `lines_max` lines it printed, for messages.
    #[must_use]
    pub fn log_tail(&self, lines_max: usize) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(lines_max)..].join("\n")
    }

    /// How it ended, if it has; does not wait.
    #[must_use]
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.alive().reap()
    }

    /// True until its end has been seen.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.exit_status().is_none()
    }

    /// Sends a signal by name: `"TERM"`, `"INT"`, `"KILL"`, `"STOP"`, `"CONT"`. A child that has
    /// ended gets nothing, and that is no error. After `"STOP"` it stands still: the thread that the
    /// kernel tells may have to wait for a processor, and the others go on until it had its turn.
    ///
    /// # Errors
    ///
    /// The shell refused, such as for an unknown name, or a child that was to stand still does not.
    pub fn signal(&self, signal: &str) -> io::Result<()> {
        let mut alive = self.alive();
        if alive.reap().is_some() {
            return Ok(());
        }
        // Held under the lock and before reaping, so the id cannot have passed to a stranger.
        leash::send(signal, self.pid)?;
        if signal != "STOP" {
            return Ok(());
        }
        let still = || (stands_still(self.pid) || alive.reap().is_some()).then_some(());
        wait::until("a child to stand still", STILL_MAX, still).map_err(io::Error::other)
    }

    /// SIGKILL, then waits until the kernel has taken it away.
    pub fn kill9(&self) {
        self.alive().kill();
    }

    /// Waits for its end, at most `bound`; [`None`] when it still runs.
    #[must_use]
    pub fn wait_bounded(&self, bound: Duration) -> Option<ExitStatus> {
        wait::until("the end of a child", bound, || self.exit_status()).ok()
    }

    /// Asks it to end with SIGTERM, waits 30 seconds, then kills it. Says how it ended.
    pub fn stop(&self) -> Option<ExitStatus> {
        let _ = self.signal("TERM");
        let status = self.wait_bounded(STOP_MAX);
        if status.is_none() {
            self.kill9();
        }
        status.or_else(|| self.exit_status())
    }

    /// Waits until its output contains `text` and returns the whole line.
    ///
    /// # Errors
    ///
    /// [`NotSeen`] when it ends or `bound` passes without it; the message ends with the last lines
    /// of its output.
    pub fn wait_for_line(&self, text: &str, bound: Duration) -> Result<String, NotSeen> {
        let seen = || self.log().lines().find(|line| line.contains(text)).map(str::to_owned);
        let looked = wait::until(text, bound, || {
            // The end is asked for first: what was printed before it is then already in the file.
            let ended = !self.is_running();
            seen().map(Some).or(ended.then_some(None))
        });
        looked.ok().flatten().ok_or_else(|| NotSeen {
            name: self.name.clone(),
            text: text.to_owned(),
            status: self.exit_status(),
            tail: self.log_tail(20),
        })
    }

    fn alive(&self) -> MutexGuard<'_, Alive> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether every thread is stopped; where the kernel shows no threads, the signal alone has to do.
fn stands_still(pid: u32) -> bool {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return true };
    threads.flatten().all(|thread| {
        // A thread that has gone meanwhile does nothing.
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        let word = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        !word.starts_with(['R', 'S', 'D'])
    })
}

impl Alive {
    fn reap(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.child.try_wait().ok().flatten();
            if self.status.is_some() {
                self.leash = None;
            }
        }
        self.status
    }

    fn kill(&mut self) {
        if self.reap().is_none() {
            let _ = self.child.kill();
            self.status = self.child.wait().ok();
            self.leash = None;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill9();
        let mut echoes = self.echoes.lock().unwrap_or_else(PoisonError::into_inner);
        // A grandchild may hold the pipe open: only threads that are done are joined.
        for echo in echoes.drain(..).filter(JoinHandle::is_finished) {
            let _ = echo.join();
        }
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process").field("name", &self.name).field("pid", &self.pid).finish()
    }
}

/// A child did not print what was waited for.
#[derive(Debug)]
pub struct NotSeen {
    /// The child's name.
    pub name: String,
    /// The text waited for.
    pub text: String,
    /// How it ended; [`None`] when it still runs.
    pub status: Option<ExitStatus>,
    /// The last lines it printed.
    pub tail: String,
}

impl fmt::Display for NotSeen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, text, status, tail } = self;
        match status {
            Some(status) => write!(f, "{name} ended ({status}) before it printed {text:?}")?,
            None => write!(f, "{name} runs but has not printed {text:?}")?,
        }
        write!(f, "; its last lines:\n{tail}")
    }
}

impl std::error::Error for NotSeen {}
