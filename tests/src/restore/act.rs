//! One act: a fleet at work, a copy, more work, a loss, the copy put back, and the verdict.

use super::Order;
use super::cast::{Cast, Group, pause_later_ones, waiting_ones};
use super::script::Script;
use crate::kit::{Ended, Fleet, Kept, Options, StopWatch};
use job::{By, Event, JobId, Record, State, StateWord};
use sandbox::{TempDir, wait};
use serde_json::{Value, json};
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;
use store::AuditLine;

/// Everybody who works.
const ROLES: [&str; 3] = ["submitter", "poller", "downloader"];
/// A quarantine waits, reads every intent and settles every job that was forgotten; the bound of the rollback test.
const THAW_MAX: Duration = Duration::from_secs(90);
/// Alarms of a pool in one act, and more.
const AUDIT_LINES: usize = 1_000;

/// As going live begins: strict, with reviews. Horizons are short.
const CONFIG: &str = "[pools.sim]\npolicy = \"strict\"\n[review]\nrequire = \"marked\"\n\
                      [submit]\nsend_deadline = \"1s\"\nlease = \"2s\"\nrenew = \"400ms\"\n";

/// Who lets creates go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The fleet died with its server: a person freezes, starts it, reconciles.
    Person,
    /// The fleet lives: it notices, reads its intents, and thaws.
    Fence,
}

/// Plays both acts beside each other, since both mostly wait, and prints a line of JSON for each.
///
/// # Panics
///
/// At the first thing that is not as it must be, with what it was.
#[must_use]
pub fn run(order: Order) -> ExitCode {
    let ended = std::thread::scope(|scope| {
        let acts = [Way::Person, Way::Fence].map(|way| scope.spawn(move || play(order, way)));
        acts.map(std::thread::ScopedJoinHandle::join)
    });
    for told in ended {
        let told = told.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let _ = writeln!(std::io::stdout(), "{told}");
    }
    ExitCode::SUCCESS
}

fn play(order: Order, way: Way) -> Value {
    let fleet = Fleet::start(Options::default().config(CONFIG));
    let act = Act { way, script: Script::of(&fleet), cast: Cast::of(order.each), fleet: &fleet };
    let target = TempDir::new("backups").expect("a temporary folder");
    let mut told = json!({"drill": "restore", "way": format!("{way:?}").to_lowercase()});

    let then = act.before();
    let watch = StopWatch::start();
    let backup = match way {
        Way::Person => act.script.take(target.path()),
        Way::Fence => act.script.dump(target.path()),
    };
    told["backup_s"] = seconds(&watch);
    told["backup_holds"] = json!(act.script.check(&backup));
    let since = act.after(&then);
    told["bought_after_the_copy"] = json!(act.bought_since(&since));

    act.lose_everything();
    let watch = StopWatch::start();
    act.script.restore(&backup);
    fleet.redis().restart().unwrap_or_else(|error| panic!("no server on the copy: {error}"));
    // This process's own connection has to find the server again.
    fleet.until("Redis", || fleet.run(fleet.store().now()).ok());
    told["restored_s"] = seconds(&watch);
    let recovered = match way {
        Way::Person => act.by_a_person(&then, &since),
        Way::Fence => act.by_itself(),
    };
    told["thawed_s"] = seconds(&watch);
    told["recovered"] = recovered;
    act.nothing_was_sent_while_frozen();
    let Kept { stored, parked } = act.verdict(&then, &since);
    told["all_home_s"] = seconds(&watch);
    told["stored"] = json!(stored);
    told["parked"] = json!(parked);
    // What does not hold has ended the run.
    for name in ["twice", "paid_and_lost", "creates_while_frozen"] {
        told[name] = json!(0);
    }
    told
}

fn seconds(watch: &StopWatch) -> Value {
    json!((watch.elapsed().as_secs_f64() * 10.0).round() / 10.0)
}

/// Jobs that the copy knows.
struct Then {
    done: Vec<JobId>,
    storm: Vec<JobId>,
    parked: Vec<JobId>,
    stopped: Vec<JobId>,
    held: Vec<JobId>,
    waits: Vec<JobId>,
    long: Vec<JobId>,
}

impl Then {
    /// Where they stand for as long as nobody does anything about them; the long ones go on by themselves.
    fn lasting(&self) -> [(&[JobId], StateWord); 6] {
        [
            (&self.done, StateWord::Succeeded),
            (&self.storm, StateWord::Failed),
            (&self.parked, StateWord::Parked),
            (&self.stopped, StateWord::Cancelled),
            (&self.held, StateWord::Held),
            (&self.waits, StateWord::Queued),
        ]
    }
}

/// Jobs that came after it.
struct Since {
    late: Vec<JobId>,
    never: Vec<JobId>,
}

struct Act<'a> {
    way: Way,
    fleet: &'a Fleet,
    script: Script<'a>,
    cast: Cast,
}

impl Act<'_> {
    /// Jobs in every state that lasts, and some that are at work.
    fn before(&self) -> Then {
        let (fleet, cast) = (self.fleet, &self.cast);
        fleet.faults(&json!({
            "create": [{"kind": "drop_after_read", "match": {"text": "mark-parked"}}],
            "task": [
                {"kind": "failed", "code": "InternalServiceError", "match": {"text": "mark-storm"}},
                {"kind": "runs_for", "ms": 5000, "match": {"text": "mark-long"}},
            ],
        }));
        waiting_ones(fleet, "pause");
        let then = Then {
            done: cast.done.ask(fleet),
            storm: cast.storm.ask(fleet),
            parked: cast.parked.ask(fleet),
            stopped: cast.stopped.ask(fleet),
            held: cast.held.ask(fleet),
            waits: cast.waits.ask(fleet),
            long: Vec::new(),
        };
        then.stopped.iter().for_each(|id| fleet.cancel(id));
        for (ids, word) in then.lasting() {
            for id in ids {
                fleet.wait(id, word.as_str());
            }
        }
        let long = cast.long.ask(fleet);
        for id in &long {
            fleet.until("work under way", || fleet.record(id).life.tasks().next().map(drop));
        }
        Then { long, ..then }
    }

    /// What the copy does not know: purchases for jobs of then, by the queue and by a person's word, jobs that came
    /// and were bought, jobs that came and were not.
    fn after(&self, then: &Then) -> Since {
        let (fleet, cast) = (self.fleet, &self.cast);
        fleet.faults(&json!({}));
        waiting_ones(fleet, "resume");
        let ordered = Event::ResendOrdered { by: By::named("drill"), reason: "seen".to_owned() };
        fleet.report(&then.parked[0], &ordered);
        pause_later_ones(fleet);
        let since = Since { late: cast.late.ask(fleet), never: cast.never.ask(fleet) };
        let wanted: Vec<String> =
            [cast.waits.marks(), cast.late.marks(), cast.parked.marks()[..1].to_vec()].concat();
        fleet.until("purchases to forget", || {
            let bought = fleet.ledger().bought();
            wanted.iter().all(|mark| bought.contains_key(mark)).then_some(())
        });
        // One of them has its video and its manifest already.
        fleet.wait(&since.late[0], "succeeded");
        since
    }

    /// Tasks that were made after the copy.
    fn bought_since(&self, since: &Since) -> usize {
        // The first of the parked and whoever waited; the marks of those who came later are their own.
        since.late.len() + self.cast.waits.marks().len() + 1
    }

    /// The machine of the server is gone; with it, or not, those of the fleet.
    fn lose_everything(&self) {
        if self.way == Way::Person {
            ROLES.iter().for_each(|role| self.fleet.kill9(role));
        }
        let redis = self.fleet.redis();
        redis.kill9();
        std::fs::remove_dir_all(redis.dir().join("appendonlydir")).expect("the files are ours");
    }

    /// What `docs/backup.md` has a person do, and what must be so meanwhile.
    fn by_a_person(&self, then: &Then, since: &Since) -> Value {
        let fleet = self.fleet;
        for (ids, word) in then.lasting() {
            for id in ids {
                assert_eq!(fleet.record(id).life.state.word(), word, "{id} in the copy");
            }
        }
        for id in since.late.iter().chain(&since.never) {
            let known = fleet.run(fleet.store().load(id)).expect("Redis answers");
            assert!(known.is_none(), "the copy knows {id}, which came after it");
        }
        let why = ["--reason", "restored from a copy"];
        let frozen = fleet.cli(&["freeze", why[0], why[1]]);
        assert_eq!(frozen.code, 0, "{frozen:?}");
        ROLES.iter().for_each(|role| drop(fleet.start_role(role)));
        // Everything else goes on.
        fleet.wait_stored(&then.long);
        // This process remembers, as a gateway elsewhere may. What a person stopped, it does not let go.
        fleet.until("Redis", || fleet.run(fleet.store().watch()).ok());
        assert!(fleet.is_frozen(), "nobody has looked yet");

        let words = ["reconcile", "--json", "-q", "--after-restore", "--yes", why[0], why[1]];
        let report = told(&fleet.cli(&words), &[0, 3]);
        assert!(!fleet.is_frozen(), "a person lets creates go on: {report:#}");
        let recovered = &report["recovered"];
        assert_eq!(recovered["restored"], json!(since.late.len()), "{report:#}");
        // Those who waited, and the one that a person sent again.
        assert_eq!(recovered["doubted"], json!(then.waits.len() + 1), "{report:#}");
        assert_eq!(recovered["unreadable"], json!(0), "{report:#}");
        recovered.clone()
    }

    /// The fleet notices, and lets itself go on.
    fn by_itself(&self) -> Value {
        for alarm in ["frozen", "thawed"] {
            let seen = wait::until(alarm, THAW_MAX, || {
                self.alarms().iter().any(|line| line.alarm == alarm).then_some(())
            });
            seen.unwrap_or_else(|missed| panic!("{missed}"));
        }
        let thawed = self.alarms().into_iter().find(|line| line.alarm == "thawed");
        json!(thawed.and_then(|line| line.reason))
    }

    /// Newest first; none while the server is away.
    fn alarms(&self) -> Vec<AuditLine> {
        self.fleet.run(self.fleet.store().audit(AUDIT_LINES)).unwrap_or_default()
    }

    /// No create reached the provider between the first freeze and the thaw, by the stamps of its machine.
    fn nothing_was_sent_while_frozen(&self) {
        let lines = self.alarms();
        let at = |line: &AuditLine| line.at.unix_ms();
        let frozen = lines.iter().rev().find(|line| line.alarm == "frozen").map(at);
        let thawed = lines.iter().find(|line| line.alarm == "thawed").map(at);
        let (Some(frozen), Some(thawed)) = (frozen, thawed) else {
            panic!("it was frozen and thawed: {lines:#?}")
        };
        let came = |line: &Value| {
            let by_kernel = line["arrived_us"].as_i64().map(|us| us / 1_000);
            by_kernel.or(line["at_ms"].as_i64()).expect("every line has a time")
        };
        let ledger = self.fleet.ledger();
        let sent: Vec<&Value> = ledger
            .events("create_seen")
            .filter(|line| (frozen..thawed).contains(&came(line)))
            .collect();
        assert!(sent.is_empty(), "sent between {frozen} and {thawed}: {sent:#?}");
    }

    /// Everybody asks again; then books, ledger and bucket must tell one story.
    fn verdict(&self, then: &Then, since: &Since) -> Kept {
        let fleet = self.fleet;
        // The copy remembers the pause, and nobody remembers that it ended.
        waiting_ones(fleet, "resume");
        let groups = self.cast.wanted();
        let ids: Vec<JobId> = groups.iter().flat_map(|group| group.ask(fleet)).collect();
        let known = [&then.done, &then.parked, &then.waits, &then.long, &since.late];
        for id in known.into_iter().flatten() {
            assert!(ids.contains(id), "{id} came back under its own name");
        }
        let records = fleet.wait_settled(&ids);
        let marks = groups.iter().flat_map(Group::marks);
        let kept = fleet.kept(marks.zip(&records));
        let of = |id: &JobId| records.iter().find(|record| record.id == *id).expect("asked for");
        assert_eq!(
            of(&then.parked[0]).life.state.word(),
            StateWord::Succeeded,
            "sent again, found"
        );
        assert!(matches!(of(&then.parked[1]).life.state, State::Parked { .. }), "bought nothing");
        for record in records.iter().filter(|record| is_stored(record)) {
            let manifest = fleet.verified_manifest(record);
            let billed = fleet.ledger().billed_to(record);
            let output = manifest.output().expect("a stored video");
            assert_eq!(output.sha256, billed[0].video_sha256, "{}", record.id);
        }
        for (ids, word) in then.lasting() {
            let lasts = matches!(word, StateWord::Held | StateWord::Failed | StateWord::Cancelled);
            for id in ids.iter().filter(|_| lasts) {
                assert_eq!(fleet.record(id).life.state.word(), word, "{id}");
            }
        }
        let all = [ids, then.storm.clone(), then.stopped.clone()].concat();
        fleet.audit(&all);
        // Nobody's tasks, and tasks that the provider does not know, would be told here.
        told(&fleet.cli(&["reconcile", "--json", "-q"]), &[0]);
        kept
    }
}

fn is_stored(record: &Record) -> bool {
    record.life.state.word() == StateWord::Succeeded
}

/// The report of a command that ended with one of these codes.
fn told(ended: &Ended, codes: &[i32]) -> Value {
    assert!(codes.contains(&ended.code), "{ended:?}");
    ended.json()
}
