//! A job's whole life through the real programs, counted and timed by Redis itself.

use crate::figure::{self, Figure};
use crate::order::Order;
use crate::server::{Counters, Monitor, time_commands, timed};
use crate::stage::{Caller, columns, cpu_us, street as streets, until_count};
use e2e::kit::{Fleet, Receiver};
use job::StateWord;
use sandbox::wait;
use std::time::{Duration, Instant};

const JOBS: usize = 2_000;
/// A server that is listened to is slow: so many are enough to count.
const COUNTED: usize = 500;
const PROGRAMS: [&str; 5] = ["gateway", "submitter", "poller", "downloader", "notifier"];
/// What the last job leaves to be done, in looks at the memory that must agree.
const STILL_FOR: Duration = Duration::from_secs(1);
const STILL_MAX: Duration = Duration::from_secs(20);

/// Throughput, and what a job costs Redis and the programs.
#[must_use]
pub fn street(order: &Order) -> Vec<Figure> {
    let jobs = order.sized(JOBS);
    let receiver = Receiver::start();
    let mut runs = Vec::new();
    let mut programs = Vec::new();
    for run in 0..order.runs {
        let fleet = Fleet::start(streets(&receiver));
        let caller = Caller::of(&fleet);
        caller.tell(&receiver);
        walk(&caller, "warm", 20, 20);
        let cpu = || PROGRAMS.map(|name| cpu_us(fleet.role(name).pid()));
        let (before, cpu_before) = (Counters::of(fleet.redis()), cpu());
        let begun = Instant::now();
        walk(&caller, &format!("run {run}"), jobs, 20 + jobs);
        let took = begun.elapsed().as_secs_f64();
        rest(&fleet);
        let spent = Counters::of(fleet.redis()).since(&before);
        let each = |value: f64| value / jobs as f64;
        let scripts = spent.calls.get("evalsha").copied().unwrap_or(0.0);
        runs.push([
            jobs as f64 / took,
            each(scripts),
            each(spent.commands()),
            each(spent.cpu_us),
            each(spent.bytes),
        ]);
        let cpu_after = cpu();
        programs.push(std::array::from_fn::<f64, 5, _>(|at| each(cpu_after[at] - cpu_before[at])));
    }
    let [rate, scripts, commands, cpu_us, bytes] = columns(&runs);
    let mut figures = vec![
        Figure::new("the whole street", "jobs/s", rate)
            .noting("second fence on, every file and its folder forced to disk, one process of each kind, all on this machine"),
        Figure::new("scripts called, per job", "", scripts),
        Figure::new("commands at Redis, inside scripts as well, per job", "", commands),
        Figure::new("Redis processor time, per job", "µs", cpu_us).at_most(300.0),
        Figure::new("Redis, per finished job", "bytes", bytes).at_most(300.0),
    ];
    for (name, us) in PROGRAMS.iter().zip(columns(&programs)) {
        figures.push(Figure::new(format!("processor time of {name}, per job"), "µs", us));
    }
    figures
}

/// Who asks Redis for what.
#[must_use]
pub fn commands(order: &Order) -> Vec<Figure> {
    figure::together((0..order.runs).map(|_| counted(order)))
}

fn counted(order: &Order) -> Vec<Figure> {
    let jobs = order.sized(COUNTED);
    let receiver = Receiver::start();
    let fleet = Fleet::start(streets(&receiver));
    let caller = Caller::of(&fleet);
    caller.tell(&receiver);
    walk(&caller, "warm", 20, 20);
    rest(&fleet);

    let monitor = Monitor::start(fleet.redis().port());
    walk(&caller, "counted", jobs, 20 + jobs);
    let heard = monitor.stop();
    let each = |count: u64| count as f64 / jobs as f64;
    let asked: u64 = heard.asked.values().sum();
    let inside: u64 = heard.inside.values().sum();
    let mut figures = vec![
        Figure::new("commands of clients, per job", "", vec![each(asked)]).at_most(6.0).noting(
            format!("counted by MONITOR over {jobs} jobs, idle looks of five programs included"),
        ),
        Figure::new("commands inside scripts, per job", "", vec![each(inside)]),
    ];
    rest(&fleet);
    time_commands(fleet.redis());
    let before = Counters::of(fleet.redis());
    walk(&caller, "timed", jobs, 20 + 2 * jobs);
    let cpu_us = Counters::of(fleet.redis()).since(&before).cpu_us / jobs as f64;
    let times = timed(fleet.redis());
    let mut rows: Vec<_> = heard.asked.iter().filter(|(_, calls)| each(**calls) >= 0.01).collect();
    rows.sort_by_key(|(_, calls)| std::cmp::Reverse(**calls));
    for (name, calls) in rows {
        let inside = heard.inside.get(name).copied().unwrap_or(0);
        let us = times.get(name).map_or(0, |(_, us)| *us);
        let note = match (inside, us) {
            (0, 0) => String::new(),
            _ => format!("{:.1} commands inside a job, {:.0} µs a job", each(inside), each(us)),
        };
        let what = format!("`{name}`, per job");
        figures.push(Figure::new(what, "", vec![each(*calls)]).noting(note));
    }
    let scripts_us: u64 = times.values().map(|(_, us)| us).sum();
    figures.push(
        Figure::new("time inside scripts, per job", "µs", vec![each(scripts_us)]).noting(format!(
            "of {cpu_us:.0} µs of processor time of the server in that run: the rest is reading and writing \
             sockets, the append-only file and single commands"
        )),
    );
    figures
}

/// Takes so many jobs in by bulk and waits until so many in all are stored.
pub(super) fn walk(caller: &Caller<'_>, wave: &str, jobs: usize, stored: usize) {
    let _ = caller.bulk(wave, jobs);
    until_count(caller.fleet, StateWord::Succeeded, stored);
}

/// Waits until nothing more leaves or enters the memory.
pub(super) fn rest(fleet: &Fleet) {
    let mut last = (Counters::of(fleet.redis()).bytes, Instant::now());
    // A fleet that never rests is measured as it is.
    let _ = wait::until("a memory that stays", STILL_MAX, || {
        let bytes = Counters::of(fleet.redis()).bytes;
        if (bytes - last.0).abs() > 4_096.0 {
            last = (bytes, Instant::now());
        }
        (last.1.elapsed() >= STILL_FOR).then_some(())
    });
}
