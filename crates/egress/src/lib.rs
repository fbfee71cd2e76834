//! The house's only way out over HTTP: four clients, each as narrow as its errand.
//!
//! - [`CreateClient`] posts the one request that costs money. It sends it once, and afterwards it
//!   knows whether the last byte of the body can have left this process.
//! - [`RouteClient`] reads from and deletes at the provider, over pooled connections.
//! - [`GuardedClient`] fetches from and posts to addresses that somebody else wrote (output links,
//!   webhooks, references of requests) and refuses to be sent anywhere inside our own network.
//! - [`HouseClient`] is the command line's way to our own gateway. It alone repeats something: a read.
//!
//! This is the only room that names `reqwest`. It knows nothing of jobs, tasks, the provider's
//! JSON or its error codes; it moves bytes and says what can be proven about them. No client here
//! repeats by itself what changes something, follows a redirect unseen, or puts a key, a signed query or a
//! callback token into an error text ([`redact_url`], [`Secret`]).

#![forbid(unsafe_code)]

mod address;
mod answer;
mod create;
mod deliver;
mod gate;
mod guarded;
mod house;
mod redact;
mod resolve;
mod route;
mod secret;
mod settings;
mod target;
mod wire;

pub use address::{NotPublic, check_public};
pub use answer::{Answer, AnswerHead};
pub use create::{CreateClient, Hold, PostOutcome, Silence};
pub use gate::{Gate, Moment};
pub use guarded::{Chunks, FetchError, GuardedClient, Range, Response};
pub use house::{HouseClient, Pieces};
pub use http::{HeaderMap, HeaderName, HeaderValue};
pub use redact::{redact_text, redact_url};
pub use resolve::{Lookup, system_lookup};
pub use route::{CallError, RouteClient};
pub use secret::{Secret, SecretError};
pub use settings::{CallLimits, FetchTimeouts, Settings};
pub use target::{Hosts, Origin, OriginError, Refused, Rules};
pub use url::Url;
pub use wire::{BuildError, Trust};
