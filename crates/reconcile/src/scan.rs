//! Whole scans of an account's task list, shared by everybody who asks at the time.
//!
//! The list allows about one page a second for the whole account, so doubts never scan alone: who
//! asks while a scan runs gets the next one, together with everybody else who waits.
//!
//! A key with custom permissions may list nothing without naming a model (`docs/provider.md` §3.1):
//! then the lists of the models asked about are read in turn.

use crate::steady::{self, Steady};
use job::settle::Sighting;
use job::{TaskId, Timestamp};
use limiter::{Limiter, NoPermit, Permit};
use provider::{Client, ListQuery, Listed, Lists, Site};
use seedance::{Call, TaskStatus};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use store::Store;
use tokio::sync::{mpsc, oneshot};

/// Rows of a page; one page costs the same whatever its size (`docs/provider.md` §3.1).
const PAGE_ROWS: u32 = 500;
/// Pages the list has at most.
const PAGES_MAX: u32 = 500;
/// Longest pause in the middle of a scan; past it the scan proves nothing and whoever asked goes on.
const HELD_MAX: Duration = Duration::from_secs(30);
/// Doubts that may wait for a scan in one process.
const WAITING_MAX: usize = 1_024;

/// How long the list is a scan's after the last word of it; longer than a page and its turn take.
const TURN_KEPT: Duration = Duration::from_secs(10);

/// The lock that says whose the account's list is: while anybody holds it, a scan waits for its pages, and
/// whoever can do without the list lets it go first.
#[must_use]
pub fn turn_lock(account: &str) -> String {
    format!("scan-{account}")
}

/// What a whole scan saw, or why it proves nothing.
#[derive(Debug)]
pub enum Scan {
    /// Every task the list showed for the window and, where the key must name models, the models asked
    /// for.
    Whole {
        /// Start, on Redis's clock; never later than the provider's own clock told while it was read.
        began_at: Timestamp,
        /// The tasks, by what tells whose they are.
        seen: Vec<Sighting>,
        /// The same tasks, in the same order, by what became of them.
        ends: Vec<Row>,
    },
    /// Torn: a page failed, or rows vanished while it was read.
    Torn {
        /// In words.
        why: String,
    },
}

/// What a list shows of a task beside its marks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its status.
    pub status: TaskStatus,
    /// Tokens billed; on success.
    pub tokens: Option<u64>,
    /// The resolution made; on success.
    pub resolution: Option<String>,
    /// The shape made; on success.
    pub ratio: Option<String>,
    /// The length made, in whole seconds; on success.
    pub duration_s: Option<i64>,
}

struct Ask {
    reach_back_to: Timestamp,
    model_ids: BTreeSet<String>,
    answer: oneshot::Sender<Arc<Scan>>,
}

/// The scanner of one account.
#[derive(Clone)]
pub struct Scanner {
    asks: mpsc::Sender<Ask>,
}

/// The scanners of a pool's accounts, each started when first asked for.
pub struct Scanners {
    store: Store,
    limiter: Limiter,
    client: Arc<Client>,
    steady: Arc<Steady>,
    by_site: Mutex<BTreeMap<Site, Scanner>>,
}

impl Scanners {
    /// None runs yet; from now on the server's clock is watched.
    #[must_use]
    pub fn new(store: Store, limiter: Limiter, client: Arc<Client>) -> Self {
        let steady = Steady::watch(store.clone());
        Self { store, limiter, client, steady, by_site: Mutex::default() }
    }

    /// The scanner of one account's list.
    pub fn of(&self, site: &Site) -> Scanner {
        let mut scanners = self.by_site.lock().unwrap_or_else(PoisonError::into_inner);
        let start = || {
            Scanner::start(Source {
                store: self.store.clone(),
                limiter: self.limiter.clone(),
                client: Arc::clone(&self.client),
                steady: Arc::clone(&self.steady),
                site: site.clone(),
            })
        };
        // One whose loop broke would answer nobody, for ever.
        if scanners.get(site).is_some_and(Scanner::is_ended) {
            scanners.remove(site);
        }
        scanners.entry(site.clone()).or_insert_with(start).clone()
    }
}

/// What a scanner needs to read one account's list.
struct Source {
    /// The pool's memory, for its clock.
    store: Store,
    /// Permits.
    limiter: Limiter,
    /// The route.
    client: Arc<Client>,
    /// How far that clock may be believed.
    steady: Arc<Steady>,
    /// Whose list, and where: frozen in the attempts that will be looked for.
    site: Site,
}

impl Scanner {
    /// Starts the scanner of one account; it ends when the last handle is dropped.
    fn start(source: Source) -> Self {
        let (asks, inbox) = mpsc::channel(WAITING_MAX);
        tokio::spawn(serve(source, inbox));
        Self { asks }
    }

    /// Its loop is gone: ask another.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.asks.is_closed()
    }

    /// A scan that begins after this call, reaches back at least to `reach_back_to` and shows at least
    /// the tasks of these models (ids on the wire). `None` when the scanner has ended.
    pub async fn scan(
        &self,
        reach_back_to: Timestamp,
        model_ids: BTreeSet<String>,
    ) -> Option<Arc<Scan>> {
        let (answer, waiting) = oneshot::channel();
        self.asks.send(Ask { reach_back_to, model_ids, answer }).await.ok()?;
        waiting.await.ok()
    }
}

async fn serve(source: Source, mut inbox: mpsc::Receiver<Ask>) {
    let mut asks = Vec::new();
    let mut lists = Lists::Whole;
    while inbox.recv_many(&mut asks, WAITING_MAX).await > 0 {
        let reach_back_to = asks.iter().map(|ask| ask.reach_back_to).min().unwrap_or_default();
        let model_ids = asks.iter().flat_map(|ask| ask.model_ids.iter().cloned()).collect();
        let scan = Arc::new(read_all(&source, &mut lists, reach_back_to, &model_ids).await);
        // It lapses by itself.
        drop(source.store.unlock(&turn_lock(&source.site.account)).await);
        for ask in asks.drain(..) {
            // Whoever no longer waits has been answered by a callback or is stopping.
            drop(ask.answer.send(Arc::clone(&scan)));
        }
    }
}

/// Why a window could not be read to its end.
struct Unread {
    why: String,
    /// The provider refused the question itself, not this time of asking.
    refused: bool,
}

async fn read_all(
    source: &Source,
    lists: &mut Lists,
    reach_back_to: Timestamp,
    model_ids: &BTreeSet<String>,
) -> Scan {
    let mut began_at = match source.store.now().await {
        Ok(now) => source.steady.believed(now),
        Err(error) => return Scan::Torn { why: format!("no clock: {error}") },
    };
    if *lists == Lists::Whole {
        match read_window(source, None, reach_back_to, &mut began_at).await {
            Ok(Window { seen, ends, .. }) => return Scan::Whole { began_at, seen, ends },
            Err(Unread { why, refused: false }) => return Scan::Torn { why },
            Err(Unread { refused: true, .. }) => {}
        }
    }
    let (mut seen, mut ends) = (Vec::new(), Vec::new());
    for model_id in model_ids {
        match read_window(source, Some(model_id), reach_back_to, &mut began_at).await {
            Ok(window) => {
                seen.extend(window.seen);
                ends.extend(window.ends);
            }
            Err(Unread { why, refused }) => {
                if refused {
                    *lists = Lists::Whole;
                }
                return Scan::Torn { why };
            }
        }
    }
    if *lists == Lists::Whole {
        let account = &source.site.account;
        tracing::info!(account, "this key lists one model at a time: a scan asks for each");
        *lists = Lists::ByModel;
    }
    Scan::Whole { began_at, seen, ends }
}

/// One list from its start until it is older than the window. `began_at` moves back to the provider's
/// own clock where that is behind.
async fn read_window(
    source: &Source,
    model_id: Option<&str>,
    reach_back_to: Timestamp,
    began_at: &mut Timestamp,
) -> Result<Window, Unread> {
    let unread = |why: String| Unread { why, refused: false };
    let mut window = Window::new(reach_back_to);
    for page_num in 1..=PAGES_MAX {
        // A courtesy asked of others: without it the pages come later, and come all the same.
        drop(source.store.lock(&turn_lock(&source.site.account), TURN_KEPT).await);
        let permit = permit(source).await.map_err(|why| unread(why.to_string()))?;
        let query = ListQuery::page(page_num, PAGE_ROWS);
        let query = match model_id {
            Some(model_id) => query.of_model(model_id),
            None => query,
        };
        let page = match source.client.list(permit, &source.site, &query).await {
            Listed::Page { page, sent_at_s } => {
                *began_at = steady::witnessed(*began_at, sent_at_s);
                page
            }
            Listed::Trouble(trouble) => {
                let refused = trouble.refuses_the_question();
                return Err(Unread { why: trouble.code, refused });
            }
        };
        match window.take(&page) {
            Progress::More => {}
            Progress::Done => return Ok(window),
            Progress::Torn(why) => return Err(unread(why.to_owned())),
        }
    }
    Err(unread(format!("more than {PAGES_MAX} pages")))
}

/// The right to one page. A short pause that the provider asked for is waited out: whoever waits for this
/// scan would only ask again.
async fn permit(source: &Source) -> Result<Permit, NoPermit> {
    let give_up = Instant::now() + HELD_MAX;
    loop {
        match source.limiter.permit(&source.site.account, Call::List).await {
            Err(NoPermit::Held { rest, .. }) if Instant::now() + rest <= give_up => {
                tokio::time::sleep(rest).await;
            }
            answer => return answer,
        }
    }
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
    ends: Vec<Row>,
    /// Ids read so far: a row that is shown twice is one.
    ids: BTreeSet<TaskId>,
    pages: u32,
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
            ends: Vec::new(),
            ids: BTreeSet::new(),
            pages: 0,
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
        let at_start = *self.total_at_start.get_or_insert(total);
        self.pages += 1;
        // No more than there is: a list has ten thousand rows, and half as many again would lie unused.
        self.seen.reserve_exact(page.items.len());
        self.ends.reserve_exact(page.items.len());
        for task in &page.items {
            let Ok(id) = TaskId::parse(&task.id) else {
                return Progress::Torn("a task id is not of the known form");
            };
            // New tasks push rows over a page's border: they are shown again.
            if !self.ids.insert(id.clone()) {
                continue;
            }
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
            self.ends.push(Row {
                status: task.status.clone(),
                tokens: task.completion_tokens.or(task.total_tokens),
                resolution: task.resolution.clone(),
                ratio: task.ratio.clone(),
                duration_s: task.duration_s.map(i64::from),
            });
        }
        let passed_window =
            self.newest_first && self.oldest.is_some_and(|oldest| oldest < self.reach_back_to);
        if passed_window {
            return Progress::Done;
        }
        // In any other order a row may leave an earlier page while another joins the end: the total
        // stays, and the row that moved over the border is on neither page.
        if self.pages > 1 && !self.newest_first {
            return Progress::Torn("several pages that do not show the newest first");
        }
        // Everything that was there at the start has been shown, and not some of it twice.
        if self.ids.len() as u64 >= at_start {
            return Progress::Done;
        }
        let rows = u64::try_from(page.items.len()).unwrap_or(u64::MAX);
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
    fn new_tasks_that_push_rows_over_a_border_hide_nothing() {
        let mut window = since(0);
        let newest_first = |n: u64| 10_000 - n as i64;
        assert!(matches!(window.take(&page(700, 0..500, newest_first)), Progress::More));
        assert!(matches!(window.take(&page(703, 497..700, newest_first)), Progress::Done));
        assert_eq!(window.seen.len(), 700);
    }

    /// The first page began one row late and the second repeats one: as many rows as the list has,
    /// and the newest of them was never shown.
    #[test]
    fn rows_shown_twice_do_not_stand_for_rows_not_shown() {
        let mut window = since(0);
        let newest_first = |n: u64| 10_000 - n as i64;
        assert!(matches!(window.take(&page(700, 1..501, newest_first)), Progress::More));
        assert!(matches!(window.take(&page(700, 500..700, newest_first)), Progress::Torn(_)));
    }

    /// Oldest first: a row left the first page, another came to the end, and the total is the same.
    #[test]
    fn pages_in_another_order_prove_nothing_together() {
        let mut window = since(0);
        let oldest_first = |n: u64| n as i64;
        assert!(matches!(window.take(&page(700, 0..500, oldest_first)), Progress::More));
        assert!(matches!(window.take(&page(700, 501..701, oldest_first)), Progress::Torn(_)));
        assert!(matches!(since(0).take(&page(400, 0..400, oldest_first)), Progress::Done));
    }

    #[test]
    fn an_unordered_list_is_read_to_its_end() {
        let mut window = since(900);
        let zigzag = |n: u64| if n.is_multiple_of(2) { 100 } else { 1000 };
        assert!(matches!(window.take(&page(5000, 0..500, zigzag)), Progress::More));
    }
}
