//! The provider and its list.

use crate::cast::NONCE_BASE_S;
use crate::model::SubmitModel;
use crate::news::{Leave, News};
use crate::reached::Reached;
use crate::timing::{BIRTH, DELIVERY, FRONT_DOOR, LIST_LAG, at};
use crate::world::{ATTEMPTS, Made, Mood, Worker, World};
use job::settle::{self, Match, Sighting};
use job::{AttemptOutcome, StateWord, Step, TaskId};
use std::time::Duration;

/// A task in the list that is none of ours: made at our time, with another mark.
const STRANGER: u8 = 7;
/// The stranger's mark.
const STRANGERS_NONCE_S: u32 = 90_000;
/// Another one: made yesterday, with the mark that our first attempt draws.
const OLD_STRANGER: u8 = 6;
/// How much older.
const A_DAY: Duration = Duration::from_secs(86_400);

/// The provider's name for the task of the attempt at this place.
pub(crate) fn task_id(number: u8) -> TaskId {
    TaskId::parse(&format!("cgt-{number}")).expect("a well-formed id")
}

/// The number of a task.
pub(crate) fn number_of(task: &TaskId) -> Option<u8> {
    task.as_str().strip_prefix("cgt-")?.parse().ok()
}

impl SubmitModel {
    /// A request that left in tick `sent` has ended before this tick is over, and a task made in
    /// this tick shows before that many more are.
    pub(crate) fn far_side_must_move(&self, world: &World) -> bool {
        (0..ATTEMPTS).any(|place| {
            let sent = world.attempts[place].and_then(|begun| begun.sent);
            let late = |bits: u8| bits & 1 << place != 0;
            let travels = late(world.travelling)
                && sent.is_some_and(|sent| world.now >= sent + DELIVERY + FRONT_DOOR);
            let hides = !self.variant.late_list
                && world.tasks[place]
                    .is_some_and(|made| !made.listed && world.now >= made.at + LIST_LAG);
            travels || hides
        })
    }

    /// Whether something at the provider is on its way within a bound.
    pub(crate) fn far_side_moves_in_time(&self, world: &World) -> bool {
        world.travelling != 0
            || !self.variant.late_list && world.tasks.iter().flatten().any(|made| !made.listed)
    }

    pub(crate) fn arrives(&self, world: &mut World, place: u8, mood: Mood) {
        world.travelling &= !(1 << place);
        world.left.losses -= u8::from(mood != Mood::Accepts);
        if matches!(mood, Mood::Accepts | Mood::MakesAndFails) {
            let made = Made { at: world.now, listed: false };
            world.tasks[usize::from(place)] = Some(made);
        }
        let waiting = world.workers.iter().position(|w| *w == Worker::Sent { attempt: place });
        let (Some(waiting), Some(begun)) = (waiting, world.attempts[usize::from(place)]) else {
            return;
        };
        let news = match mood {
            Mood::Accepts => News::Accepted(begun.no, place),
            Mood::MakesAndFails | Mood::Fails => News::Failing(begun.no),
            Mood::Throttles => News::Throttled(begun.no),
        };
        world.workers[waiting] = Worker::Reporting { job: begun.job, news };
    }

    /// What a read or a list shows of a task.
    fn sighting(&self, world: &World, task: u8) -> Option<Sighting> {
        let (nonce_s, created_at) = match task {
            STRANGER => (STRANGERS_NONCE_S, BIRTH),
            OLD_STRANGER => (NONCE_BASE_S, BIRTH - A_DAY),
            _ => {
                let begun = world.attempts[usize::from(task)]?;
                let made = world.tasks[usize::from(task)]?;
                (self.shelf.attempt(begun.no).nonce_s, at(made.at))
            }
        };
        Some(Sighting {
            id: task_id(task),
            model_id: crate::cast::MODEL_ID.to_owned(),
            nonce_s: Some(nonce_s),
            created_at: Some(created_at),
            safety_identifier: None,
        })
    }

    /// A scan of the whole list, or of all but one row, and what the poller makes of it with
    /// production's own match.
    pub(crate) fn judged(
        &self,
        world: &World,
        job: u8,
        missed: Option<u8>,
        leave: Leave,
    ) -> Option<News> {
        let row = world.redis.jobs[usize::from(job)]?;
        let looked_for = self.shelf.card(row.record).open?;
        let attempt = self.shelf.attempt(looked_for);
        let listed = (0_u8..).zip(world.tasks).filter(|(_, made)| made.is_some_and(|m| m.listed));
        let seen: Vec<Sighting> = listed
            .map(|(task, _)| task)
            .chain([STRANGER, OLD_STRANGER])
            .filter(|task| Some(*task) != missed)
            .filter_map(|task| self.sighting(world, task))
            .collect();
        let owned_by_other = |task: &TaskId| {
            number_of(task).is_some_and(|task| self.owner(world, task, job).is_some())
        };
        match settle::find(&attempt, &seen, &self.shelf.policy, &owned_by_other) {
            Match::One(task) => {
                self.reached.note(Reached::FoundInList);
                Some(News::Found { attempt: looked_for, task: number_of(&task)?, called: false })
            }
            Match::Several(tasks) => {
                let tasks =
                    tasks.iter().filter_map(number_of).fold(0, |bits, task| bits | 1 << task);
                Some(News::Several { attempt: looked_for, tasks })
            }
            // Every task of this provider shows its mark.
            Match::Blurred(_) => None,
            Match::Nothing => Some(News::Empty { attempt: looked_for, began: world.now, leave }),
        }
    }

    /// The other job that answers for a task.
    pub(crate) fn owner(&self, world: &World, task: u8, not: u8) -> Option<u8> {
        let rows = (0_u8..).zip(world.redis.jobs);
        rows.filter(|(job, _)| *job != not).find_map(|(job, row)| {
            let card = self.shelf.card(row?.record);
            (card.answers_for & 1 << task != 0).then_some(job)
        })
    }

    /// What a confirmed callback leads to: settle adopts for a job in doubt, the submitter takes in
    /// the task of a closed attempt before it buys again.
    pub(crate) fn called_back(&self, world: &World, task: u8) -> Option<(u8, News)> {
        let job = world.attempts[usize::from(task)]?.job;
        let row = world.redis.jobs[usize::from(job)]?;
        let card = self.shelf.card(row.record);
        if self.owner(world, task, job).is_some() || card.answers_for & 1 << task != 0 {
            return None;
        }
        let sighting = self.sighting(world, task)?;
        let fits =
            |attempt: &job::OpenAttempt| settle::fits(attempt, &sighting, &self.shelf.policy);
        let attempt = match (card.step, card.word) {
            (Some(Step::Settle), _) => card.open.filter(|no| fits(&self.shelf.attempt(*no)))?,
            (_, StateWord::Queued) => {
                let closed = card.record.life.attempts.iter().rev();
                let bought = closed
                    .filter(|a| !matches!(a.outcome, AttemptOutcome::Accepted { .. }))
                    .find(|a| fits(&a.open))?;
                self.shelf.put_attempt(&bought.open)
            }
            _ => return None,
        };
        Some((job, News::Found { attempt, task, called: true }))
    }
}
