//! What a record calls for: its ticket, indexes, marks and owners.

use super::look::{Answers, Body, Guard, Question, Read, differ};
use super::mend::Cure;
use super::{Drift, DriftKind, Subject};
use crate::budget::Purse;
use crate::facts::{self, Standing};
use crate::keys::Keys;
use crate::queue::Lane;
use crate::{Store, Stored};
use job::{JobId, Record, State};

/// A place in an index.
pub(crate) struct Entry {
    pub(crate) index: String,
    pub(crate) member: String,
    pub(crate) score: i64,
}

/// The indexes that must name a record.
pub(crate) fn indexes(keys: &Keys, record: &Record) -> Vec<Entry> {
    let (spec, standing) = (&record.spec, Standing::of(&record.life));
    let (id, word) = (record.id.to_string(), record.life.state.word());
    let mut indexes = vec![
        keys.ix_all(),
        keys.ix_state(word),
        keys.ix_tenant(&spec.tenant),
        keys.ix_tenant_state(&spec.tenant, word),
    ];
    indexes.extend(spec.batch.as_ref().map(|batch| keys.ix_batch(&spec.tenant, batch)));
    indexes.extend(standing.code.as_ref().map(|code| keys.ix_code(code)));
    let purse = standing.held_by.and_then(|of| Purse::of(spec, of));
    indexes.extend(purse.map(|purse| keys.ix_budget(&purse)));
    let created = record.created_at.unix_ms();
    indexes.extend(facts::content_indexes(keys, spec));
    let deadline = standing.deadline.map(|at| (keys.ix_deadline(), at.unix_ms()));
    let kept = standing.kept.filter(|_| !spec.erased);
    let kept = kept.map(|at| (keys.ix_kept(&spec.tenant), at.unix_ms()));
    let scored = indexes.into_iter().map(|index| (index, created)).chain(deadline).chain(kept);
    let of_id = scored.map(|(index, score)| Entry { index, member: id.clone(), score });
    let custom = spec.custom_id.as_ref().map(|custom| {
        let member = Keys::custom_member(custom, &record.id);
        Entry { index: keys.ix_custom(), member, score: 0 }
    });
    of_id.chain(custom).collect()
}

/// One mark to be compared: how it is read, what it must be, how it is written.
struct Mark {
    kind: DriftKind,
    what: String,
    read: Read,
    expected: String,
    /// Writes it where nothing is; what says something else is for a person.
    cure: Cure,
    /// Whether another value may be overwritten too.
    overwrite: bool,
}

impl Store {
    pub(super) fn ask_marks(&self, subject: &Subject, id: &JobId, body: &Body) -> Question {
        let job = self.keys().job(id);
        let subject = subject.clone();
        let stored = match body {
            Body::There(stored) => stored,
            Body::Torn | Body::Nothing => {
                let reads = vec![Read::of("HGET", &job, &["life"]), Read::of("HLEN", &job, &[])];
                let what = format!("record {id}");
                let told = move |answers: &mut Answers<'_>| {
                    let whole = answers.text().is_some() || answers.text().as_deref() == Some("0");
                    let found = if whole { "whole" } else { "torn" };
                    let found = Some(found.to_owned());
                    differ(&subject, DriftKind::Record, what, "whole", found, None)
                        .into_iter()
                        .collect()
                };
                return Question { reads, guard: Guard::Free, read: Box::new(told) };
            }
        };
        let marks = self.marks(&job, stored);
        let ticket = self.ticket(&job, stored);
        let mut reads = vec![Read::of("HGET", &job, &["rev"])];
        reads.extend(marks.iter().map(|mark| mark.read.clone()));
        reads.extend(ticket.iter().flat_map(|ticket| ticket.reads.iter().cloned()));
        let told = move |answers: &mut Answers<'_>| {
            let mut drifts = Vec::new();
            for mark in marks {
                let found = answers.text();
                let curable = found.is_none() || mark.overwrite;
                let cure = curable.then_some(mark.cure);
                drifts.extend(differ(&subject, mark.kind, mark.what, mark.expected, found, cure));
            }
            if let Some(ticket) = ticket {
                drifts.extend(ticket.compare(&subject, answers));
            }
            drifts
        };
        let guard = Guard::Revision(Some(stored.revision.to_string()));
        Question { reads, guard, read: Box::new(told) }
    }

    fn marks(&self, job: &str, stored: &Stored) -> Vec<Mark> {
        let (keys, record) = (self.keys(), &stored.record);
        let id = record.id.as_str();
        let standing = Standing::of(&record.life);
        let cure = |command, key: &str, args: &[&str]| {
            Cure::new(id).while_revision(job, Some(stored.revision)).write(command, key, args)
        };
        let mut marks = Vec::new();
        let mut mark = |kind, what: String, read, expected: &str, cure, overwrite| {
            let expected = expected.to_owned();
            marks.push(Mark { kind, what, read, expected, cure, overwrite });
        };
        let word = record.life.state.word().as_str();
        let what = format!("state word of {id}");
        let set = cure("HSET", job, &["st", word]);
        mark(DriftKind::Record, what, Read::of("HGET", job, &["st"]), word, set, true);
        for Entry { index, member, score } in indexes(keys, record) {
            let (what, score) = (format!("{member} in {index}"), score.to_string());
            let add = cure("ZADD", &index, &[&score, &member]);
            mark(DriftKind::Index, what, Read::of("ZSCORE", &index, &[&member]), &score, add, true);
        }
        if let Some(open) = &standing.open {
            let (nonces, nonce) = (keys.nonces(&open.account), open.nonce_s.to_string());
            let (way, attempt) = (keys.attempt(&open.attempt), open.attempt.as_str());
            let set = cure("HSET", &nonces, &[&nonce, attempt]);
            let what = format!("mark {nonce} of {id}");
            mark(DriftKind::Nonce, what, Read::of("HGET", &nonces, &[&nonce]), attempt, set, false);
            let set = cure("SET", &way, &[id]);
            let what = format!("job of {attempt}");
            mark(DriftKind::Attempt, what, Read::of("GET", &way, &[]), id, set, false);
        }
        for task in &standing.tasks {
            let set = cure("HSETNX", &keys.tasks(), &[task.as_str(), id]);
            let get = Read::of("HGET", &keys.tasks(), &[task.as_str()]);
            mark(DriftKind::Owner, format!("owner of {task}"), get, id, set, false);
        }
        let request = keys.fingerprint(&record.spec.tenant, &record.spec.fingerprint);
        let set = cure("SET", &request, &[id]);
        let what = format!("job of the request of {id}");
        mark(DriftKind::Request, what, Read::of("GET", &request, &[]), id, set, false);
        marks
    }

    /// The ticket that moves the job on, if one does.
    fn ticket(&self, job: &str, stored: &Stored) -> Option<TicketMark> {
        let (keys, record) = (self.keys(), &stored.record);
        let queue = facts::queue_of(record)?;
        let (lane, id) = (Lane::of(record), record.id.as_str());
        let (due, lease) = (facts::due_key(keys, queue, &lane), keys.lease(queue));
        let mut reads = vec![Read::of("ZSCORE", &due, &[id]), Read::of("ZSCORE", &lease, &[id])];
        if let Some(class) = queue.class() {
            reads.push(Read::of("ZSCORE", &keys.lanes(class), &[&lane.tenant]));
        }
        let cure = || Cure::new(id).while_revision(job, Some(stored.revision));
        let put_down = cure()
            .still("ZSCORE", &due, &[id], None)
            .still("ZSCORE", &lease, &[id], None)
            .ticket(queue, lane.clone());
        let doubled = cure().write("ZREM", &due, &[id]);
        let join = queue.class().map(|class| {
            let lanes = keys.lanes(class);
            cure().still("ZSCORE", &lanes, &[&lane.tenant], None).ticket(queue, lane.clone())
        });
        // A parked job is no longer looked up once the provider's records are gone.
        let retires = matches!(record.life.state, State::Parked { .. });
        let id = record.id.clone();
        Some(TicketMark { id, queue: queue.to_string(), retires, reads, put_down, doubled, join })
    }
}

struct TicketMark {
    id: JobId,
    queue: String,
    retires: bool,
    reads: Vec<Read>,
    put_down: Cure,
    doubled: Cure,
    join: Option<Cure>,
}

impl TicketMark {
    fn compare(self, subject: &Subject, answers: &mut Answers<'_>) -> Vec<Drift> {
        let (due, lease) = (answers.text(), answers.text());
        let tenant = self.join.as_ref().map(|_| answers.text());
        let (id, queue) = (&self.id, &self.queue);
        let what = format!("ticket of {id}");
        let one = format!("one in {queue}");
        let drift = |kind, what, expected: &str, found: Option<&str>, cure| {
            differ(subject, kind, what, expected, found.map(str::to_owned), Some(cure))
        };
        let found = match (&due, &lease) {
            (None, None) if self.retires => Some(one.clone()),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => Some(one.clone()),
            (Some(_), Some(_)) => Some(format!("two in {queue}")),
        };
        let cure = if found.is_none() { self.put_down } else { self.doubled };
        let mut drifts: Vec<Drift> =
            drift(DriftKind::Ticket, what, &one, found.as_deref(), cure).into_iter().collect();
        if let (Some(join), Some(None), Some(_)) = (self.join, tenant, due) {
            let what = format!("place of {id}'s tenant among the lanes of {queue}");
            drifts.extend(drift(DriftKind::Lane, what, "one", None, join));
        }
        drifts
    }
}
