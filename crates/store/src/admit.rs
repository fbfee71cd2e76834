//! New jobs, and forgotten ones: many in one pipeline, each created once however often it is sent.

use crate::connection::Call;
use crate::facts::{self, KeyTable, Line, Move, Moves, Place, Standing};
use crate::freeze::Known;
use crate::queue::Lane;
use crate::{Store, StoreError, caps, commit, script};
use job::{Fingerprint, JobId, Note, Record, State, TaskId, Ticket, Timestamp};
use redis::Value;
use serde::Serialize;

/// Jobs in one call.
pub const ADMIT_MAX: usize = 200;

/// The caller's own key for a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// As the caller sent it.
    pub key: String,
    /// SHA-256 (hex) of the body it came with.
    pub body_sha256: String,
}

/// A job to be created.
#[derive(Debug, Clone, PartialEq)]
pub struct NewJob {
    /// Held or queued, with a fresh id.
    pub record: Record,
    /// The caller's key, if it sent one.
    pub idempotency: Option<Idempotency>,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admitted {
    /// It is new.
    Created,
    /// The same request exists.
    Existing {
        /// As which job.
        id: JobId,
        /// How we know.
        by: Match,
    },
    /// The key was used for another request: nothing was written.
    KeyReused {
        /// By which job.
        id: JobId,
    },
    /// The tenant has as many jobs waiting as it may: nothing was written.
    Full {
        /// How many.
        waiting: u64,
    },
    /// The tenant's day has no room for what this may cost: nothing was written.
    Spent {
        /// What the day has taken, in millionths of the route's currency.
        micros: u64,
        /// When the next day begins.
        resets_at: Timestamp,
    },
}

/// What became of a wish to take a task over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Adopted {
    /// It has a job now.
    New,
    /// It had been taken over before.
    Before {
        /// By which job.
        id: JobId,
    },
    /// It is the task of a job that bought it: nothing was written.
    Owned {
        /// Of which.
        by: JobId,
    },
}

/// How an equal request was recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// By the idempotency key.
    Key,
    /// By the fingerprint.
    Fingerprint,
}

#[derive(Serialize)]
struct Facts<'a> {
    id: &'a JobId,
    st: &'a str,
    by: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    idem: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<Place>,
    tasks: usize,
    own: &'a [TaskId],
    known: Known<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cap: Option<Cap>,
    #[serde(rename = "use")]
    usage: Usage,
    moves: Vec<Move>,
}

/// What the tenant may have.
#[derive(Serialize)]
struct Cap {
    counts: usize,
    words: Vec<&'static str>,
    queued_max: u32,
    spend_max: u64,
}

/// What the job takes of its tenant's day.
#[derive(Serialize)]
struct Usage {
    usage: usize,
    day: i64,
    kept: i64,
    /// As text: a script's numbers lose digits.
    micros: String,
}

/// What one job is written with.
struct Birth<'a> {
    record: &'a Record,
    idempotency: Option<&'a Idempotency>,
    ticket: Ticket,
    what: &'static str,
    at: Timestamp,
    /// Nobody caps what has been accepted before.
    capped: bool,
}

impl Store {
    /// Creates jobs, in the order given; equal requests among them become one job.
    ///
    /// Safe to repeat with the same records: a job created by an earlier call whose reply was lost is
    /// told as created.
    ///
    /// # Errors
    ///
    /// Outer: more than [`ADMIT_MAX`] jobs. Inner, per job: as every call; it may have been created.
    pub async fn admit(
        &self,
        jobs: &[NewJob],
    ) -> Result<Vec<Result<Admitted, StoreError>>, StoreError> {
        if jobs.len() > ADMIT_MAX {
            return Err(StoreError::Bug(format!("{} jobs in one call", jobs.len())));
        }
        let floor = self.inner.told.floor();
        let calls: Vec<Call> =
            jobs.iter().map(|job| self.create_call(job)).collect::<Result<_, _>>()?;
        let replies = self.connection().call_many(&calls).await;
        Ok(jobs
            .iter()
            .zip(replies)
            .map(|(job, reply)| self.read(&job.record, reply?, floor))
            .collect())
    }

    /// Brings back jobs that the server forgot, each in the state its record carries, with ticket, slot, mark
    /// and indexes. Tells for each whether it is back: `false` where a record or another job of the same
    /// request is there already, and nothing was written. Idempotency keys do not come back.
    ///
    /// Safe to repeat: what is back already is told as `false`.
    ///
    /// # Errors
    ///
    /// As every call; some may be back. [`StoreError::Corrupt`] when a job's task is another job's by now.
    pub async fn restore(&self, records: &[Record]) -> Result<Vec<bool>, StoreError> {
        let at = self.now().await?;
        let mut back = Vec::with_capacity(records.len());
        for records in records.chunks(ADMIT_MAX) {
            let floor = self.inner.told.floor();
            let calls: Vec<Call> = records
                .iter()
                .map(|record| {
                    let step = record.life.state.step();
                    let ticket = step.map_or(Ticket::Gone, |step| Ticket::Due(step, at));
                    let what = "restored";
                    let (idempotency, capped) = (None, false);
                    self.birth_call(&Birth { record, idempotency, ticket, what, at, capped })
                })
                .collect::<Result<_, _>>()?;
            for (record, reply) in records.iter().zip(self.connection().call_many(&calls).await) {
                let reply = reply?;
                let created = matches!(&reply, Value::Array(parts)
                    if parts.first().and_then(commit::word).as_deref() == Some("created"));
                self.read(record, reply, floor)?;
                back.push(created);
            }
        }
        Ok(back)
    }

    /// Takes a task over that was bought elsewhere: its record is born running, with its ticket.
    ///
    /// Safe to repeat with the same record.
    ///
    /// # Errors
    ///
    /// As every call; it may have been taken over.
    pub async fn adopt(&self, record: &Record) -> Result<Adopted, StoreError> {
        let floor = self.inner.told.floor();
        let ticket = Ticket::Due(job::Step::Poll, record.created_at);
        let (what, at) = ("adopted: bought elsewhere", record.created_at);
        // Nothing is spent on it here.
        let (idempotency, capped) = (None, false);
        let call = self.birth_call(&Birth { record, idempotency, ticket, what, at, capped })?;
        let reply = self.connection().call(call).await?;
        if let Value::Array(parts) = &reply
            && parts.first().and_then(commit::word).as_deref() == Some("owned")
        {
            let by = parts.get(2).and_then(commit::word).unwrap_or_default();
            let by = JobId::parse(&by).map_err(|_| StoreError::reply("create", &reply))?;
            return Ok(Adopted::Owned { by });
        }
        match self.read(record, reply, floor)? {
            Admitted::Created => Ok(Adopted::New),
            Admitted::Existing { id, .. } | Admitted::KeyReused { id } => {
                Ok(Adopted::Before { id })
            }
            full @ (Admitted::Full { .. } | Admitted::Spent { .. }) => {
                Err(StoreError::Bug(format!("a birth without a cap answered {full:?}")))
            }
        }
    }

    /// The job of a request, if there is one.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn job_of_request(
        &self,
        tenant: &str,
        fingerprint: &Fingerprint,
    ) -> Result<Option<JobId>, StoreError> {
        let key = self.keys().fingerprint(tenant, fingerprint);
        let id: Option<String> = self.connection().ask(redis::cmd("GET").arg(&key)).await?;
        id.map(|id| JobId::parse(&id).map_err(|e| StoreError::corrupt(&key, e))).transpose()
    }

    fn create_call(&self, job: &NewJob) -> Result<Call, StoreError> {
        let record = &job.record;
        let ticket = match &record.life.state {
            State::Held { .. } => Ticket::Gone,
            State::Queued { .. } => Ticket::Due(job::Step::Submit, record.created_at),
            State::Submitting { .. }
            | State::InDoubt { .. }
            | State::Parked { .. }
            | State::Generating { .. }
            | State::Overdue { .. }
            | State::Downloading { .. }
            | State::Finished { .. } => {
                let word = record.life.state.word().as_str();
                return Err(StoreError::Bug(format!("a new job cannot be {word}")));
            }
        };
        let idempotency = job.idempotency.as_ref();
        let (what, at) = ("accepted", record.created_at);
        self.birth_call(&Birth { record, idempotency, ticket, what, at, capped: true })
    }

    fn birth_call(&self, birth: &Birth<'_>) -> Result<Call, StoreError> {
        let (keys, record) = (self.keys(), birth.record);
        let (spec, life) =
            record.to_parts().map_err(|error| StoreError::corrupt(record.id.as_str(), error))?;
        let mut table = KeyTable::default();
        table.at(keys.job(&record.id));
        table.at(keys.fingerprint(&record.spec.tenant, &record.spec.fingerprint));
        let idem = birth
            .idempotency
            .map(|idem| table.at(keys.idempotency(&record.spec.tenant, &idem.key)));
        let lane = Lane::of(record);
        let to = facts::ticket_queue(record, birth.ticket)
            .map(|(queue, at)| Place::of(keys, &mut table, queue, &lane, Some(at)));
        let standing = Standing::of(&record.life);
        let word = record.life.state.word();
        let note = Note { what: birth.what.to_owned(), from: word, to: word };
        let mut moves = Moves::new(keys, &mut table, record);
        moves.born();
        moves.change(&Standing::default(), &standing);
        moves.told(&Standing::default(), &standing, 1);
        moves.line(&Line { at: birth.at, rev: 1, by: "outside", note: &note });
        let moves = moves.into_list();
        let facts = Facts {
            id: &record.id,
            st: word.as_str(),
            by: "created",
            idem,
            body: birth.idempotency.map(|idem| idem.body_sha256.as_str()),
            to,
            tasks: table.at(keys.tasks()),
            own: &standing.tasks,
            known: self.known(&mut table),
            cap: birth.capped.then(|| self.cap(record, &mut table)).flatten(),
            usage: self.usage_of(record, &mut table),
            moves,
        };
        let facts = serde_json::to_string(&facts)
            .map_err(|error| StoreError::Bug(format!("facts that are no JSON: {error}")))?;
        Ok(Call::new(&script::CREATE, table.into_keys(), vec![facts, spec, life]))
    }

    fn cap(&self, record: &Record, table: &mut KeyTable) -> Option<Cap> {
        let tenant = &record.spec.tenant;
        let limits = self.caps_of(tenant);
        let (queued_max, spend_max) = (limits.queued_max, limits.spend_day_micros_max());
        (queued_max > 0 || spend_max > 0).then(|| Cap {
            counts: table.at(self.keys().tenant_counts(tenant)),
            words: caps::words(&caps::WAITING),
            queued_max,
            spend_max,
        })
    }

    fn usage_of(&self, record: &Record, table: &mut KeyTable) -> Usage {
        Usage {
            usage: table.at(self.keys().usage(&record.spec.tenant)),
            day: facts::day_of(record.created_at),
            kept: facts::USAGE_DAYS_KEPT,
            micros: record.spec.charge_micros(&record.life).to_string(),
        }
    }

    fn read(&self, record: &Record, reply: Value, floor: u64) -> Result<Admitted, StoreError> {
        let asked = &record.id;
        let bug = || StoreError::reply("create", &reply);
        let Value::Array(parts) = &reply else { return Err(bug()) };
        let text = |i: usize| parts.get(i).and_then(commit::word).ok_or_else(bug);
        let id = |i: usize| JobId::parse(&text(i)?).map_err(|_| bug());
        let existing = |by, id: JobId| {
            // Our own id: an earlier call of ours, whose reply was lost.
            if id == *asked { Admitted::Created } else { Admitted::Existing { id, by } }
        };
        Ok(match text(0)?.as_str() {
            "created" => {
                let number = |i: usize| parts.get(i).and_then(commit::integer).ok_or_else(bug);
                let lsn = u64::try_from(number(1)?).map_err(|_| bug())?;
                self.inner.told.hear(lsn, number(2)?, floor);
                Admitted::Created
            }
            "existing" => match text(1)?.as_str() {
                "key" => existing(Match::Key, id(2)?),
                "fingerprint" => existing(Match::Fingerprint, id(2)?),
                _ => return Err(bug()),
            },
            "owned" => {
                let why = format!("its task {} belongs to {}", text(1)?, text(2)?);
                return Err(StoreError::corrupt(asked.as_str(), why));
            }
            "reused" => Admitted::KeyReused { id: id(1)? },
            "full" => Admitted::Full { waiting: text(1)?.parse().map_err(|_| bug())? },
            "spent" => Admitted::Spent {
                micros: text(1)?.parse().map_err(|_| bug())?,
                resets_at: facts::day_end(facts::day_of(record.created_at)),
            },
            _ => return Err(bug()),
        })
    }
}
