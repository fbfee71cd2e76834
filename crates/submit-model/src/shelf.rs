//! Real records behind small numbers, and every verdict of `job::transition` on them.
//!
//! The checker visits hundreds of thousands of worlds, most of which hold one of a few thousand
//! records. So a record stands on the shelf once, worlds hold its number, and `transition`, being a
//! pure function, is asked once for each record, news and instant.

use crate::cast::accepted;
use crate::news::News;
use crate::timing::{BIRTH, at, tick_of};
use job::{
    DoubtCause, Intent, JobId, Life, Looks, OpenAttempt, Policy, Record, State, StateWord, Step,
    Ticket, Timestamp, Verdict,
};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// A record on the shelf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RecordNo(u32);

/// An attempt on the shelf, complete with its frozen facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct AttemptNo(u32);

/// A record and what worlds ask of it over and over.
pub(crate) struct Card {
    pub(crate) record: Record,
    pub(crate) word: StateWord,
    pub(crate) step: Option<Step>,
    /// The attempt whose outcome is open.
    pub(crate) open: Option<AttemptNo>,
    /// The task it owns, by its number, and the attempt it says bought it.
    pub(crate) owns: Option<u8>,
    /// Tasks it answers for, strays included: one bit each.
    pub(crate) answers_for: u8,
}

/// What `transition` said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    /// The next record, and what becomes of its ticket.
    Write(RecordNo, NextTicket),
    /// No news.
    Ignore,
    /// No history we allow leads here.
    Contradiction,
}

/// A ticket after a commit, its instant in ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NextTicket {
    Kept,
    Gone,
    Due(Step, u8),
}

#[derive(Default)]
struct Books {
    records: Vec<Arc<Card>>,
    record_nos: HashMap<String, RecordNo>,
    attempts: Vec<Arc<OpenAttempt>>,
}

/// The shelf of one run.
pub(crate) struct Shelf {
    pub(crate) policy: Policy,
    /// The job as it was accepted.
    sample: Record,
    books: RwLock<Books>,
    said: RwLock<HashMap<(RecordNo, News, u8), Said>>,
}

impl Shelf {
    pub(crate) fn new(policy: Policy) -> Self {
        Self { policy, sample: accepted(0), books: RwLock::default(), said: RwLock::default() }
    }

    /// Puts a record on the shelf, or finds it there.
    pub(crate) fn put(&self, mut record: Record) -> RecordNo {
        plain(&mut record.life);
        let key = format!("{}{:?}", record.id, record.life);
        let known = self.books.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(no) = known.record_nos.get(&key) {
            return *no;
        }
        drop(known);
        let open = record.life.state.open_attempt().map(|open| self.put_attempt(open));
        let tasks = record.life.tasks().filter_map(crate::far_side::number_of);
        let card = Card {
            word: record.life.state.word(),
            step: record.life.state.step(),
            open,
            owns: record.life.state.task().and_then(|task| crate::far_side::number_of(&task.id)),
            answers_for: tasks.fold(0, |bits, task| bits | 1 << task),
            record,
        };
        let mut books = self.books.write().unwrap_or_else(PoisonError::into_inner);
        let next = RecordNo(u32::try_from(books.records.len()).expect("fewer than 2^32 records"));
        let no = *books.record_nos.entry(key).or_insert(next);
        if no == next {
            books.records.push(Arc::new(card));
        }
        no
    }

    pub(crate) fn card(&self, no: RecordNo) -> Arc<Card> {
        let books = self.books.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&books.records[no.0 as usize])
    }

    /// Puts an attempt on the shelf, or finds it there.
    pub(crate) fn put_attempt(&self, attempt: &OpenAttempt) -> AttemptNo {
        let mut books = self.books.write().unwrap_or_else(PoisonError::into_inner);
        let found = books.attempts.iter().position(|known| **known == *attempt);
        let at = found.unwrap_or(books.attempts.len());
        if found.is_none() {
            books.attempts.push(Arc::new(attempt.clone()));
        }
        AttemptNo(u32::try_from(at).expect("fewer than 2^32 attempts"))
    }

    pub(crate) fn attempt(&self, no: AttemptNo) -> Arc<OpenAttempt> {
        let books = self.books.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&books.attempts[no.0 as usize])
    }

    /// Asks the production machine.
    pub(crate) fn hear(&self, no: RecordNo, news: News, now: u8) -> Said {
        let known = self.said.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(said) = known.get(&(no, news, now)) {
            return *said;
        }
        drop(known);
        let card = self.card(no);
        let said = match job::transition(&card.record, &news.event(self), at(now), &self.policy) {
            Err(_) => Said::Contradiction,
            Ok(Verdict::Ignore { .. }) => Said::Ignore,
            Ok(Verdict::Write { life, ticket, .. }) => {
                let next = self.put(Record { life: *life, ..card.record.clone() });
                Said::Write(next, next_ticket(ticket))
            }
        };
        let mut all = self.said.write().unwrap_or_else(PoisonError::into_inner);
        all.insert((no, news, now), said);
        said
    }

    /// Production's quiet horizon.
    pub(crate) fn horizon(&self, no: AttemptNo) -> Timestamp {
        job::settle::quiet_horizon(&self.attempt(no), &self.policy)
    }

    /// Whether the record knows the attempt of an intent.
    pub(crate) fn knows(&self, no: RecordNo, attempt: AttemptNo) -> bool {
        let card = self.card(no);
        let attempt = self.attempt(attempt);
        let number = attempt.intent.unwrap_or_default();
        Intent::of(&card.record, &attempt, number).is_known_to(&card.record)
    }

    /// Whether an intent that stands is the attempt's own.
    pub(crate) fn is_of(&self, there: AttemptNo, own: AttemptNo) -> bool {
        let (there, own) = (self.attempt(there), self.attempt(own));
        let number = there.intent.unwrap_or_default();
        Intent::of(&self.sample, &there, number).is_of(&own)
    }

    /// How many different questions were put to `transition`.
    pub(crate) fn questions(&self) -> usize {
        self.said.read().unwrap_or_else(PoisonError::into_inner).len()
    }
}

fn next_ticket(ticket: Ticket) -> NextTicket {
    match ticket {
        Ticket::Kept => NextTicket::Kept,
        Ticket::Gone => NextTicket::Gone,
        // The poller's own life is not played: any instant is as good as another.
        Ticket::Due(step @ (Step::Poll | Step::Download | Step::Notify), _) => {
            NextTicket::Due(step, 0)
        }
        Ticket::Due(step @ (Step::Submit | Step::Settle), due) => {
            NextTicket::Due(step, tick_of(due))
        }
    }
}

/// Blanks what no rule of the protocol reads: instants for people, words, the count of looks (the
/// model's pause between looks does not grow). Fewer worlds differ by nothing.
fn plain(life: &mut Life) {
    life.updated_at = BIRTH;
    for closed in &mut life.attempts {
        closed.closed_at = BIRTH;
        if let job::AttemptOutcome::NotSent { reason } = &mut closed.outcome {
            reason.clear();
        }
    }
    match &mut life.state {
        State::InDoubt { cause, since, looks, .. } => {
            *cause = DoubtCause { kind: String::new(), detail: String::new() };
            *since = BIRTH;
            looks.count = 0;
        }
        State::Parked { since, looks, .. } => {
            *since = BIRTH;
            *looks = Looks::default();
        }
        State::Generating { task, give_up_at, .. } => {
            task.known_at = BIRTH;
            *give_up_at = BIRTH;
        }
        State::Finished { at, .. } => *at = BIRTH,
        State::Held { .. }
        | State::Queued { .. }
        | State::Submitting { .. }
        | State::Overdue { .. }
        | State::Downloading { .. } => {}
    }
}

/// The id of job `number`.
pub(crate) fn job_id(number: usize) -> JobId {
    JobId::from_ulid(ulid::Ulid(1 + number as u128))
}
