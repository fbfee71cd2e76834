//! The line to a primary, which may be another server tomorrow.
//!
//! One server: the connection manager of the redis crate brings a broken connection back. Where servers take
//! over for each other, whoever meets silence, or a server that is no primary any more, asks anew who it is
//! (`address/find.rs`), one for all who wait. Now and then somebody asks without cause: a primary that was cut
//! off from those who vote still answers, and what it is told is lost. While the slot is on its way to another
//! node, what has arrived there is read there, on a second connection.

use crate::StoreError;
use crate::address::Address;
use crate::error::{is_misplaced, is_silence};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, ConnectionAddr, ConnectionInfo, RedisError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Reconnecting is the manager's work; how long to go on trying is the caller's.
const RECONNECT_TRIES: usize = 2;
const RECONNECT_PAUSE_MAX: Duration = Duration::from_millis(500);
/// Cheap to clone; all clones share one connection.
#[derive(Clone)]
pub(crate) struct Line {
    inner: Arc<Inner>,
}

struct Inner {
    address: Address,
    /// Of the keys that are asked for.
    slot: u16,
    waits: Waits,
    state: Mutex<State>,
    /// Held by the one who looks for the primary.
    looking: tokio::sync::Mutex<()>,
}

/// How long to wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waits {
    /// For a connection.
    pub(crate) connect: Duration,
    /// For an answer.
    pub(crate) answer: Duration,
    /// Until it is asked without cause whether the primary is still the one.
    pub(crate) look: Duration,
}

struct State {
    seat: Option<Seat>,
    /// Nodes that can be asked for the primary.
    nodes: Vec<ConnectionInfo>,
    looked: Instant,
    /// The last look that came to nothing.
    failed: Option<(Instant, StoreError)>,
    /// The node that the slot was last said to be on its way to.
    ahead: Option<Ahead>,
}

/// A node that receives the slot: when we went there, and the connection where that succeeded.
struct Ahead {
    at: ConnectionAddr,
    since: Instant,
    manager: Option<ConnectionManager>,
}

/// A connection to whoever is the primary.
#[derive(Clone)]
pub(crate) struct Seat {
    pub(crate) manager: ConnectionManager,
    at: ConnectionAddr,
    /// Another after every look.
    number: u64,
}

impl Line {
    /// Nobody is asked yet.
    pub(crate) fn new(address: Address, slot: u16, waits: Waits) -> Self {
        let (seat, nodes, looked) = (None, Vec::new(), Instant::now());
        let state = State { seat, nodes, looked, failed: None, ahead: None };
        let (state, looking) = (Mutex::new(state), tokio::sync::Mutex::default());
        Self { inner: Arc::new(Inner { address, slot, waits, state, looking }) }
    }

    /// Another line to the same place.
    pub(crate) fn another(&self, slot: Option<u16>, waits: Option<Waits>) -> Self {
        let Inner { address, slot: own, waits: usual, .. } = &*self.inner;
        Self::new(address.clone(), slot.unwrap_or(*own), waits.unwrap_or(*usual))
    }

    pub(crate) fn address(&self) -> &Address {
        &self.inner.address
    }

    /// The connection; the first to ask makes it.
    pub(crate) async fn seat(&self) -> Result<Seat, StoreError> {
        let (seat, look) = {
            let mut state = self.inner.state();
            let look = self.inner.address.moves() && state.looked.elapsed() > self.inner.waits.look;
            if look {
                state.looked = Instant::now();
            }
            (state.seat.clone(), look)
        };
        let Some(seat) = seat else { return self.inner.look(0).await };
        if look {
            let (inner, number) = (Arc::clone(&self.inner), seat.number);
            tokio::spawn(async move {
                if let Err(error) = inner.look(number).await {
                    tracing::debug!(error = %error, "nobody tells who the primary is");
                }
            });
        }
        Ok(seat)
    }

    /// Told of an error on `seat`: asks who the primary is, where it may be another now. True when it is
    /// another, and what was refused can be asked there.
    pub(crate) async fn moved_from(&self, seat: &Seat, error: &RedisError) -> bool {
        if !self.inner.address.moves() || !(is_misplaced(error) || is_silence(error)) {
            return false;
        }
        match self.inner.look(seat.number).await {
            Ok(now) => now.at != seat.at,
            // The caller tells of the error that led here, and comes again.
            Err(error) => {
                tracing::debug!(error = %error, "nobody tells who the primary is");
                false
            }
        }
    }

    /// Told of an error on `seat`: a connection to the node that has the key, or nobody has it, while the slot is on
    /// its way there. Each command for it must follow on an `ASKING`.
    pub(crate) async fn ahead(&self, seat: &Seat, error: &RedisError) -> Option<ConnectionManager> {
        let info = self.inner.address.redirected(error, &seat.at)?;
        self.inner.go_ahead(info).await
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds the primary, unless somebody has since the look of this number. Who waits for one who looks in
    /// vain has looked in vain as well: else each would wait for all before it.
    async fn look(&self, number: u64) -> Result<Seat, StoreError> {
        let asked = Instant::now();
        let _alone = self.looking.lock().await;
        let (before, nodes) = {
            let state = self.state();
            match (&state.seat, &state.failed) {
                (Some(seat), _) if seat.number != number => return Ok(seat.clone()),
                (_, Some((at, error))) if *at >= asked => return Err(error.clone()),
                _ => (state.seat.clone(), state.nodes.clone()),
            }
        };
        let found = self.sit_down(before, number + 1, &nodes).await;
        let mut state = self.state();
        state.looked = Instant::now();
        match found {
            Ok((seat, nodes)) => {
                state.nodes = nodes;
                state.ahead = state.ahead.take().filter(|ahead| ahead.at != seat.at);
                state.seat = Some(seat.clone());
                Ok(seat)
            }
            Err(error) => {
                state.failed = Some((state.looked, error.clone()));
                Err(error)
            }
        }
    }

    /// The seat at whoever is the primary: the one there was, if that is the same.
    async fn sit_down(
        &self,
        before: Option<Seat>,
        number: u64,
        nodes: &[ConnectionInfo],
    ) -> Result<(Seat, Vec<ConnectionInfo>), StoreError> {
        let found = self.address.find(self.slot, nodes).await?;
        let at = found.info.addr().clone();
        let seat = match before {
            Some(seat) if seat.at == at => Seat { number, ..seat },
            before => {
                let manager = self.connect(found.info).await?;
                if before.is_some() {
                    tracing::warn!(primary = %at, slot = self.slot, "another Redis server is the primary now");
                }
                Seat { manager, at, number }
            }
        };
        Ok((seat, found.nodes))
    }

    /// One goes for all who wait, as in [`Inner::look`].
    async fn go_ahead(&self, info: ConnectionInfo) -> Option<ConnectionManager> {
        let (asked, at) = (Instant::now(), info.addr().clone());
        let known = || {
            let state = self.state();
            let ahead = state.ahead.as_ref().filter(|ahead| ahead.at == at)?;
            (ahead.manager.is_some() || ahead.since >= asked).then(|| ahead.manager.clone())
        };
        if let Some(manager) = known() {
            return manager;
        }
        let _alone = self.looking.lock().await;
        if let Some(manager) = known() {
            return manager;
        }
        let manager = self.connect(info).await;
        if let Err(error) = &manager {
            tracing::debug!(error = %error, "the node that receives the slot does not answer");
        }
        let manager = manager.ok();
        let ahead = Ahead { at, since: Instant::now(), manager: manager.clone() };
        self.state().ahead = Some(ahead);
        manager
    }

    async fn connect(&self, info: ConnectionInfo) -> Result<ConnectionManager, StoreError> {
        let config = ConnectionManagerConfig::new()
            .set_response_timeout(Some(self.waits.answer))
            .set_connection_timeout(Some(self.waits.connect))
            .set_number_of_retries(RECONNECT_TRIES)
            .set_max_delay(RECONNECT_PAUSE_MAX);
        let why = |error| self.address.why(error);
        let manager = ConnectionManager::new_with_config(Client::open(info)?, config).await;
        let mut manager = manager.map_err(why)?;
        // A server that does not take our certificate says so only now. What it answers is for the first
        // real question to hear.
        match redis::cmd("PING").query_async::<redis::Value>(&mut manager).await {
            Err(error) if is_silence(&error) => Err(why(error)),
            Ok(_) | Err(_) => Ok(manager),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Settings, Topology};
    use std::net::TcpListener;

    #[tokio::test]
    async fn those_who_wait_for_a_look_in_vain_do_not_look_again() {
        // It takes connections, as the kernel does for it, and never answers.
        let mute = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let at = mute.local_addr().expect("it is bound");
        let soon = Duration::from_millis(300);
        let settings = Settings {
            url: format!("redis://{at}"),
            topology: Topology::Sentinel,
            connect_timeout: soon,
            ..Settings::default()
        };
        let waits = Waits { connect: soon, answer: soon, look: soon };
        let line = Line::new(Address::read(&settings).expect("a good address"), 0, waits);
        let seats = futures::future::join_all((0..20).map(|_| line.seat())).await;
        assert!(seats.iter().all(|seat| matches!(seat, Err(StoreError::Unreachable(_)))));
        mute.set_nonblocking(true).expect("a socket");
        assert_eq!(std::iter::from_fn(|| mute.accept().ok()).count(), 1, "one looked for all");
    }
}
