//! Verbs on many jobs: asked for here, carried out by whichever gateway serves the pool.

use super::answer::Trouble;
use crate::app::PoolDoor;
use dashboard::Viewer;
use dashboard::screens::jobs::Bulk;
use dashboard::screens::operations::Operation;
use job::filter::Filter;
use store::{Opened, OperationVerb, OperationWish};

/// Operations looked through for one page.
const LOOKED_AT: usize = 200;

pub(super) const fn verb(bulk: Bulk) -> OperationVerb {
    match bulk {
        Bulk::Cancel => OperationVerb::Cancel,
        Bulk::Pause => OperationVerb::Pause,
        Bulk::Resume => OperationVerb::Resume,
        Bulk::Retry => OperationVerb::Retry,
        Bulk::Dismiss => OperationVerb::Dismiss,
    }
}

/// What a person asks for; a tenant's person about the tenant's jobs only.
pub(super) fn wish(viewer: &Viewer, bulk: Bulk, filter: Filter, reason: &str) -> OperationWish {
    OperationWish {
        id: format!("op_{}", ulid::Ulid::generate()),
        verb: verb(bulk),
        filter,
        tenant: viewer.tenant.clone(),
        by: viewer.name.clone(),
        reason: reason.to_owned(),
        limit: None,
    }
}

/// Whether an operation was taken in.
pub(super) fn begun(opened: &Opened) -> bool {
    match opened {
        Opened::New(_) | Opened::Known(_) => true,
        Opened::Other(_) | Opened::Full => false,
    }
}

/// The newest ones this person may see that fit, newest first.
pub(super) async fn newest(
    doors: &[&PoolDoor],
    viewer: &Viewer,
    limit: usize,
    fits: impl Fn(&Filter) -> bool,
) -> Result<Vec<Operation>, Trouble> {
    let mut found = Vec::new();
    for door in doors {
        let all = door.pool.store.operations(LOOKED_AT).await?;
        let own = all.into_iter().filter(|operation| {
            let whose = &operation.asked.tenant;
            let may_see = viewer.tenant.is_none() || *whose == viewer.tenant;
            may_see && Filter::parse(&operation.asked.filter).is_ok_and(|filter| fits(&filter))
        });
        found.extend(own.map(shown));
    }
    found.sort_by_key(|operation| std::cmp::Reverse(operation.at));
    found.truncate(limit);
    Ok(found)
}

fn shown(operation: store::Operation) -> Operation {
    let store::Operation { asked, progress, ended_at, failed } = operation;
    Operation {
        verb: asked.verb.word(),
        filter: asked.filter,
        by: asked.by,
        reason: asked.reason,
        at: asked.created_at,
        ended: ended_at,
        failed,
        changed: progress.changed,
        left: progress.left,
    }
}
