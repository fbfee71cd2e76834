//! The public listener: connections with a bound on their number and on the patience for each.

use crate::api::find_verb;
use axum::Router;
use axum::extract::{ConnectInfo, Request};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
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
    /// Connections at once; further ones wait in the kernel's queue.
    pub(crate) connections_max: usize,
}

/// Serves until `stop` ends, then lets running requests end.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    patience: Patience,
    stop: impl Future<Output = ()>,
) {
    let room = Arc::new(Semaphore::new(patience.connections_max));
    let graceful = GracefulShutdown::new();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new());
    http.header_read_timeout(patience.head);
    http.max_buf_size(HEAD_BYTES_MAX);
    tokio::pin!(stop);
    loop {
        let accepted = async {
            let seat = Arc::clone(&room).acquire_owned().await;
            (seat, listener.accept().await)
        };
        let (seat, accepted) = tokio::select! {
            accepted = accepted => accepted,
            () = &mut stop => break,
        };
        let (stream, source) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let served = graceful.watch(connection(&http, stream, source, router.clone()));
        tokio::spawn(async move {
            if let Err(error) = served.await {
                // Callers who leave, or whose patience ends before ours.
                tracing::debug!(%error, "a connection ended early");
            }
            drop(seat);
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

fn connection(
    http: &http1::Builder,
    stream: TcpStream,
    source: SocketAddr,
    router: Router,
) -> impl hyper_util::server::graceful::GracefulConnection<Error = hyper::Error> + use<> {
    // An answer is one small write; waiting to fill a packet only delays it.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY");
    }
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let mut request: Request = request.map(axum::body::Body::new);
        request.extensions_mut().insert(ConnectInfo(source));
        router.clone().oneshot(find_verb(request))
    });
    http.serve_connection(TokioIo::new(stream), service)
}
