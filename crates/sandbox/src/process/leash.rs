//! What ends a child when its owner cannot.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

/// A shell that waits for our end of a pipe to close and then kills the child.
pub(super) struct Leash {
    /// Its standard input is the pipe; the kernel closes our end however we end.
    shell: Child,
}

impl Leash {
    pub(super) fn tie(pid: u32) -> io::Result<Self> {
        let shell = Command::new("/bin/sh")
            .args(["-c", "read -r _; kill -KILL \"$1\"", "leash", &pid.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        Ok(Self { shell })
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        let _ = self.shell.kill();
        // Waiting closes the pipe; the shell is dead by then and kills nobody.
        let _ = self.shell.wait();
    }
}

/// Sends a signal through the shell's own `kill`: the program of that name is missing on small
/// systems, and the standard library can send SIGKILL only.
pub(super) fn send(signal: &str, pid: u32) -> io::Result<()> {
    let sent = Command::new("/bin/sh")
        .args(["-c", "kill -s \"$1\" \"$2\"", "signal", signal, &pid.to_string()])
        .stdin(Stdio::null())
        .output()?;
    if sent.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&sent.stderr).trim().to_owned();
    Err(io::Error::other(format!("cannot send {signal} to process {pid}: {said}")))
}
