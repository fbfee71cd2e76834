//! The rows: each measures one promise of the design, a few times.

mod idle;
mod import;
mod instant;
mod intake;
mod left;
mod life;
mod limits;
mod raw;
mod reads;
mod rest;
mod slots;
mod start;
mod tending;
mod urgent;
mod watch;

use crate::figure::Figure;
use crate::order::Order;

/// One row of the page.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is, in words.
    pub about: &'static str,
    /// Takes minutes: measured only when named, or with `--long`.
    pub slow: bool,
    /// Measures.
    pub run: fn(&Order) -> Vec<Figure>,
}

const fn row(name: &'static str, about: &'static str, run: fn(&Order) -> Vec<Figure>) -> Row {
    Row { name, about, slow: false, run }
}

const fn slow(name: &'static str, about: &'static str, run: fn(&Order) -> Vec<Figure>) -> Row {
    Row { name, about, slow: true, run }
}

/// Every row, in the order of the page.
pub const ROWS: &[Row] = &[
    row("raw", "the machine's limit: pipelined Redis, HTTP to the simulator", raw::run),
    row("bulk", "jobs taken in by bulk, what a waiting job takes, lists over them", intake::bulk),
    row(
        "import",
        "a file of 100,000 rows taken in by the command line, and once more",
        import::usual,
    ),
    row(
        "posts",
        "single jobs at a steady rate, alone and under a flood of forged callbacks",
        intake::posts,
    ),
    row(
        "idle",
        "from the caller's POST to the create at the provider, on a fleet that rests",
        idle::run,
    ),
    row(
        "life",
        "the whole street: HTTP, create, reads, 256 KiB film, bucket, webhook; separate processes",
        life::street,
    ),
    row(
        "commands",
        "who sends how many commands to Redis, and what each script takes",
        life::commands,
    ),
    row(
        "instant",
        "whole life in Redis alone: real admit, claim, begin, commit with steps that answer at once",
        instant::run,
    ),
    row(
        "tending",
        "300,000 tasks in flight, each looked at every 15 s by one process",
        tending::run,
    ),
    row("urgent", "an urgent job under a full backlog", urgent::run),
    slow("left", "what a finished job takes in Redis once its record is in the bucket", left::run),
    slow(
        "million",
        "a file of a million rows taken in by the command line; what its operator asks then",
        import::million,
    ),
    slow(
        "backlog",
        "a backlog of a million jobs, whole lives in Redis alone, as in `instant`",
        instant::million,
    ),
    slow("watch", "one poller over 50,000 real tasks at five accounts", watch::run),
    row(
        "rest",
        "programs at rest: their memory, and how soon one that starts has its first ticket",
        rest::run,
    ),
    slow("start", "start-up with a backlog of a million due jobs", start::run),
    slow(
        "slots",
        "the provider's slots under backlog with a kill a minute; time runs ten times faster",
        slots::run,
    ),
    slow(
        "reads",
        "reads at the provider and lag of detection, callbacks off and on; time runs ten times faster",
        reads::run,
    ),
    slow("kills", "what a SIGKILL of a worker costs, us and each peer", crate::peers::kills),
    slow(
        "limits",
        "no window over a limit, and how much of the create rate is used, under kills",
        limits::run,
    ),
];
