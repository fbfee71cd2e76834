//! Children: output, signals, and what happens to them when their owner goes.

use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sandbox::{Logs, Process, TempDir, wait};

const BOUND: Duration = Duration::from_secs(20);

fn shell(script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]);
    command
}

/// True while a process with this id runs. One that ended but is not reaped yet does not count: who
/// adopts an orphan may take its time.
fn exists(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    if stat.contains(") Z ") {
        return false;
    }
    let asked = shell(&format!("kill -0 {pid}")).stderr(Stdio::null()).status();
    asked.expect("a shell").success()
}

#[test]
fn output_lands_in_the_log() {
    let process =
        Process::spawn("talker", shell("echo out; echo err >&2; exit 3")).expect("a shell");
    let status = process.wait_bounded(BOUND).expect("it ends");
    assert_eq!(status.code(), Some(3));
    assert_eq!(process.log(), "out\nerr\n");
    assert_eq!(process.log_tail(1), "err");
}

#[test]
fn lines_are_told_and_logged() {
    let dir = TempDir::new("logs").expect("temporary folder");
    let heard = Arc::new(Mutex::new(Vec::new()));
    let ears = Arc::clone(&heard);
    let logs = Logs::to(dir.path()).echo(move |name, line| {
        ears.lock().expect("no panic").push(format!("{name}: {line}"));
    });
    let process =
        Process::spawn_logged("talker", shell("echo one; echo two"), &logs).expect("a shell");
    wait::until("both lines", BOUND, || (heard.lock().expect("no panic").len() == 2).then_some(()))
        .expect("two lines");
    assert_eq!(*heard.lock().expect("no panic"), ["talker: one", "talker: two"]);
    assert_eq!(std::fs::read_to_string(process.log_path()).expect("a log"), "one\ntwo\n");
}

#[test]
fn a_term_can_be_caught_and_a_kill_cannot() {
    let script = "trap 'echo asked; exit 7' TERM; echo ready; while :; do read -r x; done";
    let waiting = || {
        let process = Process::spawn("waiter", shell(script)).expect("a shell");
        process.wait_for_line("ready", BOUND).expect("it starts");
        process
    };
    let asked = waiting();
    asked.signal("TERM").expect("a signal");
    assert_eq!(asked.wait_bounded(BOUND).expect("it ends").code(), Some(7));
    assert!(asked.log().contains("asked"));
    asked.signal("TERM").expect("one that ended gets nothing, and that is no error");

    let killed = waiting();
    killed.kill9();
    assert_eq!(killed.exit_status().expect("it ended").code(), None);
    assert!(!exists(killed.pid()));
}

#[test]
fn a_line_that_never_comes_ends_with_the_process() {
    let process = Process::spawn("failer", shell("echo no such port; exit 1")).expect("a shell");
    let missed = process.wait_for_line("listening", BOUND).expect_err("it never says so");
    let message = missed.to_string();
    assert!(message.contains("no such port") && message.contains("failer ended"), "{message}");
}

#[test]
fn dropping_kills() {
    let process = Process::spawn("sleeper", shell("exec tail -f /dev/null")).expect("a shell");
    let pid = process.pid();
    assert!(exists(pid));
    drop(process);
    assert!(!exists(pid));
}

/// Plays the owner in the test below; on its own it does nothing.
#[test]
fn owner_that_waits_to_be_killed() {
    let Some(told_in) = std::env::var_os("SANDBOX_TEST_OWNER") else { return };
    let child = Process::spawn("sleeper", shell("exec tail -f /dev/null")).expect("a shell");
    std::fs::write(&told_in, child.pid().to_string()).expect("a file");
    let _ = wait::until("the end", Duration::from_secs(60), || None::<()>);
}

#[test]
fn children_do_not_outlive_an_owner_killed_by_sigkill() {
    let dir = TempDir::new("owner").expect("temporary folder");
    let told_in = dir.path().join("pid");
    let mut owner = Command::new(std::env::current_exe().expect("this test"));
    owner.args(["--exact", "processes::owner_that_waits_to_be_killed"]);
    owner.env("SANDBOX_TEST_OWNER", &told_in);
    let owner = Process::spawn("owner", owner).expect("this test again");
    let pid: u32 = wait::until("the child's id", BOUND, || {
        std::fs::read_to_string(&told_in).ok()?.parse().ok()
    })
    .expect("the owner starts a child");
    assert!(exists(pid));
    owner.kill9();
    wait::until("the child's end", BOUND, || (!exists(pid)).then_some(())).expect("the leash");
}
