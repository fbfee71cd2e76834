//! How jobs come in: half of them one by one through the gateway with idempotency keys and replays,
//! half in files through `seedfleet import`. Whoever sends them repeats until it is acknowledged, as
//! callers are told to.

use super::draw::Draw;
use super::ground::{CALLER_KEY, Ground, PROMPT_CANARY, client};
use super::tally::Tally;
use super::{Order, tally};
use sandbox::{Logs, Process};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Callers that post at the same time.
pub(super) const CALLERS: usize = 8;
/// Rows of one file.
const ROWS: u64 = 100;
/// Posts repeated although they were answered, per mille.
const REPLAYS: u64 = 60;
/// Imports shot in the middle, per mille.
const SHOTS: u64 = 250;
/// What a program says that finds no folder where its bucket should be.
const NO_BUCKET: &str = "cannot create the directory";
const PAUSE: Duration = Duration::from_millis(60);
/// No loss of data takes longer.
const FORGETTING_MAX: Duration = Duration::from_secs(600);
const MODELS: [&str; 3] = ["seedance-2.0", "seedance-2.0-fast", "seedance-2.0-mini"];

/// A caller's receipt.
#[derive(Debug, Clone)]
pub(super) struct Receipt {
    /// The job's id, where the door tells it.
    pub(super) id: Option<String>,
    at: Instant,
}

/// Both doors and the callers' own books.
pub(super) struct Doors<'a> {
    ground: &'a Ground,
    order: &'a Order,
    tally: &'a Tally,
    /// The next job; even numbers go through the gateway, odd blocks through files.
    next_post: AtomicU64,
    receipts: Mutex<BTreeMap<u64, Receipt>>,
    again: Mutex<VecDeque<u64>>,
    /// Blocks brought in, and when last.
    files: Mutex<BTreeMap<u64, Instant>>,
    files_again: Mutex<VecDeque<u64>>,
    /// Repeats under way.
    in_hand: AtomicU64,
    complaints: Mutex<Vec<String>>,
    /// Receipts older than the server's memory: see [`Doors::forgotten_since`].
    forgotten: Mutex<Option<Instant>>,
    closed: std::sync::atomic::AtomicBool,
}

impl<'a> Doors<'a> {
    pub(super) fn new(ground: &'a Ground, order: &'a Order, tally: &'a Tally) -> Self {
        Self {
            ground,
            order,
            tally,
            next_post: AtomicU64::new(0),
            receipts: Mutex::default(),
            again: Mutex::default(),
            files: Mutex::default(),
            files_again: Mutex::default(),
            in_hand: AtomicU64::new(0),
            complaints: Mutex::default(),
            forgotten: Mutex::default(),
            closed: std::sync::atomic::AtomicBool::new(false),
        }
    }

    /// No new jobs.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// The server is about to be put back: from here until [`Doors::forgotten_since`] an answer may be
    /// about a job that is gone a moment later.
    pub(super) fn forgetting(&self) {
        *hold(&self.forgotten) = Some(Instant::now() + FORGETTING_MAX);
    }

    /// The server was put back to an earlier state: callers repeat what they were told since then, as
    /// they must after a restore, and another id for a lost job is no fault.
    pub(super) fn forgotten_since(&self, then: Instant) {
        *hold(&self.forgotten) = Some(Instant::now());
        let receipts = hold(&self.receipts);
        hold(&self.again).extend(
            receipts.iter().filter(|(_, r)| r.at >= then && r.id.is_some()).map(|(n, _)| *n),
        );
        let files = hold(&self.files);
        let recent = files.iter().filter(|(_, at)| **at >= then).map(|(block, _)| *block);
        hold(&self.files_again).extend(recent);
    }

    /// The server forgot between a question and now: the answer may be about what is gone.
    fn is_from_before(&self, asked: Instant) -> bool {
        hold(&self.forgotten).is_some_and(|end| asked < end && end <= Instant::now())
    }

    pub(super) fn receipts(&self) -> BTreeMap<u64, Receipt> {
        hold(&self.receipts).clone()
    }

    pub(super) fn complaints(&self) -> Vec<String> {
        hold(&self.complaints).clone()
    }

    /// Everything ordered was taken in.
    pub(super) fn is_done(&self) -> bool {
        let closed = self.closed.load(Ordering::Relaxed);
        let all = self.tally.accepted.load(Ordering::Relaxed) >= self.order.jobs;
        let repeats = hold(&self.again).len() + hold(&self.files_again).len();
        (all || closed) && repeats == 0 && self.in_hand.load(Ordering::Relaxed) == 0
    }

    /// Room for one more: a backlog always waits, and jobs do not run ahead of the kills.
    fn may_take(&self) -> bool {
        let accepted = self.tally.accepted.load(Ordering::Relaxed);
        let open = accepted.saturating_sub(self.tally.ended.load(Ordering::Relaxed));
        let kills = self.tally.kills.load(Ordering::Relaxed);
        let share =
            u128::from(self.order.jobs) * u128::from(kills) / u128::from(self.order.kills.max(1));
        let in_step = u64::try_from(share).unwrap_or(u64::MAX) + self.order.jobs / 10 + ROWS;
        // Every kind of weather must meet a fleet at work.
        let dealt = self.tally.dealt.load(Ordering::Relaxed);
        let in_weather = self.order.jobs * dealt / 1_000 + self.order.jobs / 10;
        open < self.order.backlog
            && (self.order.kills == 0 || accepted < in_step)
            && (dealt >= 1_000 || accepted < in_weather)
    }

    /// The blocks of numbers each door takes: even blocks are posted, odd ones imported.
    fn is_posted(n: u64) -> bool {
        (n / ROWS).is_multiple_of(2)
    }

    /// One caller at the gateway.
    pub(super) async fn call(&self, caller: usize) {
        let mut draw = Draw::new(self.order.seed, &format!("caller {caller}"));
        let client = client();
        loop {
            if self.tally.is_over() {
                return;
            }
            if let Some(n) = self.take_repeat(&self.again) {
                self.post(&client, n).await;
                self.in_hand.fetch_sub(1, Ordering::Relaxed);
                continue;
            }
            let closed = self.closed.load(Ordering::Relaxed);
            if closed || !self.may_take() {
                tally::wait_a_turn(PAUSE).await;
                continue;
            }
            let Some(n) = self.next_posted() else {
                tally::wait_a_turn(PAUSE).await;
                continue;
            };
            self.post(&client, n).await;
            if draw.hits(REPLAYS) {
                self.post(&client, n).await;
                self.tally.fired("door.replay");
            }
        }
    }

    fn next_posted(&self) -> Option<u64> {
        loop {
            let n = self.next_post.fetch_add(1, Ordering::Relaxed);
            if n >= self.order.jobs {
                return None;
            }
            if Self::is_posted(n) {
                return Some(n);
            }
        }
    }

    /// Posts until it is acknowledged.
    async fn post(&self, client: &reqwest::Client, n: u64) {
        let url = format!("http://127.0.0.1:{}/v1/jobs", self.ground.gateway_port);
        let (mark, body) = (self.mark(n), self.request(n));
        while !self.tally.is_over() {
            let sent = Instant::now();
            let request =
                client.post(&url).bearer_auth(CALLER_KEY).header("idempotency-key", &mark);
            match request.json(&body).send().await {
                Ok(answer) if matches!(answer.status().as_u16(), 200 | 202) => {
                    let Ok(view) = answer.json::<Value>().await else { continue };
                    if self.is_from_before(sent) {
                        continue;
                    }
                    let id = view["id"].as_str().unwrap_or_default().to_owned();
                    return self.acknowledged(n, Some(id));
                }
                Ok(answer) if matches!(answer.status().as_u16(), 429 | 500..=599) => {}
                Ok(answer) => {
                    let status = answer.status();
                    let text = answer.text().await.unwrap_or_default();
                    self.complain(format!("{mark} was refused: {status} {text}"));
                    return;
                }
                Err(_) => {}
            }
            tally::wait_a_turn(PAUSE).await;
        }
    }

    fn acknowledged(&self, n: u64, id: Option<String>) {
        let mut receipts = hold(&self.receipts);
        let now = Instant::now();
        let before = receipts.insert(n, Receipt { id: id.clone(), at: now });
        match before {
            None => {
                self.tally.accepted.fetch_add(1, Ordering::Relaxed);
            }
            Some(before) if before.id == id || before.id.is_none() || id.is_none() => {}
            Some(before) => {
                let forgotten = *hold(&self.forgotten);
                if forgotten.is_none_or(|since| before.at > since) {
                    self.complain(format!("{} is {id:?}, was {:?}", self.mark(n), before.id));
                }
            }
        }
    }

    /// One person with files: imports a block, and imports again what was interrupted.
    pub(super) fn import(&self) {
        let mut draw = Draw::new(self.order.seed, "imports");
        let mut block = 1;
        while !self.tally.is_over() {
            if let Some(block) = self.take_repeat(&self.files_again) {
                self.bring(block, &mut draw);
                self.in_hand.fetch_sub(1, Ordering::Relaxed);
                continue;
            }
            let first = block * ROWS;
            let closed = self.closed.load(Ordering::Relaxed);
            if closed || first >= self.order.jobs || !self.may_take() {
                tally::wait_out(PAUSE);
                continue;
            }
            self.bring(block, &mut draw);
            block += 2;
        }
    }

    fn take_repeat(&self, queue: &Mutex<VecDeque<u64>>) -> Option<u64> {
        let mut queue = hold(queue);
        let taken = queue.pop_front();
        self.in_hand.fetch_add(u64::from(taken.is_some()), Ordering::Relaxed);
        taken
    }

    /// Imports one block until the program says that every row is safe.
    fn bring(&self, block: u64, draw: &mut Draw) {
        let rows = block * ROWS..(block * ROWS + ROWS).min(self.order.jobs);
        let path = self.ground.dir.join(format!("rows-{block}.jsonl"));
        let mut text = String::new();
        for n in rows.clone() {
            let _ = writeln!(text, "{}", self.request(n));
        }
        if let Err(error) = std::fs::write(&path, text) {
            return self.complain(format!("{}: {error}", path.display()));
        }
        while !self.tally.is_over() {
            let mut command = self.ground.command("seedfleet");
            command.args(["--quiet", "import"]).arg(&path).args(["--batch", &format!("b{block}")]);
            let logs = Logs::to(&self.ground.log_dir());
            let begun = Instant::now();
            let Ok(process) = Process::spawn_logged("import", command, &logs) else { continue };
            if !self.tally.is_calm() && !self.order.rolling && draw.hits(SHOTS) {
                tally::wait_out(Duration::from_millis(draw.between(5, 90)));
                process.kill9();
            }
            let status = process.wait_bounded(Duration::from_secs(60));
            match status {
                Some(status) if status.success() && self.is_from_before(begun) => {}
                Some(status) if status.success() => {
                    rows.clone().for_each(|n| self.acknowledged(n, None));
                    hold(&self.files).insert(block, Instant::now());
                    return;
                }
                Some(status) if status.signal() == Some(9) => self.tally.killed("kill.import"),
                // Started while the bucket was away it can only say so: whoever runs it runs it again.
                Some(status) if !status.success() && process.log_tail(1).contains(NO_BUCKET) => {}
                Some(status) if matches!(status.code(), Some(1..=6)) => {
                    self.complain(format!("import of {block}: {status}: {}", process.log_tail(5)));
                    return;
                }
                Some(_) | None => {}
            }
            tally::wait_out(PAUSE);
        }
    }

    /// What a job is known by, outside and inside.
    pub(super) fn mark(&self, n: u64) -> String {
        format!("mark-{}-{n:07}", self.order.seed)
    }

    fn request(&self, n: u64) -> Value {
        let mark = self.mark(n);
        json!({
            "model": MODELS[usize::try_from(n % 3).unwrap_or(0)],
            "content": [{"type": "text", "text": format!("{mark} {PROMPT_CANARY} a paper boat in the rain")}],
            "duration": 4,
            "resolution": "480p",
            "custom_id": mark,
        })
    }

    fn complain(&self, words: String) {
        let mut complaints = hold(&self.complaints);
        if complaints.len() < 100 {
            complaints.push(words);
        }
    }
}

fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
