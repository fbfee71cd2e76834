//! Births: many jobs in one call of the script, with what they share told once.

use crate::connection::Call;
use crate::facts::{self, KeyTable, Line, Move, Moves, Place, Standing, Writes};
use crate::freeze::Known;
use crate::keys::TIMELINE_LINES_MAX;
use crate::lease::millis;
use crate::queue::Lane;
use crate::{Idempotency, Match, Store, StoreError, caps, commit, script};
use job::{JobId, Note, Record, TaskId, Ticket, Timestamp};
use redis::Value;
use serde::Serialize;
use std::time::Duration;

/// Jobs in one call of the script: nobody else is served meanwhile, so it is a matter of few milliseconds.
const BIRTHS_MAX: usize = 100;
/// How long a caller's key is remembered that came with a request of another job. The key that a job came
/// with is remembered as long as the job.
const LENT_KEY_KEPT: Duration = Duration::from_secs(90 * 24 * 3_600);

/// What one job is written with.
pub(crate) struct Birth<'a> {
    pub(crate) record: &'a Record,
    pub(crate) idempotency: Option<&'a Idempotency>,
    pub(crate) ticket: Ticket,
    pub(crate) what: &'static str,
    pub(crate) at: Timestamp,
    /// Nobody caps what has been accepted before.
    pub(crate) capped: bool,
}

/// What became of it.
#[derive(Debug)]
pub(crate) enum Born {
    Created,
    Existing { id: JobId, by: Match },
    Reused { id: JobId },
    Owned { task: String, by: JobId },
    Full { waiting: u64 },
    Spent { micros: u64 },
}

#[derive(Serialize)]
struct Facts<'a> {
    by: &'static str,
    tasks: usize,
    lines_max: usize,
    lent: u64,
    known: Known<'a>,
    kinds: Vec<Kind>,
    jobs: Vec<Job<'a>>,
}

/// What jobs have in common.
#[derive(PartialEq, Serialize)]
struct Kind {
    st: &'static str,
    created: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<Place>,
    index: Vec<usize>,
    count: Vec<(usize, String)>,
    once: Vec<Move>,
    event: (usize, Vec<String>),
    line: String,
    #[serde(rename = "use")]
    usage: Usage,
    #[serde(skip_serializing_if = "Option::is_none")]
    cap: Option<Cap>,
}

#[derive(Serialize)]
struct Job<'a> {
    id: &'a JobId,
    kind: usize,
    job: usize,
    fp: usize,
    tl: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    idem: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
    tombs: Tombs,
    own: Vec<TaskId>,
    /// As text: a script's numbers lose digits.
    micros: String,
    moves: Vec<Move>,
}

/// Where archived jobs stand for the same request, key or tasks.
#[derive(Serialize)]
struct Tombs {
    fp: (usize, String),
    #[serde(skip_serializing_if = "Option::is_none")]
    idem: Option<(usize, String)>,
    own: Vec<(usize, String)>,
}

/// What the tenant may have.
#[derive(PartialEq, Serialize)]
struct Cap {
    counts: usize,
    words: Vec<&'static str>,
    queued_max: u32,
    spend_max: u64,
}

/// The day of its tenant that a job takes from.
#[derive(PartialEq, Serialize)]
struct Usage {
    usage: usize,
    day: i64,
    kept: i64,
}

impl Kind {
    /// Takes in the writes that others of the kind have as well, and gives back the job's own. Nothing gets lost: what
    /// is not known to be common is the job's own.
    fn share(&mut self, writes: Writes, record: &Record) -> Vec<Move> {
        let Writes { list, unlist, counts, moves } = writes;
        let (ones, counts): (Vec<_>, Vec<_>) = counts.into_iter().partition(|(_, _, n)| n == "1");
        self.index = list;
        self.count = ones.into_iter().map(|(key, field, _)| (key, field)).collect();
        let mut own = Writes { unlist, counts, ..Writes::default() };
        for Move(command, key, mut args, longest) in moves {
            let words: Vec<&str> = args.iter().map(String::as_str).collect();
            match (command, words.as_slice()) {
                ("HSETNX", _) | ("ZADD", ["NX", ..]) | ("SET", [_, "NX"]) => {
                    self.once.push(Move(command, key, args, longest));
                }
                ("XADD", ["*", "job", member, ..]) if *member == record.id.as_str() => {
                    args[2].clear();
                    self.event = (key, args);
                }
                _ => own.moves.push(Move(command, key, args, longest)),
            }
        }
        own.plain(record)
    }
}

impl Store {
    /// Gives birth to jobs in the order given, each whole or not at all; the answers stand in the same order.
    ///
    /// Safe to repeat with the same records.
    ///
    /// # Errors
    ///
    /// Outer: a record that cannot be written; nothing was sent. Inner, per job: as every call; it may be there.
    pub(crate) async fn bear(
        &self,
        births: &[Birth<'_>],
    ) -> Result<Vec<Result<Born, StoreError>>, StoreError> {
        let floor = self.inner.told.floor();
        let groups = births.chunks(BIRTHS_MAX);
        let calls: Vec<Call> =
            groups.clone().map(|births| self.create_call(births)).collect::<Result<_, _>>()?;
        let replies = self.connection().call_many(&calls).await;
        let mut born = Vec::with_capacity(births.len());
        for (group, reply) in groups.zip(replies) {
            match reply.and_then(|reply| self.read_born(group.len(), &reply, floor)) {
                Ok(answers) => born.extend(answers.into_iter().map(Ok)),
                Err(error) => born.extend(group.iter().map(|_| Err(error.clone()))),
            }
        }
        Ok(born)
    }

    fn create_call(&self, births: &[Birth<'_>]) -> Result<Call, StoreError> {
        let mut table = KeyTable::default();
        let (mut kinds, mut jobs): (Vec<Kind>, _) = (Vec::new(), Vec::with_capacity(births.len()));
        let mut texts = vec![String::new()];
        for birth in births {
            let record = birth.record;
            let (spec, life) = record
                .to_parts_as(self.writes_version())
                .map_err(|error| StoreError::corrupt(record.id.as_str(), error))?;
            texts.extend([spec, life]);
            let (kind, mut job) = self.birth(birth, &mut table);
            job.kind = match kinds.iter().position(|known| *known == kind) {
                Some(known) => known + 1,
                None => {
                    kinds.push(kind);
                    kinds.len()
                }
            };
            jobs.push(job);
        }
        let facts = Facts {
            by: "created",
            tasks: table.at(self.keys().tasks()),
            lines_max: TIMELINE_LINES_MAX,
            lent: millis(LENT_KEY_KEPT),
            known: self.known(&mut table),
            kinds,
            jobs,
        };
        texts[0] = StoreError::json("facts that are", &facts)?;
        Ok(Call::new(&script::CREATE, table.into_keys(), texts))
    }

    fn birth<'a>(&self, birth: &Birth<'a>, table: &mut KeyTable) -> (Kind, Job<'a>) {
        let (keys, record) = (self.keys(), birth.record);
        let tenant = &record.spec.tenant;
        let (standing, word) = (Standing::of(&record.life), record.life.state.word());
        let lane = Lane::of(record);
        let to = facts::ticket_queue(record, birth.ticket)
            .map(|(queue, at)| Place::of(keys, table, queue, &lane, Some(at)));
        let note = Note { what: birth.what.to_owned(), from: word, to: word };
        let mut moves = Moves::new(keys, table, record);
        moves.born();
        moves.change(&Standing::default(), &standing);
        moves.told(&Standing::default(), &standing, 1);
        moves.book(None, record.spec.reserved(&record.life), birth.at);
        let writes = moves.into_writes();
        let mut kind = Kind {
            st: word.as_str(),
            created: record.created_at.unix_ms().to_string(),
            to,
            index: Vec::new(),
            count: Vec::new(),
            once: Vec::new(),
            event: (0, Vec::new()),
            line: facts::written(&Line { at: birth.at, rev: 1, by: "outside", note: &note }),
            usage: Usage {
                usage: table.at(keys.usage(tenant)),
                day: facts::day_of(record.created_at),
                kept: facts::USAGE_DAYS_KEPT,
            },
            cap: birth.capped.then(|| self.cap(tenant, table)).flatten(),
        };
        let job = Job {
            id: &record.id,
            kind: 0,
            job: table.at(keys.job(&record.id)),
            fp: table.at(keys.fingerprint(tenant, &record.spec.fingerprint)),
            tl: table.at(keys.timeline(&record.id)),
            idem: birth.idempotency.map(|idem| table.at(keys.idempotency(tenant, &idem.key))),
            name: birth.idempotency.map(|idem| idem.key.as_str()),
            body: birth.idempotency.map(|idem| idem.body_sha256.as_str()),
            tombs: Tombs {
                fp: table.tomb(keys.tomb_of_request(tenant, &record.spec.fingerprint)),
                idem: birth.idempotency.map(|idem| table.tomb(keys.tomb_of_key(tenant, &idem.key))),
                own: standing
                    .tasks
                    .iter()
                    .map(|task| table.tomb(keys.tomb_of_task(task)))
                    .collect(),
            },
            own: standing.tasks,
            micros: record.spec.charge_micros(&record.life).to_string(),
            moves: kind.share(writes, record),
        };
        (kind, job)
    }

    fn cap(&self, tenant: &str, table: &mut KeyTable) -> Option<Cap> {
        let limits = self.caps_of(tenant);
        let (queued_max, spend_max) = (limits.queued_max, limits.spend_day_micros_max());
        (queued_max > 0 || spend_max > 0).then(|| Cap {
            counts: table.at(self.keys().tenant_counts(tenant)),
            words: caps::words(&caps::WAITING),
            queued_max,
            spend_max,
        })
    }

    fn read_born(&self, jobs: usize, reply: &Value, floor: u64) -> Result<Vec<Born>, StoreError> {
        let bug = || StoreError::reply("create", reply);
        let Value::Array(parts) = reply else { return Err(bug()) };
        let answers = parts.first().and_then(commit::word).ok_or_else(bug)?;
        let answers: Vec<Vec<String>> = serde_json::from_str(&answers).map_err(|_| bug())?;
        if let (Some(lsn), Some(stamp)) = (parts.get(1), parts.get(2)) {
            let lsn = commit::integer(lsn).and_then(|lsn| u64::try_from(lsn).ok());
            let stamp = commit::integer(stamp).ok_or_else(bug)?;
            self.inner.told.hear(lsn.ok_or_else(bug)?, stamp, floor);
        }
        let born: Option<Vec<Born>> = answers.iter().map(|answer| Born::read(answer)).collect();
        born.filter(|born| born.len() == jobs).ok_or_else(bug)
    }
}

impl Born {
    fn read(answer: &[String]) -> Option<Self> {
        let words: Vec<&str> = answer.iter().map(String::as_str).collect();
        let id = |text: &str| JobId::parse(text).ok();
        Some(match words.as_slice() {
            ["created"] => Self::Created,
            ["existing", "key", job] => Self::Existing { id: id(job)?, by: Match::Key },
            ["existing", "fingerprint", job] => {
                Self::Existing { id: id(job)?, by: Match::Fingerprint }
            }
            ["reused", job] => Self::Reused { id: id(job)? },
            ["owned", task, job] => Self::Owned { task: (*task).to_owned(), by: id(job)? },
            ["full", waiting] => Self::Full { waiting: waiting.parse().ok()? },
            ["spent", micros] => Self::Spent { micros: micros.parse().ok()? },
            _ => return None,
        })
    }
}
