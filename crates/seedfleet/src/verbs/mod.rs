//! One file for each family of verbs.

pub(crate) mod audit;
pub(crate) mod batch;
pub(crate) mod config;
pub(crate) mod cost;
pub(crate) mod docs;
pub(crate) mod doctor;
pub(crate) mod doubt;
pub(crate) mod erase;
pub(crate) mod events;
pub(crate) mod export;
pub(crate) mod freeze;
pub(crate) mod import;
pub(crate) mod jobs;
pub(crate) mod keys;
pub(crate) mod limits;
pub(crate) mod probe;
pub(crate) mod reconcile;
pub(crate) mod review;
pub(crate) mod rows;
pub(crate) mod submit;
pub(crate) mod tally;
pub(crate) mod tenants;
pub(crate) mod totals;
pub(crate) mod version;
pub(crate) mod webhooks;
pub(crate) mod workers;
