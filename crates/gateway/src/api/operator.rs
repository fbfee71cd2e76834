//! What concerns whole pools, and so all tenants: for keys of tenant `*`.

use crate::app::{App, PoolDoor};
use crate::caller::Caller;
use crate::problem::Problem;
use crate::settings::Scope;
use access::ANY_TENANT;
use axum::http::StatusCode;

/// Whether a caller is an operator who may do this.
pub(super) fn is_operator(caller: &Caller, needs: Scope) -> Result<(), Problem> {
    caller.needs(needs)?;
    if caller.tenant != ANY_TENANT {
        let title = "all tenants share the provider's accounts: use a key of tenant *";
        return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", title));
    }
    Ok(())
}

/// The pool that an operator means, if it may do this there.
pub(super) fn operated<'a>(
    app: &'a App,
    caller: &Caller,
    needs: Scope,
    pool: Option<&str>,
) -> Result<&'a PoolDoor, Problem> {
    is_operator(caller, needs)?;
    whole_pool(app, caller, pool)
}

/// The pool that is named, or the only one within reach.
pub(super) fn whole_pool<'a>(
    app: &'a App,
    caller: &Caller,
    pool: Option<&str>,
) -> Result<&'a PoolDoor, Problem> {
    let mut within = app.pools_for(caller);
    let found = match pool {
        Some(name) => within.find(|door| door.pool.name == name),
        None => within.next().filter(|_| within.next().is_none()),
    };
    found.ok_or_else(|| {
        let known = app.pools_for(caller).map(|door| door.pool.name.as_str());
        let known = known.collect::<Vec<_>>().join(", ");
        let title = "say which pool: none, or several, are within reach of this key";
        Problem::new(StatusCode::BAD_REQUEST, "bad-query", title)
            .detail(format!("within reach are: {known}"))
    })
}
