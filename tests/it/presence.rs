//! Who is at work is told by beats: neither a submitter that cannot begin yet is missed, nor one that is held up found
//! at its post.

use e2e::kit::{Ended, Fleet, Options, StopWatch, text};
use seedance::SlotClass;
use std::time::Duration;
use store::SILENT_AFTER;

const RATE: &str =
    "\n\nThe rate of creates limits: slots are free, and jobs wait for their instant";
const SILENT: &str = "\n\nNo submitter runs: the last one has been silent for ";

/// How long ago the submitter told that it lives; none: it never did, or a minute ago.
fn silence(fleet: &Fleet) -> Option<Duration> {
    let live = fleet.run(fleet.store().fleet().live_processes()).expect("Redis answers");
    let is = |process: &&store::LiveProcess| {
        process.about.as_ref().is_some_and(|about| about.role == "submitter")
    };
    live.iter().filter(is).map(|process| process.silent_for).min()
}

fn shown(fleet: &Fleet) -> Ended {
    let told = fleet.cli(&["-q", "limits", "show"]);
    assert_eq!(told.code, 0, "{told:?}");
    told
}

/// What is told while the submitter beats for certain, however slow this machine is.
fn shown_while_it_beats(fleet: &Fleet) -> Ended {
    fleet.until("a look between two beats", || {
        let (before, watch) = (silence(fleet)?, StopWatch::start());
        let told = shown(fleet);
        (before + watch.elapsed() < SILENT_AFTER).then_some(told)
    })
}

/// An account whose creates are counted: the first one waits until all that may be under way has left the window, which
/// takes more than a minute, so no ticket is in anybody's hand.
fn slow_account() -> Fleet {
    let limits =
        "[pools.sim.accounts.a.limits.classes]\n\"2.0\" = { create_rpm = 1, running = 60 }\n";
    Fleet::start(Options { roles: vec!["submitter"], ..Options::default() }.config(limits))
}

#[test]
fn a_submitter_that_waits_for_an_instant_is_at_work_and_one_that_is_held_up_is_not() {
    let fleet = slow_account();
    fleet.until("the submitter's first beat", || silence(&fleet));
    fleet.admit_many((0..6).map(|n| text(&format!("waits {n}")).into()));
    let row = fleet.store().keys().creates("a", SlotClass::V20);
    fleet.until("a claim that finds no instant", || {
        let there = fleet.redis().command(&["EXISTS", &row]).expect("Redis answers");
        (there == "1").then_some(())
    });
    let told = shown_while_it_beats(&fleet);
    assert!(told.stdout.contains(RATE) && !told.stdout.contains("No submitter"), "{told:?}");

    fleet.until("how far away the first one is", || {
        shown(&fleet).stdout.contains(", the first of which is ").then_some(())
    });

    let submitter = fleet.role("submitter");
    submitter.signal("STOP").expect("a signal");
    let told = fleet.until("a submitter that is missed", || {
        let told = shown(&fleet).stdout;
        told.contains(SILENT).then_some(told)
    });
    let workers = fleet.cli(&["-o", "json", "workers"]).json();
    assert_eq!(workers["submitter"]["at_work"], 0, "{workers}");
    assert!(told.contains(" jobs wait to be bought."), "{told}");
    assert!(
        told.contains("  next: seedfleet schema status (docs/runbooks/role-missing.md)"),
        "{told}"
    );
    submitter.signal("CONT").expect("a signal");
    fleet.until("a submitter that is back", || shown(&fleet).stdout.contains(RATE).then_some(()));
    fleet.until("one that is counted", || {
        let workers = fleet.cli(&["-o", "json", "workers"]).json();
        (workers["submitter"]["at_work"] == 1 && workers["submitter"]["silent"] == 0).then_some(())
    });
    let audit = fleet.run(fleet.store().audit(100)).expect("Redis answers");
    let pushed = audit.iter().any(|line| line.alarm == "clock_set_back");
    assert!(!pushed, "each look pushes the first instant back: {audit:?}");
}

#[test]
fn jobs_of_a_paused_tenant_miss_no_submitter() {
    let fleet = Fleet::start(Options { roles: vec!["submitter"], ..Options::default() });
    let pause = ["queue", "pause", "--tenant", "default", "--reason", "a look", "--by", "ann"];
    let paused = fleet.cli(&[&pause[..], &["--until-resumed", "--yes"]].concat());
    assert_eq!(paused.code, 0, "{paused:?}");
    fleet.admit_many((0..3).map(|n| text(&format!("rests {n}")).into()));
    let told = shown_while_it_beats(&fleet);
    let words =
        "\n\n3 jobs are due, and their tenants are paused or have in flight what they may have.";
    assert!(told.stdout.contains(words), "{told:?}");
    assert!(told.stdout.contains("Paused: creates of tenant default by ann"), "{told:?}");
}
