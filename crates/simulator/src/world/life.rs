//! How tasks move on by themselves: slots, ends, expiry, retention, and who is told
//! (`docs/provider.md` §5, §6).

use std::cmp::Reverse;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::timers::Timer;
use super::{State, Who};
use crate::callback::Delivery;
use crate::clip;
use crate::doubts::{CallbackCancelled, CallbackOrder};
use crate::faults::{Callback, Facts};
use crate::ledger::Entry;
use crate::link::Artefact;
use crate::task::{Fate, Group, Status, Task};

/// Timers run per hold of the lock, so that a great jump of the clock does not starve calls.
const BATCH_MAX: usize = 500;
const CANCELLED_RECORD_LIFE_MS: i64 = 86_400_000;
/// How long after a task was made its callbacks wait, where they never overtake the reply.
const REPLY_MAX_MS: i64 = 1_000;

impl State {
    /// Runs what is due; tells how long nothing will be, if anything is waiting at all.
    pub(crate) fn run_due(&mut self) -> Option<Duration> {
        let mut left = BATCH_MAX;
        while left > 0 {
            left -= 1;
            let calendar_ms = self.clock.calendar_ms();
            if let Some((_, timer)) = self.calendar_timers.pop_due(calendar_ms) {
                let work_ms = self.clock.work_ms();
                self.fire(timer, work_ms);
            } else if let Some((due_ms, timer)) = self.work_timers.pop_due(self.clock.work_ms()) {
                // The due time counts, not the moment it is noticed: chains keep their lengths.
                self.fire(timer, due_ms);
            } else {
                break;
            }
        }
        if left == 0 {
            return Some(Duration::ZERO);
        }
        let work = self.work_timers.next_ms().map(|due_ms| self.clock.until_work(due_ms));
        let calendar =
            self.calendar_timers.next_ms().map(|due_ms| self.clock.until_calendar(due_ms));
        work.into_iter().chain(calendar).min()
    }

    fn fire(&mut self, timer: Timer, work_ms: i64) {
        match timer {
            Timer::Ready(seq) => self.ready(seq, work_ms),
            Timer::Finish(seq) => self.finish(seq, work_ms),
            Timer::Expire(seq) => {
                if self.status_of(seq).is_some_and(|status| !status.is_terminal()) {
                    self.end(seq, Status::Expired, work_ms);
                }
            }
            Timer::Show(seq) => self.show(seq),
            Timer::Forget(seq) => {
                if self.status_of(seq).is_some_and(|status| !status.is_terminal()) {
                    self.end(seq, Status::Expired, work_ms);
                }
                self.forget(seq);
            }
            Timer::Deliver(delivery) => self.outbox.push_back(*delivery),
        }
    }

    fn ready(&mut self, seq: u64, work_ms: i64) {
        let Some(task) = self.tasks.get(&seq).filter(|task| task.status == Status::Queued) else {
            return;
        };
        match task.fate {
            Fate::StayQueued => {}
            Fate::CancelWhileQueued => self.end(seq, Status::Cancelled, work_ms),
            Fate::Succeed { .. }
            | Fate::Fail { .. }
            | Fate::Expire
            | Fate::StayRunning
            | Fate::Vanish => {
                let (group, priority) = (task.group(), task.priority);
                self.lanes.entry(group.clone()).or_default().ready.insert((Reverse(priority), seq));
                self.fill_slots(&group, work_ms);
            }
        }
    }

    /// Starts ready tasks of a group while it has slots.
    fn fill_slots(&mut self, group: &Group, work_ms: i64) {
        let limits = self.limits_of(&group.account);
        let cap = if group.is_4k { limits.running_4k } else { limits.running };
        loop {
            let Some(lane) = self.lanes.get_mut(group) else {
                return;
            };
            if cap.is_some_and(|cap| lane.running >= cap) {
                return;
            }
            let Some((_, seq)) = lane.ready.pop_first() else {
                return;
            };
            lane.running += 1;
            lane.running_max = lane.running_max.max(lane.running);
            self.change(seq, Status::Running);
            let Some(task) = self.tasks.get(&seq) else {
                continue;
            };
            if task.fate != Fate::StayRunning {
                let finish_ms = work_ms.saturating_add(task.run_ms);
                self.at_work(finish_ms, Timer::Finish(seq));
            }
        }
    }

    /// Starts what raised limits allow now.
    pub(crate) fn fill_all_slots(&mut self) {
        let groups: Vec<Group> = self.lanes.keys().cloned().collect();
        let work_ms = self.clock.work_ms();
        for group in groups {
            self.fill_slots(&group, work_ms);
        }
    }

    fn finish(&mut self, seq: u64, work_ms: i64) {
        let Some(task) = self.tasks.get_mut(&seq).filter(|task| task.status == Status::Running)
        else {
            return;
        };
        let status = match &task.fate {
            Fate::Succeed { .. } => Status::Succeeded,
            Fate::Fail { code, message } => {
                task.error = Some((code.clone(), message.clone()));
                Status::Failed
            }
            Fate::Expire | Fate::CancelWhileQueued | Fate::StayQueued | Fate::StayRunning => {
                Status::Expired
            }
            Fate::Vanish => {
                let entry = Entry::new().with("task", &task.id);
                self.note("vanished", entry);
                self.release(seq, Status::Running, work_ms);
                self.forget(seq);
                return;
            }
        };
        self.end(seq, status, work_ms);
    }

    /// Ends a task, then hands its place on: in this order, so that the ledger never shows more
    /// tasks running than there are slots.
    pub(super) fn end(&mut self, seq: u64, status: Status, work_ms: i64) {
        let Some(before) = self.status_of(seq) else {
            return;
        };
        self.change(seq, status);
        self.release(seq, before, work_ms);
        if status == Status::Cancelled {
            let due_ms = self.clock.calendar_ms() + CANCELLED_RECORD_LIFE_MS;
            self.at_calendar(due_ms, Timer::Forget(seq));
        }
    }

    /// Frees what a task held while it was in `before`.
    fn release(&mut self, seq: u64, before: Status, work_ms: i64) {
        let Some(task) = self.tasks.get(&seq) else {
            return;
        };
        let (group, priority) = (task.group(), task.priority);
        let Some(lane) = self.lanes.get_mut(&group) else {
            return;
        };
        match before {
            Status::Running => {
                lane.running -= 1;
                self.fill_slots(&group, work_ms);
            }
            Status::Queued => {
                lane.ready.remove(&(Reverse(priority), seq));
            }
            Status::Succeeded | Status::Failed | Status::Expired | Status::Cancelled => {}
        }
    }

    /// The one place where a status changes.
    fn change(&mut self, seq: u64, status: Status) {
        let now_ms = self.clock.calendar_ms();
        let Some(task) = self.tasks.get_mut(&seq) else {
            return;
        };
        let before = task.status;
        task.status = status;
        task.updated_ms = now_ms;
        let (who, name, listed) = (who(task), task.model_name, task.listed);
        if before == Status::Queued
            && let Some(queue) = self.queues.get_mut(&who.account)
        {
            queue.queued -= 1;
        }
        if listed {
            let index = self.index(who);
            index.remove(before, name, seq);
            index.insert(status, name, seq);
        }
        self.note_change(seq, status);
        if status != Status::Cancelled || self.doubts.callback_cancelled == CallbackCancelled::Sent
        {
            self.announce(seq);
        }
    }

    fn note_change(&mut self, seq: u64, status: Status) {
        let Some(task) = self.tasks.get(&seq) else {
            return;
        };
        let entry = Entry::new().with("task", &task.id).with("account", &*task.account);
        match status {
            Status::Queued | Status::Running => self.note(status.word(), entry),
            Status::Expired | Status::Cancelled => self.note(status.word(), entry),
            Status::Failed => {
                let code = task.error.as_ref().map(|(code, _)| code.as_str());
                self.note("failed", entry.with("code", code));
            }
            Status::Succeeded => {
                let spec = self.clip(task);
                let video = self.leaves(task, Artefact::Video).then(|| clip::video(&spec));
                let frame = self.leaves(task, Artefact::LastFrame).then(|| clip::last_frame(&spec));
                let hash = |file: &Option<Bytes>| file.as_ref().map(|file| clip::sha256_hex(file));
                let entry = entry
                    .with("tokens", task.tokens)
                    .with("video_sha256", hash(&video))
                    .with("video_bytes", video.as_ref().map(Bytes::len))
                    .with("last_frame_sha256", hash(&frame));
                let tokens = task.tokens;
                self.note("billed", entry);
                self.stats.tasks_billed += 1;
                self.stats.tokens_billed += tokens;
            }
        }
    }

    /// Makes a task visible to lists.
    pub(super) fn show(&mut self, seq: u64) {
        let Some(task) = self.tasks.get_mut(&seq).filter(|task| !task.listed) else {
            return;
        };
        task.listed = true;
        let (who, status, name) = (who(task), task.status, task.model_name);
        self.index(who).insert(status, name, seq);
    }

    /// Drops a record for good.
    pub(super) fn forget(&mut self, seq: u64) {
        let Some(task) = self.tasks.remove(&seq) else {
            return;
        };
        self.seq_of_id.remove(&task.id);
        if task.listed {
            self.index(who(&task)).remove(task.status, task.model_name, seq);
        }
        if task.status == Status::Queued
            && let Some(queue) = self.queues.get_mut(&task.account)
        {
            queue.queued -= 1;
        }
    }

    /// Tells the callback address, if there is one, what the task looks like now.
    pub(super) fn announce(&mut self, seq: u64) {
        let Some(task) = self.tasks.get(&seq) else {
            return;
        };
        let Some(url) = task.callback.clone() else {
            return;
        };
        let object = Value::Object(self.object(task, false));
        let facts = Facts {
            model: Some(task.model_name),
            account: Some(&task.account),
            id: Some(&task.id),
            nonce: Some(task.expires_after_s),
            callback: Some(&url),
            status: Some(task.status.word()),
            ..Facts::default()
        };
        let created_ms = task.created_ms;
        let matters = matches!(task.status, Status::Succeeded | Status::Failed);
        let mut delivery = Delivery {
            url: url.clone(),
            body: Bytes::from(object.to_string()),
            seq,
            task: task.id.clone(),
            status: task.status.word(),
            retries_left: if matters { self.doubts.callback_retries } else { 0 },
            is_forged: false,
        };
        let rule = self.chance.draw(&mut self.faults.callback, &facts, |_| true);
        let now_ms = self.clock.calendar_ms();
        let Some(rule) = rule else {
            let waits = self.doubts.callback_order == CallbackOrder::AfterReply;
            match waits && now_ms < created_ms + REPLY_MAX_MS {
                true => {
                    self.at_calendar(created_ms + REPLY_MAX_MS, Timer::Deliver(Box::new(delivery)))
                }
                false => self.outbox.push_back(delivery),
            }
            return;
        };
        let wait_ms = rule.ms.unwrap_or(1_000);
        let later = |ms: u64| now_ms + i64::try_from(ms).unwrap_or(0);
        match rule.kind {
            Callback::Lose => self.mark_announced(seq),
            Callback::Duplicate => {
                for _ in 0..rule.count.unwrap_or(1).min(100) {
                    self.outbox.push_back(delivery.clone());
                }
                self.outbox.push_back(delivery);
            }
            Callback::Reorder => {
                let due_ms = later(self.chance.up_to(wait_ms));
                self.at_calendar(due_ms, Timer::Deliver(Box::new(delivery)));
            }
            Callback::Delay => {
                self.at_calendar(later(wait_ms), Timer::Deliver(Box::new(delivery)));
            }
            Callback::Forge | Callback::ForgeForeign | Callback::ForgePath => {
                self.outbox.push_back(forged(rule.kind, &delivery, object));
                delivery.is_forged = false;
                self.outbox.push_back(delivery);
            }
        }
    }
}

fn who(task: &Task) -> Who {
    Who { account: task.account.clone(), project: task.project.clone() }
}

/// What somebody else might send to the same receiver.
fn forged(kind: Callback, real: &Delivery, mut object: Value) -> Delivery {
    let mut url = real.url.to_string();
    match kind {
        Callback::ForgeForeign => object["id"] = "cgt-20200101000000-0f0rg".into(),
        Callback::ForgePath => {
            let last = url.pop().unwrap_or('0');
            url.push(if last == '0' { '1' } else { '0' });
        }
        Callback::Forge
        | Callback::Lose
        | Callback::Duplicate
        | Callback::Reorder
        | Callback::Delay => {
            object["status"] = "succeeded".into();
            object["content"] = json!({"video_url": "http://forged.invalid/video.mp4"});
        }
    }
    Delivery {
        url: url.into(),
        body: Bytes::from(object.to_string()),
        retries_left: 0,
        is_forged: true,
        ..real.clone()
    }
}
