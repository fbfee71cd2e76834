//! The processes of one role: started, ended, and seen off.

use super::ROLES;
use crate::kit::Fleet;
use sandbox::Process;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The longest that a process may take to end once it was asked to, past its shipped grace of a minute.
const LEAVES_WITHIN: Duration = Duration::from_secs(90);
/// One end in so many is by SIGKILL.
const KILLED_EVERY: u32 = 10;
/// Lines that are shown of a process that ended as it should not.
const LAST_LINES: usize = 5;

/// Everybody who was asked to end.
#[derive(Debug, Default)]
pub(super) struct Leavers {
    leaving: Vec<(Arc<Process>, Instant)>,
    /// Asked by SIGTERM.
    pub(super) asked: u32,
    /// Ended by SIGKILL.
    pub(super) killed: u32,
    /// What was not as it should be.
    pub(super) wrong: Vec<String>,
}

impl Leavers {
    fn end(&mut self, process: Arc<Process>) {
        // The first, so that a short drill has some of each.
        if (self.asked + self.killed).is_multiple_of(KILLED_EVERY) {
            self.killed += 1;
            process.kill9();
            return;
        }
        self.asked += 1;
        if let Err(error) = process.signal("TERM") {
            self.wrong.push(format!("{}: no SIGTERM: {error}", process.name()));
        }
        self.leaving.push((process, Instant::now()));
    }

    /// Sees off those that have ended.
    pub(super) fn look(&mut self) {
        let wrong = &mut self.wrong;
        self.leaving.retain(|(process, since)| match process.exit_status() {
            Some(status) if status.success() => false,
            Some(status) => {
                let tail = process.log_tail(LAST_LINES);
                wrong.push(format!("{}, asked to end, ended by {status}: {tail}", process.name()));
                false
            }
            None if since.elapsed() > LEAVES_WITHIN => {
                wrong.push(format!("{} did not end when asked to", process.name()));
                process.kill9();
                false
            }
            None => true,
        });
    }

    /// Nobody is on the way out any more.
    pub(super) fn is_done(&self) -> bool {
        self.leaving.is_empty()
    }
}

/// One role's.
#[derive(Debug)]
pub(super) struct Staff {
    role: &'static str,
    processes: VecDeque<Arc<Process>>,
    lives: u32,
}

impl Staff {
    pub(super) fn all() -> [Self; ROLES.len()] {
        ROLES.map(|role| Self { role, processes: VecDeque::new(), lives: 0 })
    }

    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.processes.len()).unwrap_or(u32::MAX)
    }

    /// Starts or ends as many as it takes, the oldest first: it has most under way.
    pub(super) fn become_many(&mut self, wanted: u32, fleet: &Fleet, leavers: &mut Leavers) {
        let role = self.role;
        self.processes.retain(|process| {
            let status = process.exit_status();
            if let Some(status) = status {
                let tail = process.log_tail(LAST_LINES);
                leavers.wrong.push(format!("{} ended by itself, {status}: {tail}", process.name()));
            }
            status.is_none()
        });
        while self.count() < wanted {
            let name = format!("{role}-{}", self.lives);
            self.lives += 1;
            self.processes.push_back(fleet.start_as(&name, role, &[]));
        }
        while self.count() > wanted {
            let Some(oldest) = self.processes.pop_front() else { return };
            leavers.end(oldest);
        }
    }
}
