//! The submitters: what a worker does with a ticket, as the submitter's own code does it.

use crate::cast::{drawn, free_mark};
use crate::model::SubmitModel;
use crate::news::News;
use crate::reached::Reached;
use crate::shelf::{AttemptNo, Said};
use crate::timing::{at, tick_of};
use crate::world::{Begun, Row, Worker, World};

impl SubmitModel {
    /// The last intent, if the job's record does not know its attempt.
    pub(crate) fn stranger_intent(&self, world: &World, row: Row) -> Option<AttemptNo> {
        if !self.variant.fence {
            return None;
        }
        let last = world.intents.iter().rev().flatten().next()?;
        let no = world.attempts[usize::from(*last)]?.no;
        (!self.shelf.knows(row.record, no)).then_some(no)
    }

    /// Takes a ticket: looks at the fence, reads the clocks. What it saw is old when it is used.
    pub(crate) fn claims(&self, world: &mut World, job: u8) {
        let Some(row) = world.redis.jobs[usize::from(job)] else { return };
        let Some(idle) = world.workers.iter().position(|w| *w == Worker::Idle) else { return };
        // Handed out although somebody works on it.
        world.left.silences -= u8::from(self.is_held(world, job));
        world.workers[idle] = if let Some(attempt) = self.stranger_intent(world, row) {
            self.reached.note(Reached::MetBeforeBegin);
            Worker::Reporting { job, news: News::Forgotten { attempt, instead_of: None } }
        } else {
            let last = world.intents.iter().rposition(Option::is_some).map_or(0, |at| at + 1);
            let next = u8::try_from(last + 1).expect("a few intents");
            let intent = if self.variant.fence { next } else { 0 };
            Worker::Asked { job, at: world.now, intent }
        };
    }

    /// Begin: one script writes the attempt, or nothing.
    pub(crate) fn begins(&self, world: &mut World, worker: usize) {
        let Worker::Asked { job, at: asked, intent } = world.workers[worker] else { return };
        world.workers[worker] = Worker::Idle;
        let Some(row) = world.redis.jobs[usize::from(job)] else { return };
        let place = world.begun();
        if world.left.attempts == 0 {
            return;
        }
        let card = self.shelf.card(row.record);
        let open: Vec<_> = world
            .redis
            .jobs
            .iter()
            .flatten()
            .filter_map(|row| self.shelf.card(row.record).open)
            .map(|no| self.shelf.attempt(no))
            .collect();
        // The lowest mark that the rules allow, which is the worst. A Redis that forgets attempts
        // forgets their marks too: there it is chance, one in tens of thousands, that keeps them
        // apart, and the model takes them as apart.
        let mark = if self.variant.durable {
            free_mark(&card.record, &open)
        } else {
            u32::try_from(place).expect("a few attempts")
        };
        let attempt = drawn(&card.record, place, asked, intent, mark);
        let no = self.shelf.put_attempt(&attempt);
        let Said::Write(..) = self.shelf.hear(row.record, News::Began(no), world.now) else {
            return;
        };
        self.tell(world, job, News::Began(no));
        world.left.attempts -= 1;
        world.attempts[place] = Some(Begun { no, job, sent: None });
        if self.variant.durable {
            world.disk = world.redis;
        }
        let answered = at(world.now);
        let until = tick_of(self.shelf.policy.submit.gate_closes(at(asked), answered));
        let attempt = u8::try_from(place).expect("a few attempts");
        world.workers[worker] = if self.variant.fence {
            Worker::Begun { attempt, until }
        } else {
            Worker::Ready { attempt, until }
        };
    }

    /// Raises the intent: created if absent, else whoever stands there is met.
    pub(crate) fn raises(&self, world: &mut World, worker: usize) {
        let Worker::Begun { attempt, until } = world.workers[worker] else { return };
        let Some(own) = world.attempts[usize::from(attempt)] else { return };
        let standing = *self.intent_of(world, own.no).get_or_insert(attempt);
        let Some(there) = world.attempts[usize::from(standing)] else { return };
        world.workers[worker] = if self.shelf.is_of(there.no, own.no) {
            Worker::Ready { attempt, until }
        } else {
            self.reached.note(Reached::MetByOwn);
            let news = News::Forgotten { attempt: there.no, instead_of: Some(own.no) };
            Worker::Reporting { job: own.job, news }
        };
    }

    /// Where the intent of an attempt stands, or would.
    fn intent_of<'a>(&self, world: &'a mut World, no: AttemptNo) -> &'a mut Option<u8> {
        let number = self.shelf.attempt(no).intent.expect("every attempt behind a fence has one");
        &mut world.intents[number as usize - 1]
    }

    /// The fence does not answer: nothing is sent, whatever stands there now.
    pub(crate) fn raise_unclear(&self, world: &mut World, worker: usize, stands: bool) {
        let Worker::Begun { attempt, .. } = world.workers[worker] else { return };
        let Some(own) = world.attempts[usize::from(attempt)] else { return };
        world.left.losses -= 1;
        if stands {
            self.intent_of(world, own.no).get_or_insert(attempt);
        }
        world.workers[worker] = Worker::Reporting { job: own.job, news: News::NotSent(own.no) };
    }

    pub(crate) fn sends(&self, world: &mut World, worker: usize) {
        let Worker::Ready { attempt, .. } = world.workers[worker] else { return };
        if let Some(begun) = &mut world.attempts[usize::from(attempt)] {
            begun.sent = Some(world.now);
        }
        world.travelling |= 1 << attempt;
        world.workers[worker] = Worker::Sent { attempt };
    }

    /// Proof that nothing left: no connection, or the gate has closed.
    pub(crate) fn withholds(&self, world: &mut World, worker: usize) {
        let Worker::Ready { attempt, until } = world.workers[worker] else { return };
        let Some(own) = world.attempts[usize::from(attempt)] else { return };
        if world.now >= until {
            self.reached.note(Reached::GateClosed);
        }
        world.workers[worker] = Worker::Reporting { job: own.job, news: News::NotSent(own.no) };
    }

    /// The answer is lost, or the request was.
    pub(crate) fn waits(&self, world: &mut World, worker: usize) {
        let Worker::Sent { attempt } = world.workers[worker] else { return };
        let Some(own) = world.attempts[usize::from(attempt)] else { return };
        if world.travelling & 1 << attempt != 0 {
            world.left.losses -= 1;
        }
        world.workers[worker] = Worker::Reporting { job: own.job, news: News::Unclear(own.no) };
    }

    pub(crate) fn reports(&self, world: &mut World, worker: usize, in_vain: bool) {
        let Worker::Reporting { job, news } = world.workers[worker] else { return };
        if in_vain {
            world.left.losses -= 1;
        } else {
            world.workers[worker] = Worker::Idle;
        }
        self.tell(world, job, news);
    }
}
