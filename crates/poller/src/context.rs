//! What the poll and settle steps of one pool share.

use crate::line::{Lines, Rank};
use job::{TaskId, Timestamp, Trouble};
use limiter::{Limiter, NoPermit};
use provider::{Client, Retrieved, Site};
use reconcile::scan::{Scanner, Scanners};
use seedance::{Call, Class};
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use worker::{Around, around};

/// Pause between two tries of one read inside a turn.
const TRY_PAUSE: Duration = Duration::from_millis(200);

/// The pool's route, permits and scanners.
pub(crate) struct Context {
    pub(crate) store: Store,
    pub(crate) limiter: Limiter,
    pub(crate) client: Arc<Client>,
    /// Calls one turn may make when reads fail in passing (M25).
    pub(crate) tries_per_turn: u32,
    /// Shared with the comparisons of the whole list.
    pub(crate) scanners: Arc<Scanners>,
    /// Who waits for a single read.
    lines: Lines,
}

impl Context {
    pub(crate) fn new(
        store: Store,
        limiter: Limiter,
        client: Arc<Client>,
        tries_per_turn: u32,
    ) -> Self {
        let scanners = Scanners::new(store.clone(), limiter.clone(), Arc::clone(&client));
        let (scanners, lines) = (Arc::new(scanners), Lines::default());
        Self { store, limiter, client, tries_per_turn, scanners, lines }
    }

    /// The scanner of one account's list.
    pub(crate) fn scanner(&self, site: &Site) -> Scanner {
        self.scanners.of(site)
    }

    /// Reads one task, again at once while the fault is one of transport, at most `tries_per_turn`
    /// times; the next turn comes by the ticket. Where reads are short, what presses most goes first.
    pub(crate) async fn retrieve(&self, site: &Site, task: &TaskId, rank: Rank) -> Retrieved {
        let line = self.lines.of(&site.account);
        let mut tries = 0;
        loop {
            tries += 1;
            let turn = line.turn(rank).await;
            let permit = self.limiter.permit(&site.account, Call::Retrieve).await;
            drop(turn);
            let permit = match permit {
                Ok(permit) => permit,
                Err(why) => return Retrieved::Trouble(no_permit(&why)),
            };
            let read = self.client.retrieve(permit, site, task).await;
            self.note_read(&read);
            let passing = matches!(&read, Retrieved::Trouble(t) if t.class == Class::Server);
            if !passing || tries >= self.tries_per_turn {
                return read;
            }
            tokio::time::sleep(TRY_PAUSE).await;
        }
    }

    /// What others are told of the provider's reads. A refusal for the rate is an answer, and shown as a hold.
    fn note_read(&self, read: &Retrieved) {
        let pool = self.store.pool();
        match read {
            Retrieved::Task { .. } | Retrieved::NotFound => around::well(pool, Around::Reads),
            Retrieved::Trouble(trouble) => match trouble.class {
                Class::Server | Class::Ambiguous | Class::Auth | Class::Account => {
                    around::ill(pool, Around::Reads, &trouble.code);
                }
                Class::Input
                | Class::Content
                | Class::Output
                | Class::Rate
                | Class::Capacity
                | Class::Pause
                | Class::State => {}
            },
        }
    }
}

/// The trouble of a task that nobody may ask about: its account was taken out of the configuration, or
/// the provider asked for a pause. It waits, it is not lost.
pub(crate) fn no_permit(why: &NoPermit) -> provider::Trouble {
    let (class, code, retry_after) = match why {
        NoPermit::Unconfigured { .. } => (Class::Auth, "account-not-configured", None),
        NoPermit::Held { rest, .. } => (Class::Rate, "calls-held", Some(*rest)),
    };
    provider::Trouble {
        class,
        code: code.to_owned(),
        message: why.to_string(),
        retry_after,
        resets_at: None,
        request_id: None,
        alert: class == Class::Auth,
    }
}

/// The machine's view of a read that did not answer.
pub(crate) fn trouble(trouble: &provider::Trouble, now: Timestamp) -> Trouble {
    let asked = trouble.retry_after.map(|wait| now + wait);
    Trouble {
        class: trouble.class,
        code: trouble.code.clone(),
        not_before: asked.into_iter().chain(trouble.resets_at).max(),
    }
}
