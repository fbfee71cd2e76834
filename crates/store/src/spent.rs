//! What was made and what it cost, by day: counted in the commit that ends a job.

use crate::{Store, StoreError};
use job::{StateWord, Timestamp};
use redis::Pipeline;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a day's sums are kept.
pub const SPENT_KEPT: Duration = Duration::from_secs(400 * 24 * 3_600);
/// Days one question may span.
pub const SPENT_DAYS_MAX: u32 = 400;

/// Money and tokens of jobs that ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spent {
    /// Tokens the provider bills.
    pub tokens: u64,
    /// Millionths, by currency as `seedance::Currency` is written.
    pub micros: BTreeMap<String, u64>,
}

/// One day of one tenant with one model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpentRow {
    /// UTC, `2026-11-26`.
    pub day: String,
    /// Whose.
    pub tenant: String,
    /// The model's short name.
    pub model: String,
    /// Jobs that ended on that day, by how.
    pub jobs: BTreeMap<StateWord, u64>,
    /// What they cost.
    pub spent: Spent,
}

/// The UTC day of an instant, as it stands in keys.
pub(crate) fn day_text(at: Timestamp) -> String {
    at.rfc3339().chars().take("2026-11-26".len()).collect()
}

impl Spent {
    /// Takes in one field of a hash of sums.
    pub(crate) fn add(&mut self, what: &str, n: u64) {
        if what == "tokens" {
            self.tokens += n;
        } else if let Some(currency) = what.strip_prefix("micros.") {
            *self.micros.entry(currency.to_owned()).or_default() += n;
        }
    }

    /// Adds what something else cost.
    pub fn join(&mut self, other: &Self) {
        self.tokens += other.tokens;
        for (currency, micros) in &other.micros {
            *self.micros.entry(currency.clone()).or_default() += micros;
        }
    }
}

impl Store {
    /// The sums of the days from the one of `from` to the one of `to`, both included; the last
    /// [`SPENT_DAYS_MAX`] of them. All tenants', or one's.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn spent(
        &self,
        from: Timestamp,
        to: Timestamp,
        tenant: Option<&str>,
    ) -> Result<Vec<SpentRow>, StoreError> {
        let mut days = Vec::new();
        let mut at = to;
        while at >= from && days.len() < SPENT_DAYS_MAX as usize || day_text(at) == day_text(from) {
            days.push(day_text(at));
            at = at - Duration::from_secs(24 * 3_600);
        }
        days.dedup();
        days.reverse();
        let mut pipe = Pipeline::with_capacity(days.len());
        for day in &days {
            pipe.cmd("HGETALL").arg(self.keys().spent(day));
        }
        let mut rows = Vec::new();
        for (day, answer) in days.iter().zip(self.connection().pipe(&mut pipe).await?) {
            let key = self.keys().spent(day);
            let sums: BTreeMap<String, i64> = redis::from_redis_value(answer)
                .map_err(|error| StoreError::corrupt(&key, error))?;
            rows.extend(rows_of(day, sums, tenant));
        }
        Ok(rows)
    }
}

/// Fields are `<tenant>|<model>|<what>`; a tenant may hold any sign.
fn rows_of(day: &str, sums: BTreeMap<String, i64>, tenant: Option<&str>) -> Vec<SpentRow> {
    let mut rows: BTreeMap<(String, String), SpentRow> = BTreeMap::new();
    for (field, n) in sums {
        let mut parts = field.rsplitn(3, '|');
        let (Some(what), Some(model), Some(whose)) = (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        let Some(n) = u64::try_from(n).ok().filter(|n| *n > 0) else { continue };
        if tenant.is_some_and(|tenant| tenant != whose) {
            continue;
        }
        let row = rows.entry((whose.to_owned(), model.to_owned())).or_default();
        match StateWord::parse(what) {
            Some(word) => drop(row.jobs.insert(word, n)),
            None => row.spent.add(what, n),
        }
    }
    let named = |((tenant, model), row)| SpentRow { day: day.to_owned(), tenant, model, ..row };
    rows.into_iter().map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_read_back_by_tenant_and_model() {
        let sums = [("a|b|seedance-2.0|succeeded", 2), ("a|b|seedance-2.0|tokens", 7)];
        let more = [("a|b|seedance-2.0|micros.usd", 9), ("c|m|failed", 1), ("c|m|expired", 0)];
        let sums: BTreeMap<String, i64> =
            sums.into_iter().chain(more).map(|(field, n)| (field.to_owned(), n)).collect();
        let rows = rows_of("2026-11-26", sums.clone(), None);
        assert_eq!(rows.len(), 2);
        let spent = Spent { tokens: 7, micros: BTreeMap::from([("usd".to_owned(), 9)]) };
        assert_eq!((rows[0].tenant.as_str(), &rows[0].spent), ("a|b", &spent));
        assert_eq!(rows[0].jobs, BTreeMap::from([(StateWord::Succeeded, 2)]));
        assert_eq!(rows_of("2026-11-26", sums, Some("c")).len(), 1);
        assert_eq!(day_text(Timestamp::from_unix_ms(86_400_000)), "1970-01-02");
    }
}
