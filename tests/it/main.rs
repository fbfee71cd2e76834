//! The fleet from outside, and the house rules.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    reason = "a test ends at the first thing that is not as it should be"
)]

mod api;
mod api_form;
mod archive;
mod backlog;
mod backup;
mod batches;
mod bucket_live;
mod bucket_s3;
mod budgets;
mod bundle;
mod callbacks;
mod causes;
mod clocks;
mod cluster;
mod config;
mod dashboard;
mod doubt;
mod drill;
mod edits;
mod eta;
mod events;
mod export;
mod failed;
mod failover;
mod flood;
mod holds;
mod keys;
mod kills;
mod live_limits;
mod matrix;
mod outages;
mod partition;
mod patience;
mod pauses;
mod pilots;
mod polling;
mod power;
mod presence;
mod privacy;
mod probe;
mod query;
mod reconcile;
mod references;
mod reload;
mod remote;
mod rollback;
mod rolling;
mod rough;
mod scaling;
mod starting;
mod stops;
mod street;
mod tenants;
mod tidy;
mod top;
mod traces;
mod trouble;
mod upgrades;
mod users;
mod waiting;
mod webhooks;
mod zombies;
