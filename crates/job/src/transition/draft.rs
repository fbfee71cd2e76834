//! The next life in the making.

use crate::adopt::Told;
use crate::record::{Life, Source};
use crate::state::{End, Filing, State, Step};
use crate::{Alarm, Effect, Note, Policy, Record, TaskRef, Ticket, Timestamp, Verdict, retry};
use seedance::Task;
use std::time::Duration;

/// Characters of somebody else's words that a note keeps.
const NOTE_CHARS_MAX: usize = 240;

/// A job at an instant, and the life that will follow.
pub(super) struct Draft<'a> {
    pub job: &'a Record,
    pub now: Timestamp,
    pub policy: &'a Policy,
    pub life: Life,
    effects: Vec<Effect>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(job: &'a Record, now: Timestamp, policy: &'a Policy) -> Self {
        Self { job, now, policy, life: job.life.clone(), effects: Vec::new() }
    }

    /// The state before.
    pub(super) fn state(&self) -> &'a State {
        &self.job.life.state
    }

    pub(super) fn with(mut self, effect: Effect) -> Self {
        self.effects.push(effect);
        self
    }

    pub(super) fn page(self, alarm: Alarm) -> Self {
        self.with(Effect::Page(alarm))
    }

    /// Moves to `state`, with the ticket it needs and a line for the timeline.
    pub(super) fn go(mut self, state: State, ticket: Ticket, what: impl AsRef<str>) -> Verdict {
        let note = Note {
            what: what.as_ref().chars().take(NOTE_CHARS_MAX).collect(),
            from: self.job.life.state.word(),
            to: state.word(),
        };
        // Another end, or none, is news again.
        self.life.dismissed &= state.failure_code() == self.job.life.state.failure_code();
        self.life.state = state;
        self.life.updated_at = self.now;
        self.write(ticket, Some(note))
    }

    /// Stays in the same state with its data changed as `self.life` says.
    pub(super) fn stay(self, ticket: Ticket, what: Option<&str>) -> Verdict {
        let word = self.job.life.state.word();
        let note = what.map(|w| Note {
            what: w.chars().take(NOTE_CHARS_MAX).collect(),
            from: word,
            to: word,
        });
        self.write(ticket, note)
    }

    fn write(mut self, ticket: Ticket, note: Option<Note>) -> Verdict {
        if self.life.erased.is_some() {
            self.life.forget_content();
        }
        Verdict::Write { life: Box::new(self.life), ticket, effects: self.effects, note }
    }

    /// Ends the job. A payload that was kept has to be filed first by the downloader.
    pub(super) fn finish(
        mut self,
        end: End,
        task: Option<TaskRef>,
        payload: Option<String>,
        what: impl AsRef<str>,
    ) -> Verdict {
        self.learn(payload.as_deref());
        // What was erased is not filed either.
        let payload = payload.filter(|_| self.life.erased.is_none());
        let filing = if payload.is_some() { Filing::Pending } else { Filing::Nothing };
        let ticket = match filing {
            Filing::Pending => Ticket::Due(Step::Download, self.now),
            Filing::Nothing | Filing::Filed => Ticket::Gone,
        };
        self.life.payload = payload;
        self.life.cancel = None;
        let at = self.now;
        self.go(State::Finished { end, task, filing, at }, ticket, what)
    }

    /// Back to the queue after an attempt that bought nothing, unless somebody asked to stop.
    pub(super) fn requeue(self, tries: u32, due: Timestamp, what: impl AsRef<str>) -> Verdict {
        let erased = self.job.life.erased.as_ref().map(|erased| erased.by.clone());
        let asked = self.job.life.cancel.as_ref().map(|ask| ask.by.clone());
        if let Some(by) = asked.or(erased) {
            return self.finish(End::Cancelled { by }, None, None, "cancelled, unpaid");
        }
        self.go(State::Queued { tries }, Ticket::Due(Step::Submit, due), what)
    }

    /// Of an adopted task nothing else is known than what the provider tells.
    pub(super) fn learn(&mut self, payload: Option<&str>) {
        if self.job.spec.source == Source::Adopted
            && let Some(task) = payload.and_then(|text| Task::parse(text.as_bytes()).ok())
        {
            self.life.told = Some(Told::of(&task));
        }
    }

    /// `now` plus a pause, spread so that jobs do not march in step.
    pub(super) fn in_jittered(&self, pause: Duration, turn: u32) -> Timestamp {
        let seed = retry::mixed(u64::from(turn), self.job.id.as_str());
        self.now + retry::jittered(pause, self.policy.poll.jitter_ratio, seed)
    }
}

pub(super) fn ignore(why: &'static str) -> Verdict {
    Verdict::Ignore { why }
}
