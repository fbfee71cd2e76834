//! The first SIGTERM or SIGINT asks for a drain, the second ends the process at once. SIGHUP asks for
//! the configuration and files of keys to be read again.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// A wish to stop, shared by everything in the process.
#[derive(Clone)]
pub struct Drain(watch::Receiver<bool>);

impl Drain {
    /// The wish was uttered.
    #[must_use]
    pub fn began(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns once it was.
    pub async fn wait(&self) {
        let mut wish = self.0.clone();
        // The sender lives as long as the process; without it there is nobody left to work for.
        let _ = wish.wait_for(|wished| *wished).await;
    }
}

/// The other end: who may ask for a drain.
#[derive(Clone)]
pub(crate) struct Ask(watch::Sender<bool>);

impl Ask {
    pub(crate) fn ask(&self) {
        self.0.send_replace(true);
    }
}

pub(crate) fn pair() -> (Ask, Drain) {
    let (tx, rx) = watch::channel(false);
    (Ask(tx), Drain(rx))
}

/// Listens from now on, so that a signal during the start is not lost.
pub(crate) fn listen(ask: Ask) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        let first = next(&mut terminate, &mut interrupt).await;
        tracing::info!(
            signal = first.name,
            "stopping: running steps are finished, a second signal ends the process at once"
        );
        ask.ask();
        let second = next(&mut terminate, &mut interrupt).await;
        tracing::warn!(signal = second.name, "stopped at once; leases will run out by themselves");
        std::process::exit(second.exit_code);
    });
    Ok(())
}

struct Arrived {
    name: &'static str,
    exit_code: i32,
}

async fn next(terminate: &mut Signal, interrupt: &mut Signal) -> Arrived {
    tokio::select! {
        _ = terminate.recv() => Arrived { name: "SIGTERM", exit_code: 143 },
        _ = interrupt.recv() => Arrived { name: "SIGINT", exit_code: 130 },
    }
}

/// Counts SIGHUPs from now on; the receiver sees each as a change. Also keeps a process alive in which
/// nobody reads any file again: the system's own answer to SIGHUP is to end it.
pub(crate) fn rereads() -> std::io::Result<watch::Receiver<u64>> {
    let mut hangup = signal(SignalKind::hangup())?;
    let (count, seen) = watch::channel(0);
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            tracing::info!(
                signal = "SIGHUP",
                "the configuration and the key files of the provider's accounts are read again"
            );
            count.send_modify(|count| *count += 1);
        }
    });
    Ok(seen)
}
