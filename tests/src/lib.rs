//! What the end-to-end tests and the house rules share, and the pages that code prints.
#![forbid(unsafe_code)]

pub mod campaign;
pub mod kit;
pub mod limits;
pub mod pages;
pub mod requirements;
pub mod restore;
pub mod scale;
pub mod users;
