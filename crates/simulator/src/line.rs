//! A TCP connection that can be made to fail at a chosen byte.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::arrival::Arrival;

/// How a connection is to fail; shared between the handler that decides and the [`Line`] that does.
#[derive(Debug)]
pub(crate) struct Sabotage {
    /// Bytes still to be written; negative for no bound.
    write_left: AtomicI64,
    reset: AtomicBool,
}

impl Sabotage {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { write_left: AtomicI64::new(-1), reset: AtomicBool::new(false) })
    }

    /// Closing will send a reset instead of an orderly end.
    pub(crate) fn reset_on_close(&self) {
        self.reset.store(true, Ordering::Relaxed);
    }

    /// After `bytes` more bytes the connection is reset.
    pub(crate) fn reset_after(&self, bytes: i64) {
        self.reset_on_close();
        self.write_left.store(bytes, Ordering::Relaxed);
    }
}

/// The connection.
#[derive(Debug)]
pub(crate) struct Line {
    stream: TcpStream,
    sabotage: Arc<Sabotage>,
    arrival: Arc<Arrival>,
}

impl Line {
    pub(crate) fn new(stream: TcpStream, sabotage: Arc<Sabotage>, arrival: Arc<Arrival>) -> Self {
        Self { stream, sabotage, arrival }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.sabotage.reset.load(Ordering::Relaxed) {
            // Nothing to do about a socket that is gone already.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Line {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.stream.poll_read_ready(context))?;
            match self.arrival.read(&self.stream, buffer.initialize_unfilled()) {
                Ok(count) => {
                    buffer.advance(count);
                    return Poll::Ready(Ok(()));
                }
                // Nothing there after all, or a signal came between.
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                    ) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let left = self.sabotage.write_left.load(Ordering::Relaxed);
        if left == 0 {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        let written = Pin::new(&mut self.stream).poll_write(context, &bytes[..most]);
        if let (Poll::Ready(Ok(count)), true) = (&written, left > 0) {
            let count = i64::try_from(*count).unwrap_or(left);
            self.sabotage.write_left.store(left - count, Ordering::Relaxed);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
