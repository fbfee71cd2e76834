//! What the machine itself does to a measurement: how long a program waits here for a processor.
//!
//! The provider's stamp is taken by a process of this machine. When it has to wait for its turn longer than
//! `limits.network_spread`, calls that left apart are stamped together, and no fleet can help it.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Between two looks at the clock.
const LOOK: Duration = Duration::from_millis(2);

/// Measures until it is asked.
pub(crate) struct Stalls {
    most_us: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    looks: Option<JoinHandle<()>>,
}

impl Stalls {
    pub(crate) fn watch() -> Self {
        let (most_us, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (most, ends) = (Arc::clone(&most_us), Arc::clone(&over));
        let looks = std::thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                let began = Instant::now();
                // sleeps: what comes on top of it is what is measured.
                std::thread::sleep(LOOK);
                let late = began.elapsed().saturating_sub(LOOK).as_micros();
                most.fetch_max(u64::try_from(late).unwrap_or(u64::MAX), Ordering::Relaxed);
            }
        });
        Self { most_us, over, looks: Some(looks) }
    }

    /// The longest wait so far.
    pub(crate) fn longest(&self) -> Duration {
        Duration::from_micros(self.most_us.load(Ordering::Relaxed))
    }
}

impl Drop for Stalls {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // It looks every few milliseconds, and cannot fail.
        drop(self.looks.take().map(JoinHandle::join));
    }
}

/// Lets a process go before others, where this user may; tells whether it does.
pub(crate) fn goes_first(pid: u32) -> bool {
    let mut renice = Command::new("renice");
    renice.args(["-n", "-15", "-p", &pid.to_string()]);
    renice.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|ended| ended.success())
}
