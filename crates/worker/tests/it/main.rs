//! The worker on a real private Redis, driving real job records: toy steps, real claims and commits.

mod backlog;
mod breakage;
mod child;
mod drain;
mod engine;
mod house;
mod leases;
mod outage;
mod process;
mod recounting;
mod repolling;
mod rollback;
mod toys;
