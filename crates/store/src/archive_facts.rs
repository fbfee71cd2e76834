//! What leaves with a record, and what comes back with it.

use crate::archive::{ArchivePlace, Archived, Packed, Tombstone};
use crate::connection::Call;
use crate::doctor::indexes;
use crate::facts::{KeyTable, Line, Standing, written};
use crate::failures::Scope;
use crate::keys::{Keys, TombField};
use crate::queue::Queue;
use crate::script::Script;
use crate::{Idempotency, StoreError};
use job::{JobId, Note, Record, TaskId, Timestamp};
use serde::Serialize;

/// So long after its end nobody asks for a job's tasks any more: see `facts::ATTEMPT_KEPT`.
const TASKS_ASKED_FOR: std::time::Duration = crate::facts::ATTEMPT_KEPT;

/// A key, the key of a hash of tombstones, and a field of it.
type Way = (usize, usize, String);

/// The same, and what the key holds.
type WayBack = (usize, usize, String, String);

/// The facts of `archive.lua` and `recall.lua`.
#[derive(Serialize)]
pub(crate) struct Facts<'a, T: Serialize> {
    #[serde(skip)]
    table: KeyTable,
    id: &'a JobId,
    rev: String,
    hint: String,
    tomb: (usize, String, String),
    fp: Way,
    #[serde(skip_serializing_if = "Option::is_none")]
    idem: Option<T>,
    owners: usize,
    sums: Vec<(usize, String)>,
    #[serde(flatten)]
    rest: Rest,
}

/// What differs between the two directions.
#[derive(Serialize)]
#[serde(untagged)]
enum Rest {
    Leaving {
        still: Vec<(&'static str, usize, [String; 1])>,
        tasks: Vec<Vec<serde_json::Value>>,
        index: Vec<(usize, String)>,
    },
    Back {
        st: &'static str,
        by: String,
        custom: String,
        tasks: Vec<(TaskId, usize, String)>,
        index: Vec<(usize, String, String)>,
        leaving: usize,
        from: String,
        line: String,
    },
}

/// The way back.
pub(crate) struct Sorting;

/// What leads to a record, in keys of one call.
struct Ways<'a> {
    keys: &'a Keys,
    record: &'a Record,
    table: KeyTable,
}

impl KeyTable {
    /// As scripts take a field of a hash of tombstones.
    pub(crate) fn tomb(&mut self, at: TombField) -> (usize, String) {
        (self.at(at.key), at.field)
    }
}

impl<'a> Ways<'a> {
    fn of(keys: &'a Keys, record: &'a Record) -> Self {
        let mut table = KeyTable::default();
        table.at(keys.job(&record.id));
        table.at(keys.timeline(&record.id));
        Self { keys, record, table }
    }

    fn field(&mut self, at: TombField) -> (usize, String) {
        self.table.tomb(at)
    }

    fn tomb(&mut self, tomb: &Tombstone) -> (usize, String, String) {
        let (key, field) = self.field(self.keys.tomb(&self.record.id));
        (key, field, tomb.text.clone())
    }

    fn request(&mut self) -> Way {
        let spec = &self.record.spec;
        let key = self.table.at(self.keys.fingerprint(&spec.tenant, &spec.fingerprint));
        let (tomb, field) = self.field(self.keys.tomb_of_request(&spec.tenant, &spec.fingerprint));
        (key, tomb, field)
    }

    fn key(&mut self, own: &Idempotency) -> Way {
        let tenant = &self.record.spec.tenant;
        let key = self.table.at(self.keys.idempotency(tenant, &own.key));
        let (tomb, field) = self.field(self.keys.tomb_of_key(tenant, &own.key));
        (key, tomb, field)
    }

    /// What the counters that are compared with indexes hold of this job.
    fn sums(&mut self) -> Vec<(usize, String)> {
        let (keys, spec) = (self.keys, &self.record.spec);
        let standing = Standing::of(&self.record.life);
        let word = self.record.life.state.word().as_str();
        let mut counts = vec![keys.counts(), keys.tenant_counts(&spec.tenant)];
        counts.extend(spec.batch.as_ref().map(|batch| keys.batch_counts(&spec.tenant, batch)));
        let counts = counts.into_iter().map(|key| (key, word.to_owned()));
        let failed = standing.code.into_iter().flat_map(|code| {
            Scope::all_of(spec).map(move |scope| (keys.failures(scope), code.clone()))
        });
        let dismissed = standing.dismissed.into_iter().flat_map(|code| {
            Scope::all_of(spec).map(move |scope| (keys.failures_dismissed(scope), code.clone()))
        });
        let sums: Vec<(String, String)> = counts.chain(failed).chain(dismissed).collect();
        sums.into_iter()
            .map(|(key, field)| (self.table.at(keys.archived_of(&key)), field))
            .collect()
    }

    /// The indexes that name the record. Media stay: an archived job needs them like any other.
    fn indexes(&self) -> Vec<(String, String, String)> {
        let spec = &self.record.spec;
        let media: Vec<String> = spec
            .inline_media()
            .into_iter()
            .map(|sha256| self.keys.ix_media(&spec.tenant, sha256))
            .collect();
        let named = indexes(self.keys, self.record).into_iter();
        let gone = named.filter(|entry| !media.contains(&entry.index));
        gone.map(|entry| (entry.index, entry.score.to_string(), entry.member)).collect()
    }
}

impl<'a> Facts<'a, Way> {
    /// For `archive.lua`.
    pub(crate) fn leaving(keys: &'a Keys, packed: &'a Packed, now: Timestamp) -> Self {
        let record = &packed.archived.record;
        let mut ways = Ways::of(keys, record);
        let tomb = Tombstone::of(&packed.place, record.life.state.word(), now);
        let tomb = ways.tomb(&tomb);
        let id = record.id.to_string();
        let mut still = Vec::new();
        for queue in [Queue::Settle, Queue::Poll, Queue::Download] {
            for key in [keys.due(queue), keys.lease(queue)] {
                still.push(("ZSCORE", ways.table.at(key), [id.clone()]));
            }
        }
        let asked_for = packed.place.ended_at + TASKS_ASKED_FOR > now;
        let mut tasks = Vec::new();
        for task in record.life.tasks() {
            let mut row = vec![serde_json::json!(task)];
            if asked_for {
                let (key, field) = ways.field(keys.tomb_of_task(task));
                row.extend([serde_json::json!(key), serde_json::json!(field)]);
            }
            tasks.push(row);
        }
        let index = ways.indexes().into_iter();
        let index = index.map(|(key, _, member)| (ways.table.at(key), member)).collect();
        let rest = Rest::Leaving { still, tasks, index };
        let fp = ways.request();
        let idem = packed.archived.idempotency.as_ref().map(|own| ways.key(own));
        let owners = ways.table.at(keys.tasks());
        let sums = ways.sums();
        let rev = packed.archived.revision.to_string();
        let hint = hint(&packed.archived);
        Self { id: &record.id, rev, hint, tomb, fp, idem, owners, sums, rest, table: ways.table }
    }
}

impl Sorting {
    /// For `recall.lua`, with its other arguments.
    pub(crate) fn back<'a>(
        keys: &'a Keys,
        tomb: &Tombstone,
        archived: &'a Archived,
        token: &str,
        now: Timestamp,
    ) -> Result<(Facts<'a, WayBack>, Vec<String>), StoreError> {
        let (record, place) = (&archived.record, &tomb.place);
        let mut ways = Ways::of(keys, record);
        let tomb = ways.tomb(tomb);
        let word = record.life.state.word();
        let rev = archived.revision + 1;
        let note = Note { what: "brought back from the bucket".to_owned(), from: word, to: word };
        let line = written(&Line { at: now, rev, by: "outside", note: &note });
        let mut tasks = Vec::new();
        for task in record.life.tasks() {
            let (key, field) = ways.field(keys.tomb_of_task(task));
            tasks.push((task.clone(), key, field));
        }
        let index = ways.indexes().into_iter();
        let index = index.map(|(key, score, member)| (ways.table.at(key), score, member)).collect();
        let fp = ways.request();
        let own = archived.idempotency.as_ref();
        let idem = own.map(|own| {
            let (key, tomb, field) = ways.key(own);
            (key, tomb, field, format!("{} {}", record.id, own.body_sha256))
        });
        let custom = own.map(|own| own.key.clone()).unwrap_or_default();
        let by = token.to_owned();
        let leaving = ways.table.at(keys.leaving());
        let from = Keys::leaving_member(place);
        let rest = Rest::Back { st: word.as_str(), by, custom, tasks, index, leaving, from, line };
        let owners = ways.table.at(keys.tasks());
        let sums = ways.sums();
        let (spec, life) =
            record.to_parts().map_err(|error| StoreError::corrupt(record.id.as_str(), error))?;
        let lines = archived.timeline.iter().map(|line| written(&line));
        let texts = [spec, life].into_iter().chain(lines).collect();
        let (rev, hint, table) = (rev.to_string(), hint(archived), ways.table);
        let facts = Facts { id: &record.id, rev, hint, tomb, fp, idem, owners, sums, rest, table };
        Ok((facts, texts))
    }
}

impl<T: Serialize> Facts<'_, T> {
    /// The call, with what stands behind the facts.
    pub(crate) fn call(
        self,
        script: &'static Script,
        texts: Vec<String>,
    ) -> Result<Call, StoreError> {
        let facts = serde_json::to_string(&self)
            .map_err(|error| StoreError::Bug(format!("facts that are no JSON: {error}")))?;
        let args = std::iter::once(facts).chain(texts).collect();
        Ok(Call::new(script, self.table.into_keys(), args))
    }
}

/// The facts of `lapse.lua`.
#[derive(Serialize)]
struct Lapse<'a> {
    tomb: (usize, String, String),
    ways: Vec<(usize, String)>,
    media: Vec<usize>,
    id: &'a JobId,
    short: &'a str,
}

/// The call that takes a tombstone away with the ways that lead to it.
pub(crate) fn lapse(
    keys: &Keys,
    tomb: &Tombstone,
    archived: &Archived,
) -> Result<Call, StoreError> {
    let record = &archived.record;
    let mut all = Ways::of(keys, record);
    let at = all.tomb(tomb);
    let (_, key, field) = all.request();
    let mut ways = vec![(key, field)];
    if let Some(own) = &archived.idempotency {
        let (_, key, field) = all.key(own);
        ways.push((key, field));
    }
    for task in record.life.tasks() {
        ways.push(all.field(keys.tomb_of_task(task)));
    }
    let media = record.spec.inline_media().into_iter();
    let media =
        media.map(|sha256| all.table.at(keys.ix_media(&record.spec.tenant, sha256))).collect();
    let (id, short) = (&record.id, Keys::short(&record.id));
    let facts = Lapse { tomb: at, ways, media, id, short };
    let facts = serde_json::to_string(&facts)
        .map_err(|error| StoreError::Bug(format!("facts that are no JSON: {error}")))?;
    Ok(Call::new(&crate::script::LAPSE, all.table.into_keys(), vec![facts]))
}

/// The task that a callback named, as the record holds it: empty without one.
fn hint(archived: &Archived) -> String {
    archived.hint.as_ref().map_or_else(String::new, TaskId::to_string)
}

/// Which of a job's texts lies at a place, as one word.
pub(crate) fn kind(place: &ArchivePlace) -> String {
    format!("{}{}", if place.bare { 'b' } else { 'k' }, place.revision)
}

/// Whether the content was erased, and the revision.
pub(crate) fn read_kind(word: &str) -> Option<(bool, u64)> {
    let (bare, revision) = match word.strip_prefix('b') {
        Some(revision) => (true, revision),
        None => (false, word.strip_prefix('k')?),
    };
    Some((bare, revision.parse().ok()?))
}
