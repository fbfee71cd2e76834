//! What one tenant may take, and what it has taken.

use crate::budget::{BudgetView, amount};
use job::StateWord;
use seedance::Route;
use serde::Serialize;
use std::collections::BTreeMap;
use store::{Caps, DayUsage, IN_FLIGHT, Purse, PurseUse, Store, StoreError, WAITING};
use utoipa::ToSchema;

/// A tenant's caps and what it uses of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Quota)]
pub struct QuotaView {
    /// Whose.
    pub tenant: String,
    /// Requests a minute; null: no cap. What is left of them stands in the `RateLimit` header of every answer.
    pub requests_per_minute_max: Option<u32>,
    /// Jobs that wait for their create, held ones included.
    pub queued: UseView,
    /// Jobs between their create and the bucket.
    pub in_flight: UseView,
    /// Bytes of inline media of the day; counted only where there is a cap.
    pub media_bytes_today: UseView,
    /// What the jobs accepted on the day cost or may yet cost.
    pub spend_today: SpendView,
    /// What may be bought for the tenant: past it, jobs are held until there is room.
    pub budget: BudgetView,
    /// When the next day begins (UTC).
    pub resets_at: String,
}

/// One cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = QuotaUse)]
pub struct UseView {
    /// The most; null: no cap.
    pub max: Option<u64>,
    /// Of it, taken; null where it is not counted.
    pub used: Option<u64>,
}

/// The cap of a day's spending, in decimal numbers so that no reader rounds money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = QuotaSpend)]
pub struct SpendView {
    /// The most; null: no cap.
    pub max: Option<String>,
    /// Of it, taken.
    pub used: String,
    /// The route's currency.
    pub currency: String,
}

/// A tenant's caps in a pool. `counts`: its jobs by state.
pub(crate) async fn quota(
    store: &Store,
    route: Route,
    tenant: &str,
    counts: &BTreeMap<StateWord, u64>,
) -> Result<QuotaView, StoreError> {
    let (used, resets_at) = store.usage_today(tenant).await?;
    let purse = store.purses(&[Purse::Tenant(tenant.to_owned())]).await?.pop().unwrap_or_default();
    let view = seen(store.caps_of(tenant), used, &purse, route, counts);
    Ok(QuotaView { tenant: tenant.to_owned(), resets_at: resets_at.rfc3339(), ..view })
}

fn seen(
    caps: Caps,
    used: DayUsage,
    purse: &PurseUse,
    route: Route,
    counts: &BTreeMap<StateWord, u64>,
) -> QuotaView {
    let cap = |max: u64| (max > 0).then_some(max);
    let sum = |words: &[StateWord]| words.iter().filter_map(|word| counts.get(word)).sum::<u64>();
    let media = cap(caps.media_bytes_day_max);
    QuotaView {
        tenant: String::new(),
        requests_per_minute_max: (caps.rpm > 0).then_some(caps.rpm),
        queued: UseView { max: cap(caps.queued_max.into()), used: Some(sum(&WAITING)) },
        in_flight: UseView { max: cap(caps.in_flight_max.into()), used: Some(sum(&IN_FLIGHT)) },
        media_bytes_today: UseView { max: media, used: media.map(|_| used.media_bytes) },
        spend_today: SpendView {
            max: cap(caps.spend_day_micros_max()).map(amount),
            used: amount(used.micros),
            currency: route.currency().to_string(),
        },
        budget: BudgetView::from(purse),
        resets_at: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cap_is_null_and_use_is_told() {
        let counts = BTreeMap::from([
            (StateWord::Queued, 3),
            (StateWord::Held, 1),
            (StateWord::Running, 2),
            (StateWord::Succeeded, 9),
        ]);
        let used = DayUsage { micros: 1_500_000, media_bytes: 7 };
        let free = seen(Caps::default(), used, &PurseUse::default(), Route::Byteplus, &counts);
        assert_eq!(free.queued, UseView { max: None, used: Some(4) });
        assert_eq!(free.media_bytes_today, UseView { max: None, used: None });
        assert_eq!((free.spend_today.max, free.spend_today.used), (None, "1.500000".to_owned()));
        let caps = Caps {
            rpm: 60,
            queued_max: 5,
            in_flight_max: 2,
            media_bytes_day_max: 100,
            spend_day_max: 2,
            buy_day_max: 0,
            buy_total_max: 0,
            weight: 1,
        };
        let capped = seen(caps, used, &PurseUse::default(), Route::Byteplus, &counts);
        assert_eq!(capped.requests_per_minute_max, Some(60));
        assert_eq!(capped.in_flight, UseView { max: Some(2), used: Some(2) });
        assert_eq!(capped.media_bytes_today, UseView { max: Some(100), used: Some(7) });
        assert_eq!(capped.spend_today.max.as_deref(), Some("2.000000"));
    }
}
