//! Usage in the groups that somebody asks for.

use job::{StateWord, Timestamp};
use serde::Serialize;
use std::collections::BTreeMap;
use store::{Spent, SpentRow, Store, StoreError};
use utoipa::ToSchema;

/// By what usage is added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// By UTC day.
    Day,
    /// By tenant.
    Tenant,
    /// By the model's short name.
    Model,
    /// By batch: all that its jobs cost so far, of the batches that began in the time asked for.
    Batch,
}

impl Group {
    /// Every grouping.
    pub const ALL: [Self; 4] = [Self::Day, Self::Tenant, Self::Model, Self::Batch];

    /// The word in requests.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Tenant => "tenant",
            Self::Model => "model",
            Self::Batch => "batch",
        }
    }
}

/// What one group came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct UsageTotal {
    /// The day, tenant, model or batch.
    pub group: String,
    /// Jobs that ended.
    pub jobs: u64,
    /// Of them, with a stored video.
    pub succeeded: u64,
    /// Tokens that are billed.
    pub tokens: u64,
    /// Cost by currency, as a decimal number.
    pub cost: BTreeMap<String, String>,
}

/// Batches of one answer.
const BATCHES_MAX: usize = 1_000;

/// Usage from one instant's day to the other's, all tenants' or one's, in groups, sorted by group.
///
/// # Errors
///
/// As every call of the store.
pub async fn usage(
    store: &Store,
    from: Timestamp,
    to: Timestamp,
    group: Group,
    tenant: Option<&str>,
) -> Result<Vec<UsageTotal>, StoreError> {
    if group == Group::Batch {
        return of_batches(store, from, to, tenant).await;
    }
    let rows = store.spent(from, to, tenant).await?;
    let key = |row: &SpentRow| match group {
        Group::Day | Group::Batch => row.day.clone(),
        Group::Tenant => row.tenant.clone(),
        Group::Model => row.model.clone(),
    };
    let mut sums: BTreeMap<String, (u64, u64, Spent)> = BTreeMap::new();
    for row in &rows {
        let (jobs, succeeded, spent) = sums.entry(key(row)).or_default();
        *jobs += row.jobs.values().sum::<u64>();
        *succeeded += row.jobs.get(&StateWord::Succeeded).copied().unwrap_or(0);
        spent.join(&row.spent);
    }
    let total = |(group, (jobs, succeeded, spent)): (_, (u64, u64, Spent))| UsageTotal {
        group,
        jobs,
        succeeded,
        tokens: spent.tokens,
        cost: cost(&spent),
    };
    Ok(sums.into_iter().map(total).collect())
}

async fn of_batches(
    store: &Store,
    from: Timestamp,
    to: Timestamp,
    tenant: Option<&str>,
) -> Result<Vec<UsageTotal>, StoreError> {
    let (mut totals, mut skip) = (Vec::new(), 0);
    while totals.len() < BATCHES_MAX {
        let page = store.batches(tenant, skip, store::BATCHES_MAX).await?;
        skip += page.len();
        let last = page.len() < store::BATCHES_MAX;
        let older = page.last().is_some_and(|batch| batch.created_at < from);
        totals.extend(page.into_iter().filter(|b| (from..=to).contains(&b.created_at)).map(
            |batch| UsageTotal {
                jobs: batch.finished(),
                succeeded: batch.counts.get(&StateWord::Succeeded).copied().unwrap_or(0),
                tokens: batch.spent.tokens,
                cost: cost(&batch.spent),
                // Names are the tenants' own.
                group: match tenant {
                    Some(_) => batch.name,
                    None => format!("{}/{}", batch.tenant, batch.name),
                },
            },
        ));
        if last || older {
            break;
        }
    }
    totals.truncate(BATCHES_MAX);
    totals.sort_by(|a, b| a.group.cmp(&b.group));
    Ok(totals)
}

/// Decimal numbers, so that no reader rounds money.
pub(crate) fn cost(spent: &Spent) -> BTreeMap<String, String> {
    let number = |micros: &u64| format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    spent.micros.iter().map(|(currency, micros)| (currency.clone(), number(micros))).collect()
}
