//! Sums over records: slots in use, jobs per state. Each is compared in one atomic read of the sum and all
//! that is summed up, so that it is exact however busy the pool is.

use super::look::{Read, differ};
use super::mend::Cure;
use super::{DriftKind, Seen, Subject};
use crate::facts::{self, USAGE_DAYS_KEPT, slot_field};
use crate::{Store, StoreError, commit};
use job::{JobId, Life, Spec, StateWord, Timestamp};
use redis::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Jobs summed up in one transaction; a larger batch or pool is not compared.
const SUMMED_MAX: usize = 10_000;
/// Tries to meet a moment in which no job comes in.
const TRIES_MAX: usize = 10;
/// The states in which a job may hold a slot.
const SLOT_WORDS: [StateWord; 4] =
    [StateWord::Submitting, StateWord::InDoubt, StateWord::Running, StateWord::Overdue];

type Sums = BTreeMap<String, i64>;

impl Store {
    /// Jobs per state against the indexes of the states.
    pub(super) async fn check_counters(
        &self,
        subject: &Subject,
        seen: &mut Seen,
    ) -> Result<(), StoreError> {
        let counts = self.keys().counts();
        let archived = self.keys().archived_of(&counts);
        let mut reads =
            vec![Read::of("HGETALL", &counts, &[]), Read::of("HGETALL", &archived, &[])];
        let indexes = StateWord::ALL.map(|word| self.keys().ix_state(word));
        reads.extend(indexes.iter().map(|index| Read::of("ZCARD", index, &[])));
        let mut answers = self.read_at_once(reads).await?.into_iter();
        let held = of_those_here(sums(answers.next())?, sums(answers.next())?);
        let wanted: Sums = StateWord::ALL
            .into_iter()
            .zip(answers)
            .map(|(word, n)| (word.as_str().to_owned(), commit::integer(&n).unwrap_or(0)))
            .collect();
        compare(subject, DriftKind::Counter, &counts, &wanted, &held, seen);
        Ok(())
    }

    pub(super) async fn check_batch(
        &self,
        subject: &Subject,
        index: &str,
        counts: &str,
        seen: &mut Seen,
    ) -> Result<(), StoreError> {
        let sets = [index.to_owned()];
        let Some((held, words)) = self.snapshot(counts, &sets, &["st"]).await? else {
            seen.unchecked += 1;
            return Ok(());
        };
        let mut wanted = Sums::new();
        for word in words.into_iter().flatten() {
            *wanted.entry(word).or_default() += 1;
        }
        compare(subject, DriftKind::Counter, counts, &wanted, &held, seen);
        Ok(())
    }

    /// What the jobs of each day cost, as far as their records are here: a day may hold more, of jobs
    /// that are no longer kept, but never less.
    pub(super) async fn check_usage(
        &self,
        subject: &Subject,
        index: &str,
        usage: &str,
        seen: &mut Seen,
    ) -> Result<(), StoreError> {
        let parts = |spec: &str, life: &str, kept: i64| {
            let (day, micros) = charge(spec, life)?;
            let counts = day > kept && micros > 0;
            Some(counts.then(|| (format!("{day}|micros"), micros)).into_iter().collect())
        };
        self.check_money(subject, index, usage, parts, seen).await
    }

    /// What was bought of a purse or is reserved, as far as the records are here.
    pub(super) async fn check_bought(
        &self,
        subject: &Subject,
        index: &str,
        bought: &str,
        seen: &mut Seen,
    ) -> Result<(), StoreError> {
        let parts = |spec: &str, life: &str, kept: i64| {
            let Some((day, micros)) = reserved(spec, life)? else { return Some(Vec::new()) };
            let of_day = (day > kept).then(|| (day.to_string(), micros));
            Some(of_day.into_iter().chain([("total".to_owned(), micros)]).collect())
        };
        self.check_money(subject, index, bought, parts, seen).await
    }

    /// Sums of money: `parts` tells what a record, by spec and life, adds to which field, given the last day that is
    /// not kept any more. None where a newer binary knows what it costs: then nothing is compared.
    async fn check_money(
        &self,
        subject: &Subject,
        index: &str,
        sums: &str,
        parts: impl Fn(&str, &str, i64) -> Option<Vec<(String, i64)>>,
        seen: &mut Seen,
    ) -> Result<(), StoreError> {
        let sets = [index.to_owned()];
        let Some((held, records)) = self.snapshot(sums, &sets, &["spec", "life"]).await? else {
            seen.unchecked += 1;
            return Ok(());
        };
        let kept = facts::day_of(self.now().await?) - USAGE_DAYS_KEPT;
        let mut wanted = Sums::new();
        for record in records {
            let [spec, life] = record.as_slice() else { continue };
            let Some(parts) = parts(spec, life, kept) else {
                seen.unchecked += 1;
                return Ok(());
            };
            for (field, micros) in parts {
                *wanted.entry(field).or_default() += micros;
            }
        }
        compare_least(subject, sums, wanted, held, seen);
        Ok(())
    }

    /// Failures by code, or those of them that were dismissed, against the jobs that stand as failed. Those of a batch have no index of their own
    /// and are not compared.
    pub(super) async fn check_failures(
        &self,
        subject: &Subject,
        (counts, dismissed): (&str, bool),
        indexes: &[String],
        seen: &mut Seen,
    ) -> Result<(), StoreError> {
        let Some((held, parts)) = self.snapshot(counts, indexes, &["life"]).await? else {
            seen.unchecked += 1;
            return Ok(());
        };
        let mut wanted = Sums::new();
        for part in parts {
            let [life] = part.as_slice() else { continue };
            let Ok(life) = serde_json::from_str::<Life>(life) else {
                // A newer binary knows its code.
                seen.unchecked += 1;
                return Ok(());
            };
            let wants = life.dismissed || !dismissed;
            if let Some(code) = life.state.failure_code().filter(|_| wants) {
                *wanted.entry(code.to_owned()).or_default() += 1;
            }
        }
        compare(subject, DriftKind::Counter, counts, &wanted, &held, seen);
        Ok(())
    }

    pub(super) async fn check_slots(
        &self,
        subject: &Subject,
        seen: &mut Seen,
    ) -> Result<(), StoreError> {
        let slots = self.keys().slots();
        let sets = SLOT_WORDS.map(|word| self.keys().ix_state(word));
        let Some((held, lives)) = self.snapshot(&slots, &sets, &["life"]).await? else {
            seen.unchecked += 1;
            return Ok(());
        };
        let mut wanted = Sums::new();
        for life in lives.into_iter().flatten() {
            let Ok(life) = serde_json::from_str::<Life>(&life) else {
                // A newer binary knows who holds a slot.
                seen.unchecked += 1;
                return Ok(());
            };
            if let Some(slot) = life.state.slot() {
                *wanted.entry(slot_field(&slot)).or_default() += 1;
            }
        }
        compare(subject, DriftKind::Slot, &slots, &wanted, &held, seen);
        Ok(())
    }

    /// A hash of sums together with some fields of every record in some sets, as of one instant; a record
    /// without all of them is left out. None: too many records, or new ones at every try.
    async fn snapshot(
        &self,
        hash: &str,
        sets: &[String],
        fields: &[&str],
    ) -> Result<Option<(Sums, Vec<Vec<String>>)>, StoreError> {
        // Asked first: the members of very large sets would be megabytes that nobody looks at.
        let sizes = sets.iter().map(|set| Read::of("ZCARD", set, &[])).collect();
        for size in self.read_at_once(sizes).await? {
            let size: usize = redis::from_redis_value(size)
                .map_err(|error| StoreError::Bug(error.to_string()))?;
            if size > SUMMED_MAX {
                return Ok(None);
            }
        }
        let mut known: BTreeSet<String> = BTreeSet::new();
        for _ in 0..TRIES_MAX {
            let last = SUMMED_MAX.to_string();
            let archived = self.keys().archived_of(hash);
            let mut reads =
                vec![Read::of("HGETALL", hash, &[]), Read::of("HGETALL", &archived, &[])];
            reads.extend(sets.iter().map(|set| Read::of("ZRANGE", set, &["0", &last])));
            let ids: Vec<JobId> = known.iter().filter_map(|id| JobId::parse(id).ok()).collect();
            let of = |id| Read::of("HMGET", &self.keys().job(id), fields);
            reads.extend(ids.iter().map(of));
            let mut answers = self.read_at_once(reads).await?.into_iter();
            let held = of_those_here(sums(answers.next())?, sums(answers.next())?);
            let mut now: BTreeSet<String> = BTreeSet::new();
            for answer in answers.by_ref().take(sets.len()) {
                let members: Vec<String> = redis::from_redis_value(answer)
                    .map_err(|error| StoreError::Bug(error.to_string()))?;
                now.extend(members);
            }
            if now.len() > SUMMED_MAX {
                return Ok(None);
            }
            if now.is_subset(&known) {
                let found = ids.iter().zip(answers).filter(|(id, _)| now.contains(id.as_str()));
                // A field that is not there is no text.
                let texts = found.filter_map(|(_, v)| redis::from_redis_value(v).ok());
                return Ok(Some((held, texts.collect())));
            }
            known = now;
        }
        Ok(None)
    }
}

/// The day a job was accepted on, and what it costs.
fn charge(spec: &str, life: &str) -> Option<(i64, i64)> {
    #[derive(serde::Deserialize)]
    struct Head {
        created_at: Timestamp,
    }
    let head: Head = serde_json::from_str(spec).ok()?;
    let spec: Spec = serde_json::from_str(spec).ok()?;
    let micros = spec.charge_micros(&serde_json::from_str(life).ok()?);
    Some((facts::day_of(head.created_at), i64::try_from(micros).unwrap_or(i64::MAX)))
}

/// The day of a job's attempt, and what it takes of its purses; none of both where it takes nothing.
fn reserved(spec: &str, life: &str) -> Option<Option<(i64, i64)>> {
    let spec: Spec = serde_json::from_str(spec).ok()?;
    let reserved = spec.reserved(&serde_json::from_str(life).ok()?);
    Some(
        reserved.map(|(at, micros)| (facts::day_of(at), i64::try_from(micros).unwrap_or(i64::MAX))),
    )
}

/// A sum may be larger, of jobs that are no longer kept, but never less.
fn compare_least(subject: &Subject, key: &str, wanted: Sums, held: Sums, seen: &mut Seen) {
    let less = |(field, sum): &(String, i64)| held.get(field).is_none_or(|held| held < sum);
    let wanted: Sums = wanted.into_iter().filter(less).collect();
    let held = held.into_iter().filter(|(field, _)| wanted.contains_key(field)).collect();
    compare(subject, DriftKind::Counter, key, &wanted, &held, seen);
}

fn sums(answer: Option<Value>) -> Result<Sums, StoreError> {
    redis::from_redis_value(answer.unwrap_or(Value::Nil))
        .map_err(|error| StoreError::Bug(format!("a hash of sums: {error}")))
}

/// What the sums hold of jobs whose records are in Redis.
fn of_those_here(mut held: Sums, archived: Sums) -> Sums {
    for (field, n) in archived {
        *held.entry(field).or_default() -= n;
    }
    held
}

fn compare(
    subject: &Subject,
    kind: DriftKind,
    key: &str,
    wanted: &Sums,
    held: &Sums,
    seen: &mut Seen,
) {
    let fields: BTreeSet<&String> = wanted.keys().chain(held.keys()).collect();
    for field in fields {
        let of = |sums: &Sums| sums.get(field).copied().unwrap_or(0);
        let (wanted, held) = (of(wanted), of(held));
        let cure = Cure::new(field).write("HINCRBY", key, &[field, &(wanted - held).to_string()]);
        let what = format!("{key} {field}");
        let found = Some(held.to_string());
        seen.drifts.extend(differ(subject, kind, what, wanted, found, Some(cure)));
    }
}
