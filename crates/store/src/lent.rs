//! Callers' keys that outlive the jobs they name.
//!
//! A key that came with the request of another job's is lent to that job: it stands by itself, and nothing tells
//! which keys a job was lent. Once the tombstone is gone, such a key would answer its caller with a job that nobody
//! knows; so the first one to meet it there frees it, and the request is a new job.

use crate::birth::Born;
use crate::connection::Call;
use crate::{Match, NewJob, Store, StoreError, script};
use job::JobId;
use redis::Value;

/// A caller's key, whose it is, and the job that it names.
type Named<'a> = (&'a str, &'a str, JobId);

/// The key by which a request was answered with another job.
fn named<'a>(job: &'a NewJob, born: &Result<Born, StoreError>) -> Option<Named<'a>> {
    let own = job.idempotency.as_ref()?;
    let id = match born {
        Ok(Born::Existing { id, by: Match::Key } | Born::Reused { id }) => id,
        Ok(
            Born::Created
            | Born::Existing { by: Match::Fingerprint, .. }
            | Born::Owned { .. }
            | Born::Full { .. }
            | Born::Spent { .. },
        )
        | Err(_) => return None,
    };
    // Our own id: an earlier call of ours.
    (*id != job.record.id).then(|| (job.record.spec.tenant.as_str(), own.key.as_str(), id.clone()))
}

impl Store {
    /// Frees the keys by which requests were answered with jobs of which neither record nor tombstone is left; tells
    /// the places of those requests, which are to be asked again.
    ///
    /// # Errors
    ///
    /// As every call; safe to repeat.
    pub(crate) async fn free_keys(
        &self,
        jobs: &[&NewJob],
        born: &[Result<Born, StoreError>],
    ) -> Result<Vec<usize>, StoreError> {
        let keys = self.keys();
        let (mut places, mut calls) = (Vec::new(), Vec::new());
        for (at, (job, born)) in jobs.iter().zip(born).enumerate() {
            let Some((tenant, key, id)) = named(job, born) else { continue };
            let tomb = keys.tomb(&id);
            let names = vec![keys.idempotency(tenant, key), keys.job(&id), tomb.key];
            calls.push(Call::new(&script::FREE, names, vec![id.to_string(), tomb.field]));
            places.push(at);
        }
        let mut free = Vec::new();
        for (at, reply) in places.into_iter().zip(self.connection().call_many(&calls).await) {
            match reply? {
                Value::Int(1) => free.push(at),
                Value::Int(0) => {}
                other => return Err(StoreError::reply("free", &other)),
            }
        }
        Ok(free)
    }
}
