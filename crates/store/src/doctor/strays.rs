//! What nobody calls for: tickets, index entries, fences and marks whose record says otherwise.

use super::look::{Answers, Body, Guard, Question, Read, differ};
use super::marks::indexes;
use super::mend::Cure;
use super::{DriftKind, Subject};
use crate::facts;
use crate::keys::{Family, Keys};
use crate::queue::{Lane, Queue};
use crate::{Store, Stored};
use job::{JobId, Record};

impl Store {
    /// For subjects other than records.
    pub(super) fn ask_stray(
        &self,
        subject: &Subject,
        owner: Option<&JobId>,
        body: &Body,
    ) -> Question {
        let keys = self.keys();
        let job = owner.map(|id| keys.job(id));
        let stored = match body {
            Body::There(stored) => Some(stored.as_ref()),
            Body::Torn | Body::Nothing => None,
        };
        let revision = stored.map(|stored| stored.revision);
        let cure = |id: &str| match &job {
            Some(job) => Cure::new(id).while_revision(job, revision),
            None => Cure::new(id),
        };
        let stray = match subject {
            // Archived jobs need their media like any other.
            Subject::Member { key, id } if stored.is_none() && keys.is_media_index(key) => {
                let cure = self.member_cure(key, id, cure(id)).1;
                return without_tomb(keys, subject, owner, key, id, cure);
            }
            Subject::Member { key, id } => {
                let wanted = stored.is_some_and(|stored| calls_for(keys, key, id, &stored.record));
                let (kind, cure) = self.member_cure(key, id, cure(id));
                let what = format!("{id} in {key}");
                (!wanted).then(|| (kind, what, Read::of("ZSCORE", key, &[id]), Some(cure)))
            }
            Subject::Holder { queue, id } => {
                let (lease, holder) = (keys.lease(*queue), keys.holder(*queue));
                let cure = Cure::new(id).still("ZSCORE", &lease, &[id], None).write(
                    "HDEL",
                    &holder,
                    &[id],
                );
                return without_lease(subject, *queue, id, [lease, holder], cure);
            }
            Subject::Nonce { key, nonce, attempt, .. } => {
                let wanted =
                    stored.is_some_and(|stored| is_open(keys, stored, key, nonce, attempt));
                let cure = cure(attempt).still("HGET", key, &[nonce], Some(attempt)).write(
                    "HDEL",
                    key,
                    &[nonce],
                );
                let what = format!("mark {nonce} of {attempt} in {key}");
                let get = Read::of("HGET", key, &[nonce]);
                (!wanted).then_some((DriftKind::Nonce, what, get, Some(cure)))
            }
            Subject::Owner { task, id } => {
                // Whose task it was is the last that is known of a lost job: it stays for a person.
                let get = Read::of("HGET", &keys.tasks(), &[task]);
                let what = format!("{id}, owner of {task}");
                stored.is_none().then_some((DriftKind::Owner, what, get, None))
            }
            Subject::Record(_)
            | Subject::Counters
            | Subject::Slots
            | Subject::Batch { .. }
            | Subject::Usage { .. }
            | Subject::Bought { .. }
            | Subject::Failures { .. } => None,
        };
        let asked = job.map(|job| {
            let revision = revision.map(|revision| revision.to_string());
            (Read::of("HGET", &job, &["rev"]), Guard::Revision(revision))
        });
        question(subject, asked, stray)
    }

    fn member_cure(&self, key: &str, id: &str, cure: Cure) -> (DriftKind, Cure) {
        let keys = self.keys();
        let cure = cure.write("ZREM", key, &[id]);
        if is_index(keys, key) {
            return (DriftKind::Index, cure);
        }
        let queue = Queue::ALL.into_iter().find(|queue| keys.lease(*queue) == key);
        let cure = match queue {
            Some(queue) => cure.write("HDEL", &keys.holder(queue), &[id]),
            None => cure,
        };
        (DriftKind::Ticket, cure)
    }
}

/// What is wrong if its key still holds it.
type Stray = (DriftKind, String, Read, Option<Cure>);

/// `asked`: the read of a revision; none: the name is no job's, and nothing but its removal moves it.
fn question(subject: &Subject, asked: Option<(Read, Guard)>, stray: Option<Stray>) -> Question {
    let (asked, guard) = asked.unzip();
    let mut reads: Vec<Read> = asked.into_iter().collect();
    reads.extend(stray.iter().map(|(_, _, read, _)| read.clone()));
    let guard = guard.unwrap_or(Guard::Free);
    let subject = subject.clone();
    let told = move |answers: &mut Answers<'_>| {
        let Some((kind, what, _, cure)) = stray else { return Vec::new() };
        let found = answers.text().map(|_| "there".to_owned());
        // Gone by now is as it should be.
        let found = found.or_else(|| Some("nothing".to_owned()));
        differ(&subject, kind, what, "nothing", found, cure).into_iter().collect()
    };
    Question { reads, guard, read: Box::new(told) }
}

fn without_lease(
    subject: &Subject,
    queue: Queue,
    id: &str,
    [lease, holder]: [String; 2],
    cure: Cure,
) -> Question {
    let reads = vec![Read::of("ZSCORE", &lease, &[id]), Read::of("HGET", &holder, &[id])];
    let (subject, what) = (subject.clone(), format!("fence of {id} in {queue}"));
    let told = move |answers: &mut Answers<'_>| {
        let (leased, fence) = (answers.text(), answers.text());
        let found = Some(if leased.is_none() && fence.is_some() { "there" } else { "nothing" });
        let found = found.map(str::to_owned);
        differ(&subject, DriftKind::Ticket, what, "nothing", found, Some(cure))
            .into_iter()
            .collect()
    };
    Question { reads, guard: Guard::Free, read: Box::new(told) }
}

/// A member of an index of media without a record.
fn without_tomb(
    keys: &Keys,
    subject: &Subject,
    owner: Option<&JobId>,
    key: &str,
    id: &str,
    cure: Cure,
) -> Question {
    let mut reads = vec![Read::of("ZSCORE", key, &[id])];
    if let Some(owner) = owner {
        let tomb = keys.tomb(owner);
        reads.push(Read::of("HGET", &tomb.key, &[&tomb.field]));
        reads.push(Read::of("HGET", &keys.job(owner), &["rev"]));
    }
    let (subject, what) = (subject.clone(), format!("{id} in {key}"));
    let told = move |answers: &mut Answers<'_>| {
        let (named, tomb, record) = (answers.text(), answers.text(), answers.text());
        let stray = named.is_some() && tomb.is_none() && record.is_none();
        let found = Some(if stray { "there" } else { "nothing" }.to_owned());
        differ(&subject, DriftKind::Index, what, "nothing", found, Some(cure)).into_iter().collect()
    };
    Question { reads, guard: Guard::Free, read: Box::new(told) }
}

fn is_index(keys: &Keys, key: &str) -> bool {
    matches!(keys.family(key), Some(Family::Index | Family::Custom))
}

/// Whether a record calls for this member under this key.
fn calls_for(keys: &Keys, key: &str, member: &str, record: &Record) -> bool {
    if is_index(keys, key) {
        let mut wanted = indexes(keys, record).into_iter();
        return wanted.any(|entry| entry.index == key && entry.member == member);
    }
    let settle = [keys.due(Queue::Settle), keys.lease(Queue::Settle)];
    match facts::queue_of(record) {
        Some(queue) => {
            key == facts::due_key(keys, queue, &Lane::of(record)) || key == keys.lease(queue)
        }
        // Late news of a paid task gives a finished job one more look.
        None => settle.iter().any(|known| known == key),
    }
}

fn is_open(keys: &Keys, stored: &Stored, key: &str, nonce: &str, attempt: &str) -> bool {
    stored.record.life.state.open_attempt().is_some_and(|open| {
        open.id.as_str() == attempt
            && open.nonce_s.to_string() == nonce
            && keys.nonces(&open.facts.account) == key
    })
}
