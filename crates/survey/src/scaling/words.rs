//! The reasons in sentences.

use super::{Bound, Copies, Creates, Deliveries, Looks, Share};

pub(super) fn submitter(bound: Bound, from: &Creates, share: Share) -> String {
    let Creates { backlog, creates_per_s, .. } = from;
    match bound {
        Bound::NothingToDo => least("No job waits to be bought", share),
        Bound::Frozen => least(&format!("{backlog} jobs wait, and the pool is frozen"), share),
        Bound::Stopped => least(
            &format!("{backlog} jobs wait, and every account that could take them is stopped"),
            share,
        ),
        Bound::CreateRate => format!(
            "{backlog} jobs wait, and the provider takes {creates_per_s} creates a second: more processes would wait for their instant."
        ),
        Bound::Concurrency => format!(
            "{backlog} jobs wait, and slots come free for {creates_per_s} creates a second: more processes would wait for a slot."
        ),
        Bound::Maximum => most(&format!("{creates_per_s} creates a second are of use"), share),
        Bound::Work | Bound::ReadRate | Bound::LinkDeadline => {
            format!("{creates_per_s} creates a second buy the {backlog} waiting jobs in time.")
        }
    }
}

pub(super) fn poller(bound: Bound, from: &Looks, share: Share) -> String {
    let Looks { tasks, looks_per_s } = from;
    match bound {
        Bound::NothingToDo => least("No task runs", share),
        Bound::ReadRate => format!(
            "{tasks} tasks run, and the provider takes reads for {looks_per_s} looks a second: more processes would wait for permits."
        ),
        Bound::Maximum => most(&format!("{tasks} tasks take {looks_per_s} looks a second"), share),
        Bound::Work
        | Bound::CreateRate
        | Bound::Concurrency
        | Bound::LinkDeadline
        | Bound::Stopped
        | Bound::Frozen => format!("{tasks} tasks take {looks_per_s} looks a second."),
    }
}

pub(super) fn downloader(bound: Bound, from: &Copies, share: Share) -> String {
    let Copies { pending_bytes, bytes_per_s, min_ttl_s } = from;
    match bound {
        Bound::NothingToDo => least("No video waits or is being made", share),
        Bound::LinkDeadline => format!(
            "The link of a paid video dies in {} s: one more than the least.",
            min_ttl_s.unwrap_or(0)
        ),
        Bound::Maximum => most(&format!("{bytes_per_s} bytes a second are of use"), share),
        Bound::Work
        | Bound::CreateRate
        | Bound::Concurrency
        | Bound::ReadRate
        | Bound::Stopped
        | Bound::Frozen => format!(
            "About {pending_bytes} bytes wait; with those being made they take {bytes_per_s} bytes a second."
        ),
    }
}

pub(super) fn notifier(bound: Bound, from: &Deliveries, share: Share) -> String {
    let Deliveries { endpoints } = from;
    match bound {
        Bound::NothingToDo => least("No endpoint has anything to be told", share),
        Bound::Maximum => most(&format!("{endpoints} endpoints have something to be told"), share),
        Bound::Work
        | Bound::CreateRate
        | Bound::Concurrency
        | Bound::ReadRate
        | Bound::LinkDeadline
        | Bound::Stopped
        | Bound::Frozen => {
            format!("{endpoints} endpoints have something to be told, one delivery at a time each.")
        }
    }
}

fn least(why: &str, share: Share) -> String {
    format!("{why}: the least, {}.", share.min)
}

fn most(why: &str, share: Share) -> String {
    format!("{why}, and the configuration allows {} processes.", share.max)
}
