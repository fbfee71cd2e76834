//! A batch is paused or goes on: the mark that submitters heed, and what goes with it.
//!
//! The mark, the list of paused batches and the news for webhooks are written together, if the batch stands as it was
//! seen; the operation that clears the queue follows the mark, or is written with it.

use crate::batches::{Batch, Paused};
use crate::connection::Call;
use crate::facts::{KeyTable, Move};
use crate::keys::Keys;
use crate::operations::{Opened, OperationVerb, OperationWish};
use crate::stop_on::StopFrom;
use crate::{Store, StoreError, commit, script};
use job::filter::Filter;
use job::{By, Timestamp};
use redis::Pipeline;
use serde::{Deserialize, Serialize};

/// Pauses told at once.
pub const PAUSE_NEWS_MAX: usize = 64;
/// Pauses that wait to be told, at most.
const NEWS_KEPT: usize = 10_000;
/// Paused batches told at once.
pub const PAUSED_MAX: usize = 200;

/// A pause of a batch that webhooks have still to be told of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseNews {
    /// Whose.
    pub tenant: String,
    /// Its name.
    pub batch: String,
    /// How many jobs it had.
    pub jobs: u64,
    /// The pause.
    pub paused: Paused,
}

/// One plain write: command, key, arguments.
pub(crate) type Write = (&'static str, String, Vec<String>);

/// What is written of a batch at once.
pub(crate) struct Turn<'a> {
    pub(crate) batch: &'a Batch,
    /// Only while its fields have these values; empty: while they are not there.
    pub(crate) seen: Vec<(&'static str, String)>,
    pub(crate) writes: Vec<Write>,
    pub(crate) news: Option<&'a Paused>,
}

#[derive(Serialize)]
struct Facts {
    batch: usize,
    seen: Vec<(&'static str, String)>,
    moves: Vec<Move>,
    #[serde(skip_serializing_if = "Option::is_none")]
    news: Option<News>,
}

#[derive(Serialize)]
struct News {
    list: usize,
    asked: usize,
    entry: String,
    most: usize,
}

impl Store {
    /// Pauses, resumes or cancels a tenant's batch: first the mark that submitters heed, so that none of its queued
    /// jobs is submitted from now on, or that they may go again; then the operation that moves what waits. What the
    /// batch stops on is counted anew from a resume on.
    ///
    /// # Errors
    ///
    /// As every call; safe to repeat, as one operation more that finds nothing to do.
    pub async fn turn_batch(
        &self,
        tenant: &str,
        name: &str,
        wish: OperationWish,
    ) -> Result<Opened, StoreError> {
        match wish.verb {
            OperationVerb::Pause => {
                if let Some(batch) = self.batch(tenant, name).await? {
                    let (by, reason) = (By::named(&wish.by), wish.reason.clone());
                    let paused = Paused { by, at: self.now().await?, reason };
                    self.mark_paused(&batch, &paused).await?;
                }
            }
            OperationVerb::Resume => self.let_go_on(tenant, name).await?,
            OperationVerb::Cancel | OperationVerb::Retry | OperationVerb::Dismiss => {}
        }
        let filter = wish.filter.clone().batch(name).tenant(tenant);
        self.open_operation(OperationWish { filter, ..wish }).await
    }

    /// Who paused it before has said why: that stays.
    async fn mark_paused(&self, batch: &Batch, paused: &Paused) -> Result<(), StoreError> {
        let seen = seen_pause(batch)?;
        if batch.paused.is_some() && batch.pilot.is_none() {
            return Ok(());
        }
        let writes = self.mark(batch, paused)?;
        self.turn(Turn { batch, seen, writes, news: Some(paused) }).await.map(drop)
    }

    /// The mark of a pause, which holds for a pilot too, and its place in the list of them.
    pub(crate) fn mark(&self, batch: &Batch, paused: &Paused) -> Result<Vec<Write>, StoreError> {
        let (keys, Batch { tenant, name, .. }) = (self.keys(), batch);
        let text = StoreError::json("a pause that is", paused)?;
        let (at, member) = (paused.at.unix_ms().to_string(), Keys::batch_member(tenant, name));
        let mut writes = vec![
            ("HSET", keys.batch(tenant, name), vec!["paused".to_owned(), text]),
            ("ZADD", keys.paused_batches(), vec![at, member]),
        ];
        writes.extend(self.pilot_over(batch));
        Ok(writes)
    }

    /// A batch's pilot is over: its jobs are as all others.
    pub(crate) fn pilot_over(&self, batch: &Batch) -> Vec<Write> {
        let key = self.keys().batch(&batch.tenant, &batch.name);
        batch.pilot.map_or_else(Vec::new, |rows| {
            vec![
                ("HSET", key.clone(), vec!["piloted".to_owned(), rows.to_string()]),
                ("HDEL", key, vec!["pilot".to_owned()]),
            ]
        })
    }

    /// The operation that takes the jobs of a paused batch out of the queue, of all of them or of those that were taken
    /// in after an instant. None where too many operations wait: then submitters take them out one by one.
    pub(crate) async fn clearing(
        &self,
        batch: &Batch,
        after: Option<Timestamp>,
        (by, reason): (&By, &str),
        now: Timestamp,
    ) -> Result<Option<Vec<Write>>, StoreError> {
        if self.operations_full().await? {
            return Ok(None);
        }
        let filter = Filter::all().batch(&batch.name).tenant(&batch.tenant);
        let wish = OperationWish {
            id: format!("op_{}", ulid::Ulid::generate()),
            verb: OperationVerb::Pause,
            filter: match after {
                Some(after) => filter.created_after(after),
                None => filter,
            },
            tenant: Some(batch.tenant.clone()),
            by: by.as_str().to_owned(),
            reason: reason.to_owned(),
            limit: None,
        };
        self.operation_writes(&wish.asked(now)).map(Some)
    }

    async fn let_go_on(&self, tenant: &str, name: &str) -> Result<(), StoreError> {
        let key = self.keys().batch(tenant, name);
        let member = Keys::batch_member(tenant, name);
        let mut pipe = Pipeline::new();
        let batch = self.batch(tenant, name).await?;
        for (command, key, args) in batch.iter().flat_map(|batch| self.pilot_over(batch)) {
            pipe.cmd(command).arg(key).arg(args);
        }
        if let Some(batch) = batch.filter(|batch| batch.stop_on.is_some()) {
            // Before the mark goes: what has stopped it must not stop it again at once.
            let from = StopFrom::of(self.stop_tally(&batch).await?);
            let from = StoreError::json("a tally that is", &from)?;
            pipe.cmd("HSET").arg(&key).arg("stop_from").arg(from);
            let now = self.now().await?.unix_ms();
            pipe.cmd("ZADD").arg(self.keys().stop_looks()).arg("XX").arg(now).arg(&member);
        }
        pipe.cmd("HDEL").arg(&key).arg("paused");
        pipe.cmd("ZREM").arg(self.keys().paused_batches()).arg(&member);
        self.connection().pipe(&mut pipe).await.map(drop)
    }

    /// Writes it, if the batch stands as it was seen; tells whether it did.
    pub(crate) async fn turn(&self, turn: Turn<'_>) -> Result<bool, StoreError> {
        let Turn { batch, seen, writes, news } = turn;
        let (keys, mut table) = (self.keys(), KeyTable::default());
        let news = match news {
            None => None,
            Some(paused) => {
                let (tenant, name) = (batch.tenant.clone(), batch.name.clone());
                let (jobs, paused) = (batch.jobs(), paused.clone());
                let news = PauseNews { tenant, batch: name, jobs, paused };
                Some(News {
                    list: table.at(keys.pause_news()),
                    asked: table.at(keys.hooks_read()),
                    entry: StoreError::json("news that are", &news)?,
                    most: NEWS_KEPT,
                })
            }
        };
        let moves =
            writes.into_iter().map(|(command, key, args)| Move(command, table.at(key), args, None));
        let moves = moves.collect();
        let batch = table.at(keys.batch(&batch.tenant, &batch.name));
        let facts = StoreError::json("facts that are", &Facts { batch, seen, moves, news })?;
        let call = Call::new(&script::TURN, table.into_keys(), vec![facts]);
        let reply = self.connection().call(call).await?;
        commit::integer(&reply).map(|n| n == 1).ok_or_else(|| StoreError::reply("turn", &reply))
    }

    /// Pauses of batches that were not shared out yet, oldest first, each as it stands in its list; at most
    /// [`PAUSE_NEWS_MAX`].
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn pause_news(&self) -> Result<Vec<(String, PauseNews)>, StoreError> {
        let key = self.keys().pause_news();
        let mut command = redis::cmd("LRANGE");
        command.arg(&key).arg(0).arg(PAUSE_NEWS_MAX - 1);
        let texts: Vec<String> = self.connection().ask(&command).await?;
        let read = |text: String| match serde_json::from_str(&text) {
            Ok(news) => Ok((text, news)),
            Err(error) => Err(StoreError::corrupt(&key, error)),
        };
        texts.into_iter().map(read).collect()
    }

    /// Paused batches, the one that was paused last first; at most [`PAUSED_MAX`].
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn paused_batches(&self) -> Result<Vec<Batch>, StoreError> {
        let mut command = redis::cmd("ZRANGE");
        command.arg(self.keys().paused_batches()).arg(0).arg(PAUSED_MAX - 1).arg("REV");
        let members: Vec<String> = self.connection().ask(&command).await?;
        let named: Vec<(String, String)> =
            members.iter().filter_map(|member| Keys::batch_of_member(member)).collect();
        let mut batches = self.batches_named(&named).await?;
        batches.retain(|batch| batch.word() == "paused");
        Ok(batches)
    }
}

/// A batch's pause as its fields told it.
pub(crate) fn seen_pause(batch: &Batch) -> Result<Vec<(&'static str, String)>, StoreError> {
    let paused = match &batch.paused {
        Some(paused) => StoreError::json("a pause that is", paused)?,
        None => String::new(),
    };
    let pilot = batch.pilot.map(|rows| rows.to_string()).unwrap_or_default();
    Ok(vec![("paused", paused), ("pilot", pilot)])
}
