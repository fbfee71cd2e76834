//! `seedfleet top` on a real terminal: what a person sees, what a key does to the fleet, and that the terminal is given
//! back however it ends.

use e2e::kit::{BOUND, Fleet, Options, text};
use job::JobId;
use pty_process::blocking::{Command, Pts, Pty, open};
use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::{LocalModes, tcgetattr};
use serde_json::json;
use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::process::Child;
use std::sync::{Arc, Mutex, MutexGuard};
use store::{ListQuery, PauseScope};

const DOWN: &str = "\x1b[B";
const ESC: &str = "\x1b";
const CTRL_C: &str = "\x03";

/// A program on a terminal of its own, and the screen as a person sees it.
struct Terminal {
    child: Child,
    pty: Arc<Pty>,
    /// The program's side, kept open: what it wrote last is still read when it has ended.
    pts: Pts,
    screen: Arc<Mutex<vt100::Parser>>,
}

fn size(n: u16) -> NonZeroU16 {
    NonZeroU16::new(n).unwrap()
}

impl Terminal {
    fn start(fleet: &Fleet, args: &[&str], env: &[(&str, &str)]) -> Self {
        let (rows, columns) = (40, 140);
        let (pty, pts) = open().unwrap();
        pty.resize(pty_process::Size::new(rows, columns)).unwrap();
        let plain = fleet.command(&[&["top", "--by", "ann"], args].concat());
        let command = Command::new(plain.get_program()).args(plain.get_args()).env_clear();
        let command = command.current_dir(fleet.path("")).env("SEEDFLEET_ETC", "/nonexistent");
        let mut command = command.env("TERM", "xterm-256color").envs(env.iter().copied());
        let child = command.spawn_borrowed(&pts).unwrap();
        let screen = Arc::new(Mutex::new(vt100::Parser::new(size(rows), size(columns), 0)));
        let (pty, seen) = (Arc::new(pty), Arc::clone(&screen));
        let reads = Arc::clone(&pty);
        // It ends when both sides of the terminal are closed.
        std::thread::spawn(move || {
            let mut bytes = [0; 4_096];
            while let Ok(n @ 1..) = (&*reads).read(&mut bytes) {
                seen.lock().unwrap().process(&bytes[..n]);
            }
        });
        Self { child, pty, pts, screen }
    }

    fn parser(&self) -> MutexGuard<'_, vt100::Parser> {
        self.screen.lock().unwrap()
    }

    /// What stands on the screen.
    fn page(&self) -> String {
        self.parser().screen().contents()
    }

    /// Waits until the screen shows all of these.
    #[track_caller]
    fn shows(&self, words: &[&str]) -> String {
        self.until(&format!("{words:?}"), |page| words.iter().all(|word| page.contains(word)))
    }

    #[track_caller]
    fn until(&self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        let seen = sandbox::wait::until(what, BOUND, || {
            let page = self.page();
            is_so(&page).then_some(page)
        });
        seen.unwrap_or_else(|missed| panic!("{missed}; on the screen:\n{}", self.page()))
    }

    fn press(&self, keys: &str) {
        (&*self.pty).write_all(keys.as_bytes()).unwrap();
    }

    /// Until all is drawn anew: of keys that come together with a new size the program's library hears when the next
    /// one comes.
    fn resize(&self, rows: u16, columns: u16) -> String {
        self.parser().set_size(size(rows), size(columns));
        self.pty.resize(pty_process::Size::new(rows, columns)).unwrap();
        self.until("the keys in the last line", |page| {
            let lines: Vec<&str> = page.lines().collect();
            let last = lines.last().is_some_and(|line| line.starts_with("[q]uit"));
            lines.len() == usize::from(rows) && last
        })
    }

    /// Whether lines are edited and shown by the terminal itself, and Ctrl-C interrupts: as a shell wants it.
    fn is_plain(&self) -> bool {
        let modes = tcgetattr(&self.pts).unwrap().local_modes;
        modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Its exit code; the terminal is as it was before.
    #[track_caller]
    fn ends(mut self) -> i32 {
        let status = sandbox::wait::until("the end", BOUND, || self.child.try_wait().unwrap());
        let status = status.unwrap_or_else(|missed| panic!("{missed}:\n{}", self.page()));
        assert!(self.is_plain(), "raw modes stay behind");
        self.until("the screen of before", |_| {
            let parser = self.parser();
            !parser.screen().alternate_screen() && !parser.screen().hide_cursor()
        });
        status.code().unwrap_or_else(|| panic!("{status}"))
    }

    /// Cells in a colour of their own.
    fn colours(&self) -> usize {
        let parser = self.parser();
        let (rows, columns) = parser.screen().size();
        let cells =
            (0..rows.get()).flat_map(|row| (0..columns.get()).map(move |column| (row, column)));
        let plain = vt100::Color::Default;
        let of = |(row, column)| {
            let cell = parser.screen().cell(row, column)?;
            Some(cell.fgcolor() != plain || cell.bgcolor() != plain)
        };
        cells.filter(|at| of(*at) == Some(true)).count()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Films that run as long as the test does.
fn long() -> Options {
    Options::default().simulator(&["--run-s", "3000-3000", "--queue-s", "0-0"])
}

fn films(fleet: &Fleet, n: usize) -> Vec<JobId> {
    let film = |n: usize| text(&format!("boat {n}")).with("custom_id", format!("row-{n}")).into();
    let ids = fleet.admit_many((1..=n).map(film));
    for id in &ids {
        fleet.wait(id, "running");
    }
    ids
}

#[test]
fn a_person_watches_filters_pauses_a_step_and_opens_a_job() {
    let fleet = Fleet::start(long());
    let ids = films(&fleet, 3);
    let terminal = Terminal::start(&fleet, &[], &[]);
    let page = terminal.shows(&["states  running 3", "3/60 [", "row-1", "row-3", "[q]uit"]);
    for words in
        ["seedfleet sim  byteplus (simulated)", "url-ttl min -", "LIMITED BY", "FAILED 15m  none"]
    {
        assert!(page.contains(words), "{words}:\n{page}");
    }
    assert!(!terminal.is_plain(), "keys come one by one");
    assert!(terminal.colours() > 0);

    // Another size: everything finds its place again.
    assert!(terminal.resize(24, 80).contains("row-3"));
    terminal.resize(40, 140);

    // The same filters as everywhere, with the same answers to wrong ones.
    terminal.press("/stat=running\r");
    terminal.shows(&["filter stat=running", "state"]);
    terminal.press("\x15custom_id=row-2\r");
    let page = terminal.shows(&["jobs: custom_id=row-2: 1"]);
    assert!(page.contains(ids[1].as_str()) && !page.contains(ids[0].as_str()), "{page}");
    terminal.press(ESC);
    terminal.shows(&["jobs: all: 3", ids[0].as_str()]);

    // Nothing is paused without a reason; with one it is, as by `queue pause`.
    terminal.press("p");
    terminal.shows(&["which step?", "pause all creates"]);
    terminal.press("\r");
    terminal.shows(&["pause for an hour: all creates; why?"]);
    terminal.press("\r");
    terminal.shows(&["a reason is needed"]);
    assert_eq!(fleet.run(fleet.store().pauses()).unwrap(), []);
    terminal.press("incident 7\r");
    terminal.shows(&["submit PAUSED", "Nothing is bought: paused all creates by ann"]);
    let pauses = fleet.run(fleet.store().pauses()).unwrap();
    assert_eq!((&pauses[0].scope, pauses[0].reason.as_str()), (&PauseScope::Submit, "incident 7"));
    assert!(pauses[0].until.is_some(), "it ends by itself: {pauses:?}");
    let waits = fleet.admit(text("it waits").with("custom_id", "row-4"));
    terminal.shows(&["queued 1", "waiting 1", "row-4"]);
    assert_eq!(fleet.record(&waits).life.attempts_begun, 0);
    terminal.press("p");
    terminal.shows(&["resume all creates"]);
    terminal.press("\rover\r");
    terminal.shows(&["states  running 4", "4/60 ["]);
    assert_eq!(fleet.run(fleet.store().pauses()).unwrap(), []);
    let audit = fleet.cli(&["audit", "--alarms"]).stdout;
    assert!(audit.contains("incident 7") && audit.contains("over"), "{audit}");

    // The newest is on top; one line below it is one of the three.
    let listed = fleet.run(fleet.store().list(&ListQuery::default())).unwrap().items;
    let second = &listed[1].record;
    assert!(listed[0].record.id == waits && ids.contains(&second.id));
    terminal.press(DOWN);
    terminal.press("\r");
    let prompt = second.spec.request.prompt().unwrap();
    terminal.shows(&[&format!("── {}", second.id), "prompt", prompt, "accepted"]);
    terminal.press(ESC);
    terminal.shows(&["jobs: all: 4"]);
    terminal.press("f");
    terminal.shows(&["no failure waits for anybody"]);
    terminal.press("q");
    assert_eq!(terminal.ends(), 0);
}

#[test]
fn the_terminal_is_given_back_however_it_ends() {
    let fleet = Fleet::start(Options::empty());
    for (name, signal) in [("TERM", Signal::TERM), ("INT", Signal::INT), ("HUP", Signal::HUP)] {
        let terminal = Terminal::start(&fleet, &[], &[]);
        terminal.shows(&["states  none"]);
        terminal.signal(signal);
        assert_eq!(terminal.ends(), 130, "{name}");
    }
    // In the middle of a question as well.
    let terminal = Terminal::start(&fleet, &["--interval", "200ms"], &[("NO_COLOR", "1")]);
    terminal.shows(&["states  none", "no job fits"]);
    assert_eq!(terminal.colours(), 0, "as NO_COLOR asks");
    terminal.press("/q");
    terminal.shows(&["filter q"]);
    terminal.press(CTRL_C);
    assert_eq!(terminal.ends(), 130);
    // And where Redis has died: the last look stays, and says that it is old.
    let terminal = Terminal::start(&fleet, &["--interval", "200ms"], &[]);
    terminal.shows(&["states  none"]);
    fleet.redis().kill9();
    terminal.shows(&["NOT UP TO DATE", "states  none"]);
    fleet.redis().restart().expect("it starts again on its data");
    terminal.until("a new look", |page| !page.contains("NOT UP TO DATE"));
    terminal.press("q");
    assert_eq!(terminal.ends(), 0);
}

#[test]
fn without_a_terminal_there_is_one_picture_or_a_sentence() {
    let fleet = Fleet::start(Options::default());
    let mut failure = json!({"kind": "failed", "match": {"text": "doomed"}});
    failure["code"] = json!("InternalServiceError");
    fleet.faults(&json!({"task": [failure]}));
    let doomed = fleet.admit(text("doomed"));
    let fine = fleet.admit(text("fine"));
    fleet.wait(&doomed, "failed");
    fleet.wait(&fine, "succeeded");
    let refused = fleet.cli(&["top"]);
    assert_eq!((refused.code, refused.stdout.as_str()), (2, ""), "{refused:?}");
    assert!(refused.stderr.contains("seedfleet queue status"), "{refused:?}");
    let once = fleet.cli(&["top", "--once", "--where", "state=succeeded"]);
    assert_eq!(once.code, 0, "{once:?}");
    for words in [
        "states  succeeded 1 · failed 1",
        "FAILED 15m  InternalServiceError 1",
        "jobs: state=succeeded: 1",
        fine.as_str(),
    ] {
        assert!(once.stdout.contains(words), "{words}:\n{}", once.stdout);
    }
    assert!(!once.stdout.contains(doomed.as_str()), "{}", once.stdout);
    assert!(!once.stdout.contains('\u{1b}'), "no colours in a pipe: {}", once.stdout);
    assert_eq!(fleet.cli(&["top", "--once", "--interval", "1ms"]).code, 2);
}
