//! What must go: what a job was asked for, for whom, and what came of it.
//!
//! An erasure is a wish that is written down first and then worked off, job by job, by whoever has its
//! lock; a process that dies leaves it to the next. For each job the machine marks the content as gone, so
//! that no worker writes any of it again; then the objects go, the intents are written anew without
//! content, and last of all the request: it is what leads to the rest, so a crash before it repeats
//! everything and a crash behind it has nothing to repeat. What is removed is counted as it goes, outside
//! the process, so that the receipt of an erasure that was interrupted is as honest as any other.
//!
//! What stays is a bill and the marks of tasks that may still turn up: see `docs/privacy.md`.
//!
//! Records of ended jobs leave Redis in the same room: first the whole record lies in the bucket and was read
//! back, then Redis lets go of it in one step and keeps a tombstone. Erasure reaches what has left: a job whose
//! tombstone stands comes back first, and of one that nobody knows any more the object is written anew.
//!
//! Must not know: HTTP, the provider, Redis keys, how a bucket stores bytes.
#![forbid(unsafe_code)]

mod archived;
mod archiver;
mod eraser;
mod everywhere;
mod keeper;
mod one;
mod receipt;
mod settings;
mod shelf;
mod walk;

pub use archiver::{Moment, Pass};
pub use eraser::{EraseError, Eraser, Wish};
pub use everywhere::{Days, Everywhere};
pub use keeper::keep;
pub use receipt::{Erasure, Progress, Removed, Subject};
pub use settings::{RetentionSettings, Settings};
pub use shelf::Records;
pub use walk::{ArchiveWalk, Told};
