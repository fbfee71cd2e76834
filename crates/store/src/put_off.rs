//! Tickets that are put off, many of them together: a call of its own for each look without news would be most of
//! what a fleet costs Redis that tends very many tasks.
//!
//! Nobody waits for others to come: who finds no call under way is called for at once, and whoever comes meanwhile
//! goes with the next call.

use crate::connection::Call;
use crate::queue::{Claim, Queue};
use crate::{Released, Store, StoreError, script};
use job::{JobId, Timestamp};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// Tickets of one call: a script takes some thousand words, and nothing else runs meanwhile.
const TOGETHER_MAX: usize = 256;

type Answer = Result<Released, StoreError>;

struct Wanted {
    claim: Claim,
    at: Timestamp,
    answer: oneshot::Sender<Answer>,
}

/// Tickets of this process that wait to be put off.
#[derive(Default)]
pub(crate) struct PutOffs(Mutex<Row>);

#[derive(Default)]
struct Row {
    waiting: VecDeque<Wanted>,
    /// Calls are made for them.
    served: bool,
}

impl PutOffs {
    fn lock(&self) -> MutexGuard<'_, Row> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True: the caller has to see to it that they are served.
    fn join(&self, wanted: Wanted) -> bool {
        let mut row = self.lock();
        row.waiting.push_back(wanted);
        !std::mem::replace(&mut row.served, true)
    }

    /// Those in front that go together. None: nobody waits, and whoever comes next has to serve.
    fn next(&self) -> Option<(Queue, Vec<Wanted>)> {
        let mut row = self.lock();
        let Some(queue) = row.waiting.front().map(|first| first.claim.queue) else {
            row.served = false;
            return None;
        };
        let alike = row.waiting.iter().take(TOGETHER_MAX);
        let end = alike.take_while(|wanted| wanted.claim.queue == queue).count();
        Some((queue, row.waiting.drain(..end).collect()))
    }
}

/// Whoever serves and is broken off leaves nobody waiting: those it did not come to are told, as their senders go.
struct Serving {
    store: Store,
    /// Nobody waits any more: another may serve by now.
    is_done: bool,
}

impl Serving {
    async fn serve(mut self) {
        while let Some((queue, some)) = self.store.inner.put_offs.next() {
            self.store.put_off_all(queue, some).await;
        }
        self.is_done = true;
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if !self.is_done {
            let mut row = self.store.inner.put_offs.lock();
            row.waiting.clear();
            row.served = false;
        }
    }
}

impl Store {
    /// Puts the ticket down for its next run at `at`, where this one found what the record says already: nothing else
    /// is written, and whoever asked for it meanwhile still gets it at once. Not for a submit queue, whose tickets
    /// lie in lanes.
    ///
    /// # Errors
    ///
    /// As every call; safe to repeat.
    pub(crate) async fn put_off(
        &self,
        claim: &Claim,
        at: Timestamp,
    ) -> Result<Released, StoreError> {
        let (answer, told) = oneshot::channel();
        if self.inner.put_offs.join(Wanted { claim: claim.clone(), at, answer }) {
            tokio::spawn(Serving { store: self.clone(), is_done: false }.serve());
        }
        let broken_off = |_| Err(StoreError::Unreachable("the call was broken off".into()));
        told.await.unwrap_or_else(broken_off)
    }

    async fn put_off_all(&self, queue: Queue, some: Vec<Wanted>) {
        let answers = self.put_off_call(queue, &some).await;
        for (n, wanted) in some.into_iter().enumerate() {
            let answer = answers.as_ref().map_err(StoreError::clone).map(|done| done[n]);
            // Nobody there: whoever asked was broken off, and the ticket is where it belongs.
            drop(wanted.answer.send(answer));
        }
    }

    /// What became of each, in their order.
    async fn put_off_call(
        &self,
        queue: Queue,
        some: &[Wanted],
    ) -> Result<Vec<Released>, StoreError> {
        let keys = self.keys();
        let mut names =
            vec![keys.lease(queue), keys.holder(queue), keys.due(queue), keys.wake(queue)];
        names.extend(some.iter().map(|wanted| keys.job(&wanted.claim.id)));
        let jobs: Vec<(&JobId, String, i64)> = some
            .iter()
            .map(|Wanted { claim, at, .. }| (&claim.id, claim.fence.to_string(), at.unix_ms()))
            .collect();
        let jobs = StoreError::json("tickets that are", &jobs)?;
        let reply = self.connection().call(Call::new(&script::PUT_OFF, names, vec![jobs])).await?;
        let done: Vec<u8> = redis::from_redis_value(reply.clone())
            .map_err(|_| StoreError::reply("put_off", &reply))?;
        if done.len() != some.len() {
            return Err(StoreError::reply("put_off", &reply));
        }
        let told = |done| if done == 1 { Released::Done } else { Released::Fenced };
        Ok(done.into_iter().map(told).collect())
    }
}
