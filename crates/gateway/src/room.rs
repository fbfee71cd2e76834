//! Room for what callers send: how many bytes of bodies this process holds in memory at a time.

use crate::problem::Problem;
use axum::http::StatusCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Of each request, this much is always taken in: large bodies of some callers keep nobody's small ones out. What
/// these come to is bounded by the number of connections.
const FREE_BYTES: usize = 64 << 10;

/// The room of one gateway.
#[derive(Clone)]
pub(crate) struct Room {
    bytes_max: usize,
    taken: Arc<AtomicUsize>,
}

/// What one request takes of it, given back when dropped.
pub(crate) struct Share {
    room: Room,
    bytes: usize,
}

impl Room {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, taken: Arc::default() }
    }

    pub(crate) fn share(&self) -> Share {
        Share { room: self.clone(), bytes: 0 }
    }
}

impl Share {
    /// Holds this many bytes from now on, in place of those before.
    pub(crate) fn hold(&mut self, bytes: usize) -> Result<(), Problem> {
        let wanted = bytes.saturating_sub(FREE_BYTES);
        if wanted <= self.bytes {
            self.room.taken.fetch_sub(self.bytes - wanted, Ordering::Relaxed);
            self.bytes = wanted;
            return Ok(());
        }
        let more = wanted - self.bytes;
        let fits =
            |taken: usize| taken.checked_add(more).filter(|taken| *taken <= self.room.bytes_max);
        let taken = self.room.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits);
        taken.map_err(|_| {
            let title = "this gateway holds as many bytes of bodies as it may";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "bodies-full", title)
                .detail("send it again in a moment; pass media by URL or asset id to send less")
                .retryable()
        })?;
        self.bytes = wanted;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.room.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_bodies_share_the_room_and_small_ones_always_fit() {
        let room = Room::new(1 << 20);
        let (mut one, mut other) = (room.share(), room.share());
        assert!(one.hold(FREE_BYTES + (1 << 20)).is_ok());
        assert_eq!(other.hold(FREE_BYTES + 1).unwrap_err().status(), 503);
        assert!(other.hold(FREE_BYTES).is_ok(), "a small one fits");
        assert!(one.hold(FREE_BYTES).is_ok());
        assert!(other.hold(FREE_BYTES + (1 << 20)).is_ok(), "what was given back is there");
        drop(other);
        assert_eq!(room.taken.load(Ordering::Relaxed), 0);
    }
}
