//! Waiting for a wake-up token, on a connection of its own: a blocking pop would hold up everything
//! else on a shared one.

use std::time::Duration;

use super::outage::{Outage, Pauses};
use crate::connection::Connection;
use crate::{Queue, Store, StoreError};

/// A blocking pop lasts a second at most; an answer later than this means a dead connection.
const ANSWER_MAX: Duration = Duration::from_secs(4);

pub(crate) struct Waker {
    connection: Connection,
    key: String,
    outage: Outage,
    pauses: Pauses,
}

impl Waker {
    pub(crate) async fn connect(store: &Store, queue: Queue) -> Result<Self, StoreError> {
        let connection = store.connection().apart(ANSWER_MAX).await?;
        let key = store.keys().wake(queue);
        Ok(Self { connection, key, outage: Outage::new("wake-up", queue), pauses: Pauses::new() })
    }

    /// Returns when a token came or `nap` has passed. An error costs a pause and nothing else. Zero
    /// would mean for ever; the claimer never asks for less than a millisecond.
    pub(crate) async fn token_within(&mut self, nap: Duration) {
        let mut pop = redis::cmd("BLPOP");
        pop.arg(&self.key).arg(format!("{:.3}", nap.as_secs_f64()));
        match self.connection.ask::<redis::Value>(&pop).await {
            Ok(_) => {
                self.outage.answered();
                self.pauses.reset();
            }
            Err(error) => {
                self.outage.failed(&error);
                tokio::time::sleep(self.pauses.next().min(nap)).await;
            }
        }
    }
}
