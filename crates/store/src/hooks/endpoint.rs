//! Endpoints: made, changed, looked at, switched on, removed.

use super::{DELIVERY_LINES_MAX, DeliveryLine, Endpoint, EndpointState, OUTBOX_KEPT, Off};
use crate::connection::Call;
use crate::lease::{instant, millis};
use crate::{Store, StoreError, commit, script};
use job::Timestamp;
use redis::{Pipeline, Value};
use serde::Serialize;

/// Endpoints of one tenant in one pool.
pub const ENDPOINTS_MAX: usize = 20;

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndpointPut {
    /// Written; its revision from here on.
    Done(u64),
    /// Somebody changed it since it was read: read it again.
    Stale,
    /// The tenant has as many as it may.
    Full,
    /// There is none.
    Gone,
}

#[derive(Serialize)]
struct Facts<'a> {
    verb: &'static str,
    id: &'a str,
    rev: u64,
    at: i64,
    max: usize,
    kept_ms: u64,
}

impl Store {
    /// Writes an endpoint down; `revision` is that of what the caller read, 0 for a new one.
    ///
    /// # Errors
    ///
    /// As every call; safe to repeat: a repeated change is told as [`EndpointPut::Stale`].
    pub async fn put_endpoint(
        &self,
        endpoint: &Endpoint,
        revision: u64,
    ) -> Result<EndpointPut, StoreError> {
        let config = text(endpoint)?;
        self.change("put", &endpoint.id, &endpoint.tenant, revision, config).await
    }

    /// Switches an endpoint on again; what waits for it is due at once.
    ///
    /// # Errors
    ///
    /// As every call; safe to repeat.
    pub async fn enable_endpoint(&self, id: &str, tenant: &str) -> Result<EndpointPut, StoreError> {
        self.change("on", id, tenant, 0, String::new()).await
    }

    /// Switches an endpoint off because somebody asked for it; what waits stays for a while.
    ///
    /// # Errors
    ///
    /// As every call; safe to repeat.
    pub async fn disable_endpoint(
        &self,
        id: &str,
        tenant: &str,
    ) -> Result<EndpointPut, StoreError> {
        self.change("off", id, tenant, 0, String::new()).await
    }

    /// Removes an endpoint if nothing waits to be told there, with its log; [`EndpointPut::Stale`]: something
    /// does, and it stays.
    ///
    /// # Errors
    ///
    /// As every call; safe to repeat.
    pub(crate) async fn rest_endpoint(
        &self,
        id: &str,
        tenant: &str,
    ) -> Result<EndpointPut, StoreError> {
        self.change("rest", id, tenant, 0, String::new()).await
    }

    /// Removes an endpoint, with what it has still to be told and its log.
    ///
    /// # Errors
    ///
    /// As every call; safe to repeat.
    pub async fn drop_endpoint(&self, id: &str, tenant: &str) -> Result<EndpointPut, StoreError> {
        self.change("drop", id, tenant, 0, String::new()).await
    }

    async fn change(
        &self,
        verb: &'static str,
        id: &str,
        tenant: &str,
        rev: u64,
        config: String,
    ) -> Result<EndpointPut, StoreError> {
        let (keys, queue) = (self.keys(), crate::Queue::Notify);
        let at = self.now().await?.unix_ms();
        let facts = Facts { verb, id, rev, at, max: ENDPOINTS_MAX, kept_ms: millis(OUTBOX_KEPT) };
        let facts = StoreError::json("facts that are", &facts)?;
        let names = vec![
            keys.hook(id),
            keys.hooks_of(tenant),
            keys.hooks_read(),
            keys.events(),
            keys.outbox(id),
            keys.hook_log(id),
            keys.due(queue),
            keys.lease(queue),
            keys.holder(queue),
            keys.wake(queue),
            keys.hooks_pending(),
            keys.hooks_changes(),
        ];
        let call = Call::new(&script::HOOK, names, vec![facts, config]);
        let reply = self.connection().call(call).await?;
        let bug = || StoreError::reply("hook", &reply);
        let Value::Array(parts) = &reply else { return Err(bug()) };
        match parts.first().and_then(commit::word).as_deref() {
            Some("ok") => {
                let revision = parts.get(1).and_then(commit::integer).ok_or_else(bug)?;
                Ok(EndpointPut::Done(u64::try_from(revision).map_err(|_| bug())?))
            }
            Some("stale") => Ok(EndpointPut::Stale),
            Some("full") => Ok(EndpointPut::Full),
            Some("gone") => Ok(EndpointPut::Gone),
            Some(_) | None => Err(bug()),
        }
    }

    /// An endpoint of a tenant; another tenant's is as good as none.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn endpoint(
        &self,
        id: &str,
        tenant: &str,
    ) -> Result<Option<EndpointState>, StoreError> {
        let found = self.endpoints_by_id(&[id.to_owned()]).await?.pop().flatten();
        Ok(found.filter(|state| state.endpoint.tenant == tenant))
    }

    /// A tenant's endpoints, oldest first. Those that jobs brought with them are not among them.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn endpoints(&self, tenant: &str) -> Result<Vec<EndpointState>, StoreError> {
        let mut range = redis::cmd("ZRANGE");
        range.arg(self.keys().hooks_of(tenant)).arg(0).arg(ENDPOINTS_MAX);
        let ids: Vec<String> = self.connection().ask(&range).await?;
        Ok(self.endpoints_by_id(&ids).await?.into_iter().flatten().collect())
    }

    /// Endpoints by id, in this order.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn endpoints_by_id(
        &self,
        ids: &[String],
    ) -> Result<Vec<Option<EndpointState>>, StoreError> {
        let mut pipe = Pipeline::with_capacity(2 * ids.len());
        for id in ids {
            pipe.cmd("HMGET").arg(self.keys().hook(id));
            pipe.arg(&["config", "rev", "off", "tries", "next", "why"]);
            pipe.cmd("LLEN").arg(self.keys().outbox(id));
        }
        let answers = self.connection().pipe(&mut pipe).await?;
        let pairs = ids.iter().zip(answers.chunks(2));
        pairs.map(|(id, pair)| read(&self.keys().hook(id), pair)).collect()
    }

    /// Counts changes of endpoints; the same number means the same endpoints.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn endpoint_changes(&self) -> Result<u64, StoreError> {
        let key = self.keys().hooks_changes();
        let n: Option<u64> = self.connection().ask(redis::cmd("GET").arg(&key)).await?;
        Ok(n.unwrap_or(0))
    }

    /// What an endpoint was told, newest first.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn deliveries(
        &self,
        endpoint: &str,
        before: Option<crate::Mark>,
        n: usize,
    ) -> Result<Vec<DeliveryLine>, StoreError> {
        let key = self.keys().hook_log(endpoint);
        let from = before.map_or_else(|| "+".to_owned(), |mark| format!("({mark}"));
        let mut command = redis::cmd("XREVRANGE");
        command.arg(&key).arg(from).arg("-").arg("COUNT").arg(n.clamp(1, DELIVERY_LINES_MAX));
        let entries: Vec<(String, Vec<String>)> = self.connection().ask(&command).await?;
        entries.iter().map(|(id, fields)| DeliveryLine::read(endpoint, &key, id, fields)).collect()
    }

    /// One delivery.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn delivery(
        &self,
        endpoint: &str,
        mark: crate::Mark,
    ) -> Result<Option<DeliveryLine>, StoreError> {
        let key = self.keys().hook_log(endpoint);
        let mut command = redis::cmd("XRANGE");
        command.arg(&key).arg(mark.to_string()).arg(mark.to_string());
        let entries: Vec<(String, Vec<String>)> = self.connection().ask(&command).await?;
        let lines = entries.iter();
        lines.map(|(id, fields)| DeliveryLine::read(endpoint, &key, id, fields)).next().transpose()
    }

    /// Since when the oldest undelivered event waits, whichever endpoint it is for.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn oldest_undelivered(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.pending_endpoints(1).await?.first().map(|(_, at)| *at))
    }

    /// Those of the `n` endpoints with the oldest undelivered events whose last delivery failed, the longest first.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn failing_endpoints(&self, n: usize) -> Result<Vec<EndpointState>, StoreError> {
        let pending = self.pending_endpoints(n).await?;
        let ids: Vec<String> = pending.into_iter().map(|(id, _)| id).collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.endpoints_by_id(&ids).await?.into_iter().flatten();
        Ok(found.filter(|state| state.off.is_none() && state.tries > 0).collect())
    }

    /// Up to `n` endpoints with something to be told, and since when the oldest of it waits; the longest first.
    pub(crate) async fn pending_endpoints(
        &self,
        n: usize,
    ) -> Result<Vec<(String, Timestamp)>, StoreError> {
        let mut range = redis::cmd("ZRANGE");
        range.arg(self.keys().hooks_pending()).arg(0).arg(n.saturating_sub(1)).arg("WITHSCORES");
        let found: Vec<(String, f64)> = self.connection().ask(&range).await?;
        Ok(found.into_iter().map(|(id, at)| (id, instant(at))).collect())
    }
}

pub(super) fn text(value: &impl Serialize) -> Result<String, StoreError> {
    StoreError::json("a webhook's part that is", value)
}

/// HMGET of the hash and LLEN of the outbox.
pub(super) fn read(key: &str, pair: &[Value]) -> Result<Option<EndpointState>, StoreError> {
    let [hash, waiting] = pair else { return Err(StoreError::Bug("half an answer".into())) };
    let fields: Vec<Option<String>> =
        redis::from_redis_value_ref(hash).map_err(|error| StoreError::corrupt(key, error))?;
    let field = |i: usize| fields.get(i).and_then(Option::as_deref);
    let Some(config) = field(0) else { return Ok(None) };
    let json = |error: serde_json::Error| StoreError::corrupt(key, error);
    Ok(Some(EndpointState {
        endpoint: serde_json::from_str(config).map_err(json)?,
        revision: field(1).and_then(|n| n.parse().ok()).unwrap_or(0),
        off: field(2).map(serde_json::from_str::<Off>).transpose().map_err(json)?,
        tries: field(3).and_then(|n| n.parse().ok()).unwrap_or(0),
        next_at: field(4).and_then(|n| n.parse().ok()).map(Timestamp::from_unix_ms),
        why: field(5).map(str::to_owned),
        waiting: commit::integer(waiting).and_then(|n| u64::try_from(n).ok()).unwrap_or(0),
    }))
}
