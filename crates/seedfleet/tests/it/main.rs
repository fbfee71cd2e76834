//! The program as its users meet it: started as a process, against a private Redis.
#![forbid(unsafe_code)]

mod bench;
mod configuration;
mod cost;
mod doctor;
mod doubt;
mod import;
mod interrupted;
mod jobs;
mod outage;
mod schema;
