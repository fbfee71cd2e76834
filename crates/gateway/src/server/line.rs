//! One connection: what hyper reads and writes, and what the server may ask of it meanwhile.

use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// Longest wait for a socket to take a last answer.
const FAREWELL_MAX: Duration = Duration::from_secs(1);
/// How long a caller that still sends is heard out. To hang up on it at once would take the answer away from it.
const LINGER_MAX: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 16 << 10;

/// The state of one connection, shared between hyper and the server.
pub(super) struct Line {
    stream: TcpStream,
    opened: Instant,
    /// A request's head has begun to come and is not whole.
    begun: AtomicBool,
    /// Requests in hand.
    busy: AtomicBool,
    /// Milliseconds after `opened` at which it last had nothing in hand.
    idle_since_ms: AtomicU64,
    /// It has to go, for others to come in.
    pub(super) ended: Notify,
}

impl Line {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            opened: Instant::now(),
            begun: AtomicBool::new(false),
            busy: AtomicBool::new(false),
            idle_since_ms: AtomicU64::new(0),
            ended: Notify::new(),
        }
    }

    /// A whole head has come: somebody works on it until the guard is dropped.
    pub(super) fn work(self: &Arc<Self>) -> Work {
        self.begun.store(false, Ordering::Relaxed);
        self.busy.store(true, Ordering::Relaxed);
        Work(Arc::clone(self))
    }

    /// Since when it waits for its caller; none while a request is in hand.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let idle_ms = self.idle_since_ms.load(Ordering::Relaxed);
        (!self.busy.load(Ordering::Relaxed)).then(|| self.opened + Duration::from_millis(idle_ms))
    }

    /// Whether a head was begun and left unfinished.
    pub(super) fn is_in_a_head(&self) -> bool {
        self.begun.load(Ordering::Relaxed) && !self.busy.load(Ordering::Relaxed)
    }

    /// Ends when the caller has said its last byte. A caller that sends more meanwhile is not watched on.
    pub(super) async fn hung_up(&self) {
        match self.stream.peek(&mut [0]).await {
            Ok(0) | Err(_) => {}
            Ok(_) => std::future::pending().await,
        }
    }

    /// Writes a last answer, as far as the socket takes it at once or in a moment.
    pub(super) async fn farewell(&self, answer: &[u8]) {
        let written = async {
            let mut rest = answer;
            while !rest.is_empty() && self.stream.writable().await.is_ok() {
                match self.stream.try_write(rest) {
                    Ok(written) => rest = &rest[written..],
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(_) => return,
                }
            }
        };
        // Who does not read it is not waited for.
        let _ = tokio::time::timeout(FAREWELL_MAX, written).await;
    }

    /// Says that nothing more comes, and waits a moment for the caller to say the same.
    pub(super) async fn close(&self) {
        let own = self.stream.as_fd().try_clone_to_owned();
        let Ok(own) = own.map(std::net::TcpStream::from) else { return };
        if own.shutdown(Shutdown::Write).is_err() {
            return;
        }
        let mut sink = vec![0; LINGER_BYTES];
        let heard = async {
            while self.stream.readable().await.is_ok() {
                match self.stream.try_read(&mut sink) {
                    Ok(0) => return,
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(_) => return,
                }
            }
        };
        let _ = tokio::time::timeout(LINGER_MAX, heard).await;
    }
}

/// A request in hand.
pub(super) struct Work(Arc<Line>);

impl Drop for Work {
    fn drop(&mut self) {
        let at_ms = u64::try_from(self.0.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.idle_since_ms.store(at_ms, Ordering::Relaxed);
        self.0.busy.store(false, Ordering::Relaxed);
    }
}

/// What hyper holds of a connection.
pub(super) struct Ends(pub(super) Arc<Line>);

impl AsyncRead for Ends {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            std::task::ready!(self.0.stream.poll_read_ready(context))?;
            match self.0.stream.try_read(into.initialize_unfilled()) {
                Ok(read) => {
                    into.advance(read);
                    if read > 0 {
                        self.0.begun.store(true, Ordering::Relaxed);
                    }
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Ends {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[io::IoSlice::new(from)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            std::task::ready!(self.0.stream.poll_write_ready(context))?;
            match self.0.stream.try_write_vectored(from) {
                Ok(written) => {
                    // What came before an answer belongs to what it answers.
                    self.0.begun.store(false, Ordering::Relaxed);
                    return Poll::Ready(Ok(written));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// The socket closes when the last holder lets go of it.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
