//! What the door promises, on a real Redis and a real bucket.

mod documents;
mod faults;
mod halves;
mod house;
mod identity;
mod media;
mod review;
mod room;
mod sections;
