//! Whole scans of an account's task list, shared by every job in doubt that asks at the time.
//!
//! The list allows about one page a second for the whole account, so doubts never scan alone: who
//! asks while a scan runs gets the next one, together with everybody else who waits.

use job::settle::Sighting;
use job::{TaskId, Timestamp};
use limiter::Limiter;
use provider::{Client, ListQuery, Listed, Site};
use seedance::Call;
use std::sync::Arc;
use store::Store;
use tokio::sync::{mpsc, oneshot};

/// Rows of a page; one page costs the same whatever its size (`docs/provider.md` §3.1).
const PAGE_ROWS: u32 = 500;
/// Pages the list has at most.
const PAGES_MAX: u32 = 500;
/// Doubts that may wait for a scan in one process.
const WAITING_MAX: usize = 1_024;

/// What a whole scan saw, or why it proves nothing.
#[derive(Debug)]
pub enum Scan {
    /// Every task the list showed for the window asked for.
    Whole {
        /// Start, on Redis's clock.
        began_at: Timestamp,
        /// The tasks.
        seen: Vec<Sighting>,
    },
    /// Torn: a page failed, or rows vanished while it was read.
    Torn {
        /// In words.
        why: String,
    },
}

struct Ask {
    reach_back_to: Timestamp,
    answer: oneshot::Sender<Arc<Scan>>,
}

/// The scanner of one account.
#[derive(Clone)]
pub struct Scanner {
    asks: mpsc::Sender<Ask>,
}

/// What a scanner needs to read one account's list.
pub struct Source {
    /// The pool's memory, for its clock.
    pub store: Store,
    /// Permits.
    pub limiter: Limiter,
    /// The route.
    pub client: Arc<Client>,
    /// Whose list, and where: frozen in the attempts that will be looked for.
    pub site: Site,
}

impl Scanner {
    /// Starts the scanner of one account; it ends when the last handle is dropped.
    #[must_use]
    pub fn start(source: Source) -> Self {
        let (asks, inbox) = mpsc::channel(WAITING_MAX);
        tokio::spawn(serve(source, inbox));
        Self { asks }
    }

    /// Its loop is gone: ask another.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.asks.is_closed()
    }

    /// A scan that begins after this call and reaches back at least to `reach_back_to`. `None` when
    /// the scanner has ended.
    pub async fn scan(&self, reach_back_to: Timestamp) -> Option<Arc<Scan>> {
        let (answer, waiting) = oneshot::channel();
        self.asks.send(Ask { reach_back_to, answer }).await.ok()?;
        waiting.await.ok()
    }
}

async fn serve(source: Source, mut inbox: mpsc::Receiver<Ask>) {
    let mut asks = Vec::new();
    while inbox.recv_many(&mut asks, WAITING_MAX).await > 0 {
        let reach_back_to = asks.iter().map(|ask| ask.reach_back_to).min().unwrap_or_default();
        let scan = Arc::new(read_all(&source, reach_back_to).await);
        for ask in asks.drain(..) {
            // Whoever no longer waits has been answered by a callback or is stopping.
            drop(ask.answer.send(Arc::clone(&scan)));
        }
    }
}

async fn read_all(source: &Source, reach_back_to: Timestamp) -> Scan {
    let began_at = match source.store.now().await {
        Ok(now) => now,
        Err(error) => return Scan::Torn { why: format!("no clock: {error}") },
    };
    let mut window = Window::new(reach_back_to);
    for page_num in 1..=PAGES_MAX {
        let Some(permit) = source.limiter.permit(&source.site.account, Call::List).await else {
            let why = format!("account `{}` is not configured here", source.site.account);
            return Scan::Torn { why };
        };
        let query = ListQuery::page(page_num, PAGE_ROWS);
        let page = match source.client.list(permit, &source.site, &query).await {
            Listed::Page(page) => page,
            Listed::Trouble(trouble) => return Scan::Torn { why: trouble.code },
        };
        match window.take(&page) {
            Progress::More => {}
            Progress::Done => return Scan::Whole { began_at, seen: window.seen },
            Progress::Torn(why) => return Scan::Torn { why: why.to_owned() },
        }
    }
    Scan::Torn { why: format!("more than {PAGES_MAX} pages") }
}

enum Progress {
    More,
    Done,
    Torn(&'static str),
}

/// The part of the list read so far.
struct Window {
    reach_back_to: Timestamp,
    seen: Vec<Sighting>,
    rows: u64,
    total_at_start: Option<u64>,
    /// Every row so far was no younger than the one before it: the list shows the newest first, and
    /// may be left once it is older than the window. The contract promises no order.
    newest_first: bool,
    oldest: Option<Timestamp>,
}

impl Window {
    fn new(reach_back_to: Timestamp) -> Self {
        Self {
            reach_back_to,
            seen: Vec::new(),
            rows: 0,
            total_at_start: None,
            newest_first: true,
            oldest: None,
        }
    }

    fn take(&mut self, page: &seedance::TaskPage) -> Progress {
        if page.unreadable > 0 {
            return Progress::Torn("a row could not be read");
        }
        let Some(total) = page.total else {
            return Progress::Torn("the answer does not tell the total");
        };
        // Rows that vanish pull later rows over a page border unseen; rows that appear only repeat
        // some.
        if self.total_at_start.is_some_and(|at_start| total < at_start) {
            return Progress::Torn("rows vanished during the scan");
        }
        self.total_at_start.get_or_insert(total);
        for task in &page.items {
            let Ok(id) = TaskId::parse(&task.id) else {
                return Progress::Torn("a task id is not of the known form");
            };
            let created_at = task.created_at_s.map(Timestamp::from_unix_s);
            match (created_at, self.oldest) {
                (Some(made), Some(oldest)) if made > oldest => self.newest_first = false,
                (None, _) => self.newest_first = false,
                (Some(_), _) => {}
            }
            self.oldest = match (self.oldest, created_at) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
            self.seen.push(Sighting::of(id, task));
        }
        let rows = u64::try_from(page.items.len()).unwrap_or(u64::MAX);
        self.rows = self.rows.saturating_add(rows);
        let passed_window =
            self.newest_first && self.oldest.is_some_and(|oldest| oldest < self.reach_back_to);
        if passed_window || self.rows >= total {
            return Progress::Done;
        }
        if rows < u64::from(PAGE_ROWS) {
            return Progress::Torn("a page was short of rows");
        }
        Progress::More
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn page(
        total: u64,
        ids: std::ops::Range<u64>,
        made_s: impl Fn(u64) -> i64,
    ) -> seedance::TaskPage {
        let items: Vec<_> = ids
            .map(
                |n| json!({"id": format!("cgt-{n}"), "status": "running", "created_at": made_s(n)}),
            )
            .collect();
        let body = json!({"items": items, "total": total}).to_string();
        seedance::TaskPage::parse(body.as_bytes()).unwrap()
    }

    fn since(s: i64) -> Window {
        Window::new(Timestamp::from_unix_s(s))
    }

    #[test]
    fn one_short_page_with_every_row_is_whole() {
        let mut window = since(0);
        assert!(matches!(window.take(&page(3, 0..3, |n| 100 - n as i64)), Progress::Done));
        assert_eq!(window.seen.len(), 3);
    }

    #[test]
    fn a_page_short_of_rows_proves_nothing() {
        assert!(matches!(since(0).take(&page(4, 0..3, |_| 100)), Progress::Torn(_)));
    }

    #[test]
    fn vanished_rows_tear_the_scan() {
        let mut window = since(0);
        assert!(matches!(window.take(&page(700, 0..500, |_| 100)), Progress::More));
        assert!(matches!(window.take(&page(699, 500..699, |_| 100)), Progress::Torn(_)));
    }

    #[test]
    fn an_ordered_list_is_left_once_it_is_older_than_the_window() {
        let mut window = since(900);
        assert!(matches!(window.take(&page(5000, 0..500, |n| 1000 - n as i64)), Progress::Done));
    }

    #[test]
    fn an_unordered_list_is_read_to_its_end() {
        let mut window = since(900);
        let zigzag = |n: u64| if n.is_multiple_of(2) { 100 } else { 1000 };
        assert!(matches!(window.take(&page(5000, 0..500, zigzag)), Progress::More));
    }
}
