//! Tells how many pauses hold.

use std::time::Duration;
use store::{PauseScope, Store, StoreError};
use worker::Drain;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Tells until the process is to end. Scripts heed pauses without it.
pub(crate) async fn tell(store: Store, drain: Drain) {
    loop {
        if let Err(error) = look(&store).await {
            tracing::debug!(pool = store.pool(), %error, "pauses are not told");
        }
        tokio::select! {
            () = drain.wait() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

#[allow(clippy::cast_precision_loss)]
async fn look(store: &Store) -> Result<(), StoreError> {
    let pauses = store.pauses().await?;
    for kind in PauseScope::KINDS {
        let n = pauses.iter().filter(|pause| pause.scope.kind() == kind).count();
        telemetry::metrics().pauses.set(n as f64, [store.pool(), kind]);
    }
    Ok(())
}
