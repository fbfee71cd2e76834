//! Accepting connections and speaking HTTP/1 on them, with every way of breaking off.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::arrival::{self, Arrival};
use crate::faults::{Connect, Facts};
use crate::line::{Line, Sabotage};
use crate::refusal::Refusal;
use crate::world::World;

/// Body of every answer.
pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// The connection ends without an answer, or without the rest of one.
#[derive(Debug, thiserror::Error)]
#[error("broke off on purpose")]
pub(crate) struct Hangup;

/// What a handler gets.
pub(crate) struct Exchange {
    pub(crate) world: Arc<World>,
    pub(crate) sabotage: Arc<Sabotage>,
    pub(crate) arrival: Arc<Arrival>,
    pub(crate) request: Request<Incoming>,
}

/// What a handler gives.
pub(crate) type Answer = Result<Response<Body>, Hangup>;

/// A body that is sent whole.
pub(crate) fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed_unsync()
}

/// A body that ends early, after what there is has left the machine.
pub(crate) fn cut(bytes: Bytes, silence: Duration) -> Body {
    let tail = stream::once(async move {
        // Data still buffered would be lost with the connection; the pause lets it go out.
        tokio::time::sleep(silence).await;
        Err(io::Error::from(io::ErrorKind::ConnectionAborted))
    });
    let parts = stream::iter([Ok(Frame::data(bytes))]).chain(tail);
    StreamBody::new(parts).boxed_unsync()
}

/// A body at `bytes_per_s`.
pub(crate) fn slow(bytes: Bytes, bytes_per_s: u64) -> Body {
    let piece = usize::try_from((bytes_per_s / 10).max(1)).unwrap_or(usize::MAX);
    let parts = stream::unfold(bytes, move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        let next = rest.split_to(piece.min(rest.len()));
        Some((Ok(Frame::data(next)), rest))
    });
    StreamBody::new(parts).boxed_unsync()
}

/// An answer of the service: JSON and its request id.
pub(crate) fn json(status: u16, request_id: &str, body: impl Into<Bytes>) -> Response<Body> {
    let body = body.into();
    Response::builder()
        .status(status)
        .header("content-type", "application/json; charset=utf-8")
        .header("content-length", body.len())
        .header("server", "istio-envoy")
        .header("x-request-id", request_id)
        .body(whole(body))
        .expect("a status from our tables and plain header values make an answer")
}

/// A refusal as an answer.
pub(crate) fn refused(refusal: &Refusal, request_id: &str) -> Response<Body> {
    let mut answer = json(refusal.status, request_id, refusal.bytes(request_id));
    for (name, value) in &refusal.headers {
        let name = http::HeaderName::try_from(name.as_str());
        if let (Ok(name), Ok(value)) = (name, http::HeaderValue::try_from(value.as_str())) {
            answer.headers_mut().insert(name, value);
        }
    }
    answer
}

/// Serves `handle` on `listener` until dropped.
///
/// `refuse` carries how long to stop listening: in that time the kernel itself refuses connections.
pub(crate) async fn serve<H, F>(
    world: Arc<World>,
    mut listener: TcpListener,
    mut refuse: Option<watch::Receiver<Duration>>,
    handle: H,
) where
    H: Fn(Exchange) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    let mut connections = JoinSet::new();
    arrival::stamp(&listener);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let hit = refuse.is_some().then(|| connect_fault(&world)).flatten();
                    connections.spawn(converse(world.clone(), stream, hit, handle.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "could not accept a connection");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            gap = refusal_ordered(&mut refuse) => {
                let Ok(address) = listener.local_addr() else { continue };
                drop(listener);
                tokio::time::sleep(gap).await;
                listener = listen_again(address).await;
                arrival::stamp(&listener);
            }
        }
    }
}

/// Waits for an order to stop listening; for ever where none can come.
async fn refusal_ordered(refuse: &mut Option<watch::Receiver<Duration>>) -> Duration {
    if let Some(orders) = refuse
        && orders.changed().await.is_ok()
    {
        return *orders.borrow_and_update();
    }
    std::future::pending().await
}

async fn listen_again(address: SocketAddr) -> TcpListener {
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(error) => {
                tracing::warn!(%error, %address, "could not listen again yet");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

fn connect_fault(world: &World) -> Option<(Connect, Duration)> {
    world.with(|state| {
        let rules = &mut state.faults.connect;
        let rule =
            state.chance.draw(rules, &Facts::default(), |rule| rule.kind != Connect::Refuse)?;
        state.stats.call("connect", format!("{:?}", rule.kind).to_lowercase());
        let unsaid = if rule.kind == Connect::CloseIdle { 0 } else { 60_000 };
        Some((rule.kind, Duration::from_millis(rule.ms.unwrap_or(unsaid))))
    })
}

async fn converse<H, F>(
    world: Arc<World>,
    stream: TcpStream,
    hit: Option<(Connect, Duration)>,
    handle: H,
) where
    H: Fn(Exchange) -> F + Send + Sync,
    F: Future<Output = Answer> + Send + 'static,
{
    // Answers are small and latency matters more than packets.
    let _ = stream.set_nodelay(true);
    let sabotage = Sabotage::new();
    let arrival = Arrival::new();
    let line = Line::new(stream, sabotage.clone(), arrival.clone());
    let mut idle = None;
    match hit {
        None => {}
        Some((Connect::Silent, time)) => return tokio::time::sleep(time).await,
        Some((Connect::Reset, _)) => return sabotage.reset_on_close(),
        Some((Connect::Close | Connect::Refuse, _)) => return,
        Some((Connect::CloseIdle, time)) => idle = Some(time),
    }
    let quiet = Quiet::default();
    let service = service_fn(|request| {
        let (world, sabotage) = (world.clone(), sabotage.clone());
        let arrival = arrival.clone();
        quiet.during(handle(Exchange { world, sabotage, arrival, request }))
    });
    let served =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(line), service);
    let mut served = std::pin::pin!(served);
    let ended = tokio::select! {
        biased;
        ended = served.as_mut() => ended,
        () = quiet.lasts(idle) => {
            // The answer is out, and did not say that the connection ends.
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Requests under way on one connection.
#[derive(Default)]
struct Quiet {
    busy: AtomicUsize,
    answered: Notify,
}

impl Quiet {
    async fn during(&self, answer: impl Future<Output = Answer>) -> Answer {
        self.busy.fetch_add(1, Ordering::Relaxed);
        let answer = answer.await;
        self.busy.fetch_sub(1, Ordering::Relaxed);
        self.answered.notify_one();
        answer
    }

    /// Returns once an answer was given and nothing was asked for `time` after it; never without one.
    async fn lasts(&self, time: Option<Duration>) {
        let Some(time) = time else { return std::future::pending().await };
        loop {
            self.answered.notified().await;
            tokio::time::sleep(time).await;
            if self.busy.load(Ordering::Relaxed) == 0 {
                return;
            }
        }
    }
}
