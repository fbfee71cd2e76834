//! The doctor's recount: what the records call for against what Redis holds.
//!
//! Reads only, page by page. On a busy pool a difference may be a commit that happened in between;
//! one that stays is damage.

use crate::facts::{self, Standing, slot_field};
use crate::keys::Keys;
use crate::queue::{Lane, Queue};
use crate::stored::Found;
use crate::{Store, StoreError, commit};
use job::{JobId, Record, State};
use redis::{Pipeline, Value};
use std::collections::BTreeMap;

/// Records read at once.
const PAGE: usize = 500;
/// Differences told; more say nothing new.
const DRIFTS_MAX: usize = 200;

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// Which key, field or ticket.
    pub what: String,
    /// What the records call for.
    pub expected: String,
    /// What Redis holds.
    pub found: String,
}

/// The whole comparison.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recount {
    /// Records looked at.
    pub records: u64,
    /// Records this binary cannot read; nothing is concluded about them.
    pub unreadable: u64,
    /// Differences, the first 200.
    pub drifts: Vec<Drift>,
    /// There were more.
    pub more: bool,
}

/// Sums over records, keyed by (Redis key, field).
type Sums = BTreeMap<(String, String), i64>;

impl Recount {
    fn note(&mut self, what: String, expected: impl ToString, found: impl ToString) {
        let (expected, found) = (expected.to_string(), found.to_string());
        if expected == found {
            return;
        }
        if self.drifts.len() < DRIFTS_MAX {
            self.drifts.push(Drift { what, expected, found });
        } else {
            self.more = true;
        }
    }
}

impl Store {
    /// Compares slots, counters, indexes, nonces, owners and tickets with all records.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn recount(&self) -> Result<Recount, StoreError> {
        let mut report = Recount::default();
        let mut sums = Sums::new();
        let mut cards: BTreeMap<String, i64> = BTreeMap::new();
        let mut from = 0_usize;
        loop {
            let ids: Vec<String> = self
                .connection()
                .ask(redis::cmd("ZRANGE").arg(self.keys().ix_all()).arg(from).arg(from + PAGE - 1))
                .await?;
            if ids.is_empty() {
                break;
            }
            from += ids.len();
            let ids: Vec<JobId> = ids
                .iter()
                .map(|id| JobId::parse(id).map_err(|e| StoreError::corrupt("ix:all", e)))
                .collect::<Result<_, _>>()?;
            for (id, found) in ids.iter().zip(self.find_many(&ids).await?.1) {
                match found {
                    Found::Stored(stored) => {
                        report.records += 1;
                        add_up(self.keys(), &stored.record, &mut sums, &mut cards);
                        self.check_marks(&stored.record, &mut report).await?;
                    }
                    Found::Missing => report.note(format!("record {id}"), "present", "missing"),
                    Found::Unreadable(_) => report.unreadable += 1,
                }
            }
        }
        self.check_sums(&sums, &mut report).await?;
        self.check_cards(&cards, &mut report).await?;
        Ok(report)
    }

    /// A job's own marks: one ticket, where its state calls for it; index, nonce and tasks.
    async fn check_marks(&self, record: &Record, report: &mut Recount) -> Result<(), StoreError> {
        let (keys, id) = (self.keys(), &record.id);
        let lane = Lane::of(record);
        let class = record.spec.request.slot_class();
        let queues = Queue::ALL.into_iter().filter(|q| q.class().is_none_or(|c| c == class));
        let queues: Vec<Queue> = queues.collect();
        let standing = Standing::of(&record.life);
        let mut pipe = Pipeline::new();
        for queue in &queues {
            pipe.cmd("ZSCORE").arg(facts::due_key(keys, *queue, &lane)).arg(id.as_str());
            pipe.cmd("ZSCORE").arg(keys.lease(*queue)).arg(id.as_str());
        }
        pipe.cmd("ZSCORE").arg(keys.ix_state(record.life.state.word())).arg(id.as_str());
        if let Some(open) = &standing.open {
            pipe.cmd("HGET").arg(keys.nonces(&open.account)).arg(open.nonce_s);
            pipe.cmd("GET").arg(keys.attempt(&open.attempt));
        }
        for task in &standing.tasks {
            pipe.cmd("HGET").arg(keys.tasks()).arg(task.as_str());
        }
        let answers = self.connection().pipe(&mut pipe).await?;
        let (tickets, rest) = answers.split_at(2 * queues.len());
        let places: Vec<String> = queues
            .iter()
            .zip(tickets.chunks(2))
            .flat_map(|(queue, pair)| {
                let words = ["due", "lease"].map(|word| format!("{word}:{queue}"));
                words.into_iter().zip(pair).filter(|(_, at)| **at != Value::Nil).map(|(w, _)| w)
            })
            .collect();
        check_ticket(record, &places, report);
        let mut rest = rest.iter().map(|v| commit::word(v).unwrap_or_else(|| "nothing".to_owned()));
        let mut next = || rest.next().unwrap_or_default();
        let created = record.created_at.unix_ms();
        report.note(format!("{id} in its state's index"), created, next());
        if let Some(open) = &standing.open {
            report.note(format!("nonce {} of {id}", open.nonce_s), &open.attempt, next());
            report.note(format!("job of {}", open.attempt), id, next());
        }
        for task in &standing.tasks {
            report.note(format!("owner of {task}"), id, next());
        }
        Ok(())
    }

    async fn check_sums(&self, sums: &Sums, report: &mut Recount) -> Result<(), StoreError> {
        // Whole hashes, so that a field nobody calls for is seen too; all are small.
        let mut names: Vec<String> = sums.keys().map(|(key, _)| key.clone()).collect();
        names.push(self.keys().slots());
        names.push(self.keys().counts());
        names.sort();
        names.dedup();
        for name in names {
            let held: BTreeMap<String, i64> =
                self.connection().ask(redis::cmd("HGETALL").arg(&name)).await?;
            let wanted = sums.iter().filter(|((key, _), _)| *key == name);
            for ((_, field), n) in wanted {
                let found = held.get(field).copied().unwrap_or(0);
                report.note(format!("{name} {field}"), n, found);
            }
            for (field, n) in held {
                if !sums.contains_key(&(name.clone(), field.clone())) {
                    report.note(format!("{name} {field}"), 0, n);
                }
            }
        }
        Ok(())
    }

    async fn check_cards(
        &self,
        cards: &BTreeMap<String, i64>,
        report: &mut Recount,
    ) -> Result<(), StoreError> {
        let names: Vec<&String> = cards.keys().collect();
        for names in names.chunks(PAGE) {
            let mut pipe = Pipeline::new();
            for name in names {
                let command = if self.keys().is_nonces(name) { "HLEN" } else { "ZCARD" };
                pipe.cmd(command).arg(*name);
            }
            for (name, answer) in names.iter().zip(self.connection().pipe(&mut pipe).await?) {
                let found = commit::integer(&answer).unwrap_or(-1);
                report.note(format!("members of {name}"), cards[*name], found);
            }
        }
        Ok(())
    }
}

fn add_up(keys: &Keys, record: &Record, sums: &mut Sums, cards: &mut BTreeMap<String, i64>) {
    let standing = Standing::of(&record.life);
    let spec = &record.spec;
    let word = record.life.state.word();
    let mut add = |key: String, field: String| *sums.entry((key, field)).or_default() += 1;
    add(keys.counts(), word.as_str().to_owned());
    if let Some(batch) = &spec.batch {
        add(keys.batch_counts(batch), word.as_str().to_owned());
    }
    if let Some(slot) = &standing.slot {
        add(keys.slots(), slot_field(slot));
    }
    let mut member = |key: String| *cards.entry(key).or_default() += 1;
    // States without a job are counted too: a leftover in their index is damage.
    member(keys.ix_state(word));
    member(keys.ix_tenant(&spec.tenant));
    spec.batch.iter().for_each(|batch| member(keys.ix_batch(batch)));
    standing.code.iter().for_each(|code| member(keys.ix_code(code)));
    standing.open.iter().for_each(|open| member(keys.nonces(&open.account)));
    for other in job::StateWord::ALL {
        cards.entry(keys.ix_state(other)).or_default();
    }
}

/// A job that has somewhere to go has one ticket, in its step's queue; any other has none.
fn check_ticket(record: &Record, places: &[String], report: &mut Recount) {
    let what = format!("ticket of {}", record.id);
    let expected = match facts::queue_of(record) {
        None => String::new(),
        Some(queue) => {
            let (due, lease) = (format!("due:{queue}"), format!("lease:{queue}"));
            // A parked job is no longer looked up once the provider's records are gone.
            let retired = matches!(record.life.state, State::Parked { .. }) && places.is_empty();
            if retired {
                String::new()
            } else if places.first() == Some(&lease) {
                lease
            } else {
                due
            }
        }
    };
    report.note(what, expected, places.join(" and "));
}
