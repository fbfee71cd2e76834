//! The body of a create call, whose last byte is kept back until it may go.
//!
//! A provider cannot create a task from a request it never had in full. So the last byte of the
//! body is the switch: it leaves only while the attempt's deadline lies ahead, and whoever wants to
//! say "nothing was sent" first locks that switch for good. Both happen on one atomic word, so a
//! connection that is still being driven in the background cannot release the byte after somebody
//! has already reported that it stayed.
//!
//! A call that is paced has a [`Moment`] as well: the byte waits for its instant and, should the
//! connection have taken longer than the slot lasts, never leaves. What arrives at the far side is
//! what a limit counts, so nothing earlier than the last byte can be held against it.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Instant, SystemTime},
};

use bytes::Bytes;
use futures::{future::BoxFuture, task::AtomicWaker};
use http_body::{Body, Frame, SizeHint};

/// The slot of a paced call: the byte leaves inside it or not at all.
pub struct Moment {
    /// Not before this.
    pub opens: Instant,
    /// Not at this or later.
    pub closes: Instant,
    /// The same on the wall clock, for a machine that was suspended in between.
    pub wall_closes: SystemTime,
    /// Asked last of all, when the byte would leave: `false` keeps it here. The place for a count of
    /// what this process sends.
    pub last_word: Option<Box<dyn FnOnce() -> bool + Send>>,
}

impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Moment")
            .field("opens", &self.opens)
            .field("closes", &self.closes)
            .finish_non_exhaustive()
    }
}

impl Moment {
    /// Whether it is over already.
    #[must_use]
    pub fn is_over(&self) -> bool {
        Instant::now() >= self.closes || SystemTime::now() >= self.wall_closes
    }
}

/// When the last byte of a create call may leave.
pub struct Gate {
    /// Absolute and monotonic: at this moment or later the byte stays. Taken by the worker before
    /// its intent was committed, so that it never lies behind the deadline in the record. It is
    /// never renewed from outside this process.
    pub deadline: Instant,
    /// Awaited after all other bytes have been handed to the connection and before the slot and the
    /// deadline are looked at. Tells how long the connection took; a place for fault points.
    pub before_release: Option<BoxFuture<'static, ()>>,
    /// Run beside the wait for the answer, from the moment the last byte has been released. A place
    /// for fault points, as above.
    pub after_release: Option<BoxFuture<'static, ()>>,
    /// The same deadline on the wall clock, from the same moment. A monotonic clock stands still
    /// while a machine is suspended, and the fleet's does not; whichever passes first counts.
    pub wall_deadline: SystemTime,
    /// The slot, where calls are paced.
    pub moment: Option<Moment>,
}

impl Gate {
    /// A gate with nothing to wait for.
    #[must_use]
    pub fn until(deadline: Instant) -> Self {
        let left = deadline.saturating_duration_since(Instant::now());
        let wall_deadline = SystemTime::now() + left;
        Self { deadline, before_release: None, after_release: None, wall_deadline, moment: None }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("deadline", &self.deadline)
            .field("before_release", &self.before_release.is_some())
            .field("moment", &self.moment)
            .finish_non_exhaustive()
    }
}

/// Where the last byte is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LastByte {
    /// Handed to the connection: the request may have arrived.
    Released,
    /// Still here, and it stays: nobody released it and nobody can any more.
    Kept,
    /// Still here, and it stays: the deadline had passed when its turn came.
    Late,
    /// Still here, and it stays: the slot was over, or this process had sent too much.
    OutOfTurn,
}

const HELD: u8 = 0;
const RELEASED: u8 = 1;
const SHUT: u8 = 2;
const LATE: u8 = 3;
const OUT_OF_TURN: u8 = 4;

/// The switch. Its position leaves `HELD` once and never moves again.
#[derive(Debug)]
struct Switch {
    position: AtomicU8,
    /// Whether a connection ever asked for any of the body.
    asked: AtomicBool,
    /// The connection that waits at the hook, so that shutting ends it at once.
    waiting: AtomicWaker,
    /// Whoever waits for the release.
    watching: AtomicWaker,
}

impl Switch {
    /// Moves from `HELD` to `to`; otherwise tells where it stands already.
    fn set(&self, to: u8) -> u8 {
        match self.position.compare_exchange(HELD, to, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => to,
            Err(already) => already,
        }
    }
}

/// The sender's end of the switch. Dropping it shuts the gate, so a call that is abandoned half
/// way cannot send its last byte behind the caller's back.
#[derive(Debug)]
pub(crate) struct Lock(Arc<Switch>);

impl Lock {
    /// Shuts the gate if the byte has not left, and says for good where the byte is.
    pub(crate) fn shut(&self) -> LastByte {
        let position = self.0.set(SHUT);
        self.0.waiting.wake();
        match position {
            RELEASED => LastByte::Released,
            LATE => LastByte::Late,
            OUT_OF_TURN => LastByte::OutOfTurn,
            _ => LastByte::Kept,
        }
    }

    /// Returns once the last byte has been released; never, when it stays.
    pub(crate) async fn released(&self) {
        std::future::poll_fn(|cx| {
            self.0.watching.register(cx.waker());
            match self.0.position.load(Ordering::Acquire) {
                RELEASED => Poll::Ready(()),
                _ => Poll::Pending,
            }
        })
        .await;
    }

    /// Whether there was ever a connection that asked for the body. Words the reason of a failure;
    /// the proof is [`Lock::shut`].
    pub(crate) fn asked(&self) -> bool {
        self.0.asked.load(Ordering::Acquire)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.shut();
    }
}

/// Ends the body stream in place of the last byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Withheld {
    #[error("the send deadline passed: the last byte was withheld")]
    Late,
    #[error("the connection was ready when its slot was over: the last byte was withheld")]
    Missed,
    #[error("this process sends faster than its slots allow: the last byte was withheld")]
    TooFast,
    #[error("the call was given up: the last byte was withheld")]
    Shut,
}

/// The body: everything but the last byte, then the hook, then the slot's instant, then the checks,
/// then the last byte. It cannot be cloned, so no layer below is able to send it twice.
pub(crate) struct GatedBody {
    head: Bytes,
    last: Bytes,
    deadline: Instant,
    wall_deadline: SystemTime,
    // In mutexes only because a request body must be `Sync`; they are never locked.
    waits: Mutex<Option<BoxFuture<'static, ()>>>,
    moment: Mutex<Option<Moment>>,
    switch: Arc<Switch>,
}

impl GatedBody {
    /// `None` for an empty body: there would be no last byte to keep.
    pub(crate) fn new(mut body: Bytes, gate: Gate) -> Option<(Lock, Self)> {
        let head = body.split_to(body.len().checked_sub(1)?);
        let switch = Arc::new(Switch {
            position: AtomicU8::new(HELD),
            asked: AtomicBool::new(false),
            waiting: AtomicWaker::new(),
            watching: AtomicWaker::new(),
        });
        let lock = Lock(Arc::clone(&switch));
        let Gate { deadline, before_release, wall_deadline, moment, .. } = gate;
        let waits = Mutex::new(waits(before_release, moment.as_ref().map(|moment| moment.opens)));
        let moment = Mutex::new(moment);
        let gated = Self { head, last: body, deadline, wall_deadline, waits, moment, switch };
        Some((lock, gated))
    }

    /// What stands against the release now.
    fn objection(&mut self) -> Option<Withheld> {
        if Instant::now() >= self.deadline || SystemTime::now() >= self.wall_deadline {
            return Some(Withheld::Late);
        }
        let moment = self.moment.get_mut().unwrap_or_else(PoisonError::into_inner).take()?;
        if moment.is_over() {
            return Some(Withheld::Missed);
        }
        let may = moment.last_word.is_none_or(|asked| asked());
        (!may).then_some(Withheld::TooFast)
    }
}

/// What is waited for before the checks; nothing where there is nothing to wait for.
fn waits(
    hook: Option<BoxFuture<'static, ()>>,
    opens: Option<Instant>,
) -> Option<BoxFuture<'static, ()>> {
    let Some(until) = opens else { return hook };
    Some(Box::pin(async move {
        if let Some(hook) = hook {
            hook.await;
        }
        // A timer would wait for its next tick even for an instant that has passed.
        if Instant::now() < until {
            tokio::time::sleep_until(until.into()).await;
        }
    }))
}

impl Body for GatedBody {
    type Data = Bytes;
    type Error = Withheld;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Withheld>>> {
        let this = self.get_mut();
        this.switch.asked.store(true, Ordering::Release);
        if !this.head.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.head)))));
        }
        if this.last.is_empty() {
            return Poll::Ready(None);
        }
        let waits = this.waits.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(waiting) = waits {
            // Registered before looking, so that a shutting in between is not slept through.
            this.switch.waiting.register(cx.waker());
            if this.switch.position.load(Ordering::Acquire) == SHUT {
                return Poll::Ready(Some(Err(Withheld::Shut)));
            }
            ready!(waiting.as_mut().poll(cx));
            *waits = None;
        }
        let objection = this.objection();
        let wish = match objection {
            None => RELEASED,
            Some(Withheld::Late) => LATE,
            Some(Withheld::Missed | Withheld::TooFast) => OUT_OF_TURN,
            Some(Withheld::Shut) => SHUT,
        };
        let position = this.switch.set(wish);
        Poll::Ready(Some(match objection {
            None if position == RELEASED => {
                this.switch.watching.wake();
                Ok(Frame::data(std::mem::take(&mut this.last)))
            }
            Some(why) if position == wish => Err(why),
            None | Some(_) => Err(Withheld::Shut),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.last.is_empty()
    }

    /// Exact, so that the request is framed by its length and a missing byte means a missing end.
    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact((self.head.len() + self.last.len()) as u64)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn gated() -> (Lock, GatedBody) {
        let gate = Gate::until(Instant::now() + Duration::from_secs(60));
        GatedBody::new(Bytes::from_static(b"body"), gate).unwrap()
    }

    /// What the connection gets when it asks the next time.
    fn ask(body: &mut GatedBody) -> Option<Result<usize, Withheld>> {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        match Pin::new(body).poll_frame(&mut cx) {
            Poll::Ready(frame) => {
                frame.map(|frame| frame.map(|frame| frame.into_data().unwrap().len()))
            }
            Poll::Pending => panic!("there is no hook to wait for"),
        }
    }

    #[test]
    fn once_shut_the_last_byte_never_leaves() {
        let (lock, mut body) = gated();
        assert_eq!(ask(&mut body), Some(Ok(3)));
        assert_eq!(lock.shut(), LastByte::Kept);
        assert_eq!(ask(&mut body), Some(Err(Withheld::Shut)));
        assert_eq!(lock.shut(), LastByte::Kept);

        let (lock, mut body) = gated();
        drop(lock);
        assert_eq!(ask(&mut body), Some(Ok(3)));
        assert_eq!(ask(&mut body), Some(Err(Withheld::Shut)));
    }

    /// A suspended machine wakes up: its monotonic clock believes that no time has passed.
    #[test]
    fn whichever_clock_passes_first_keeps_the_last_byte() {
        let ahead = Instant::now() + Duration::from_secs(60);
        let past = SystemTime::now() - Duration::from_secs(1);
        let gate = Gate { wall_deadline: past, ..Gate::until(ahead) };
        let (lock, mut body) = GatedBody::new(Bytes::from_static(b"body"), gate).unwrap();
        assert_eq!((ask(&mut body), ask(&mut body)), (Some(Ok(3)), Some(Err(Withheld::Late))));
        assert_eq!(lock.shut(), LastByte::Late);
        let gate = Gate { deadline: Instant::now(), ..Gate::until(ahead) };
        let (lock, mut body) = GatedBody::new(Bytes::from_static(b"body"), gate).unwrap();
        assert_eq!((ask(&mut body), ask(&mut body)), (Some(Ok(3)), Some(Err(Withheld::Late))));
        assert_eq!(lock.shut(), LastByte::Late);
    }

    /// What becomes of the byte in this slot, and how often the last word was asked.
    fn in_slot(
        opens: Instant,
        closes: Instant,
        may: bool,
    ) -> (Option<Result<usize, Withheld>>, u8) {
        let asked = Arc::new(AtomicU8::new(0));
        let count = Arc::clone(&asked);
        let word = move || {
            count.fetch_add(1, Ordering::Relaxed);
            may
        };
        let wall_closes = SystemTime::now() + closes.saturating_duration_since(Instant::now());
        let moment = Moment { opens, closes, wall_closes, last_word: Some(Box::new(word)) };
        let gate =
            Gate { moment: Some(moment), ..Gate::until(Instant::now() + Duration::from_secs(60)) };
        let (lock, mut body) = GatedBody::new(Bytes::from_static(b"body"), gate).unwrap();
        assert_eq!(ask(&mut body), Some(Ok(3)));
        let said = ask(&mut body);
        let released = said == Some(Ok(1));
        assert_eq!(lock.shut() == LastByte::Released, released, "both ends agree");
        (said, asked.load(Ordering::Relaxed))
    }

    #[tokio::test]
    async fn the_last_byte_leaves_inside_its_slot_only() {
        let now = Instant::now();
        let (past, ahead) = (now - Duration::from_secs(1), now + Duration::from_secs(60));
        assert_eq!(in_slot(past, ahead, true), (Some(Ok(1)), 1));
        assert_eq!(in_slot(past, now, true), (Some(Err(Withheld::Missed)), 0));
        // A slot that nobody should have: whoever counts the calls of this process says no.
        assert_eq!(in_slot(past, ahead, false), (Some(Err(Withheld::TooFast)), 1));
    }

    #[test]
    fn once_released_nobody_can_say_it_was_kept() {
        let (lock, mut body) = gated();
        assert_eq!((ask(&mut body), ask(&mut body)), (Some(Ok(3)), Some(Ok(1))));
        assert_eq!(ask(&mut body), None);
        assert_eq!(lock.shut(), LastByte::Released);
    }

    /// A connection and a verdict at the same instant: they agree, whoever is first.
    #[test]
    fn a_race_has_one_outcome() {
        for _ in 0..2_000 {
            let (lock, mut body) = gated();
            ask(&mut body);
            let start = Arc::new(std::sync::Barrier::new(2));
            let there = Arc::clone(&start);
            let connection = std::thread::spawn(move || {
                there.wait();
                ask(&mut body).unwrap().is_ok()
            });
            start.wait();
            let released = lock.shut() == LastByte::Released;
            assert_eq!(connection.join().unwrap(), released);
        }
    }
}
