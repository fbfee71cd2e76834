//! The only writer of a job's life: one verdict, whole or not at all.

mod door;

use crate::begin::BeginGuard;
use crate::connection::Call;
use crate::facts::{self, KeyTable, Line, Moves, Place, Standing, Writes, fresh_tasks};
use crate::freeze::{Known, Told};
use crate::operations::Only;
use crate::overview::stop_name;
use crate::queue::{Claim, Lane, Queue};
use crate::{Store, StoreError, Stored, caps, script};
use door::Begin;
use job::mutant::{self, Mutant};
use job::{CapOf, CapSpan, Effect, JobId, Life, Note, Record, SpendCap, TaskId, Ticket, Timestamp};
use redis::Value;
use seedance::SlotClass;
use serde::Serialize;
use std::time::Duration;

/// Who writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer<'a> {
    /// A worker, by the right of its claim: its ticket is dropped with the commit.
    Worker(&'a Claim),
    /// A callback, a caller or an operator.
    Outside,
}

/// One verdict to be written.
#[derive(Debug, Clone)]
pub struct CommitRequest<'a> {
    /// What the verdict was decided on.
    pub before: &'a Stored,
    /// The next life.
    pub life: &'a Life,
    /// The job's ticket from here on.
    pub ticket: Ticket,
    /// What goes with it.
    pub effects: &'a [Effect],
    /// The line for the timeline.
    pub note: Option<&'a Note>,
    /// Who writes.
    pub writer: Writer<'a>,
    /// Tells this commit repeated from another one; unique, up to 64 characters.
    pub token: &'a str,
    /// The guard of a new attempt.
    pub guard: Option<&'a BeginGuard>,
    /// The line of a person's decision, which this commit carries out.
    pub decision: Option<&'a str>,
    /// What must stand for this to be written.
    pub only: Option<&'a Only>,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Committed {
    /// Written.
    Ok {
        /// The record's revision from here on.
        revision: u64,
        /// The server's clock.
        now: Timestamp,
        /// Begin: µs from now to the attempt's instant; else 0.
        usable_in_us: i64,
    },
    /// This very commit was written before and its reply was lost.
    Already {
        /// See `Ok`.
        revision: u64,
        /// See `Ok`.
        now: Timestamp,
        /// See `Ok`; negative when the instant has passed.
        usable_in_us: i64,
    },
    /// Somebody else committed first: reload and decide again.
    Stale {
        /// The record's revision.
        revision: u64,
    },
    /// The writer's lease ran out and the ticket moved on: drop the work.
    Fenced,
    /// No such job.
    Gone,
    /// The task belongs to another job: page.
    Owned {
        /// Which task.
        task: TaskId,
        /// Whose it is.
        by: JobId,
    },
    /// What this was to be written under does not stand any more.
    Closed,
    /// Begin: the job's batch is paused.
    Paused,
    /// Begin: the account creates nothing for now.
    Stopped {
        /// For how long.
        after: Duration,
        /// The class of the stop, as `seedance::Class` is written.
        class: String,
        /// The provider's code.
        code: String,
        /// Stops in a row.
        in_row: u32,
    },
    /// Begin: the account's slots are taken.
    NoSlot,
    /// Begin: the tenant has in flight what it may have.
    Capped,
    /// Begin: a person paused it, by this field of [`Keys::pauses`](crate::keys::Keys::pauses).
    HeldOff {
        /// Which.
        field: String,
    },
    /// Begin: it would have passed a cap of spending.
    OverBudget {
        /// Which.
        cap: SpendCap,
    },
    /// Begin: another open attempt of the account uses the nonce.
    NonceTaken,
    /// Begin: the next paced instant lies beyond the horizon.
    Wait {
        /// Ask again after this.
        after: Duration,
    },
    /// Begin: a callback named another task since the record was read.
    Hinted,
    /// Begin: nothing begins before the pool is thawed.
    Frozen {
        /// In words.
        why: String,
    },
}

#[derive(Serialize)]
struct Facts<'a> {
    id: &'a JobId,
    st: &'a str,
    by: &'a str,
    rev: String,
    kept: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    writer: Option<Holding>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Whereabouts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<Place>,
    same: bool,
    tasks: usize,
    own: Vec<&'a TaskId>,
    tombs: Vec<(usize, String)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    begin: Option<Begin<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop: Option<Stop<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clear: Option<Clear<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    only: Option<OnlyAt>,
    wakes: Vec<usize>,
    known: Known<'a>,
    created: String,
    #[serde(flatten)]
    writes: Writes,
}

#[derive(Serialize)]
struct OnlyAt {
    key: usize,
    field: &'static str,
}

#[derive(Serialize)]
struct Holding {
    lease: usize,
    holder: usize,
    fence: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    offers: Option<usize>,
}

#[derive(Serialize)]
struct Whereabouts {
    due: usize,
    lease: usize,
    holder: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    offers: Option<usize>,
}

#[derive(Serialize)]
struct Stop<'a> {
    stops: usize,
    name: String,
    attempt: &'a str,
    until: i64,
    class: String,
    code: &'a str,
    in_row: u32,
}

#[derive(Serialize)]
struct Clear<'a> {
    stops: usize,
    names: Vec<String>,
    attempt: &'a str,
}

impl Store {
    /// Writes one verdict. [`Store::report`] and [`Store::begin`] are the usual doors.
    ///
    /// Safe to repeat with the same token.
    ///
    /// # Errors
    ///
    /// As every call; the commit may have run.
    pub async fn commit(&self, request: &CommitRequest<'_>) -> Result<Committed, StoreError> {
        let floor = self.inner.told.floor();
        let call = self.commit_call(request)?;
        let reply = self.connection().call(call).await?;
        let committed = read(reply, &self.inner.told, floor)?;
        if let Committed::Ok { now, .. } | Committed::Already { now, .. } = &committed {
            self.inner.clock.hear(*now);
        }
        Ok(committed)
    }

    fn commit_call(&self, request: &CommitRequest<'_>) -> Result<Call, StoreError> {
        let (keys, record) = (self.keys(), &request.before.record);
        let schema = record.schema.max(self.writes_version());
        let life = request.life.to_text(schema);
        let life = life.map_err(|error| StoreError::Bug(format!("a life: {error}")))?;
        let mut table = KeyTable::default();
        table.at(keys.job(&record.id));
        let (before, after) = (Standing::of(&record.life), Standing::of(request.life));
        let lane = Lane::of(record);

        // Whoever has begun has no offer any more.
        let open = before.open.is_some();
        let offers = |queue: Queue, table: &mut KeyTable| {
            let class = queue.class().filter(|_| !open);
            class.map(|class| table.at(keys.offers(class)))
        };
        let writer = match request.writer {
            Writer::Worker(claim) => Some(Holding {
                lease: table.at(keys.lease(claim.queue)),
                holder: table.at(keys.holder(claim.queue)),
                fence: claim.fence.to_string(),
                offers: offers(claim.queue, &mut table),
            }),
            Writer::Outside => None,
        };
        let old_queue = match request.writer {
            Writer::Worker(claim) => Some(claim.queue),
            Writer::Outside => facts::queue_of(record),
        };
        let from = old_queue.map(|queue| Whereabouts {
            due: table.at(facts::due_key(keys, queue, &lane)),
            lease: table.at(keys.lease(queue)),
            holder: table.at(keys.holder(queue)),
            offers: offers(queue, &mut table),
        });
        let target = facts::ticket_queue(record, request.ticket);
        let to = target.map(|(queue, at)| Place::of(keys, &mut table, queue, &lane, Some(at)));
        let begin = self.begin_facts(request, &mut table)?;
        let wakes = self.wakes(request, &before, &after, &mut table);
        let (stop, clear) = self.stop_facts(request, &mut table);
        let own: Vec<&TaskId> =
            fresh_tasks(&before, &after).filter(|_| !mutant::on(Mutant::OwnersIgnored)).collect();
        let facts = Facts {
            id: &record.id,
            st: request.life.state.word().as_str(),
            by: request.token,
            rev: request.before.revision.to_string(),
            kept: request.ticket == Ticket::Kept,
            writer,
            from,
            to,
            same: target.is_some_and(|(queue, _)| Some(queue) == old_queue),
            tasks: table.at(keys.tasks()),
            tombs: own.iter().map(|task| table.tomb(keys.tomb_of_task(task))).collect(),
            own,
            begin,
            stop,
            clear,
            only: request
                .only
                .map(|only| OnlyAt { key: table.at(only.key.clone()), field: only.field }),
            wakes,
            known: self.known(&mut table),
            created: record.created_at.unix_ms().to_string(),
            writes: self.writes(request, &before, &after, &mut table),
        };
        let facts = StoreError::json("facts that are", &facts)?;
        Ok(Call::new(&script::COMMIT, table.into_keys(), vec![facts, life]))
    }

    fn writes(
        &self,
        request: &CommitRequest<'_>,
        before: &Standing,
        after: &Standing,
        table: &mut KeyTable,
    ) -> Writes {
        let at = request.before.now;
        let mut moves = Moves::new(self.keys(), table, &request.before.record);
        moves.change(before, after);
        moves.told(before, after, request.before.revision + 1);
        let spec = &request.before.record.spec;
        let charges =
            [&request.before.record.life, request.life].map(|life| spec.charge_micros(life));
        moves.charge(charges[0], charges[1], at);
        moves.book(spec.reserved(&request.before.record.life), spec.reserved(request.life), at);
        if let Some(note) = request.note {
            let by = match request.writer {
                Writer::Worker(claim) => format!("{}#{}", claim.queue.word(), claim.fence),
                Writer::Outside => "outside".to_owned(),
            };
            moves.line(&Line { at, rev: request.before.revision + 1, by: &by, note });
        }
        request.decision.iter().for_each(|line| moves.decision(line));
        if let Some(Only { key, counts: Some(field), .. }) = request.only {
            moves.count(key.clone(), field);
        }
        for effect in request.effects {
            match effect {
                Effect::Page(alarm) => moves.audit(at, *alarm),
                Effect::StopAccount { .. } | Effect::ClearStop { .. } => {}
            }
        }
        moves.into_writes()
    }

    /// Whoever waits for room in a submit queue is woken when a slot or a lease frees some.
    fn wakes(
        &self,
        request: &CommitRequest<'_>,
        before: &Standing,
        after: &Standing,
        table: &mut KeyTable,
    ) -> Vec<usize> {
        let freed = before.slot.as_ref().filter(|_| before.slot != after.slot);
        let dropped = match request.writer {
            Writer::Worker(claim) if request.ticket != Ticket::Kept => claim.queue.class(),
            Writer::Worker(_) | Writer::Outside => None,
        };
        let mut classes: Vec<_> = freed.map(|slot| slot.class).into_iter().chain(dropped).collect();
        if self.frees_flight(&request.before.record, before, after) {
            classes.extend(SlotClass::ALL);
            classes.sort();
        }
        classes.dedup();
        classes.into_iter().map(|class| table.at(self.keys().wake(Queue::Submit(class)))).collect()
    }

    /// Whether a tenant with a cap may have one more in flight from here on, of whatever class.
    fn frees_flight(&self, record: &Record, before: &Standing, after: &Standing) -> bool {
        let flies = |at: &Standing| at.word.is_some_and(|word| caps::IN_FLIGHT.contains(&word));
        flies(before) && !flies(after) && self.caps_of(&record.spec.tenant).in_flight_max > 0
    }

    fn stop_facts<'a>(
        &self,
        request: &CommitRequest<'a>,
        table: &mut KeyTable,
    ) -> (Option<Stop<'a>>, Option<Clear<'a>>) {
        let (mut stop, mut clear) = (None, None);
        let open = request.before.record.life.state.open_attempt();
        let attempt = open.map_or("", |attempt| attempt.id.as_str());
        for effect in request.effects {
            match effect {
                Effect::StopAccount { account, only, until, class, code, in_row } => {
                    if only.is_some() {
                        // The account itself answered well.
                        let names = vec![stop_name(account, None)];
                        clear =
                            Some(Clear { stops: table.at(self.keys().stops()), names, attempt });
                    }
                    stop = Some(Stop {
                        stops: table.at(self.keys().stops()),
                        name: stop_name(account, *only),
                        attempt,
                        until: until.unix_ms(),
                        class: class_word(*class),
                        code,
                        in_row: *in_row,
                    });
                }
                Effect::ClearStop { account, class } => {
                    let names = [None, Some(*class)].map(|of| stop_name(account, of)).into();
                    clear = Some(Clear { stops: table.at(self.keys().stops()), names, attempt });
                }
                Effect::Page(_) => {}
            }
        }
        (stop, clear)
    }
}

/// The class as its own serde form spells it.
pub(crate) fn class_word(class: seedance::Class) -> String {
    serde_json::to_value(class)
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_else(|| format!("{class:?}"))
}

fn read(reply: Value, told: &Told, floor: u64) -> Result<Committed, StoreError> {
    let bug = || StoreError::reply("commit", &reply);
    let Value::Array(parts) = &reply else { return Err(bug()) };
    let text = |i: usize| parts.get(i).and_then(word).ok_or_else(bug);
    let number = |i: usize| parts.get(i).and_then(integer).ok_or_else(bug);
    let count = |i: usize| number(i).and_then(|n| u64::try_from(n).map_err(|_| bug()));
    Ok(match text(0)?.as_str() {
        "ok" => {
            told.hear(count(4)?, number(5)?, floor);
            let now = Timestamp::from_unix_ms(number(2)?);
            Committed::Ok { revision: count(1)?, now, usable_in_us: number(3)? }
        }
        "already" => {
            let now = Timestamp::from_unix_ms(number(2)?);
            Committed::Already { revision: count(1)?, now, usable_in_us: number(3)? }
        }
        "stale" => Committed::Stale { revision: count(1)? },
        "fenced" => Committed::Fenced,
        "gone" => Committed::Gone,
        "owned" => Committed::Owned {
            task: TaskId::parse(&text(1)?).map_err(|_| bug())?,
            by: JobId::parse(&text(2)?).map_err(|_| bug())?,
        },
        "stopped" => Committed::Stopped {
            after: Duration::from_millis(count(1)?),
            class: text(2)?,
            code: text(3)?,
            in_row: u32::try_from(count(4)?).unwrap_or(u32::MAX),
        },
        "frozen" => {
            told.hear(count(2)?, number(3)?, floor);
            Committed::Frozen { why: text(1)? }
        }
        "hinted" => Committed::Hinted,
        "closed" => Committed::Closed,
        "paused" => Committed::Paused,
        "no_slot" => Committed::NoSlot,
        "capped" => Committed::Capped,
        "held_off" => Committed::HeldOff { field: text(1)? },
        "over_budget" => {
            let of = CapOf::ALL.into_iter().find(|of| text(1).is_ok_and(|word| word == of.word()));
            let span =
                CapSpan::ALL.into_iter().find(|of| text(2).is_ok_and(|word| word == of.word()));
            let (of, span) = of.zip(span).ok_or_else(bug)?;
            let (max_micros, spent_micros) = (count(3)?, count(4)?);
            Committed::OverBudget { cap: SpendCap { of, span, max_micros, spent_micros } }
        }
        "nonce_taken" => Committed::NonceTaken,
        "wait" => Committed::Wait { after: Duration::from_millis(count(1)?.max(1)) },
        _ => return Err(bug()),
    })
}

pub(crate) fn word(value: &Value) -> Option<String> {
    redis::from_redis_value_ref(value).ok()
}

pub(crate) fn integer(value: &Value) -> Option<i64> {
    redis::from_redis_value_ref(value).ok()
}
