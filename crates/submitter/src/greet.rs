//! One free call per account at start, so that a wrong key or route is told before a job meets it.

use crate::submit::Shared;
use job::PoolSettings;
use limiter::Limiter;
use provider::{ListQuery, Listed, Site};
use seedance::{Call, Class};
use std::sync::Arc;

/// Lists one task per account. Nothing depends on the answer: it is for the operator's eyes, and jobs
/// wait for an account that is not in order whatever is said here.
pub(crate) async fn greet(shared: Arc<Shared>, limiter: Limiter, pool: PoolSettings) {
    for account in pool.accounts.keys() {
        let Ok(permit) = limiter.permit(account, Call::List).await else { continue };
        let site = Site::configured(&pool, account);
        let query = ListQuery::smallest(pool.route);
        match shared.client.list(permit, &site, &query).await {
            Listed::Page { .. } => tracing::info!(account, "the provider knows this key"),
            Listed::Trouble(trouble) => match trouble.class {
                Class::Auth | Class::Account => tracing::error!(
                    account,
                    code = trouble.code,
                    message = trouble.message,
                    route = pool.route.word(),
                    "the provider refuses this key on this route; its jobs wait. Check api_key_file \
                     and route of the pool: a key belongs to one region"
                ),
                Class::Input
                | Class::Content
                | Class::Output
                | Class::Rate
                | Class::Capacity
                | Class::Pause
                | Class::Server
                | Class::Ambiguous
                | Class::State => tracing::warn!(
                    account,
                    code = trouble.code,
                    message = trouble.message,
                    "the provider did not answer; trying again with the first job"
                ),
            },
        }
    }
}
