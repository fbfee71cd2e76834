//! Bodies on their way: whether one was read to its end, and that its request is in hand until its answer is sent.

use super::line::Work;
use axum::body::Body;
use hyper::body::{Body as HttpBody, Bytes, Frame, Incoming, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

/// A request's body that tells whether something of it was left unread.
pub(super) struct Received<B = ()> {
    body: B,
    unread: Arc<AtomicBool>,
}

impl Received {
    /// For a body that is there, or is empty from the beginning.
    pub(super) fn new(is_empty: bool) -> (Self, Arc<AtomicBool>) {
        let unread = Arc::new(AtomicBool::new(!is_empty));
        (Self { body: (), unread: Arc::clone(&unread) }, unread)
    }

    pub(super) fn of(self, body: Incoming) -> Received<Incoming> {
        Received { body, unread: self.unread }
    }
}

impl HttpBody for Received<Incoming> {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if frame.is_none() || self.body.is_end_stream() {
            self.unread.store(false, Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer's body, which keeps its request in hand.
pub(super) struct Sent {
    pub(super) body: Body,
    pub(super) _work: Work,
}

impl HttpBody for Sent {
    type Data = <Body as HttpBody>::Data;
    type Error = <Body as HttpBody>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
