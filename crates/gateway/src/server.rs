//! The public listener: connections with a bound on their number and on the patience for each.

mod bodies;
mod crowd;
mod line;

use crate::api::find_verb;
use crate::problem::Problem;
use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use bodies::{Received, Sent};
use crowd::Crowd;
use futures::StreamExt as _;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use line::{Ends, Line, Work};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::TcpListener;
use tower::ServiceExt as _;

/// Longest head hyper reads at all. What is longer is answered by hyper itself, without a document; the guard's own
/// bounds lie well below.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Pause after a failed accept: mostly the process has no file descriptor left, and some come free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a connection may ask of us.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// Longest time for a request's head.
    pub(crate) head: Duration,
    /// Connections at once; for further ones, those that ask for nothing have to go.
    pub(crate) connections_max: usize,
}

/// Serves until `stop` ends, then lets running requests end.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    patience: Patience,
    stop: impl Future<Output = ()>,
) {
    let crowd = Crowd::new(patience.connections_max);
    let graceful = GracefulShutdown::new();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new());
    http.header_read_timeout(patience.head);
    http.max_buf_size(HEAD_BYTES_MAX);
    // Who has said all it has to say may still listen.
    http.half_close(true);
    tokio::pin!(stop);
    loop {
        // The newcomer first: while nobody waits at the door, nobody inside has to go.
        let (stream, source) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be taken");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
            () = &mut stop => break,
        };
        let seat = tokio::select! {
            seat = crowd.seat() => seat,
            () = &mut stop => break,
        };
        let Some(seat) = seat else { break };
        // An answer is one small write; waiting to fill a packet only delays it.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY");
        }
        let line = Arc::new(Line::new(stream));
        let place = crowd.enter(&line, seat);
        let served = graceful.watch(connection(&http, &line, source, router.clone()));
        tokio::spawn(async move {
            see_off(&line, served).await;
            drop(place);
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

/// Serves one connection to its end.
async fn see_off(line: &Line, served: impl Future<Output = Result<(), hyper::Error>>) {
    tokio::pin!(served);
    let ended = loop {
        tokio::select! {
            ended = &mut served => break ended,
            // It may have begun to ask meanwhile.
            () = line.ended.notified() => if line.idle_since().is_some() { return },
        }
    };
    if let Err(error) = ended {
        // Callers who leave, or whose patience ends before ours.
        tracing::debug!(%error, "a connection ended early");
        if error.is_timeout() && line.is_in_a_head() {
            line.farewell(&too_slow()).await;
        }
    }
    line.close().await;
}

/// For a head that does not come to its end: nobody has seen a request, so it has no id.
fn too_slow() -> Vec<u8> {
    let problem = Problem::of_status(StatusCode::REQUEST_TIMEOUT).into_document();
    let body = serde_json::to_string(&problem).unwrap_or_default();
    let length = body.len();
    format!(
        "HTTP/1.1 408 Request Timeout\r\ncontent-type: application/problem+json\r\n\
         content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
    .into_bytes()
}

fn connection(
    http: &http1::Builder,
    line: &Arc<Line>,
    source: SocketAddr,
    router: Router,
) -> impl hyper_util::server::graceful::GracefulConnection<Error = hyper::Error> + use<> {
    let ends = Ends(Arc::clone(line));
    let line = Arc::clone(line);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let (received, unread) = Received::new(request.body().is_end_stream());
        let mut request: Request = request.map(|body| Body::new(received.of(body)));
        request.extensions_mut().insert(ConnectInfo(source));
        let (router, line) = (router.clone(), Arc::clone(&line));
        async move {
            let work = line.work();
            let answered = router.oneshot(find_verb(request)).await;
            answered.map(|mut response| {
                if unread.load(Ordering::Relaxed) {
                    // What is left of the body stands in the way of a next request.
                    let close = HeaderValue::from_static("close");
                    response.headers_mut().insert(header::CONNECTION, close);
                }
                with_end(response, &line, work)
            })
        }
    });
    http.serve_connection(TokioIo::new(ends), service)
}

/// The request is in hand until its answer is sent. A stream of events has no end of its own: it ends with who reads it.
fn with_end(response: Response, line: &Arc<Line>, work: Work) -> Response {
    let kind = response.headers().get(header::CONTENT_TYPE);
    let is_followed = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    let line = Arc::clone(line);
    response.map(|body| {
        if is_followed {
            let hung_up = async move { line.hung_up().await };
            let blocks = body.into_data_stream().take_until(Box::pin(hung_up));
            return Body::new(Sent { body: Body::from_stream(blocks), _work: work });
        }
        Body::new(Sent { body, _work: work })
    })
}
