//! Delivery of callbacks: a fixed crew of senders works off one queue (`docs/provider.md` §6).
//!
//! Plain HTTP only: a receiver under test listens on this machine or in the same compose network.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::doubts::CallbackAcknowledged;
use crate::ledger::Entry;
use crate::world::World;

/// Callbacks under way at once.
pub(crate) const SENDERS: usize = 32;

/// One callback to send.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) url: Arc<str>,
    pub(crate) body: Bytes,
    pub(crate) seq: u64,
    pub(crate) task: String,
    pub(crate) status: &'static str,
    /// Further tries if nobody acknowledges this one.
    pub(crate) retries_left: u8,
    /// Sent by a fault, not by the provider.
    pub(crate) is_forged: bool,
}

/// Sends callbacks for ever.
pub(crate) async fn send_all(world: Arc<World>, timeout: Duration) {
    loop {
        let waits = world.post_waits.notified();
        tokio::pin!(waits);
        // Registered before looking, so a delivery queued in between is not slept over.
        waits.as_mut().enable();
        match world.with(|state| state.outbox.pop_front()) {
            Some(delivery) => send(&world, delivery, timeout).await,
            None => waits.await,
        }
    }
}

async fn send(world: &World, delivery: Delivery, timeout: Duration) {
    let answer = match tokio::time::timeout(timeout, post(&delivery)).await {
        Ok(answer) => answer,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    };
    let status = answer.as_ref().ok().copied();
    let error = answer.err().map(|error| error.kind().to_string());
    world.with(|state| {
        let is_acknowledged =
            status.is_some_and(|status| match state.doubts.callback_acknowledged {
                CallbackAcknowledged::Any2xx => (200..300).contains(&status),
                CallbackAcknowledged::Only200 => status == 200,
            });
        let entry = Entry::new()
            .with("task", &delivery.task)
            .with("status", delivery.status)
            .with("http_status", status)
            .with("error", error)
            .with("retries_left", delivery.retries_left)
            .with("forged", delivery.is_forged);
        state.note("callback", entry);
        if delivery.is_forged {
            return;
        }
        state.mark_announced(delivery.seq);
        if is_acknowledged {
            state.stats.callbacks_acknowledged += 1;
        } else {
            state.stats.callbacks_failed += 1;
            if delivery.retries_left > 0 {
                let retries_left = delivery.retries_left - 1;
                state.deliver_again(Delivery { retries_left, ..delivery });
            }
        }
    });
    world.announced.notify_waiters();
}

async fn post(delivery: &Delivery) -> io::Result<u16> {
    let url = url::Url::parse(&delivery.url).map_err(io::Error::other)?;
    let host = url.host_str().filter(|_| url.scheme() == "http");
    let host = host.ok_or_else(|| io::Error::from(io::ErrorKind::Unsupported))?;
    let port = url.port_or_known_default().unwrap_or(80);
    let stream = TcpStream::connect((host.trim_matches(['[', ']']), port)).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(other)?;
    let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
    let request = http::Request::post(target)
        .header("host", format!("{host}:{port}"))
        .header("content-type", "application/json")
        .header("connection", "close")
        .body(Full::new(delivery.body.clone()))
        .map_err(io::Error::other)?;
    let answer = sender.send_request(request);
    tokio::pin!(connection, answer);
    tokio::select! {
        answer = &mut answer => Ok(answer.map_err(other)?.status().as_u16()),
        ended = &mut connection => {
            ended.map_err(other)?;
            Ok(answer.await.map_err(other)?.status().as_u16())
        }
    }
}

fn other(error: hyper::Error) -> io::Error {
    io::Error::other(error)
}
