//! What a pool should hold, kept in plain Rust beside the server: records through the machine,
//! tickets, leases, slots and owners by rules written a second time.

use job::{Event, Filing, JobId, Policy, Record, Slot, State, StateWord, Step, Ticket, Verdict};
use std::collections::{BTreeMap, BTreeSet};
use store::{Claim, Claimed, Depth, Queue, Reported, Stored};

/// Where a job's one ticket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ticketed {
    Nowhere,
    /// `surely`: due by now; else it may wait.
    Due {
        queue: Queue,
        surely: bool,
    },
    Leased {
        queue: Queue,
        fence: u64,
        expired: bool,
    },
}

impl Ticketed {
    /// The queue that may hand it out now.
    pub fn waits_in(self) -> Option<Queue> {
        match self {
            Self::Due { queue, .. } | Self::Leased { queue, expired: true, .. } => Some(queue),
            Self::Leased { .. } | Self::Nowhere => None,
        }
    }
}

#[derive(Debug, Clone)]
pub struct Row {
    pub record: Record,
    pub revision: u64,
    pub ticket: Ticketed,
}

#[derive(Debug, Default)]
pub struct Model {
    pub rows: BTreeMap<JobId, Row>,
    fence: u64,
}

/// The step's queue, said once more: the store's own rule is what is tested.
pub fn queue_of(record: &Record) -> Option<Queue> {
    match &record.life.state {
        State::Held { .. } => None,
        State::Queued { .. } | State::Submitting { .. } => {
            Some(Queue::Submit(record.spec.request.slot_class()))
        }
        State::InDoubt { .. } | State::Parked { .. } => Some(Queue::Settle),
        State::Generating { .. } | State::Overdue { .. } => Some(Queue::Poll),
        State::Downloading { .. } => Some(Queue::Download),
        State::Finished { filing, .. } => match filing {
            Filing::Pending => Some(Queue::Download),
            Filing::Nothing | Filing::Filed => None,
        },
    }
}

fn queue_for(step: Step, record: &Record) -> Queue {
    Queue::of(step, record.spec.request.slot_class())
}

/// What of a verdict does not hang on the millisecond.
fn gist(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Ignore { why } => format!("ignore: {why}"),
        Verdict::Write { life, ticket, effects, .. } => {
            let step = match ticket {
                Ticket::Due(step, _) => step.word(),
                Ticket::Kept => "kept",
                Ticket::Gone => "gone",
            };
            let open = life.state.open_attempt().map(|a| a.id.clone());
            let tasks: Vec<_> = life.tasks().collect();
            let word = life.state.word();
            format!("{word:?} {step} {open:?} {tasks:?} {} {}", life.resends, effects.len())
        }
    }
}

impl Model {
    pub fn admit(&mut self, record: Record) {
        let ticket = match queue_of(&record) {
            Some(queue) => Ticketed::Due { queue, surely: true },
            None => Ticketed::Nowhere,
        };
        self.rows.insert(record.id.clone(), Row { record, revision: 1, ticket });
    }

    pub fn holds(&self, claim: &Claim) -> bool {
        let row = &self.rows[&claim.id];
        matches!(row.ticket, Ticketed::Leased { fence, .. } if fence == claim.fence)
    }

    pub fn slots(&self) -> BTreeMap<Slot, i64> {
        let mut slots = BTreeMap::new();
        for slot in self.rows.values().filter_map(|row| row.record.life.state.slot()) {
            *slots.entry(slot).or_default() += 1;
        }
        slots
    }

    pub fn open_nonce(&self, account: &str, nonce_s: u32) -> bool {
        let mut open = self.rows.values().filter_map(|row| row.record.life.state.open_attempt());
        open.any(|a| a.facts.account == account && a.nonce_s == nonce_s)
    }

    pub fn claimed(&mut self, queue: Queue, n: usize, dead: bool, claimed: &Claimed) {
        assert!(claimed.items.len() <= n);
        let mut left = 0;
        for row in self.rows.values() {
            left += usize::from(match row.ticket {
                Ticketed::Due { queue: q, surely } => q == queue && surely,
                Ticketed::Leased { queue: q, expired, .. } => q == queue && expired,
                Ticketed::Nowhere => false,
            });
        }
        let mut fresh_seen = false;
        for held in &claimed.items {
            assert!(held.claim.fence > self.fence, "a fence is never handed out twice");
            self.fence = held.claim.fence;
            let row = self.rows.get_mut(&held.claim.id).expect("only jobs that were admitted");
            assert_eq!((&held.stored.record, held.stored.revision), (&row.record, row.revision));
            match row.ticket {
                Ticketed::Due { queue: q, surely } => {
                    assert_eq!((q, held.reclaimed), (queue, false));
                    left -= usize::from(surely);
                    fresh_seen = true;
                }
                Ticketed::Leased { queue: q, expired, .. } => {
                    assert!(expired && q == queue && held.reclaimed, "{:?}", row.ticket);
                    assert!(!fresh_seen, "expired leases come first");
                    left -= 1;
                }
                Ticketed::Nowhere => panic!("{} has no ticket", held.claim.id),
            }
            row.ticket = Ticketed::Leased { queue, fence: held.claim.fence, expired: dead };
        }
        assert!(claimed.items.len() == n || left == 0, "{left} tickets of {queue} were left lying");
    }

    pub fn released(&mut self, claim: &Claim, done: bool) {
        assert_eq!(self.holds(claim), done);
        if done {
            let row = self.rows.get_mut(&claim.id).expect("just seen");
            row.ticket = Ticketed::Due { queue: claim.queue, surely: true };
        }
    }

    /// `claim`: the writer's, if it is a worker.
    pub fn reported(
        &mut self,
        id: &JobId,
        claim: Option<&Claim>,
        event: &Event,
        policy: &Policy,
        reported: &Reported,
    ) {
        let holder = claim.filter(|claim| self.holds(claim));
        let owned = |task| {
            let mut others = self.rows.iter().filter(|(other, _)| *other != id);
            others.any(|(_, row)| row.record.life.tasks().any(|t| t == task))
        };
        match reported {
            Reported::Fenced => assert!(claim.is_some() && holder.is_none(), "{event:?}"),
            Reported::Gone => panic!("no job ever goes"),
            Reported::Owned { task, by } => {
                assert!(owned(task) && by != id);
            }
            Reported::Ignored { stored, .. } => {
                let row = self.rows.get_mut(id).expect("admitted");
                assert_eq!((&stored.record, stored.revision), (&row.record, row.revision));
                let said = job::transition(&row.record, event, stored.now, policy);
                assert!(matches!(said, Ok(Verdict::Ignore { .. })), "{said:?}");
                if let Some(claim) = holder {
                    row.ticket = back(&row.record, claim);
                }
            }
            Reported::Written { stored, verdict } => {
                let row = self.rows.get_mut(id).expect("admitted");
                row.written(holder, event, policy, stored, verdict);
            }
        }
    }

    /// A granted Begin; told apart from its repeat by the revision.
    pub fn begun(&mut self, claim: &Claim, stored: &Stored) {
        assert!(self.holds(claim), "granted to whoever holds the ticket");
        let row = self.rows.get_mut(&claim.id).expect("admitted");
        if stored.revision == row.revision {
            assert_eq!(stored.record, row.record);
        } else {
            assert_eq!(stored.revision, row.revision + 1);
            assert_eq!(row.record.life.state.word(), StateWord::Queued);
            row.record = stored.record.clone();
            row.revision = stored.revision;
        }
    }

    /// Jobs by state; of one tenant's batch, where it is named.
    pub fn words(&self, batch: Option<(&str, &str)>) -> BTreeMap<StateWord, u64> {
        let mut words = BTreeMap::new();
        for row in self.rows.values() {
            let spec = &row.record.spec;
            let named = spec.batch.as_deref().map(|name| (spec.tenant.as_str(), name));
            if batch.is_none() || named == batch {
                *words.entry(row.record.life.state.word()).or_default() += 1;
            }
        }
        words
    }

    pub fn ids(&self, wanted: impl Fn(&Record) -> bool) -> BTreeSet<JobId> {
        let rows = self.rows.values().filter(|row| wanted(&row.record));
        rows.map(|row| row.record.id.clone()).collect()
    }

    /// Waiting and leased tickets of a queue equal what the server says.
    pub fn check_depth(&self, depth: &Depth) {
        let count = |wanted: &dyn Fn(&Ticketed) -> bool| {
            self.rows.values().filter(|row| wanted(&row.ticket)).count() as u64
        };
        let waiting = count(&|t| matches!(t, Ticketed::Due { queue, .. } if *queue == depth.queue));
        let leased =
            count(&|t| matches!(t, Ticketed::Leased { queue, .. } if *queue == depth.queue));
        assert_eq!((depth.waiting, depth.leased), (waiting, leased), "{depth:?}");
    }
}

fn back(record: &Record, claim: &Claim) -> Ticketed {
    if queue_of(record) == Some(claim.queue) {
        Ticketed::Due { queue: claim.queue, surely: false }
    } else {
        Ticketed::Nowhere
    }
}

impl Row {
    fn written(
        &mut self,
        holder: Option<&Claim>,
        event: &Event,
        policy: &Policy,
        stored: &Stored,
        verdict: &Verdict,
    ) {
        let expected = job::transition(&self.record, event, stored.now, policy);
        let expected = expected.expect("the machine allowed it");
        assert_eq!(gist(verdict), gist(&expected));
        let Verdict::Write { life, ticket, effects, note } = verdict else { panic!("{verdict:?}") };
        // A worker that found what the record says already moves its ticket, and that is all.
        let same_step =
            matches!(ticket, Ticket::Due(step, _) if self.record.life.state.step() == Some(*step));
        let nothing = **life == self.record.life && effects.is_empty() && note.is_none();
        let news = !(holder.is_some() && same_step && nothing);
        assert_eq!(stored.revision, self.revision + u64::from(news), "one commit, one revision");
        self.record.life = (**life).clone();
        self.revision = stored.revision;
        assert_eq!(stored.record, self.record);
        self.ticket = match (ticket, holder) {
            (Ticket::Gone, _) => Ticketed::Nowhere,
            (Ticket::Kept, None) => self.ticket,
            (Ticket::Kept, Some(claim)) => back(&self.record, claim),
            (Ticket::Due(step, at), holder) => {
                let queue = queue_for(*step, &self.record);
                let due = Ticketed::Due { queue, surely: *at <= stored.now };
                match self.ticket {
                    Ticketed::Leased { queue: q, .. } if q == queue && holder.is_none() => {
                        self.ticket
                    }
                    Ticketed::Leased { .. } | Ticketed::Due { .. } | Ticketed::Nowhere => due,
                }
            }
        };
    }
}
