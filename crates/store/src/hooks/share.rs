//! From the stream into the outboxes: a group at a time, whole or not at all.

use super::endpoint::text;
use super::{Endpoint, HookEvent, OUTBOX_KEPT, OUTBOX_MAX};
use crate::connection::Call;
use crate::facts::KeyTable;
use crate::keys::Keys;
use crate::lease::millis;
use crate::{Mark, Queue, Store, StoreError, Uploaded, commit, script};
use redis::Value;
use serde::Serialize;

/// Events of one group.
pub const SHARE_MAX: usize = 200;

/// What one endpoint is told of a group.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// The endpoint's id.
    pub id: String,
    /// In order.
    pub events: Vec<HookEvent>,
    /// The whole endpoint, for one that a job brought with it: it is made if it is not there.
    pub fresh: Option<Endpoint>,
}

/// A group to be shared out.
#[derive(Debug, Clone, Default)]
pub struct Sharing {
    /// Where the stream was read from and to; [`None`] for what does not come from it.
    pub place: Option<(Mark, Mark)>,
    /// To whom; each endpoint once.
    pub outs: Vec<Outgoing>,
    /// Told once for each number of jobs, and not while more rows are on their way.
    pub batches: Vec<BatchEnd>,
    /// Told once, and then no news any more.
    pub pauses: Vec<BatchPause>,
    /// Batches whose uploads were looked after.
    pub looked: Vec<Uploaded>,
}

/// A batch that was paused.
#[derive(Debug, Clone)]
pub struct BatchPause {
    /// As it stands in the list of such news.
    pub entry: String,
    /// What is told.
    pub event: HookEvent,
    /// Which of the `outs` it goes to.
    pub outs: Vec<usize>,
}

/// A batch without an open job.
#[derive(Debug, Clone)]
pub struct BatchEnd {
    /// Whose.
    pub tenant: String,
    /// Its name.
    pub batch: String,
    /// How many jobs it has.
    pub jobs: u64,
    /// What is told.
    pub event: HookEvent,
    /// Which of the `outs` it goes to.
    pub outs: Vec<usize>,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shared {
    /// Written; these endpoints were switched off, since their outbox is full.
    Done(Vec<String>),
    /// Somebody else has shared this group out.
    Moved,
}

#[derive(Serialize)]
struct Facts {
    #[serde(skip_serializing_if = "Option::is_none")]
    read: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    was: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is: Option<String>,
    due: usize,
    lease: usize,
    wake: usize,
    pending: usize,
    max: usize,
    kept_ms: u64,
    outs: Vec<Out>,
    once: Vec<Once>,
    news: Vec<News>,
    uploads: usize,
    looked: Vec<Looked>,
}

#[derive(Serialize)]
struct Looked {
    member: String,
    due: i64,
    busy: usize,
}

#[derive(Serialize)]
struct Out {
    hook: usize,
    #[serde(rename = "box")]
    outbox: usize,
    id: String,
    at: i64,
    list: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fresh: Option<String>,
}

#[derive(Serialize)]
struct Once {
    key: usize,
    field: &'static str,
    value: String,
    entry: String,
    outs: Vec<usize>,
    busy: usize,
}

#[derive(Serialize)]
struct News {
    list: usize,
    raw: String,
    entry: String,
    outs: Vec<usize>,
}

impl Store {
    /// How far the stream has been shared out; [`None`]: nobody asks for it.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn shared_to(&self) -> Result<Option<Mark>, StoreError> {
        let key = self.keys().hooks_read();
        let text: Option<String> = self.connection().ask(redis::cmd("GET").arg(&key)).await?;
        text.map(|text| text.parse().map_err(|why| StoreError::corrupt(&key, why))).transpose()
    }

    /// Shares a group out. With a place it happens once, however often and by however many it is asked.
    ///
    /// # Errors
    ///
    /// As every call; it may have run.
    pub async fn share_out(&self, sharing: &Sharing) -> Result<Shared, StoreError> {
        let call = self.share_call(sharing)?;
        let reply = self.connection().call(call).await?;
        let bug = || StoreError::reply("share", &reply);
        let Value::Array(parts) = &reply else { return Err(bug()) };
        let mut words = parts.iter().map(|part| commit::word(part).ok_or_else(bug));
        match words.next().ok_or_else(bug)??.as_str() {
            "shared" => Ok(Shared::Done(words.collect::<Result<_, _>>()?)),
            "moved" => Ok(Shared::Moved),
            _ => Err(bug()),
        }
    }

    fn share_call(&self, sharing: &Sharing) -> Result<Call, StoreError> {
        let keys = self.keys();
        let mut table = KeyTable::default();
        let mut outs = Vec::with_capacity(sharing.outs.len());
        for out in &sharing.outs {
            let list = out.events.iter().map(text).collect::<Result<_, _>>()?;
            let batch = sharing.batches.first().map(|end| &end.event);
            let pause = sharing.pauses.first().map(|pause| &pause.event);
            let first = out.events.first().or(batch).or(pause);
            outs.push(Out {
                hook: table.at(keys.hook(&out.id)),
                outbox: table.at(keys.outbox(&out.id)),
                id: out.id.clone(),
                at: first.map_or(0, |event| event.at.unix_ms()),
                list,
                fresh: out.fresh.as_ref().map(text).transpose()?,
            });
        }
        let mut once = Vec::with_capacity(sharing.batches.len());
        for BatchEnd { tenant, batch, jobs, event, outs } in &sharing.batches {
            once.push(Once {
                key: table.at(keys.batch(tenant, batch)),
                field: "told",
                value: jobs.to_string(),
                entry: text(event)?,
                // Lua counts from one.
                outs: outs.iter().map(|at| at + 1).collect(),
                busy: table.at(keys.uploads_to(tenant, batch)),
            });
        }
        let mut news = Vec::with_capacity(sharing.pauses.len());
        for BatchPause { entry, event, outs } in &sharing.pauses {
            let outs = outs.iter().map(|at| at + 1).collect();
            let (list, raw) = (table.at(keys.pause_news()), entry.clone());
            news.push(News { list, raw, entry: text(event)?, outs });
        }
        let looked = sharing.looked.iter().map(|Uploaded { tenant, batch, due }| Looked {
            member: Keys::batch_member(tenant, batch),
            due: due.unix_ms(),
            busy: table.at(keys.uploads_to(tenant, batch)),
        });
        let looked = looked.collect();
        let place = sharing.place;
        let facts = Facts {
            read: place.map(|_| table.at(keys.hooks_read())),
            was: place.map(|(was, _)| was.to_string()),
            is: place.map(|(_, is)| is.to_string()),
            due: table.at(keys.due(Queue::Notify)),
            lease: table.at(keys.lease(Queue::Notify)),
            wake: table.at(keys.wake(Queue::Notify)),
            pending: table.at(keys.hooks_pending()),
            max: OUTBOX_MAX,
            kept_ms: millis(OUTBOX_KEPT),
            outs,
            once,
            news,
            uploads: table.at(keys.uploads()),
            looked,
        };
        Ok(Call::new(&script::SHARE, table.into_keys(), vec![text(&facts)?]))
    }
}
