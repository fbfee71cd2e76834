//! One look at some subjects, each by one atomic read.

use super::mend::Cure;
use super::{Drift, DriftKind, Seen, Subject};
use crate::connection::Call;
use crate::facts::KeyTable;
use crate::keys::Keys;
use crate::stored::Found;
use crate::{Store, StoreError, Stored, commit, script};
use job::JobId;
use redis::{Pipeline, Value};
use std::collections::BTreeMap;

/// Looks at one subject that moves; one that moves at each of them is alive.
const LOOKS_MAX: usize = 5;
/// Subjects in one transaction: it holds up the server for about a millisecond.
const AT_ONCE: usize = 25;

/// What lies under an id, at one revision.
pub(super) enum Body {
    /// A record.
    There(Box<Stored>),
    /// A hash without the parts of a record.
    Torn,
    /// Nothing.
    Nothing,
}

/// Answers of one transaction, taken one after the other.
pub(super) struct Answers<'a>(pub(super) std::slice::Iter<'a, Value>);

impl Answers<'_> {
    /// The next answer as text; none for nothing.
    pub(super) fn text(&mut self) -> Option<String> {
        self.0.next().filter(|value| **value != Value::Nil).and_then(commit::word)
    }
}

/// Whether the subject may have moved since it was read.
pub(super) enum Guard {
    /// The question's first command reads the revision, which must be this one; none: no record.
    Revision(Option<String>),
    /// Everything is in the question.
    Free,
}

/// One read: command, key, arguments.
#[derive(Debug, Clone)]
pub(super) struct Read(&'static str, String, Vec<String>);

impl Read {
    pub(super) fn of(command: &'static str, key: &str, args: &[&str]) -> Self {
        Self(command, key.to_owned(), args.iter().map(|arg| (*arg).to_owned()).collect())
    }
}

/// From the answers to the differences they show.
pub(super) type Reading = Box<dyn FnOnce(&mut Answers<'_>) -> Vec<Drift> + Send>;

/// What one subject asks in its transaction, and how it reads the answers.
pub(super) struct Question {
    pub(super) reads: Vec<Read>,
    pub(super) guard: Guard,
    pub(super) read: Reading,
}

/// A difference, if there is one.
pub(super) fn differ(
    subject: &Subject,
    kind: DriftKind,
    what: String,
    expected: impl ToString,
    found: Option<String>,
    cure: Option<Cure>,
) -> Option<Drift> {
    let expected = expected.to_string();
    let found = found.unwrap_or_else(|| "nothing".to_owned());
    let subject = subject.clone();
    (expected != found).then_some(Drift { kind, what, expected, found, subject, cure })
}

impl Store {
    /// Compares each subject with its record.
    pub(super) async fn examine(&self, subjects: &[Subject]) -> Result<Seen, StoreError> {
        let mut seen = Seen::default();
        let mut left: Vec<&Subject> = Vec::with_capacity(subjects.len());
        for subject in subjects {
            match subject {
                Subject::Counters => self.check_counters(subject, &mut seen).await?,
                Subject::Slots => self.check_slots(subject, &mut seen).await?,
                Subject::Batch { index, counts } => {
                    self.check_batch(subject, index, counts, &mut seen).await?;
                }
                Subject::Usage { index, usage } => {
                    self.check_usage(subject, index, usage, &mut seen).await?;
                }
                Subject::Bought { index, bought } => {
                    self.check_bought(subject, index, bought, &mut seen).await?;
                }
                Subject::Failures { counts, dismissed, indexes } => {
                    let sums = (counts.as_str(), *dismissed);
                    self.check_failures(subject, sums, indexes, &mut seen).await?;
                }
                Subject::Record(_)
                | Subject::Member { .. }
                | Subject::Holder { .. }
                | Subject::Nonce { .. }
                | Subject::Owner { .. } => left.push(subject),
            }
        }
        for look in 0..LOOKS_MAX {
            if left.is_empty() {
                break;
            }
            left = self.examine_once(&left, look == 0, &mut seen).await?;
        }
        seen.unchecked += left.len() as u64;
        Ok(seen)
    }

    /// Returns those that moved between the two reads.
    async fn examine_once<'a>(
        &self,
        subjects: &[&'a Subject],
        first: bool,
        seen: &mut Seen,
    ) -> Result<Vec<&'a Subject>, StoreError> {
        let owners = self.jobs_of(subjects).await?;
        let bodies = self.bodies(owners.iter().flatten()).await?;
        let mut asked: Vec<(&'a Subject, Question)> = Vec::with_capacity(subjects.len());
        for (subject, owner) in subjects.iter().zip(owners) {
            let body = match owner.as_ref().map(|id| bodies.get(id)) {
                None => &Body::Nothing,
                Some(Some(body)) => body,
                // A newer binary wrote it.
                Some(None) => {
                    let record = matches!(subject, Subject::Record(_));
                    seen.unreadable += u64::from(record && first);
                    continue;
                }
            };
            if first && matches!((subject, body), (Subject::Record(_), Body::There(_))) {
                seen.records += 1;
            }
            if let (Subject::Record(id), Body::There(stored)) = (subject, body)
                && let Some(open) = stored.record.life.state.open_attempt()
            {
                seen.open.push((open.id.clone(), id.clone()));
            }
            let question = if let Subject::Record(id) = subject {
                self.ask_marks(subject, id, body)
            } else {
                self.ask_stray(subject, owner.as_ref(), body)
            };
            asked.push((*subject, question));
        }
        let mut moved = Vec::new();
        while !asked.is_empty() {
            let page: Vec<_> = asked.drain(..asked.len().min(AT_ONCE)).collect();
            self.ask_page(page, &mut moved, seen).await?;
        }
        Ok(moved)
    }

    async fn ask_page<'a>(
        &self,
        page: Vec<(&'a Subject, Question)>,
        moved: &mut Vec<&'a Subject>,
        seen: &mut Seen,
    ) -> Result<(), StoreError> {
        let reads = page.iter().flat_map(|(_, question)| question.reads.iter().cloned());
        let answers = self.read_at_once(reads.collect()).await?;
        let mut rest = answers.as_slice();
        for (subject, question) in page {
            let (own, others) = rest.split_at(question.reads.len().min(rest.len()));
            rest = others;
            let mut own = Answers(own.iter());
            let stands = match question.guard {
                Guard::Revision(revision) => own.text() == revision,
                Guard::Free => true,
            };
            if stands {
                seen.drifts.extend((question.read)(&mut own));
            } else {
                moved.push(subject);
            }
        }
        Ok(())
    }

    /// Every read as of one instant.
    pub(super) async fn read_at_once(&self, reads: Vec<Read>) -> Result<Vec<Value>, StoreError> {
        if reads.is_empty() {
            return Ok(Vec::new());
        }
        let mut table = KeyTable::default();
        let asked: Vec<(&str, usize, Vec<String>)> = reads
            .into_iter()
            .map(|Read(command, key, args)| (command, table.at(key), args))
            .collect();
        let facts = StoreError::json("reads that are", &asked)?;
        let call = Call::new(&script::LOOK, table.into_keys(), vec![facts]);
        match self.connection().call(call).await? {
            Value::Array(answers) => Ok(answers),
            other => Err(StoreError::reply("look", &other)),
        }
    }

    /// The job that each subject speaks of, as far as its name tells.
    async fn jobs_of(&self, subjects: &[&Subject]) -> Result<Vec<Option<JobId>>, StoreError> {
        let mut pipe = Pipeline::new();
        for subject in subjects {
            if let Subject::Nonce { attempt, .. } = subject
                && let Ok(attempt) = job::AttemptId::parse(attempt)
            {
                pipe.cmd("GET").arg(self.keys().attempt(&attempt));
            }
        }
        let mut ways = self.connection().pipe(&mut pipe).await?.into_iter();
        let parsed = |text: &str| JobId::parse(text).ok();
        Ok(subjects
            .iter()
            .map(|subject| match subject {
                Subject::Record(id) => Some(id.clone()),
                Subject::Member { id, .. } => parsed(id).or_else(|| Keys::job_of_member(id)),
                Subject::Holder { id, .. } | Subject::Owner { id, .. } => parsed(id),
                Subject::Nonce { attempt, job, .. } => {
                    let well_formed = job::AttemptId::parse(attempt).is_ok();
                    let way = well_formed.then(|| ways.next()).flatten();
                    way.and_then(|value| commit::word(&value))
                        .and_then(|text| parsed(&text))
                        .or_else(|| job.clone())
                }
                Subject::Counters
                | Subject::Slots
                | Subject::Batch { .. }
                | Subject::Usage { .. }
                | Subject::Bought { .. }
                | Subject::Failures { .. } => None,
            })
            .collect())
    }

    /// What lies under the ids; what cannot be read is left out.
    async fn bodies<'a>(
        &self,
        ids: impl Iterator<Item = &'a JobId>,
    ) -> Result<BTreeMap<JobId, Body>, StoreError> {
        let mut ids: Vec<JobId> = ids.cloned().collect();
        ids.sort();
        ids.dedup();
        let mut bodies = BTreeMap::new();
        let found = self.find_many(&ids).await?.1;
        let mut pipe = Pipeline::new();
        let mut unsure = Vec::new();
        for (id, found) in ids.into_iter().zip(found) {
            match found {
                Found::Stored(stored) => drop(bodies.insert(id, Body::There(stored))),
                Found::Missing => {
                    pipe.cmd("EXISTS").arg(self.keys().job(&id));
                    unsure.push(id);
                }
                Found::Unreadable(_) => {}
            }
        }
        for (id, exists) in unsure.into_iter().zip(self.connection().pipe(&mut pipe).await?) {
            let torn = commit::integer(&exists) == Some(1);
            bodies.insert(id, if torn { Body::Torn } else { Body::Nothing });
        }
        Ok(bodies)
    }
}
