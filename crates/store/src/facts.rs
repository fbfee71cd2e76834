//! What follows from a life, and how a change of life becomes writes.
//!
//! The one place that knows which index, counter, slot, nonce and owner a state calls for. `admit`
//! compares with nothing, `commit` with the life before, and `recount` with what Redis holds.

mod failed;
mod money;
mod writes;

use crate::batches;
use crate::ends::Ended;
use crate::events::Mark;
use crate::keys::{AUDIT_LINES_MAX, DECISION_LINES_MAX, Keys, TIMELINE_LINES_MAX};
use crate::queue::{Lane, Queue};
use crate::spent::{SPENT_KEPT, day_text};
use job::{
    Alarm, AttemptId, CapOf, Filing, JobId, Life, Note, Record, Slot, Spec, State, StateWord,
    TaskId, Ticket, Timestamp,
};
use serde::Serialize;
use std::time::Duration;
pub(crate) use writes::{KeyTable, Move, Writes};

/// The provider keeps records for 7 days and calls back for less; after this nobody asks for the job
/// of a closed attempt.
pub(crate) const ATTEMPT_KEPT: Duration = Duration::from_secs(9 * 24 * 3600);

/// Days for which a tenant's usage is kept.
pub(crate) const USAGE_DAYS_KEPT: i64 = 62;
const DAY_MS: i64 = 86_400_000;

/// The UTC day that holds an instant, counted from 1970.
pub(crate) fn day_of(at: Timestamp) -> i64 {
    at.unix_ms().div_euclid(DAY_MS)
}

/// When a day ends.
pub(crate) fn day_end(day: i64) -> Timestamp {
    Timestamp::from_unix_ms((day + 1) * DAY_MS)
}

/// See [`deadline`].
const FILED_WITHIN: Duration = Duration::from_secs(7 * 24 * 3600);

/// What Redis must say about a job beside its record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) word: Option<StateWord>,
    pub(crate) code: Option<String>,
    /// The code again, of a failure that was dismissed.
    pub(crate) dismissed: Option<String>,
    /// The class of the failure, where it has one.
    pub(crate) class: Option<&'static str>,
    pub(crate) end: Option<Ended>,
    pub(crate) slot: Option<Slot>,
    pub(crate) open: Option<Open>,
    pub(crate) tasks: Vec<TaskId>,
    /// What download tickets are claimed by.
    pub(crate) deadline: Option<Timestamp>,
    /// When the job ended: from then on its content is kept.
    pub(crate) kept: Option<Timestamp>,
    /// Whose cap of spending keeps it waiting.
    pub(crate) held_by: Option<CapOf>,
}

/// An open attempt's marks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Open {
    pub(crate) account: String,
    pub(crate) nonce_s: u32,
    pub(crate) attempt: AttemptId,
}

impl Standing {
    pub(crate) fn of(life: &Life) -> Self {
        let state = &life.state;
        Self {
            word: Some(state.word()),
            code: state.failure_code().map(str::to_owned),
            dismissed: state.failure_code().filter(|_| life.dismissed).map(str::to_owned),
            class: state.failure().map(|cause| cause.class.word()),
            end: Ended::of(state),
            slot: state.slot(),
            open: state.open_attempt().map(|attempt| Open {
                account: attempt.facts.account.clone(),
                nonce_s: attempt.nonce_s,
                attempt: attempt.id.clone(),
            }),
            tasks: life.tasks().cloned().collect(),
            deadline: deadline(state),
            kept: kept(state),
            held_by: money::held_by(state),
        }
    }
}

/// When it is too late for the job's download ticket. A payload to be filed is safe in the record; it
/// has an end like all others so that nothing waits behind them for ever.
fn deadline(state: &State) -> Option<Timestamp> {
    match state {
        State::Downloading { links, .. } => Some(links.die_at),
        State::Finished { filing: Filing::Pending, at, .. } => Some(*at + FILED_WITHIN),
        State::Finished { filing: Filing::Filed | Filing::Nothing, .. }
        | State::Held { .. }
        | State::Queued { .. }
        | State::Submitting { .. }
        | State::InDoubt { .. }
        | State::Parked { .. }
        | State::Generating { .. }
        | State::Overdue { .. } => None,
    }
}

/// Since when the content of an ended job is kept.
fn kept(state: &State) -> Option<Timestamp> {
    match state {
        State::Finished { at, .. } => Some(*at),
        State::Held { .. }
        | State::Queued { .. }
        | State::Submitting { .. }
        | State::InDoubt { .. }
        | State::Parked { .. }
        | State::Generating { .. }
        | State::Overdue { .. }
        | State::Downloading { .. } => None,
    }
}

/// The indexes by which a request's content is found again, as long as it is there.
pub(crate) fn content_indexes(keys: &Keys, spec: &Spec) -> Vec<String> {
    let user = spec.end_user.as_ref().map(|user| keys.ix_user(&spec.tenant, user));
    let media = spec.inline_media().into_iter().map(|hash| keys.ix_media(&spec.tenant, hash));
    media.chain(user).collect()
}

/// The queue whose ticket moves the job on, if one does.
pub(crate) fn queue_of(record: &Record) -> Option<Queue> {
    let class = record.spec.request.slot_class();
    record.life.state.step().map(|step| Queue::of(step, class))
}

/// The field of the `slots` hash.
pub(crate) fn slot_field(slot: &Slot) -> String {
    format!("{}|{}", slot.account, slot.class.word())
}

/// Where a ticket is put down.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Place {
    pub(crate) due: usize,
    pub(crate) wake: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lanes: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tenant: Option<String>,
}

/// The due set of a queue; for a submit queue, of the job's lane in it.
pub(crate) fn due_key(keys: &Keys, queue: Queue, lane: &Lane) -> String {
    match queue.class() {
        Some(class) => keys.lane(class, lane),
        None => keys.due(queue),
    }
}

impl Place {
    pub(crate) fn of(
        keys: &Keys,
        table: &mut KeyTable,
        queue: Queue,
        lane: &Lane,
        at: Option<Timestamp>,
    ) -> Self {
        let class = queue.class();
        Self {
            due: table.at(due_key(keys, queue, lane)),
            wake: table.at(keys.wake(queue)),
            at: at.map(Timestamp::unix_ms),
            lanes: class.map(|class| table.at(keys.lanes(class))),
            tenant: class.map(|_| lane.tenant.clone()),
        }
    }
}

/// The queue and instant a ticket names, if it names one.
pub(crate) fn ticket_queue(record: &Record, ticket: Ticket) -> Option<(Queue, Timestamp)> {
    match ticket {
        Ticket::Due(step, at) => Some((Queue::of(step, record.spec.request.slot_class()), at)),
        Ticket::Kept | Ticket::Gone => None,
    }
}

/// Collects the writes of one call.
pub(crate) struct Moves<'a> {
    pub(crate) keys: &'a Keys,
    pub(crate) table: &'a mut KeyTable,
    pub(crate) record: &'a Record,
    writes: Writes,
}

impl<'a> Moves<'a> {
    pub(crate) fn new(keys: &'a Keys, table: &'a mut KeyTable, record: &'a Record) -> Self {
        Self { keys, table, record, writes: Writes::default() }
    }

    pub(crate) fn into_writes(self) -> Writes {
        self.writes
    }

    fn push(&mut self, command: &'static str, key: String, args: &[&str]) {
        let key = self.table.at(key);
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        self.writes.moves.push(Move(command, key, args, None));
    }

    /// Counts a field up by `step`, or down.
    fn add(&mut self, key: String, field: &str, step: impl ToString) {
        let key = self.table.at(key);
        self.writes.counts.push((key, field.to_owned(), step.to_string()));
    }

    fn index(&mut self, key: String) {
        let key = self.table.at(key);
        self.writes.list.push(key);
    }

    fn unindex(&mut self, key: String) {
        let key = self.table.at(key);
        self.writes.unlist.push(key);
    }

    /// The indexes that never change.
    pub(crate) fn born(&mut self) {
        let (keys, spec) = (self.keys, &self.record.spec);
        self.index(keys.ix_all());
        self.index(keys.ix_tenant(&spec.tenant));
        let created = self.record.created_at.unix_ms().to_string();
        self.push("HSETNX", keys.tenants(), &[&spec.tenant, &created]);
        if let Some(batch) = &spec.batch {
            self.index(keys.ix_batch(&spec.tenant, batch));
            let begun = batches::begun(keys, &spec.tenant, batch, self.record.created_at);
            for (command, key, args) in begun {
                let key = self.table.at(key);
                self.writes.moves.push(Move(command, key, args, None));
            }
        }
        content_indexes(keys, spec).into_iter().for_each(|index| self.index(index));
        if let Some(custom) = &spec.custom_id {
            let member = Keys::custom_member(custom, &self.record.id);
            self.push("ZADD", keys.ix_custom(), &["0", &member]);
        }
        if spec.webhook.is_some() {
            // From here on somebody asks for the stream: what is not shared out is not trimmed.
            self.push("SET", keys.hooks_read(), &[Mark::START.to_string().as_str(), "NX"]);
        }
    }

    /// From one standing to the next.
    pub(crate) fn change(&mut self, before: &Standing, after: &Standing) {
        if before.word != after.word {
            self.word(before.word, -1);
            self.word(after.word, 1);
        }
        if before.code != after.code {
            let keys = self.keys;
            before.code.iter().for_each(|code| self.unindex(keys.ix_code(code)));
            after.code.iter().for_each(|code| self.index(keys.ix_code(code)));
            self.failed(before, "-1");
            self.failed(after, "1");
        }
        if before.dismissed != after.dismissed {
            self.dismissed(before.dismissed.as_deref(), "-1");
            self.dismissed(after.dismissed.as_deref(), "1");
        }
        if before.end != after.end {
            before.end.iter().for_each(|end| self.ended(end, -1));
            after.end.iter().for_each(|end| self.ended(end, 1));
        }
        if before.slot != after.slot {
            self.slot(before.slot.as_ref(), "-1");
            self.slot(after.slot.as_ref(), "1");
        }
        if before.open != after.open {
            before.open.iter().for_each(|open| self.close(open, after));
            after.open.iter().for_each(|open| self.open(open));
        }
        if before.deadline != after.deadline {
            let key = self.keys.ix_deadline();
            match after.deadline {
                Some(at) => {
                    let (at, id) = (at.unix_ms().to_string(), self.record.id.as_str());
                    self.push("ZADD", key, &[&at, id]);
                }
                None => self.unindex(key),
            }
        }
        self.held_for(before, after);
        if before.kept != after.kept {
            self.kept(after.kept);
        }
        for task in fresh_tasks(before, after) {
            self.push("HSET", self.keys.tasks(), &[task.as_str(), self.record.id.as_str()]);
        }
    }

    /// The mark of an erasure leaves the index alone: until the content is really gone, it leads to it.
    fn kept(&mut self, since: Option<Timestamp>) {
        let (keys, tenant) = (self.keys, &self.record.spec.tenant);
        if self.record.spec.erased {
            return;
        }
        let Some(since) = since else { return self.unindex(keys.ix_kept(tenant)) };
        let since = since.unix_ms().to_string();
        self.push("ZADD", keys.ix_kept(tenant), &[&since, self.record.id.as_str()]);
        self.push("ZADD", keys.kept(), &["0", tenant]);
    }

    /// The request's content is gone.
    pub(crate) fn forgotten(&mut self) {
        let (keys, spec) = (self.keys, &self.record.spec);
        let indexes = content_indexes(keys, spec).into_iter().chain([keys.ix_kept(&spec.tenant)]);
        indexes.for_each(|index| self.unindex(index));
    }

    fn word(&mut self, word: Option<StateWord>, step: i32) {
        let Some(word) = word else { return };
        let keys = self.keys;
        let of_tenant = keys.ix_tenant_state(&self.record.spec.tenant, word);
        for key in [keys.ix_state(word), of_tenant] {
            if step > 0 { self.index(key) } else { self.unindex(key) }
        }
        self.add(keys.counts(), word.as_str(), step);
        self.add(keys.tenant_counts(&self.record.spec.tenant), word.as_str(), step);
        if let Some(batch) = &self.record.spec.batch {
            let counts = keys.batch_counts(&self.record.spec.tenant, batch);
            self.add(counts, word.as_str(), step);
        }
    }

    /// The sums of the day and of the batch.
    fn ended(&mut self, end: &Ended, step: i64) {
        let (keys, record) = (self.keys, self.record);
        let (spec, sums) = (&record.spec, end.sums(record));
        let day = keys.spent(&day_text(end.at));
        let field = |what: &str| format!("{}|{}|{what}", spec.tenant, spec.request.model.word());
        self.add(day.clone(), &field(end.word.as_str()), step);
        for (what, n) in &sums {
            self.add(day.clone(), &field(what), n * step);
        }
        let kept_ms = SPENT_KEPT.as_millis().to_string();
        self.push("PEXPIRE", day, &[&kept_ms]);
        let Some(batch) = &spec.batch else { return };
        let batch = keys.batch(&spec.tenant, batch);
        for (what, n) in &sums {
            self.add(batch.clone(), what, n * step);
        }
        let at = end.at.unix_ms().to_string();
        self.push("HSETNX", batch.clone(), &["first_end", &at]);
        self.push("HSET", batch, &["last_end", &at]);
    }

    fn slot(&mut self, slot: Option<&Slot>, step: &str) {
        if let Some(slot) = slot {
            self.add(self.keys.slots(), &slot_field(slot), step);
        }
    }

    fn open(&mut self, open: &Open) {
        let nonce = open.nonce_s.to_string();
        self.push("HSET", self.keys.nonces(&open.account), &[&nonce, open.attempt.as_str()]);
        self.push("SET", self.keys.attempt(&open.attempt), &[self.record.id.as_str()]);
    }

    fn close(&mut self, open: &Open, after: &Standing) {
        let kept_ms = ATTEMPT_KEPT.as_millis().to_string();
        self.push("HDEL", self.keys.nonces(&open.account), &[&open.nonce_s.to_string()]);
        self.push("PEXPIRE", self.keys.attempt(&open.attempt), &[&kept_ms]);
        let job = self.keys.job(&self.record.id);
        // A hint that came while the attempt was being closed for lack of a task is the last word
        // against buying another: it stays until the job owns one.
        let fields = if after.tasks.is_empty() { &["usable"][..] } else { &["usable", "hint"] };
        self.push("HDEL", job, fields);
    }

    /// One line of the job's timeline.
    pub(crate) fn line(&mut self, line: &Line<'_>) {
        let key = self.keys.timeline(&self.record.id);
        self.prepend(key, &written(line), TIMELINE_LINES_MAX);
    }

    /// One entry of the pool's stream: from here on the job's public state is another one. Each entry has
    /// the same fields in the same order, since the server then stores their names once for many.
    pub(crate) fn told(&mut self, before: &Standing, after: &Standing, revision: u64) {
        let Some(to) = after.word.filter(|_| before.word != after.word) else { return };
        let spec = &self.record.spec;
        let from = before.word.map_or("", StateWord::as_str);
        let batch = spec.batch.as_deref().unwrap_or_default();
        let hook = if spec.webhook.is_some() { "1" } else { "" };
        let (id, revision) = (self.record.id.as_str(), revision.to_string());
        let mut args = vec!["*", "job", id, "tenant", &spec.tenant, "batch", batch];
        args.extend(["from", from, "to", to.as_str(), "seq", &revision, "hook", hook]);
        self.push("XADD", self.keys.events(), &args);
    }

    /// One line of the audit list.
    pub(crate) fn audit(&mut self, at: Timestamp, alarm: Alarm) {
        let line = written(&Audit { at, job: &self.record.id, alarm });
        self.prepend(self.keys.audit(), &line, AUDIT_LINES_MAX);
    }

    /// One decision of a person.
    pub(crate) fn decision(&mut self, line: &str) {
        let kept = DECISION_LINES_MAX.to_string();
        self.push("XADD", self.keys.decisions(), &["MAXLEN", "~", &kept, "*", "line", line]);
    }

    /// One more of what this commit is part of.
    pub(crate) fn count(&mut self, key: String, field: &str) {
        self.add(key, field, 1);
    }

    fn prepend(&mut self, key: String, line: &str, lines_max: usize) {
        let key = self.table.at(key);
        self.writes.moves.push(Move("LPUSH", key, vec![line.to_owned()], Some(lines_max)));
    }
}

/// A timeline line as it is stored.
#[derive(Debug, Serialize)]
pub(crate) struct Line<'a> {
    pub(crate) at: Timestamp,
    pub(crate) rev: u64,
    pub(crate) by: &'a str,
    #[serde(flatten)]
    pub(crate) note: &'a Note,
}

/// As it stands in its list.
pub(crate) fn written(line: &impl Serialize) -> String {
    serde_json::to_string(line).expect("plain data always serialises")
}

#[derive(Serialize)]
struct Audit<'a> {
    at: Timestamp,
    job: &'a JobId,
    alarm: Alarm,
}

/// Tasks the job answers for from now on.
pub(crate) fn fresh_tasks<'a>(
    before: &'a Standing,
    after: &'a Standing,
) -> impl Iterator<Item = &'a TaskId> {
    after.tasks.iter().filter(|task| !before.tasks.contains(task))
}
