//! Permits: the right to one call to the provider, at one instant, for the whole fleet.
//!
//! The limit lives in Redis (`store`), as paced slots on the server's clock: nothing is saved up
//! while idle, so no burst is possible, and a slot that its holder cannot use in time is lost rather
//! than used late. In front of it each process has local gates (`governor`), which are not the limit:
//! they space the reads this process makes, count the creates whose last byte it lets go, and catch
//! programming errors.
//!
//! Where calls are a second or more apart (the list, creates at 4k) they are counted as well, from the moment one is
//! given away until a window after its answer: that holds however long a call is on its way (`place`).
//!
//! A call that is told off for its rate holds its kind for the whole fleet: the answer is told to the
//! permit it was made with, so that no caller can forget it. A hold is an instant and ends by itself.
//!
//! A person may lower a limit while the fleet runs, never beyond what the configuration says is allowed
//! (`judge`); what is written into the row holds from the next call on.
//!
//! A create that is refused takes something of its class's rate or look-ahead away, for everybody; it comes back
//! by itself.
//!
//! Fails closed: while Redis does not answer, nobody gets a permit.
//!
//! Must not know: HTTP, what a call is for, the state of any job.
#![forbid(unsafe_code)]

mod ask;
mod brake;
mod flood;
mod gate;
mod permit;
mod place;
mod rest;
mod settings;
mod wait;

pub use ask::{Feed, Wanted, judge, reason, taken_back};
pub use flood::Flood;
pub use permit::{Moment, Permit, Reserved, Spent, Stale};
pub use settings::{Settings, UnderWay, create_pace};
pub use wait::{Limiter, NoPermit};
