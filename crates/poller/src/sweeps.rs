//! Many tasks looked at with one call: the tasks of an account that are due at a time are asked for by a page
//! of the list, whose rows are what single reads would have answered.
//!
//! A page costs one call of the list's limit, whatever is on it, and a single read one of another limit. So two
//! tasks are read singly, and more by page; and whenever the list does not serve, because jobs in doubt need
//! it, the key may not list or a page is torn, all of them are read singly as if there were no list. A page
//! never proves that a task is gone: whoever is not on it is read singly, and that answer counts.

use crate::context::Context;
use crate::line::Rank;
use futures::FutureExt;
use futures::future::BoxFuture;
use job::TaskId;
use provider::{ListQuery, Listed, Lists, Site};
use reconcile::scan::turn_lock;
use seedance::{Call, Task, TaskPage, TaskStatus};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use worker::{Around, around};

/// As many tasks are read singly: cheaper by no call, and sooner.
const SINGLY_MAX: usize = 2;
/// How long a look waits for others that are due with it. They are claimed together, but a busy machine brings
/// them here a while apart, and who is late costs a page of its own.
const GATHER: Duration = Duration::from_millis(250);
/// How long looks wait for the list before some of them go singly.
const TURN_MAX: Duration = Duration::from_secs(3);
/// How many go then, and how soon others may follow: about as many as single reads carry.
const LET_GO: usize = 20;
const LET_GO_EVERY: Duration = Duration::from_secs(1);
/// How often the list is asked for while a scan has it.
const SCAN_PAUSE: Duration = Duration::from_millis(250);
/// How long the list is left alone after it did not answer.
const REST: Duration = Duration::from_secs(15);
/// How long, after it was denied.
const REST_DENIED: Duration = Duration::from_secs(600);
/// Looks that may wait in one process, more than it holds tickets.
const WAITING_MAX: usize = 4_096;

/// What came of a look.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The task as its row told it, and the row's own text.
    Row(Box<(Task, String)>),
    /// To be read singly.
    Singly,
}

struct Ask {
    model_id: String,
    task: TaskId,
    rank: Rank,
    since: Instant,
    answer: oneshot::Sender<Answer>,
}

/// The sweeps of a pool's accounts, each started when first asked for.
pub(crate) struct Sweeps {
    context: Arc<Context>,
    by_site: Mutex<BTreeMap<Site, mpsc::Sender<Ask>>>,
}

impl Sweeps {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self { context, by_site: Mutex::default() }
    }

    /// Looks at a task together with others of the account, if that is cheaper.
    pub(crate) async fn look(
        &self,
        site: &Site,
        model_id: &str,
        task: &TaskId,
        rank: Rank,
    ) -> Answer {
        let (answer, waiting) = oneshot::channel();
        let (model_id, task) = (model_id.to_owned(), task.clone());
        let ask = Ask { model_id, task, rank, since: Instant::now(), answer };
        if self.of(site).send(ask).await.is_err() {
            return Answer::Singly;
        }
        waiting.await.unwrap_or(Answer::Singly)
    }

    fn of(&self, site: &Site) -> mpsc::Sender<Ask> {
        let mut sweeps = self.by_site.lock().unwrap_or_else(PoisonError::into_inner);
        // One whose loop broke would answer nobody, for ever.
        if sweeps.get(site).is_some_and(mpsc::Sender::is_closed) {
            sweeps.remove(site);
        }
        let start = || {
            let (asks, inbox) = mpsc::channel(WAITING_MAX);
            let (context, site) = (Arc::clone(&self.context), site.clone());
            let (row, turns) = (Row::default(), Turns::default());
            tokio::spawn(Sweep { context, site, inbox, row, turns }.serve());
            asks
        };
        sweeps.entry(site.clone()).or_insert_with(start).clone()
    }
}

/// Who waits, and what the account's list has shown of itself.
#[derive(Default)]
struct Row {
    /// What presses most is in front; of equals, who came first.
    waiting: Vec<Ask>,
    lists: Lists,
    /// The list is left alone until then.
    rests_until: Option<Instant>,
    /// When some last went singly because the list was taken.
    let_go_at: Option<Instant>,
}

impl Row {
    fn join(&mut self, ask: Ask) {
        let place = self.waiting.partition_point(|other| other.rank <= ask.rank);
        self.waiting.insert(place, ask);
    }

    /// Since when the look that came first has waited.
    fn oldest(&self) -> Option<Instant> {
        self.waiting.iter().map(|ask| ask.since).min()
    }

    /// The looks that one page would answer, the most pressing first: no more than one address holds, and of one model
    /// where the key must name it.
    fn batch(&self) -> Vec<usize> {
        let Some(first) = self.waiting.first() else { return Vec::new() };
        let fits = |ask: &Ask| self.lists == Lists::Whole || ask.model_id == first.model_id;
        let fitting = self.waiting.iter().enumerate().filter(|(_, ask)| fits(ask));
        fitting.map(|(at, _)| at).take(ListQuery::TASK_IDS_MAX).collect()
    }

    /// Takes the looks at these places out, which are given in rising order.
    fn take(&mut self, places: &[usize]) -> Vec<Ask> {
        let mut places = places.iter().peekable();
        let (taken, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut self.waiting)
            .into_iter()
            .enumerate()
            .partition(|(at, _)| places.next_if(|place| *place == at).is_some());
        self.waiting = kept.into_iter().map(|(_, ask)| ask).collect();
        taken.into_iter().map(|(_, ask)| ask).collect()
    }

    fn rests(&self, now: Instant) -> bool {
        self.rests_until.is_some_and(|until| now < until)
    }
}

/// A turn at the list that is waited for, by as many looks in a row as it takes. An instant of the list that
/// is on its way is not thrown away because somebody lost patience: there may be one a second.
struct Turns<T> {
    waited_for: Option<BoxFuture<'static, T>>,
}

impl<T> Default for Turns<T> {
    fn default() -> Self {
        Self { waited_for: None }
    }
}

impl<T> Turns<T> {
    /// The turn, if it comes by then; `begin` asks for one where none is waited for.
    async fn by(
        &mut self,
        until: Instant,
        begin: impl FnOnce() -> BoxFuture<'static, T>,
    ) -> Option<T> {
        let turn = self.waited_for.get_or_insert_with(begin);
        let come = tokio::time::timeout_at(until, turn).await.ok()?;
        self.waited_for = None;
        Some(come)
    }
}

/// The sweep of one account.
struct Sweep {
    context: Arc<Context>,
    site: Site,
    inbox: mpsc::Receiver<Ask>,
    row: Row,
    turns: Turns<Option<limiter::Permit>>,
}

impl Sweep {
    async fn serve(mut self) {
        loop {
            if self.row.waiting.is_empty() {
                let Some(ask) = self.inbox.recv().await else { return };
                self.row.join(ask);
            }
            self.gather().await;
            let batch = self.row.batch();
            if batch.len() <= SINGLY_MAX || self.row.rests(Instant::now()) {
                singly(self.row.take(&batch));
                continue;
            }
            let (patience, context) = (self.patience(), Arc::clone(&self.context));
            let account = self.site.account.clone();
            match self.turns.by(patience, || turn(context, account).boxed()).await {
                Some(Some(permit)) => self.page(permit).await,
                // The list is held, or this process knows no such account.
                Some(None) => self.row.rests_until = Some(Instant::now() + REST),
                // The list is somebody else's for now.
                None => {
                    let few = batch.len().min(LET_GO);
                    singly(self.row.take(&batch[..few]));
                    self.row.let_go_at = Some(Instant::now());
                }
            }
        }
    }

    /// Takes in who comes within a moment of the first; whoever has gone meanwhile is left out.
    async fn gather(&mut self) {
        let Some(oldest) = self.row.oldest() else { return };
        let until = oldest + GATHER;
        while let Ok(Some(ask)) = tokio::time::timeout_at(until, self.inbox.recv()).await {
            self.row.join(ask);
        }
        self.take_in();
    }

    fn take_in(&mut self) {
        while let Ok(ask) = self.inbox.try_recv() {
            self.row.join(ask);
        }
        self.row.waiting.retain(|ask| !ask.answer.is_closed());
    }

    /// Until when the oldest look waits for the list.
    fn patience(&self) -> Instant {
        let oldest = self.row.oldest().map(|since| since + TURN_MAX);
        let let_go = self.row.let_go_at.map(|at| at + LET_GO_EVERY);
        oldest.max(let_go).unwrap_or_else(Instant::now)
    }

    /// One page for as many as wait by now.
    async fn page(&mut self, permit: limiter::Permit) {
        self.take_in();
        let batch = self.row.batch();
        if batch.is_empty() {
            return;
        }
        let asks = self.row.take(&batch);
        let ids: Vec<TaskId> = asks.iter().map(|ask| ask.task.clone()).collect();
        let rows = u32::try_from(ids.len()).unwrap_or(u32::MAX);
        // Never more than fit: the batch is cut to that.
        let Ok(query) = ListQuery::page(1, rows).of_tasks(ids) else { return singly(asks) };
        let query = match self.row.lists {
            Lists::Whole => query,
            Lists::ByModel => query.of_model(&asks[0].model_id),
        };
        match self.context.client.list(permit, &self.site, &query).await {
            Listed::Page { page, .. } => {
                around::well(self.context.store.pool(), Around::Reads);
                deal(page, asks);
            }
            Listed::Trouble(trouble) => self.troubled(&trouble, asks),
        }
    }

    /// The list did not answer: nobody waits for it, and it is left alone for a while.
    fn troubled(&mut self, trouble: &provider::Trouble, asks: Vec<Ask>) {
        let account = &self.site.account;
        let refused = trouble.refuses_the_question();
        if refused && self.row.lists == Lists::Whole {
            tracing::info!(
                account,
                code = trouble.code,
                "this key may have to name a model to list its tasks: they are asked for by model"
            );
            self.row.lists = Lists::ByModel;
            asks.into_iter().for_each(|ask| self.row.join(ask));
            return;
        }
        let rest = match refused {
            true => {
                self.row.lists = Lists::Whole;
                REST_DENIED
            }
            false => trouble.retry_after.map_or(REST, |wait| wait.clamp(REST, REST_DENIED)),
        };
        tracing::info!(
            account,
            code = trouble.code,
            ?rest,
            "the list does not serve: tasks are read singly"
        );
        self.row.rests_until = Some(Instant::now() + rest);
        singly(asks);
    }
}

/// A turn at the list, behind every scan that wants one.
async fn turn(context: Arc<Context>, account: String) -> Option<limiter::Permit> {
    let lock = turn_lock(&account);
    // Without an answer nothing is reserved; permits fail closed by themselves.
    while context.store.is_locked(&lock).await.unwrap_or(false) {
        tokio::time::sleep(SCAN_PAUSE).await;
    }
    context.limiter.permit(&account, Call::List).await.ok()
}

/// Gives each look its row. The first of two rows of one task counts.
fn deal(page: TaskPage, asks: Vec<Ask>) {
    let mut rows: BTreeMap<String, (Task, String)> = BTreeMap::new();
    for (task, text) in page.items.into_iter().zip(page.texts) {
        if tells_all(&task) {
            rows.entry(task.id.clone()).or_insert((task, text));
        }
    }
    for ask in asks {
        let row = rows.remove(ask.task.as_str()).map(Box::new);
        // Whoever no longer waits is stopping.
        drop(ask.answer.send(row.map_or(Answer::Singly, Answer::Row)));
    }
}

/// Whether a row that ended carries its end: the link and the bill, or the cause. One that lacks them is no
/// news yet, and the single read decides what is odd.
fn tells_all(task: &Task) -> bool {
    match &task.status {
        TaskStatus::Succeeded => {
            task.video_url.is_some() && task.completion_tokens.or(task.total_tokens).is_some()
        }
        TaskStatus::Failed => task.error.is_some(),
        TaskStatus::Queued
        | TaskStatus::Running
        | TaskStatus::Expired
        | TaskStatus::Cancelled
        | TaskStatus::Unknown(_) => true,
    }
}

fn singly(asks: Vec<Ask>) {
    for ask in asks {
        drop(ask.answer.send(Answer::Singly));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use job::Timestamp;
    use serde_json::json;

    fn ask(n: usize, model: &str) -> (Ask, oneshot::Receiver<Answer>) {
        let (answer, waiting) = oneshot::channel();
        let task = TaskId::parse(&format!("cgt-{n}")).unwrap();
        let rank = Rank::Expected(Timestamp::from_unix_ms(0), Timestamp::from_unix_ms(0));
        (Ask { model_id: model.to_owned(), task, rank, since: Instant::now(), answer }, waiting)
    }

    fn row(models: &[&str]) -> Row {
        let waiting = models.iter().enumerate().map(|(n, model)| ask(n, model).0).collect();
        Row { waiting, ..Row::default() }
    }

    #[tokio::test]
    async fn a_turn_that_is_on_its_way_outlives_the_patience_of_who_asked_for_it() {
        let mut turns = Turns::default();
        let (give, given) = oneshot::channel();
        let (now, later) = (Instant::now(), Instant::now() + TURN_MAX);
        assert_eq!(turns.by(now, || given.map(Result::ok).boxed()).await, None, "not yet");
        give.send("an instant").unwrap();
        let another = || async { Some("another") }.boxed();
        assert_eq!(turns.by(later, another).await, Some(Some("an instant")), "that of before");
        assert_eq!(turns.by(later, another).await, Some(Some("another")), "once only");
    }

    #[test]
    fn a_page_takes_what_one_address_holds_oldest_first() {
        let mut row = row(&["m"; 400]);
        let batch = row.batch();
        assert_eq!(batch, (0..ListQuery::TASK_IDS_MAX).collect::<Vec<_>>());
        let taken = row.take(&batch);
        assert_eq!((taken.len(), row.waiting.len()), (150, 250));
        assert_eq!(row.waiting[0].task.as_str(), "cgt-150");
    }

    #[test]
    fn what_presses_most_is_on_the_next_page_and_of_equals_who_came_first() {
        let mut row = Row::default();
        let at = Timestamp::from_unix_ms;
        for (n, rank) in [
            (0, Rank::Expected(at(50), at(0))),
            (1, Rank::Expected(at(20), at(9))),
            (2, Rank::RunsOut(at(900))),
            (3, Rank::Expected(at(20), at(8))),
            (4, Rank::RunsOut(at(900))),
        ] {
            row.join(Ask { rank, ..ask(n, "m").0 });
        }
        let order: Vec<&str> = row.waiting.iter().map(|ask| ask.task.as_str()).collect();
        assert_eq!(order, ["cgt-2", "cgt-4", "cgt-3", "cgt-1", "cgt-0"]);
    }

    #[test]
    fn a_key_that_names_models_asks_for_one_model_at_a_time() {
        let mut row = row(&["a", "b", "a", "b", "a"]);
        row.lists = Lists::ByModel;
        assert_eq!(row.batch(), [0, 2, 4]);
        let taken = row.take(&[0, 2, 4]);
        assert!(taken.iter().all(|ask| ask.model_id == "a"));
        assert_eq!(row.batch(), [0, 1]);
    }

    #[test]
    fn who_is_not_told_whole_by_its_row_is_read_singly() {
        let url = "https://b.volces.com/v.mp4";
        let items = json!([
            {"id": "cgt-0", "status": "running"},
            {"id": "cgt-1", "status": "succeeded", "content": {"video_url": url},
             "usage": {"completion_tokens": 7}},
            {"id": "cgt-2", "status": "succeeded", "usage": {"completion_tokens": 7}},
            {"id": "cgt-3", "status": "succeeded", "content": {"video_url": url}},
            {"id": "cgt-4", "status": "failed"},
            {"id": "cgt-5", "status": "rendering"},
            {"status": "running"},
        ]);
        let body = json!({"items": items, "total": 7}).to_string();
        let page = TaskPage::parse(body.as_bytes()).unwrap();
        let (asks, mut answers): (Vec<_>, Vec<_>) = (0..7).map(|n| ask(n, "m")).unzip();
        deal(page, asks);
        let rows: Vec<Option<String>> = answers
            .iter_mut()
            .map(|answer| match answer.try_recv().unwrap() {
                Answer::Row(read) => Some(read.1),
                Answer::Singly => None,
            })
            .collect();
        let told: Vec<usize> = (0..7).filter(|n| rows[*n].is_some()).collect();
        assert_eq!(told, [0, 1, 5]);
        assert_eq!(rows[1].as_deref(), Some(items[1].to_string().as_str()), "its own text");
    }
}
