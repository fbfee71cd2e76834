//! The provider's memory: tasks, who may see them, what is due when.
//!
//! One lock guards [`State`]; nothing awaits while holding it and no call scans all tasks. Time
//! passes through [`State::run_due`] alone.

mod create;
mod life;
mod listing;
mod reads;
mod stats;
mod timers;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value};
use tokio::sync::Notify;

use crate::arrival;
use crate::callback::Delivery;
use crate::clip::ClipSpec;
use crate::clock::Clock;
use crate::dice::Dice;
use crate::doubts::{Doubts, LinksSigned};
use crate::faults::{Chance, Plan};
use crate::ledger::{Entry, Ledger};
use crate::limits::{LimitPlan, Limits, Window};
use crate::link::{Artefact, Signer, Span};
use crate::models::Model;
use crate::options::{Key, Options, Route};
use crate::task::{Fate, Group, Links, Status, Task};

pub(crate) use self::create::{CreateCall, Created};
pub(crate) use self::listing::{Filter, Index};
pub(crate) use self::reads::{Call, DeleteEnd};
pub(crate) use self::stats::Stats;
use self::timers::{Timer, Timers};

/// The account and project behind a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Who {
    pub(crate) account: Arc<str>,
    pub(crate) project: Arc<str>,
}

/// Who stands behind each secret.
fn known(keys: &[Key]) -> HashMap<String, Who> {
    let place = |key: &Key| {
        let who =
            Who { account: key.account.as_str().into(), project: key.project.as_str().into() };
        (key.secret.clone(), who)
    };
    keys.iter().map(place).collect()
}

/// Shared by all listeners and background futures.
#[derive(Debug)]
pub(crate) struct World {
    state: Mutex<State>,
    /// Something new may be due earlier than the timekeeper thinks.
    pub(crate) timers_moved: Notify,
    /// Callbacks wait to be delivered.
    pub(crate) post_waits: Notify,
    /// A first callback of some task is settled.
    pub(crate) announced: Notify,
    pub(crate) ledger: Arc<Ledger>,
}

impl World {
    pub(crate) fn new(options: &Options, ledger: Arc<Ledger>, signer: Signer) -> Self {
        Self {
            state: Mutex::new(State::new(options, ledger.clone(), signer)),
            timers_moved: Notify::new(),
            post_waits: Notify::new(),
            announced: Notify::new(),
            ledger,
        }
    }

    /// Does something with the state, then wakes whoever it concerns.
    pub(crate) fn with<R>(&self, act: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.lock();
        let result = act(&mut state);
        let timers_moved = std::mem::take(&mut state.timers_moved);
        let post_waits = !state.outbox.is_empty();
        drop(state);
        if timers_moved {
            self.timers_moved.notify_one();
        }
        if post_waits {
            self.post_waits.notify_waiters();
        }
        result
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Slots and waiting tasks of one group.
#[derive(Debug, Default)]
struct Lane {
    /// Ready to run: larger priority first, then first come.
    ready: BTreeSet<(Reverse<u8>, u64)>,
    running: u32,
    running_max: u32,
}

/// Queued tasks of one account.
#[derive(Debug, Default)]
struct Queue {
    queued: u32,
    queued_max: u32,
}

/// Everything the provider knows.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) clock: Clock,
    pub(crate) faults: Plan,
    pub(crate) doubts: Doubts,
    pub(crate) chance: Chance,
    pub(crate) limits: LimitPlan,
    pub(crate) stats: Stats,
    pub(crate) queue_ms: (u64, u64),
    pub(crate) run_ms: (u64, u64),
    pub(crate) outbox: VecDeque<Delivery>,
    pub(crate) callback_retry_ms: u64,
    route: Route,
    endpoints: HashMap<String, &'static Model>,
    who: HashMap<String, Who>,
    dice: Dice,
    ledger: Arc<Ledger>,
    signer: Arc<Signer>,
    clip_bytes_min: usize,
    last_seq: u64,
    requests: u64,
    tasks: HashMap<u64, Task>,
    seq_of_id: HashMap<String, u64>,
    indexes: BTreeMap<Who, Index>,
    lanes: BTreeMap<Group, Lane>,
    queues: BTreeMap<Arc<str>, Queue>,
    windows: BTreeMap<(&'static str, String), Window>,
    work_timers: Timers,
    calendar_timers: Timers,
    timers_moved: bool,
}

impl State {
    fn new(options: &Options, ledger: Arc<Ledger>, signer: Signer) -> Self {
        let dice = Dice::new(options.seed);
        let endpoints = options.endpoints.iter().filter_map(|(endpoint, key)| {
            Model::of_key(key).map(|model| (endpoint.clone(), model))
        });
        Self {
            clock: Clock::new(options.clock_scale),
            faults: options.faults.clone(),
            doubts: options.doubts.clone(),
            chance: Chance::new(dice),
            limits: LimitPlan { default: options.limits.clone(), accounts: BTreeMap::new() },
            stats: Stats::default(),
            queue_ms: options.queue_ms,
            run_ms: options.run_ms,
            outbox: VecDeque::new(),
            callback_retry_ms: options.callback_retry_ms,
            route: options.route,
            endpoints: endpoints.collect(),
            who: known(&options.keys),
            dice,
            ledger,
            signer: Arc::new(signer),
            clip_bytes_min: options.clip_bytes_min,
            last_seq: 0,
            requests: 0,
            tasks: HashMap::new(),
            seq_of_id: HashMap::new(),
            indexes: BTreeMap::new(),
            lanes: BTreeMap::new(),
            queues: BTreeMap::new(),
            windows: BTreeMap::new(),
            work_timers: Timers::default(),
            calendar_timers: Timers::default(),
            timers_moved: false,
        }
    }

    /// The next `x-request-id`: `02`, the time in ms, a hex tail.
    pub(crate) fn request_id(&mut self) -> String {
        self.requests += 1;
        let tail = |n| self.dice.bits(crate::dice::Purpose::RequestId, self.requests * 2 + n);
        format!("02{:013}{:016x}{:016x}", self.clock.calendar_ms(), tail(0), tail(1))
    }

    /// Knows these keys from now on, and no other.
    pub(crate) fn accept_only(&mut self, keys: &[Key]) {
        self.who = known(keys);
    }

    /// Who a bearer secret belongs to.
    pub(crate) fn who(&self, secret: &str) -> Option<Who> {
        self.who.get(secret).cloned()
    }

    /// Counts a call against a limit; false means refused.
    pub(crate) fn pass(
        &mut self,
        name: &'static str,
        scope: String,
        span_us: u64,
        limit: Option<u32>,
        came_us: Option<u64>,
    ) -> bool {
        let now_us = self.clock.real_us();
        let window = self.windows.entry((name, scope)).or_insert_with(|| Window::new(span_us));
        window.pass(now_us, came_us.unwrap_or_else(arrival::now_us), limit)
    }

    pub(crate) fn limits_of(&self, account: &str) -> &Limits {
        self.limits.of(account)
    }

    pub(crate) fn note(&self, event: &str, entry: Entry) {
        self.ledger.write(self.clock.calendar_ms(), event, entry);
    }

    pub(crate) fn signer(&self) -> Arc<Signer> {
        self.signer.clone()
    }

    /// A task by its number.
    pub(crate) fn task(&self, seq: u64) -> Option<&Task> {
        self.tasks.get(&seq)
    }

    pub(crate) fn task_mut(&mut self, seq: u64) -> Option<&mut Task> {
        self.tasks.get_mut(&seq)
    }

    /// What a task's files are made from.
    pub(crate) fn clip(&self, task: &Task) -> ClipSpec {
        ClipSpec {
            tag: task.id.clone(),
            ratio: task.ratio,
            size: task.size,
            duration_s: task.duration_s,
            seed: task.seed,
            bytes_min: self.clip_bytes_min,
            last_frame: self.doubts.last_frame,
        }
    }

    /// The links a succeeded task shows.
    fn links(&self, task: &Task) -> Links {
        let (video, last_frame) = match task.fate {
            Fate::Succeed { with_video_url, with_last_frame } => (with_video_url, with_last_frame),
            Fate::Fail { .. }
            | Fate::Expire
            | Fate::CancelWhileQueued
            | Fate::StayQueued
            | Fate::StayRunning
            | Fate::Vanish => (true, true),
        };
        let signed_ms = match self.doubts.links {
            LinksSigned::AtSuccess => task.updated_ms,
            LinksSigned::EachRead => self.clock.calendar_ms(),
        };
        let span = Span { signed_ms, life_s: self.doubts.link_life_s };
        let link = |artefact| self.signer.link(task, artefact, span);
        Links {
            video: video.then(|| link(Artefact::Video)),
            last_frame: (last_frame && task.with_last_frame).then(|| link(Artefact::LastFrame)),
        }
    }

    /// A task as it is shown, alone or in a list.
    fn object(&self, task: &Task, in_list: bool) -> Map<String, Value> {
        let object = task.object(|task| self.links(task));
        self.doubts.disguise(object, task.status, in_list)
    }

    fn index(&mut self, task_who: Who) -> &mut Index {
        self.indexes.entry(task_who).or_default()
    }

    fn at_work(&mut self, due_ms: i64, timer: Timer) {
        self.timers_moved |= self.work_timers.push(due_ms, timer);
    }

    pub(crate) fn at_calendar(&mut self, due_ms: i64, timer: Timer) {
        self.timers_moved |= self.calendar_timers.push(due_ms, timer);
    }

    /// Has the timekeeper look again, after the clock was changed.
    pub(crate) fn clock_changed(&mut self) {
        self.timers_moved = true;
    }

    /// Schedules another delivery of a callback nobody acknowledged.
    pub(crate) fn deliver_again(&mut self, delivery: Delivery) {
        let due_ms = self.clock.calendar_ms()
            + i64::try_from(self.callback_retry_ms).unwrap_or(i64::MAX / 2);
        self.at_calendar(due_ms, Timer::Deliver(Box::new(delivery)));
    }

    /// Marks that the receiver had its chance to hear of the task.
    pub(crate) fn mark_announced(&mut self, seq: u64) {
        if let Some(task) = self.tasks.get_mut(&seq) {
            task.announced = true;
        }
    }

    fn status_of(&self, seq: u64) -> Option<Status> {
        self.tasks.get(&seq).map(|task| task.status)
    }
}
