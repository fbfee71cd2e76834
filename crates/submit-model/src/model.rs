//! The model: which things may happen in a world, and what each of them leads to.

use crate::cast::accepted;
use crate::news::{Leave, News};
use crate::promises::promises;
use crate::reached::{Notes, Reached};
use crate::shelf::AttemptNo;
use crate::shelf::Shelf;
use crate::timing::{BEGIN_MAX, CLOCK_MAX, at, policy};
use crate::variants::{Jobs, Variant};
use crate::world::{ATTEMPTS, Action, JOBS, Mood, Redis, Row, Worker, World};
use job::mutant::{self, Mutant};
use job::{StateWord, Step};
use stateright::{Model, Property};

/// The submit protocol in one kind of world.
pub struct SubmitModel {
    pub(crate) variant: Variant,
    pub(crate) shelf: Shelf,
    pub(crate) reached: Notes,
}

impl SubmitModel {
    /// The protocol in the worlds of `variant`.
    #[must_use]
    pub fn new(variant: Variant) -> Self {
        let shelf = Shelf::new(policy(variant.doubt));
        Self { variant, shelf, reached: Notes::default() }
    }

    /// What may happen to time. It passes only where something waits for it, and not past the
    /// moment at which the far side must have moved.
    fn time_passes(&self, world: &World) -> bool {
        let waits = |worker: &Worker| match *worker {
            Worker::Asked { at, .. } => world.now < at + BEGIN_MAX,
            Worker::Begun { until, .. } | Worker::Ready { until, .. } => world.now < until,
            Worker::Idle | Worker::Sent { .. } | Worker::Reporting { .. } => false,
        };
        let horizon = |row: &Row| {
            let card = self.shelf.card(row.record);
            let doubt = card.open.filter(|_| card.word == StateWord::InDoubt);
            doubt.is_some_and(|no| at(world.now) < self.shelf.horizon(no))
        };
        let awaited = world.workers.iter().any(waits)
            || world.redis.jobs.iter().flatten().any(horizon)
            || self.far_side_moves_in_time(world);
        awaited && world.now < CLOCK_MAX && !self.far_side_must_move(world)
    }

    /// What the two submitters may do.
    fn worker_actions(&self, world: &World, actions: &mut Vec<Action>) {
        let lossy = world.left.losses > 0;
        if world.workers.contains(&Worker::Idle) {
            let rows = (0_u8..).zip(world.redis.jobs);
            let due = rows.filter(|(_, row)| row.is_some_and(|row| self.is_for_sale(world, row)));
            let free = |job: u8| world.left.silences > 0 || !self.is_held(world, job);
            actions.extend(due.map(|(job, _)| job).filter(|job| free(*job)).map(Action::Claims));
        }
        for (at, worker) in world.workers.iter().enumerate() {
            match *worker {
                Worker::Idle => continue,
                Worker::Asked { .. } => actions.push(Action::Begins(at)),
                Worker::Begun { .. } => {
                    actions.push(Action::Raises(at));
                    if lossy {
                        actions.push(Action::RaiseUnclear(at, true));
                        actions.push(Action::RaiseUnclear(at, false));
                    }
                }
                Worker::Ready { until, .. } => {
                    if world.now < until || mutant::on(Mutant::GateRemoved) {
                        actions.push(Action::Sends(at));
                    }
                    actions.push(Action::Withholds(at));
                }
                Worker::Sent { attempt } => {
                    if lossy || world.travelling & 1 << attempt == 0 {
                        actions.push(Action::Waits(at));
                    }
                }
                Worker::Reporting { .. } => {
                    actions.push(Action::Reports(at));
                    if lossy {
                        actions.push(Action::ReportsInVain(at));
                    }
                }
            }
            if world.left.silences > 0 {
                actions.push(Action::Dies(at));
            }
        }
    }

    /// A queued job whose ticket is due. Without attempts left only the fence is looked at.
    fn is_for_sale(&self, world: &World, row: Row) -> bool {
        let due = matches!(row.ticket, Some((Step::Submit, due)) if due <= world.now);
        let card = self.shelf.card(row.record);
        due && card.word == StateWord::Queued
            && (world.left.attempts > 0 || self.stranger_intent(world, row).is_some())
    }

    /// What may happen around each job, the poller's part included.
    fn job_actions(&self, world: &World, actions: &mut Vec<Action>) {
        for (job, row) in (0_u8..).zip(world.redis.jobs) {
            let Some(row) = row else { continue };
            match self.shelf.card(row.record).word {
                StateWord::Submitting if world.left.silences > 0 || !self.is_held(world, job) => {
                    actions.push(Action::LeasePasses(job));
                }
                StateWord::Parked if world.left.orders > 0 => actions.push(Action::SentAgain(job)),
                _ => {}
            }
            if self.recalled(world, job).is_some() {
                actions.push(Action::Recalled(job));
            }
            let due = matches!(row.ticket, Some((Step::Settle, due)) if due <= world.now);
            if due && world.seen.is_none() {
                self.scan_actions(world, job, actions);
            }
        }
        if world.seen.is_some() {
            actions.push(Action::ReportsScan);
        }
    }

    /// A submitter works on the job as it stands, so its lease is renewed unless it falls silent.
    pub(crate) fn is_held(&self, world: &World, job: u8) -> bool {
        let Some(row) = world.redis.jobs[usize::from(job)] else { return false };
        let open = self.shelf.card(row.record).open;
        let is_open = |no: AttemptNo| Some(no) == open;
        world.workers.iter().any(|worker| match *worker {
            Worker::Idle => false,
            Worker::Asked { job: its, .. } => its == job && open.is_none(),
            Worker::Begun { attempt, .. }
            | Worker::Ready { attempt, .. }
            | Worker::Sent { attempt } => {
                world.attempts[usize::from(attempt)].is_some_and(|begun| is_open(begun.no))
            }
            Worker::Reporting { job: its, news } => match news.speaks_of() {
                Some(attempt) => is_open(attempt),
                None => its == job && open.is_none(),
            },
        })
    }

    fn scan_actions(&self, world: &World, job: u8, actions: &mut Vec<Action>) {
        let listed = (0_u8..).zip(world.tasks);
        let listed = listed.filter(|(_, made)| made.is_some_and(|made| made.listed));
        let shifted = listed.map(|(task, _)| Some(task)).filter(|_| world.left.shifts > 0);
        for missed in std::iter::once(None).chain(shifted) {
            // The fleet's own leave is asked only where the machine would send again.
            let leaves: &[Leave] = if self.would_send_again(world, job, missed) {
                &[Leave::Withheld, Leave::Granted]
            } else {
                &[Leave::Withheld]
            };
            actions.extend(leaves.iter().map(|leave| Action::Scans(job, missed, *leave)));
            if missed.is_none() && world.left.silences > 0 {
                actions.extend(leaves.iter().map(|leave| Action::ScansSlowly(job, *leave)));
            }
        }
    }

    fn far_actions(&self, world: &World, actions: &mut Vec<Action>) {
        for place in 0..ATTEMPTS {
            let number = u8::try_from(place).expect("a few attempts");
            if world.travelling & 1 << place != 0 {
                actions.push(Action::Arrives(number, Mood::Accepts));
                if world.left.losses > 0 {
                    let moods = [Mood::MakesAndFails, Mood::Fails, Mood::Throttles];
                    actions.extend(moods.map(|mood| Action::Arrives(number, mood)));
                    actions.push(Action::GetsLost(number));
                }
            }
            if let Some(made) = world.tasks[place] {
                if !made.listed {
                    actions.push(Action::Shows(number));
                }
                if self.called_back(world, number).is_some() {
                    actions.push(Action::CallsBack(number));
                }
            }
        }
    }

    fn redis_actions(&self, world: &World, actions: &mut Vec<Action>) {
        if world.left.rollbacks > 0 && world.disk != world.redis {
            actions.push(Action::Saves);
            actions.push(Action::Falls);
        }
        if world.redis.jobs == [None; JOBS] {
            if self.variant.jobs == Jobs::Repeated {
                actions.push(Action::AcceptedAgain);
            }
            if world.intents[0].is_some() {
                actions.push(Action::Restored);
            }
        }
    }

    /// Nothing happens any more by itself: only people, callbacks and misfortunes are left.
    pub(crate) fn is_at_rest(&self, world: &World) -> bool {
        if world.workers != [Worker::Idle; 2] || world.travelling != 0 || world.seen.is_some() {
            return false;
        }
        let mut actions = Vec::new();
        self.actions(world, &mut actions);
        let by_chance = |action: &Action| {
            matches!(
                action,
                Action::CallsBack(_) | Action::Saves | Action::Falls | Action::SentAgain(_)
            )
        };
        actions.into_iter().all(|a| by_chance(&a) || self.next_state(world, a).is_none())
    }

    fn unfold(&self, world: &mut World, action: Action) {
        match action {
            Action::Tick => world.now += 1,
            Action::Claims(job) => self.claims(world, job),
            Action::Begins(at) => self.begins(world, at),
            Action::Raises(at) => self.raises(world, at),
            Action::RaiseUnclear(at, stands) => self.raise_unclear(world, at, stands),
            Action::Sends(at) => self.sends(world, at),
            Action::Withholds(at) => self.withholds(world, at),
            Action::Waits(at) => self.waits(world, at),
            Action::Reports(at) => self.reports(world, at, false),
            Action::ReportsInVain(at) => self.reports(world, at, true),
            Action::Dies(at) => {
                world.left.silences -= 1;
                world.workers[at] = Worker::Idle;
            }
            Action::LeasePasses(job) => {
                world.left.silences -= u8::from(self.is_held(world, job));
                self.tell(world, job, News::LeasePassed);
            }
            Action::Arrives(place, mood) => self.arrives(world, place, mood),
            Action::GetsLost(place) => {
                world.left.losses -= 1;
                world.travelling &= !(1 << place);
            }
            Action::Shows(place) => {
                if let Some(made) = &mut world.tasks[usize::from(place)] {
                    made.listed = true;
                }
            }
            Action::CallsBack(place) => {
                if let Some((job, news)) = self.called_back(world, place) {
                    self.tell(world, job, news);
                }
            }
            Action::Scans(job, missed, leave) => {
                world.left.shifts -= u8::from(missed.is_some());
                if let Some(news) = self.judged(world, job, missed, leave) {
                    self.tell(world, job, news);
                }
            }
            Action::ScansSlowly(job, leave) => {
                world.left.silences -= 1;
                world.seen = self.judged(world, job, None, leave).map(|news| (job, news));
            }
            Action::ReportsScan => {
                if let Some((job, news)) = world.seen.take() {
                    self.tell(world, job, news);
                }
            }
            Action::Saves => world.disk = world.redis,
            Action::Falls => {
                world.left.rollbacks -= 1;
                world.redis = world.disk;
            }
            Action::AcceptedAgain => self.accepted_again(world),
            Action::Restored => self.restored(world),
            Action::Recalled(job) => {
                if let Some(attempt) = self.recalled(world, job) {
                    self.reached.note(Reached::Recalled);
                    self.tell(world, job, News::Forgotten { attempt, instead_of: None });
                }
            }
            Action::SentAgain(job) => self.sent_again(world, job),
        }
    }
}

impl Model for SubmitModel {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let row = |number| {
            let record = self.shelf.put(accepted(number));
            Some(Row { record, ticket: Some((Step::Submit, 0)) })
        };
        let (first, second) = (row(0), row(1));
        let nobody = Redis { jobs: [None; JOBS] };
        // A Redis that may lose the job itself comes back empty; another one kept its acceptance.
        let (redis, disk) = match self.variant.jobs {
            Jobs::One => (Redis { jobs: [first, None] }, Redis { jobs: [first, None] }),
            Jobs::Repeated => (Redis { jobs: [first, None] }, nobody),
            Jobs::Two => (Redis { jobs: [first, second] }, Redis { jobs: [first, second] }),
        };
        let mut world = World {
            now: 0,
            redis,
            disk,
            workers: [Worker::Idle; 2],
            attempts: [None; ATTEMPTS],
            intents: [None; ATTEMPTS],
            tasks: [None; ATTEMPTS],
            travelling: 0,
            seen: None,
            left: self.variant.left,
            ordered: 0,
            contradicted: false,
        };
        normal(&mut world);
        vec![world]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if self.time_passes(world) {
            actions.push(Action::Tick);
        }
        self.worker_actions(world, actions);
        self.job_actions(world, actions);
        self.far_actions(world, actions);
        self.redis_actions(world, actions);
    }

    fn next_state(&self, last: &World, action: Action) -> Option<World> {
        let mut world = *last;
        self.unfold(&mut world, action);
        normal(&mut world);
        (world != *last).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        promises(&self.variant)
    }
}

/// Worlds that differ by nothing that matters become equal: submitters have no names, and a disk
/// that nobody falls back on holds nothing.
fn normal(world: &mut World) {
    world.workers.sort_unstable();
    for (place, begun) in world.attempts.iter_mut().enumerate() {
        if let Some(begun) = begun.as_mut().filter(|_| world.travelling & 1 << place == 0) {
            begun.sent = None;
        }
    }
    for (_, due) in world.redis.jobs.iter_mut().flatten().filter_map(|row| row.ticket.as_mut()) {
        *due = if *due <= world.now { 0 } else { *due };
    }
    if world.left.rollbacks == 0 {
        world.disk = Redis { jobs: [None; JOBS] };
    }
}
