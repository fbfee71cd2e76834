//! The crate from outside: real files, an environment that is passed in, sections as rooms read them.

mod faults;
mod layers;
mod reread;
mod shown;
