//! Redis as the fleet uses it: one script writes a verdict whole or not at all; it may come back
//! from a fall with less than it had said.

use crate::cast::accepted;
use crate::model::SubmitModel;
use crate::news::{Leave, News};
use crate::reached::Reached;
use crate::shelf::{AttemptNo, NextTicket, Said, job_id};
use crate::timing::at;
use crate::world::{Row, World};
use job::mutant::{self, Mutant};
use job::{Intent, StateWord, Step};

impl SubmitModel {
    /// Reports news about a job and writes the verdict.
    pub(crate) fn tell(&self, world: &mut World, job: u8, news: News) {
        let Some(row) = world.redis.jobs[usize::from(job)] else { return };
        let before = self.shelf.card(row.record);
        let (next, ticket) = match self.shelf.hear(row.record, news, world.now) {
            Said::Write(next, ticket) => (next, ticket),
            Said::Ignore => {
                if before.open.is_some() && before.word == StateWord::Submitting {
                    self.reached.note(Reached::LateReport);
                }
                return;
            }
            Said::Contradiction => {
                world.contradicted = true;
                return;
            }
        };
        let after = self.shelf.card(next);
        // The commit refuses a task that is another job's.
        let fresh = after.answers_for & !before.answers_for;
        let foreign =
            (0..8).any(|task| fresh & 1 << task != 0 && self.owner(world, task, job).is_some());
        if foreign && !mutant::on(Mutant::OwnersIgnored) {
            return;
        }
        let ticket = match ticket {
            NextTicket::Kept => row.ticket,
            NextTicket::Gone => None,
            NextTicket::Due(step, due) => Some((step, due)),
        };
        world.redis.jobs[usize::from(job)] = Some(Row { record: next, ticket });
        self.note(world, job, news, after.word);
    }

    fn note(&self, world: &World, job: u8, news: News, word: StateWord) {
        match (news, word) {
            (News::Found { called: true, .. }, StateWord::Running) => {
                self.reached.note(Reached::CalledBack);
            }
            (News::Empty { .. }, StateWord::Queued) => self.reached.note(Reached::SentAgain),
            (News::Found { attempt, .. }, StateWord::Running) if job > 0 => {
                let of_lost = world.place_of(attempt).and_then(|at| world.attempts[at]);
                if of_lost.is_some_and(|begun| begun.job != job) {
                    self.reached.note(Reached::AdoptedForLost);
                }
            }
            (_, StateWord::Parked) => self.reached.note(Reached::Parked),
            _ => {}
        }
    }

    /// Whether the machine would send again on the strength of this scan, if it had leave to.
    pub(crate) fn would_send_again(&self, world: &World, job: u8, missed: Option<u8>) -> bool {
        let Some(row) = world.redis.jobs[usize::from(job)] else { return false };
        let Some(news @ News::Empty { .. }) = self.judged(world, job, missed, Leave::Granted)
        else {
            return false;
        };
        match self.shelf.hear(row.record, news, world.now) {
            Said::Write(next, _) => self.shelf.card(next).word == StateWord::Queued,
            Said::Ignore | Said::Contradiction => false,
        }
    }

    /// The caller has its answer lost with the job, and asks again: a new id, the same request.
    pub(crate) fn accepted_again(&self, world: &mut World) {
        let record = self.shelf.put(accepted(1));
        world.redis.jobs[1] = Some(Row { record, ticket: Some((Step::Submit, world.now)) });
    }

    /// A lost job comes back from its last intent.
    pub(crate) fn restored(&self, world: &mut World) {
        let Some(last) = world.intents.iter().rev().flatten().next() else { return };
        let Some(begun) = world.attempts[usize::from(*last)] else { return };
        let attempt = self.shelf.attempt(begun.no);
        let number = attempt.intent.unwrap_or(1);
        let lost = accepted(usize::from(begun.job));
        debug_assert_eq!(lost.id, job_id(usize::from(begun.job)));
        let back = Intent::of(&lost, &attempt, number).restored(at(world.now));
        let record = self.shelf.put(back);
        let row = Row { record, ticket: Some((Step::Settle, world.now)) };
        world.redis.jobs[usize::from(begun.job)] = Some(row);
        self.reached.note(Reached::Restored);
    }

    /// The last intent, if a job that waits for an answer about another attempt is to hear of it.
    pub(crate) fn recalled(&self, world: &World, job: u8) -> Option<AttemptNo> {
        let row = world.redis.jobs[usize::from(job)]?;
        if !self.shelf.card(row.record).word.is_in_doubt() {
            return None;
        }
        let no = self.stranger_intent(world, row)?;
        let begun = world.attempts[world.place_of(no)?]?;
        // A job that is there hears of its own intents; one that is gone has left them to the other.
        let its = begun.job == job || world.redis.jobs[usize::from(begun.job)].is_none();
        its.then_some(no)
    }

    /// A person has seen the evidence and takes the risk.
    pub(crate) fn sent_again(&self, world: &mut World, job: u8) {
        let before = world.redis;
        self.tell(world, job, News::SentAgain);
        if world.redis != before {
            world.left.orders -= 1;
            world.ordered += 1;
        }
    }
}
