//! The submit protocol, checked in every order in which things can happen.
//!
//! Every change of a record is a verdict of the production [`job::transition`] on real records and
//! events; the match of lost tasks, the fence's questions and the gate's deadline are production
//! functions too. Played by hand is the world around them: two submitters, a Redis that may fall back, the
//! bucket of intents, and a provider that loses, delays and misreports. `stateright` walks all worlds
//! that follow, and [`PROMISES`] are asked in each.
//!
//! Must not know: sockets, scripts, clocks. Those are the fault campaign's business.
#![forbid(unsafe_code)]

mod cast;
mod far_side;
mod model;
mod news;
mod page;
mod promises;
mod reached;
mod redis;
mod run;
mod shelf;
mod submitter;
mod timing;
mod variants;
mod world;

pub use model::SubmitModel;
pub use page::{CAUGHT, Catch, markdown};
pub use promises::{
    NO_CONTRADICTION, ONE_CREATE, ONE_OWNER, PROMISES, RIGHT_ADOPTION, SETTLED, TICKET,
};
pub use run::{Report, check, hunt};
pub use variants::{VARIANTS, Variant};
pub use world::{Action, Leave, Mood, World};
