//! Where a person decides a doubt, by the dashboard or by the API: one desk, one evidence, one mark of it.

use crate::app::{App, PoolDoor};
use job::{By, Event};
use reconcile::doubt::{self, Deed, Desk, Doubt, DoubtError};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use store::{Reported, Stored};

/// Everything that is known, name and value; empty for a job that is not in doubt.
pub(crate) fn known(door: &PoolDoor, stored: &Stored) -> Map<String, Value> {
    doubt::evidence(stored, door.pool.settings.route, &door.pool.policy)
}

/// Stands for what a decision rests on: who decides carries it there and back. None where there is no doubt.
pub(crate) fn mark(stored: &Stored) -> Option<String> {
    let attempt = &Doubt::of(&stored.record)?.attempt.id;
    let grounds = doubt::grounds(stored).unwrap_or(Value::Null);
    let digest = Sha256::digest(format!("{grounds} {attempt}").as_bytes());
    Some(hex::encode(&digest[..12]))
}

fn desk<'a>(app: &'a App, door: &'a PoolDoor) -> Desk<'a> {
    let pool = &door.pool;
    Desk {
        store: &pool.store,
        pool: &pool.settings,
        policy: &pool.policy,
        limits: &app.desk.limits,
        provider: &app.desk.provider,
    }
}

/// Whether the deed is possible now.
pub(crate) async fn check(
    app: &App,
    door: &PoolDoor,
    shown: &Stored,
    deed: &Deed,
) -> Result<(), DoubtError> {
    desk(app, door).check(shown, deed).await
}

/// Checks, then takes the decision on what was shown, or not at all.
pub(crate) async fn decide(
    app: &App,
    door: &PoolDoor,
    shown: &Stored,
    deed: &Deed,
    (by, reason): (&By, &str),
) -> Result<(Event, Reported), DoubtError> {
    check(app, door, shown, deed).await?;
    let evidence = Value::Object(known(door, shown));
    desk(app, door).decide(shown, deed, by, reason, &evidence).await
}
