//! The store against a real, private, durable Redis.

mod admit;
mod api_keys;
mod begin;
mod births;
mod caps;
mod claim;
mod commit;
mod counted;
mod doctor;
mod events;
mod fairness;
mod freeze;
mod grants;
mod ground;
mod hints;
mod history;
mod limits;
mod lists;
mod model;
mod rooms;
mod safety;
mod sessions;
mod speed;
mod totals;
mod uploads;
mod watching;
