//! One look at a pool's stream of events for everybody in this process who waits for news.
//!
//! A [`Watch`] reads the stream once, on a connection of its own, and hands each entry to those who asked
//! for it: about one job, about a tenant's jobs, or about all. Nobody is waited for: a listener that does
//! not keep up is let go, and looks at the store again. Subscribe first, then look at the store, then wait:
//! so nothing falls between.

use crate::pages::Flow;
use job::JobId;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use store::{Change, ChangeReader, Store, StoreError, Stored};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use worker::Drain;

/// Entries that may wait for one listener; more, and it is too slow.
const BACKLOG_MAX: usize = 512;
/// After a failed read; the store's own reconnect comes on top.
const PAUSE: Duration = Duration::from_millis(250);

/// What somebody wants to hear about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum About {
    /// One job.
    Job(JobId),
    /// All jobs of a tenant.
    Tenant(String),
    /// All jobs of the pool.
    Pool,
}

/// The reader of one pool. Clones share it.
#[derive(Clone)]
pub(crate) struct Watch(Arc<Board>);

/// Who listens to what.
#[derive(Default)]
struct Board {
    listeners: Mutex<Listeners>,
}

#[derive(Default)]
struct Listeners {
    last: u64,
    jobs: BTreeMap<JobId, Vec<Line>>,
    tenants: BTreeMap<String, Vec<Line>>,
    all: Vec<Line>,
}

struct Line {
    number: u64,
    sender: mpsc::Sender<Arc<Change>>,
}

/// What one listener hears, in order, until it is dropped.
pub(crate) struct News {
    board: Arc<Board>,
    about: About,
    number: u64,
    receiver: mpsc::Receiver<Arc<Change>>,
}

impl Watch {
    /// Reads until the process drains; what it reads is counted for the charts as well, where there are any.
    pub(crate) fn start(store: &Store, flow: Option<Flow>, drain: &Drain) -> Self {
        let board = Arc::new(Board::default());
        let reading = read(store.clone(), Arc::clone(&board), flow);
        let drain = drain.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = drain.wait() => {}
                () = reading => {}
            }
        });
        Self(board)
    }

    /// From here on every entry about this is heard.
    pub(crate) fn subscribe(&self, about: About) -> News {
        let (sender, receiver) = mpsc::channel(BACKLOG_MAX);
        let mut listeners = self.0.lock();
        listeners.last += 1;
        let number = listeners.last;
        listeners.lines(&about).push(Line { number, sender });
        drop(listeners);
        News { board: Arc::clone(&self.0), about, number, receiver }
    }

    /// The job once it has ended, or as it stands when `within` has passed; [`None`]: there is none.
    ///
    /// # Errors
    ///
    /// As every call to the store.
    pub(crate) async fn ended(
        &self,
        store: &Store,
        id: &JobId,
        within: Duration,
    ) -> Result<Option<Stored>, StoreError> {
        let until = Instant::now() + within;
        loop {
            let mut news = self.subscribe(About::Job(id.clone()));
            let stored = store.load(id).await?;
            let over = stored.as_ref().is_none_or(|s| s.record.life.state.word().is_finished());
            if over || Instant::now() >= until {
                return Ok(stored);
            }
            // No news, a lost line or the end of the wait: all lead to another look.
            let _ = timeout_at(until, news.next()).await;
        }
    }
}

impl News {
    /// The next entry. [`None`]: this listener was too slow, or the process drains; what it missed is in
    /// the store.
    pub(crate) async fn next(&mut self) -> Option<Arc<Change>> {
        self.receiver.recv().await
    }

    /// Passes over what waits to be heard: the listener is about to look at the store anyway.
    pub(crate) fn skip(&mut self) {
        while self.receiver.try_recv().is_ok() {}
    }
}

impl Drop for News {
    fn drop(&mut self) {
        self.board.lock().forget(&self.about, self.number);
    }
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, Listeners> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, changes: Vec<Change>) {
        let mut listeners = self.lock();
        for change in changes {
            listeners.tell(&Arc::new(change));
        }
    }
}

impl Listeners {
    fn lines(&mut self, about: &About) -> &mut Vec<Line> {
        match about {
            About::Job(id) => self.jobs.entry(id.clone()).or_default(),
            About::Tenant(tenant) => self.tenants.entry(tenant.clone()).or_default(),
            About::Pool => &mut self.all,
        }
    }

    fn tell(&mut self, change: &Arc<Change>) {
        let jobs = self.jobs.get_mut(&change.job);
        let tenants = self.tenants.get_mut(&change.tenant);
        for lines in jobs.into_iter().chain(tenants).chain([&mut self.all]) {
            // A full line is cut: its listener reads what is left, then hears that it missed something.
            lines.retain(|line| line.sender.try_send(Arc::clone(change)).is_ok());
        }
    }

    fn forget(&mut self, about: &About, number: u64) {
        let lines = self.lines(about);
        lines.retain(|line| line.number != number);
        if lines.is_empty() {
            match about {
                About::Job(id) => drop(self.jobs.remove(id)),
                About::Tenant(tenant) => drop(self.tenants.remove(tenant)),
                About::Pool => {}
            }
        }
    }
}

/// Ends with the process only: after an outage it goes on where it stood, so nobody misses anything.
async fn read(store: Store, board: Arc<Board>, flow: Option<Flow>) {
    let mut reader: Option<ChangeReader> = None;
    let mut told = false;
    loop {
        let changes = match &mut reader {
            Some(reader) => reader.next().await,
            None => match ChangeReader::connect(&store, None).await {
                Ok(opened) => {
                    // It goes on from here for as long as the process lives.
                    if let Some(flow) = flow.clone() {
                        tokio::spawn(flow.recall(store.clone(), opened.mark()));
                    }
                    reader = Some(opened);
                    continue;
                }
                Err(error) => Err(error),
            },
        };
        match changes {
            Ok(changes) => {
                told = false;
                if let Some(flow) = &flow {
                    flow.hear(&changes);
                }
                board.tell(changes);
            }
            Err(error) => {
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(pool = store.pool(), %error, "the stream of events cannot be read; trying again");
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use job::StateWord;
    use store::Mark;

    fn change(job: &JobId, tenant: &str, seq: u64) -> Change {
        Change {
            mark: Mark::START,
            job: job.clone(),
            tenant: tenant.to_owned(),
            batch: None,
            from: None,
            to: StateWord::Queued,
            seq,
            hook: false,
        }
    }

    fn job(n: u64) -> JobId {
        JobId::from_ulid(ulid::Ulid::from_parts(n, 1))
    }

    #[tokio::test]
    async fn each_listener_hears_what_it_asked_for() {
        let watch = Watch(Arc::default());
        let mut one = watch.subscribe(About::Job(job(1)));
        let mut acme = watch.subscribe(About::Tenant("acme".to_owned()));
        let mut all = watch.subscribe(About::Pool);
        watch.0.tell(vec![change(&job(1), "acme", 1), change(&job(2), "other", 2)]);
        assert_eq!(one.next().await.map(|c| c.seq), Some(1));
        assert_eq!(acme.next().await.map(|c| c.seq), Some(1));
        assert_eq!(
            [all.next().await, all.next().await].map(|c| c.map(|c| c.seq)),
            [Some(1), Some(2)]
        );
        assert!(one.receiver.try_recv().is_err() && acme.receiver.try_recv().is_err());
        drop((one, acme, all));
        let listeners = watch.0.lock();
        assert!(
            listeners.jobs.is_empty() && listeners.tenants.is_empty() && listeners.all.is_empty()
        );
    }

    #[tokio::test]
    async fn a_slow_listener_is_let_go_and_holds_nobody_up() {
        let watch = Watch(Arc::default());
        let mut slow = watch.subscribe(About::Pool);
        let count = u64::try_from(BACKLOG_MAX).unwrap();
        for seq in 0..count + 5 {
            watch.0.tell(vec![change(&job(1), "acme", seq)]);
        }
        let mut heard = 0;
        while slow.next().await.is_some() {
            heard += 1;
        }
        assert_eq!(heard, BACKLOG_MAX, "what it had is still heard, then the end");
    }
}
