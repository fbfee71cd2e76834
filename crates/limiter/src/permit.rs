//! One permit, spent on use.

use crate::gate::Tally;
use crate::place::Place;
use crate::wait::Limiter;
use seedance::{Brake, Call, SlotClass};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// The right to one call of one kind on one account, at once. Spent by value: a call takes it, so no
/// call happens without one and none happens twice on the same one.
#[derive(Debug)]
#[must_use = "a permit that is dropped unused is a call the fleet cannot make"]
pub struct Permit {
    account: String,
    call: Call,
    /// Of a create: the slot class it counts for.
    class: Option<SlotClass>,
    /// Who hears how the call was answered; nobody where the right to call came from elsewhere.
    teller: Option<Limiter>,
    /// When a create may leave; reads leave at once.
    moment: Option<Moment>,
    /// Of a read whose kind is counted.
    place: Option<Place>,
}

/// An instant that the store reserved for a create, as this process learned of it.
#[derive(Debug, Clone, Copy)]
pub struct Reserved {
    /// This process's clock before the request left, and after the reply came.
    pub asked: Instant,
    /// See `asked`.
    pub answered: Instant,
    /// The wall clock before the request left.
    pub wall_asked: SystemTime,
    /// The instant, as seen from the server at some moment between the two.
    pub usable_in: Duration,
    /// How long it had passed by then, where a reply was lost and asked for again.
    pub missed_by: Duration,
    /// Between two instants of its row.
    pub spacing: Duration,
}

/// When the last byte of a create may leave: never early, counted from the reply; never late, counted
/// from the request.
#[derive(Clone)]
pub struct Moment {
    /// Not before this.
    pub opens: Instant,
    /// Not at this or later.
    pub closes: Instant,
    /// The same on the wall clock, for a machine that was suspended in between.
    pub wall_closes: SystemTime,
    spacing: Duration,
    tally: Arc<Tally>,
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
    pub(crate) fn of(reserved: &Reserved, within: Duration, tally: Arc<Tally>) -> Self {
        let Reserved { asked, answered, wall_asked, usable_in, missed_by, spacing } = *reserved;
        let lasts = (usable_in + within).saturating_sub(missed_by);
        Self {
            opens: answered + usable_in,
            closes: asked + lasts,
            wall_closes: wall_asked + lasts,
            spacing,
            tally,
        }
    }

    /// By how much it is over; none while it is not.
    #[must_use]
    pub fn late(&self) -> Option<Duration> {
        Instant::now().checked_duration_since(self.closes)
    }

    /// Asked as the last byte leaves: whether this process may send it, by what it has sent before.
    #[must_use]
    pub fn last_word(&self) -> Box<dyn FnOnce() -> bool + Send> {
        let (tally, spacing) = (Arc::clone(&self.tally), self.spacing);
        Box::new(move || {
            let may = tally.lets_through(spacing);
            if !may {
                tracing::error!(?spacing, "a create without an instant of its own is not sent");
            }
            may
        })
    }
}

/// A permit whose call has been made, to be told what the answer says about the limit.
#[derive(Debug)]
pub struct Spent {
    permit: Permit,
    at: Instant,
}

/// The instant of the slot has passed: throw it away and ask again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the slot for this call was reached {late:?} too late and is thrown away")]
pub struct Stale {
    /// By how much.
    pub late: Duration,
}

impl Permit {
    /// Waits for the instant of a slot that Redis reserved.
    ///
    /// `asked` is this process's clock before the request left, `answered` after the reply came, and
    /// `usable_in` the reserved instant as seen from the server at some moment between the two. Never
    /// early: counted from `answered`. Never late: counted from `asked`.
    ///
    /// # Errors
    ///
    /// [`Stale`] when this process reached the instant more than `use_within` late.
    pub(crate) async fn at_slot(
        account: &str,
        call: Call,
        asked: Instant,
        answered: Instant,
        usable_in: Duration,
        use_within: Duration,
    ) -> Result<Self, Stale> {
        tokio::time::sleep_until((answered + usable_in).into()).await;
        match Instant::now().checked_duration_since(asked + usable_in + use_within) {
            Some(late) if !late.is_zero() => Err(Stale { late }),
            Some(_) | None => Ok(Self::new(account.to_owned(), call)),
        }
    }

    /// A permit whose instant is now: for callers that have another proof of their right to call, and
    /// for the tests of the rooms that spend permits.
    pub const fn new(account: String, call: Call) -> Self {
        Self { account, call, class: None, teller: None, moment: None, place: None }
    }

    /// The right to one create, in its slot.
    pub(crate) const fn for_create(account: String, moment: Moment) -> Self {
        let moment = Some(moment);
        Self { account, call: Call::Create, class: None, teller: None, moment, place: None }
    }

    /// The same for a create of this slot class, and the limiter hears how it is answered.
    pub fn of_class(self, class: SlotClass, limiter: &Limiter) -> Self {
        Self { class: Some(class), ..self.told_to(limiter) }
    }

    /// The same, and the limiter hears how the call is answered.
    pub(crate) fn told_to(self, limiter: &Limiter) -> Self {
        Self { teller: Some(limiter.clone()), ..self }
    }

    /// The same, and the call has this place in the count of its kind.
    pub(crate) fn counted(self, place: Option<Place>) -> Self {
        Self { place, ..self }
    }

    /// Whether the right to the call has passed by waiting: whoever holds it asks for another. A create's moment
    /// tells itself.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.place.as_ref().is_some_and(Place::is_over)
    }

    /// The call is made now.
    #[must_use]
    pub fn spend(self) -> Spent {
        let place = self.place.map(Place::made);
        Spent { permit: Self { place, ..self }, at: Instant::now() }
    }

    /// The account whose limit this call counts against.
    #[must_use]
    pub fn account(&self) -> &str {
        &self.account
    }

    /// The kind of call it allows.
    #[must_use]
    pub const fn call(&self) -> Call {
        self.call
    }

    /// When a create may leave.
    #[must_use]
    pub const fn moment(&self) -> Option<&Moment> {
        self.moment.as_ref()
    }
}

impl Spent {
    /// The account was told off for this kind of call, by `code`, and perhaps `asked` to wait: nobody
    /// of the fleet makes another before a rest is over. Creates have stops of their own.
    pub async fn refused(&self, code: &str, asked: Option<Duration>) {
        let Permit { account, call, teller, .. } = &self.permit;
        if let Some(limiter) = teller {
            limiter.hold(account, *call, self.at, code, asked).await;
        }
    }

    /// It was answered, whatever the answer says: a read that is counted counts for a window more. Not told where
    /// no answer came: then it may be on its way still.
    pub async fn answered(&self) {
        if let Some(place) = &self.permit.place {
            place.answered().await;
        }
    }

    /// Nothing of it ever left.
    pub async fn never_left(&self) {
        if let Some(place) = &self.permit.place {
            place.never_left().await;
        }
    }

    /// The create was refused by `code`, which says what of it was too much: everybody gives less of it for a
    /// while.
    pub async fn slowed(&self, brake: Brake, code: &str) {
        let Permit { account, class, teller, .. } = &self.permit;
        if let (Some(limiter), Some(class)) = (teller, class) {
            limiter.slow(account, *class, brake, self.at, code).await;
        }
    }

    /// It was answered otherwise.
    pub fn passed(&self) {
        let Permit { account, call, teller, .. } = &self.permit;
        if let Some(limiter) = teller {
            limiter.passed(account, *call, self.at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slot_reached_too_late_is_thrown_away() {
        let asked = Instant::now() - Duration::from_secs(1);
        let within = Duration::from_millis(100);
        let late = Permit::at_slot("a", Call::List, asked, asked, Duration::ZERO, within)
            .await
            .unwrap_err();
        assert!(late.late >= Duration::from_millis(800), "{late}");
    }

    #[tokio::test]
    async fn a_slot_is_never_used_early() {
        let asked = Instant::now();
        let usable_in = Duration::from_millis(30);
        let within = Duration::from_secs(5);
        let permit =
            Permit::at_slot("a", Call::Retrieve, asked, asked, usable_in, within).await.unwrap();
        assert!(asked.elapsed() >= usable_in);
        assert_eq!((permit.account(), permit.call()), ("a", Call::Retrieve));
    }
}
