//! Named places at which a test may kill or pause the process.
//!
//! Active only with the cargo feature `fault-points`, which the end-to-end package and the demo switch
//! on; a production build compiles [`point`] to nothing and refuses the variables. Each name below is a
//! moment at which a crash once mattered or could: between an intent and its effect, or between an
//! effect and its record.
//!
//! `SEEDFLEET_FAULT_KILL="<point>:<n>[,…]"`: at the n-th pass of that point in this process, it is
//! killed with SIGKILL. `SEEDFLEET_FAULT_PAUSE="<point>:<n>:<ms>[,…]"`: that pass sleeps first.

use erasure::Moment;
use std::pin::Pin;

/// The variable that orders kills.
pub const KILL_ENV: &str = "SEEDFLEET_FAULT_KILL";
/// The variable that orders pauses.
pub const PAUSE_ENV: &str = "SEEDFLEET_FAULT_PAUSE";

macro_rules! points {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal;)+) => {
        $($(#[doc = $doc])+ pub const $name: Point = Point($text);)+
        /// Every fault point, in the order of a job's way.
        pub const ALL: &[Point] = &[$($name),+];
    };
}

/// One named moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point(&'static str);

points! {
    /// A ticket was claimed, its step has not begun.
    WORKER_CLAIMED = "worker.claimed";
    /// A step ended, its event is not committed.
    WORKER_BEFORE_COMMIT = "worker.before-commit";
    /// The event of a step is durable, its slot is still taken.
    WORKER_COMMITTED = "worker.committed";
    /// The submitter holds a ticket; no intent is written.
    SUBMIT_BEFORE_BEGIN = "submit.before-begin";
    /// The intent is durable; no connection to the provider is open.
    SUBMIT_BEGUN = "submit.begun";
    /// The intent outside Redis stands; nothing was sent behind it.
    SUBMIT_FENCED = "submit.fenced";
    /// All of the request but its last byte is with the kernel: nothing can have been bought.
    SUBMIT_BEFORE_LAST_BYTE = "submit.before-last-byte";
    /// The last byte is out and no answer is in: perhaps bought.
    SUBMIT_SENT = "submit.sent";
    /// The provider accepted; its task id is not committed.
    SUBMIT_ACCEPTED = "submit.accepted";
    /// A look-up found the task of a job in doubt; it is not committed.
    SETTLE_FOUND = "settle.found";
    /// A read of the task is in, and not committed.
    POLL_READ = "poll.read";
    /// A part of the output is with the bucket, not all of it.
    DOWNLOAD_PART = "download.part";
    /// The output lies in the bucket, its manifest does not.
    DOWNLOAD_BEFORE_MANIFEST = "download.before-manifest";
    /// Output and manifest lie in the bucket; the record does not know.
    DOWNLOAD_STORED = "download.stored";
    /// Where records will lie in the bucket is written down, and no record is there.
    ARCHIVE_NOTED = "archive.noted";
    /// Records of ended jobs lie in the bucket, and are in Redis as well.
    ARCHIVE_WRITTEN = "archive.written";
    /// Records are out of Redis; the archiver has not put its notes in order.
    ARCHIVE_LEFT = "archive.left";
    /// A group of events was read for the outboxes, and is not shared out.
    NOTIFY_READ = "notify.read";
    /// A group of events is shared out; the notifier has not heard so.
    NOTIFY_SHARED = "notify.shared";
    /// An endpoint was claimed, nothing is sent.
    NOTIFY_CLAIMED = "notify.claimed";
    /// A delivery was answered, and the answer is not written down.
    NOTIFY_SENT = "notify.sent";
    /// A delivery is written down; the notifier goes on.
    NOTIFY_WRITTEN = "notify.written";
}

impl Point {
    /// The name in the variables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.0
    }
}

/// The variables ask for something this binary cannot do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    /// Built for production.
    #[error(
        "{variable} is set, but this binary was built without fault points; unset it, or build with the feature `worker/fault-points`"
    )]
    NotBuiltIn {
        /// Which variable.
        variable: &'static str,
    },
    /// A name nobody passes.
    #[error("{variable}: there is no fault point `{name}`; known are {known}", known = known())]
    Unknown {
        /// Which variable.
        variable: &'static str,
        /// The name given.
        name: String,
    },
    /// Not the form.
    #[error("{variable}: `{given}` is not of the form {form}, with n from 1")]
    Malformed {
        /// Which variable.
        variable: &'static str,
        /// The entry given.
        given: String,
        /// What it should look like.
        form: &'static str,
    },
}

fn known() -> String {
    ALL.iter().map(|point| point.name()).collect::<Vec<_>>().join(", ")
}

#[cfg(not(feature = "fault-points"))]
mod plan {
    use super::{FaultError, KILL_ENV, PAUSE_ENV, Point};

    pub(super) fn check(read: impl Fn(&str) -> Option<String>) -> Result<(), FaultError> {
        match [KILL_ENV, PAUSE_ENV].into_iter().find(|name| read(name).is_some()) {
            Some(variable) => Err(FaultError::NotBuiltIn { variable }),
            None => Ok(()),
        }
    }

    pub(super) async fn pass(_: Point) {}
}

#[cfg(feature = "fault-points")]
mod plan {
    use std::process::Command;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use super::{ALL, FaultError, KILL_ENV, PAUSE_ENV, Point};

    /// Entries of one variable; more is a mistake.
    const ENTRIES_MAX: usize = 64;

    #[derive(Debug)]
    struct Entry {
        point: Point,
        nth: u64,
        act: Act,
        passes: AtomicU64,
    }

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Act {
        Kill,
        Pause(Duration),
    }

    static PLAN: OnceLock<Vec<Entry>> = OnceLock::new();

    fn env(name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    pub(super) fn check(read: impl Fn(&str) -> Option<String>) -> Result<(), FaultError> {
        parse(read).map(drop)
    }

    fn parse(read: impl Fn(&str) -> Option<String>) -> Result<Vec<Entry>, FaultError> {
        let mut entries = Vec::new();
        for (variable, form) in [(KILL_ENV, "<point>:<n>"), (PAUSE_ENV, "<point>:<n>:<ms>")] {
            let text = read(variable).unwrap_or_default();
            for given in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
                let malformed =
                    || FaultError::Malformed { variable, given: given.to_owned(), form };
                let words: Vec<&str> = given.split(':').collect();
                let number = |at: usize| words.get(at).and_then(|word| word.parse::<u64>().ok());
                let act = match (variable, words.len(), number(2)) {
                    (KILL_ENV, 2, _) => Act::Kill,
                    (PAUSE_ENV, 3, Some(ms)) => Act::Pause(Duration::from_millis(ms)),
                    (..) => return Err(malformed()),
                };
                let nth = number(1).filter(|nth| *nth > 0).ok_or_else(malformed)?;
                let point = ALL.iter().find(|point| Some(&point.name()) == words.first());
                let point = *point.ok_or_else(|| FaultError::Unknown {
                    variable,
                    name: words.first().copied().unwrap_or_default().to_owned(),
                })?;
                if entries.len() == ENTRIES_MAX {
                    return Err(malformed());
                }
                entries.push(Entry { point, nth, act, passes: AtomicU64::new(0) });
            }
        }
        Ok(entries)
    }

    pub(super) async fn pass(point: Point) {
        // A process that was not checked at its start ignores a plan it cannot read.
        let plan = PLAN.get_or_init(|| parse(env).unwrap_or_default());
        for entry in plan.iter().filter(|entry| entry.point == point) {
            if entry.passes.fetch_add(1, Ordering::Relaxed) + 1 == entry.nth {
                act(entry).await;
            }
        }
    }

    async fn act(entry: &Entry) {
        match entry.act {
            Act::Pause(pause) => {
                tracing::warn!(point = entry.point.name(), ?pause, "fault point: pausing");
                tokio::time::sleep(pause).await;
            }
            Act::Kill => {
                tracing::warn!(point = entry.point.name(), "fault point: killing this process");
                let pid = std::process::id().to_string();
                // Without `kill` the process ends by abort: as sudden for everybody else.
                if Command::new("kill").args(["-9", &pid]).status().is_err() {
                    std::process::abort();
                }
                std::future::pending().await
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        fn parsed(kill: &str, pause: &str) -> Result<Vec<(&'static str, u64, Act)>, FaultError> {
            let read = |name: &str| Some(if name == KILL_ENV { kill } else { pause }.to_owned());
            let entries = parse(read)?;
            Ok(entries.into_iter().map(|e| (e.point.name(), e.nth, e.act)).collect())
        }

        #[test]
        fn both_forms_are_read() {
            let plan = parsed("submit.begun:1, submit.accepted:3", "poll.read:2:40");
            let pause = Act::Pause(Duration::from_millis(40));
            let expected = vec![
                ("submit.begun", 1, Act::Kill),
                ("submit.accepted", 3, Act::Kill),
                ("poll.read", 2, pause),
            ];
            assert_eq!(plan, Ok(expected));
            assert_eq!(parsed("", ""), Ok(Vec::new()));
        }

        #[test]
        fn an_unknown_name_is_refused_with_the_known_ones() {
            let refused = parsed("submit.send:1", "").expect_err("no such point").to_string();
            assert!(
                refused.contains("`submit.send`") && refused.contains("submit.sent"),
                "{refused}"
            );
        }

        #[test]
        fn what_is_not_of_the_form_is_refused() {
            for (kill, pause) in [
                ("submit.sent", ""),
                ("submit.sent:0", ""),
                ("submit.sent:1:5", ""),
                ("", "poll.read:1"),
            ] {
                let refused = parsed(kill, pause);
                assert!(matches!(refused, Err(FaultError::Malformed { .. })), "{kill} {pause}");
            }
        }

        #[test]
        fn names_are_unique() {
            for (at, point) in ALL.iter().enumerate() {
                assert!(!ALL.iter().skip(at + 1).any(|other| other == point), "{point:?}");
            }
        }
    }
}

/// Passes a point. Nothing happens unless a variable names it, and never in a production build.
pub async fn point(point: Point) {
    plan::pass(point).await;
}

/// As [`point`], for the moments of an archiver.
#[must_use]
pub fn archiving(moment: Moment) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(point(match moment {
        Moment::Noted => ARCHIVE_NOTED,
        Moment::Written => ARCHIVE_WRITTEN,
        Moment::Left => ARCHIVE_LEFT,
    }))
}

/// Checks the variables once, at the start of a process.
///
/// # Errors
///
/// [`FaultError`]; each kind names the variable and the cure.
pub fn check_env() -> Result<(), FaultError> {
    plan::check(|name| std::env::var(name).ok())
}
