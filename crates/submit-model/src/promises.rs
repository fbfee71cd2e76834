//! What must hold in every world, and what must be seen in some.

use crate::model::SubmitModel;
use crate::reached::Reached;
use crate::variants::{Jobs, Variant};
use crate::world::{ATTEMPTS, World};
use job::{State, StateWord, Step};
use stateright::Property;

/// At most one task of a job may bill, save those that a person ordered.
pub const ONE_CREATE: &str = "one billable create for each job";
/// No task is two jobs'.
pub const ONE_OWNER: &str = "a task has one owner";
/// A task is adopted for the attempt that made it.
pub const RIGHT_ADOPTION: &str = "no wrong adoption";
/// A job with somewhere to go has the ticket of its step.
pub const TICKET: &str = "whoever waits has a ticket";
/// When nothing moves any more, every task is owned, or a person was called.
pub const SETTLED: &str = "what was bought is adopted, or a person is called";
/// No report is one that no history allows.
pub const NO_CONTRADICTION: &str = "no report contradicts its record";

/// The promises in words, for the page.
pub const PROMISES: [(&str, &str); 6] = [
    (
        ONE_CREATE,
        "over all ids that one request was accepted under; orders of a person to send again are counted apart",
    ),
    (ONE_OWNER, "strays included"),
    (
        RIGHT_ADOPTION,
        "the attempt in the record is the one that made the task, and no stranger's task is taken in",
    ),
    (
        TICKET,
        "and it is the ticket of its state's step; a parked job may lose it once the provider's records have ended",
    ),
    (SETTLED, "asked in every world in which nothing is left to happen by itself"),
    (
        NO_CONTRADICTION,
        "only where Redis keeps what it acknowledges: a forgetful one makes reports it cannot place, and pages",
    ),
];

/// The properties of a variant.
pub(crate) fn promises(variant: &Variant) -> Vec<Property<SubmitModel>> {
    let mut all = vec![
        Property::<SubmitModel>::always(ONE_CREATE, one_create),
        Property::<SubmitModel>::always(ONE_OWNER, one_owner),
        Property::<SubmitModel>::always(RIGHT_ADOPTION, right_adoption),
        Property::<SubmitModel>::always(TICKET, has_ticket),
        Property::<SubmitModel>::always(SETTLED, settled),
    ];
    if variant.durable {
        all.push(Property::<SubmitModel>::always(NO_CONTRADICTION, |_, world| !world.contradicted));
    }
    all.extend(variant.reaches.iter().map(|moment| sometimes(*moment)));
    all
}

macro_rules! moment {
    ($name:literal, $moment:ident) => {
        Property::<SubmitModel>::sometimes($name, |model, _| model.reached.has(Reached::$moment))
    };
}

fn sometimes(moment: Reached) -> Property<SubmitModel> {
    match moment {
        Reached::FoundInList => moment!("a task is found in the list", FoundInList),
        Reached::CalledBack => moment!("a task is adopted by its callback", CalledBack),
        Reached::SentAgain => moment!("a job is sent again after proven absence", SentAgain),
        Reached::MetBeforeBegin => {
            moment!("a forgotten intent is met before Begin", MetBeforeBegin)
        }
        Reached::MetByOwn => moment!("a forgotten intent is met by one's own", MetByOwn),
        Reached::Parked => moment!("a job is parked", Parked),
        Reached::LateReport => moment!("a late report meets another attempt", LateReport),
        Reached::GateClosed => moment!("a gate closes in time", GateClosed),
        Reached::Restored => moment!("a lost job comes back from its intent", Restored),
        Reached::Recalled => {
            moment!("a job in doubt hears of an attempt that Redis has forgotten", Recalled)
        }
        Reached::AdoptedForLost => {
            moment!("the repeated request adopts what the lost one bought", AdoptedForLost)
        }
    }
}

fn one_create(model: &SubmitModel, world: &World) -> bool {
    let made = |place: &usize| world.tasks[*place].is_some();
    let of = |job: u8| {
        let asked = |place: &usize| {
            let same_request = model.variant.jobs != Jobs::Two;
            world.attempts[*place].is_some_and(|begun| same_request || begun.job == job)
        };
        (0..ATTEMPTS).filter(made).filter(asked).count()
    };
    [0, 1].into_iter().all(|job| of(job) <= 1 + usize::from(world.ordered))
}

fn one_owner(model: &SubmitModel, world: &World) -> bool {
    let mut owned = 0_u8;
    world.redis.jobs.iter().flatten().all(|row| {
        let card = model.shelf.card(row.record);
        let twice = owned & card.answers_for != 0;
        owned |= card.answers_for;
        !twice
    })
}

fn right_adoption(model: &SubmitModel, world: &World) -> bool {
    world.redis.jobs.iter().flatten().all(|row| {
        let card = model.shelf.card(row.record);
        let Some(task) = card.record.life.state.task() else { return true };
        let made_by =
            card.owns.and_then(|number| world.attempts.get(usize::from(number))?.as_ref());
        made_by.is_some_and(|begun| model.shelf.attempt(begun.no).id == task.attempt)
    })
}

fn has_ticket(model: &SubmitModel, world: &World) -> bool {
    world.redis.jobs.iter().flatten().all(|row| {
        let card = model.shelf.card(row.record);
        let step = row.ticket.map(|(step, _)| step);
        match &card.record.life.state {
            State::Held { .. } => true,
            State::Parked { .. } => step.is_none_or(|step| step == Step::Settle),
            State::Queued { .. }
            | State::Submitting { .. }
            | State::InDoubt { .. }
            | State::Generating { .. }
            | State::Overdue { .. }
            | State::Downloading { .. }
            | State::Finished { .. } => step == card.step,
        }
    })
}

fn settled(model: &SubmitModel, world: &World) -> bool {
    if world.tasks.iter().all(Option::is_none) {
        return true;
    }
    let mut answered_for = 0_u8;
    for (job, row) in (0_u8..).zip(world.redis.jobs) {
        let Some(card) = row.map(|row| model.shelf.card(row.record)) else { continue };
        // What the second fence still holds is told before a person is asked about anything else.
        if card.word == StateWord::Parked && model.recalled(world, job).is_none() {
            return true;
        }
        answered_for |= card.answers_for;
    }
    let open = (0_u8..)
        .zip(world.tasks)
        .any(|(task, made)| made.is_some() && answered_for & 1 << task == 0);
    // A person's order to send again was a decision about whatever the attempt before had bought.
    !open || world.ordered > 0 || !model.is_at_rest(world)
}
