//! What an estimate of the time that is left rests on: who waits before whom, how many ended of late, and a look at some
//! jobs of a batch. Reads only.

use crate::queue::Lane;
use crate::{Store, StoreError, Stored, commit};
use job::{JobId, Priority, Timestamp};
use redis::Pipeline;
use seedance::SlotClass;
use std::collections::BTreeMap;

/// Tenants whose lanes or ends are added up.
const TENANTS_MAX: usize = 2_000;

impl Store {
    /// Jobs of a slot class that wait for their create, by lane; of `tenant`'s own only those that were due at
    /// `until`, where that is given: what came later waits behind.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn waiting(
        &self,
        class: SlotClass,
        tenant: &str,
        until: Option<Timestamp>,
    ) -> Result<Vec<(Lane, u64)>, StoreError> {
        let mut tenants = redis::cmd("ZRANGE");
        tenants.arg(self.keys().lanes(class)).arg(0).arg(TENANTS_MAX - 1);
        let tenants: Vec<String> = self.connection().ask(&tenants).await?;
        let lanes: Vec<Lane> = tenants
            .iter()
            .flat_map(|tenant| {
                [Priority::High, Priority::Normal, Priority::Low]
                    .map(|priority| Lane { tenant: tenant.clone(), priority })
            })
            .collect();
        let mut pipe = Pipeline::new();
        for lane in &lanes {
            let last = until.filter(|_| lane.tenant == tenant);
            let last = last.map_or_else(|| "+inf".to_owned(), |at| at.unix_ms().to_string());
            pipe.cmd("ZCOUNT").arg(self.keys().lane(class, lane)).arg("-inf").arg(last);
        }
        let counts = self.counted(&mut pipe).await?;
        Ok(lanes.into_iter().zip(counts).filter(|(_, waiting)| *waiting > 0).collect())
    }

    /// Jobs of the pool that ended after an instant, and whose content is still here.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn ends_since(&self, from: Timestamp) -> Result<u64, StoreError> {
        let mut tenants = redis::cmd("ZRANGE");
        tenants.arg(self.keys().kept()).arg(0).arg(TENANTS_MAX - 1);
        let tenants: Vec<String> = self.connection().ask(&tenants).await?;
        let mut pipe = Pipeline::new();
        for tenant in &tenants {
            let from = format!("({}", from.unix_ms());
            pipe.cmd("ZCOUNT").arg(self.keys().ix_kept(tenant)).arg(from).arg("+inf");
        }
        Ok(self.counted(&mut pipe).await?.into_iter().sum())
    }

    /// Some jobs of a batch, evenly spread over it in the order of acceptance, the last one among them; all of a
    /// small one. What cannot be read is left out.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn some_of_batch(
        &self,
        tenant: &str,
        batch: &str,
        most: usize,
    ) -> Result<Vec<Stored>, StoreError> {
        let key = self.keys().ix_batch(tenant, batch);
        let jobs: usize = self.connection().ask(redis::cmd("ZCARD").arg(&key)).await?;
        let some = jobs.min(most);
        let mut pipe = Pipeline::new();
        for n in 1..=some {
            let place = n * jobs / some - 1;
            pipe.cmd("ZRANGE").arg(&key).arg(place).arg(place);
        }
        let mut ids = Vec::with_capacity(some);
        for answer in self.connection().pipe(&mut pipe).await? {
            // A job that left meanwhile leaves no place at the end.
            let found: Vec<String> = redis::from_redis_value(answer)
                .map_err(|error| StoreError::corrupt(&key, error))?;
            for id in found {
                ids.push(JobId::parse(&id).map_err(|error| StoreError::corrupt(&key, error))?);
            }
        }
        let found = self.load_many(&ids).await?;
        Ok(found.into_iter().filter_map(|stored| stored.ok().flatten()).collect())
    }

    async fn counted(&self, pipe: &mut Pipeline) -> Result<Vec<u64>, StoreError> {
        let answers = self.connection().pipe(pipe).await?;
        let number = |value: &redis::Value| {
            let n = commit::integer(value).and_then(|n| u64::try_from(n).ok());
            n.ok_or_else(|| StoreError::reply("a count", value))
        };
        answers.iter().map(number).collect()
    }
}

/// Jobs of lanes that are bought before the last of a tenant's own: of its own lanes those of the same or a higher
/// priority, of each other tenant as many as its weight lets through meanwhile. `own` of those counted are meant
/// themselves, and `rows` more that are in no lane yet.
#[must_use]
pub fn ahead(
    lanes: &[(Lane, u64)],
    (tenant, priority): (&str, Priority),
    own: f64,
    rows: f64,
    weight: impl Fn(&str) -> u32,
) -> f64 {
    let (mut before, mut others) = (0.0, BTreeMap::<&str, f64>::new());
    for (lane, waiting) in lanes {
        if lane.tenant != tenant {
            *others.entry(&lane.tenant).or_default() += *waiting as f64;
        } else if lane.priority <= priority {
            before += *waiting as f64;
        }
    }
    let first = (before - own).max(0.0);
    let of = |tenant: &str| f64::from(weight(tenant).max(1));
    let share = |(other, waiting): (&&str, &f64)| {
        waiting.min((own + rows + first) * of(other) / of(tenant))
    };
    first + others.iter().map(share).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_go_first_as_far_as_their_weight_reaches() {
        let lane = |tenant: &str, priority, n| (Lane { tenant: tenant.into(), priority }, n);
        let own = [
            lane("acme", Priority::High, 10),
            lane("acme", Priority::Normal, 130),
            lane("acme", Priority::Low, 5_000),
        ];
        let close = |found: f64, wanted: f64| {
            assert!((found - wanted).abs() < 1e-9, "{found}, not {wanted}");
        };
        let even = |_: &str| 1;
        close(ahead(&own, ("acme", Priority::Normal), 100.0, 0.0, even), 40.0);
        close(ahead(&own, ("acme", Priority::High), 10.0, 0.0, even), 0.0);
        close(ahead(&[], ("acme", Priority::Low), 0.0, 10.0, even), 0.0);
        let mut all = own.to_vec();
        all.extend([lane("few", Priority::Low, 7), lane("many", Priority::High, 9_000)]);
        close(ahead(&all, ("acme", Priority::Normal), 100.0, 0.0, even), 40.0 + 7.0 + 140.0);
        close(ahead(&all, ("acme", Priority::Normal), 0.0, 50.0, even), 140.0 + 7.0 + 190.0);
        let heavy = |tenant: &str| if tenant == "many" { 3 } else { 1 };
        close(ahead(&all, ("acme", Priority::Normal), 100.0, 0.0, heavy), 40.0 + 7.0 + 420.0);
    }
}
