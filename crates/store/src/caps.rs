//! What one tenant may take: sections `caps` and `tenants.<tenant>` of the configuration.
//!
//! The numbers are the same in every process of a fleet, so a script is told them by whoever calls it.

use job::{BuyCaps, StateWord};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Caps of a tenant; 0: none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Caps {
    /// Requests a minute, over all gateways.
    pub rpm: u32,
    /// Jobs that wait for their create, held ones included.
    pub queued_max: u32,
    /// Jobs between their create and the bucket.
    pub in_flight_max: u32,
    /// Bytes of inline media a day (UTC).
    pub media_bytes_day_max: u64,
    /// What jobs accepted on one day (UTC) may cost, in whole units of the route's currency.
    pub spend_day_max: u32,
    /// What may be bought for it on one day (UTC), in whole units of the route's currency: past it jobs wait.
    pub buy_day_max: u32,
    /// What may be bought for it in all.
    pub buy_total_max: u32,
    /// Share of the creates while several tenants wait, beside the others'. No cap; 0 counts as 1.
    pub weight: u32,
}

/// What differs for one tenant; the rest of `tenants.<tenant>` is read by other rooms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct OwnCaps {
    rpm: Option<u32>,
    queued_max: Option<u32>,
    in_flight_max: Option<u32>,
    media_bytes_day_max: Option<u64>,
    spend_day_max: Option<u32>,
    buy_day_max: Option<u32>,
    buy_total_max: Option<u32>,
    weight: Option<u32>,
}

/// The caps of every tenant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TenantCaps {
    /// Section `caps`: for whoever is not named.
    pub all: Caps,
    /// Section `tenants`.
    pub own: BTreeMap<String, OwnCaps>,
}

impl TenantCaps {
    /// What holds for a tenant.
    #[must_use]
    pub fn of(&self, tenant: &str) -> Caps {
        let own = self.own.get(tenant).copied().unwrap_or_default();
        let all = &self.all;
        Caps {
            rpm: own.rpm.unwrap_or(all.rpm),
            queued_max: own.queued_max.unwrap_or(all.queued_max),
            in_flight_max: own.in_flight_max.unwrap_or(all.in_flight_max),
            media_bytes_day_max: own.media_bytes_day_max.unwrap_or(all.media_bytes_day_max),
            spend_day_max: own.spend_day_max.unwrap_or(all.spend_day_max),
            buy_day_max: own.buy_day_max.unwrap_or(all.buy_day_max),
            buy_total_max: own.buy_total_max.unwrap_or(all.buy_total_max),
            weight: own.weight.unwrap_or(all.weight),
        }
    }
}

impl Caps {
    /// [`Caps::spend_day_max`] in millionths.
    #[must_use]
    pub const fn spend_day_micros_max(&self) -> u64 {
        self.spend_day_max as u64 * 1_000_000
    }

    /// What may be bought.
    #[must_use]
    pub const fn buy_caps(&self) -> BuyCaps {
        BuyCaps { day_max: self.buy_day_max, total_max: self.buy_total_max }
    }

    /// How far a create of so many tokens moves its tenant back in the line: less for a heavy one.
    #[must_use]
    pub fn charge(&self, tokens: u64) -> u64 {
        (tokens / u64::from(self.weight.max(1))).max(1)
    }
}

/// What counts as waiting.
pub const WAITING: [StateWord; 2] = [StateWord::Held, StateWord::Queued];

/// What counts as in flight. A parked job waits for a person, and would hold its tenant up with it.
pub const IN_FLIGHT: [StateWord; 5] = [
    StateWord::Submitting,
    StateWord::InDoubt,
    StateWord::Running,
    StateWord::Overdue,
    StateWord::Downloading,
];

pub(crate) fn words(of: &[StateWord]) -> Vec<&'static str> {
    of.iter().map(|word| word.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_has_what_is_said_of_it_and_else_what_all_have() {
        let own = OwnCaps { rpm: Some(0), queued_max: Some(5), ..OwnCaps::default() };
        let caps = TenantCaps {
            all: Caps { rpm: 60, in_flight_max: 3, spend_day_max: 2, ..Caps::default() },
            own: BTreeMap::from([("acme".to_owned(), own)]),
        };
        let acme = caps.of("acme");
        assert_eq!((acme.rpm, acme.queued_max, acme.in_flight_max), (0, 5, 3));
        assert_eq!(caps.of("other"), caps.all);
        assert_eq!(acme.spend_day_micros_max(), 2_000_000);
        let charge = |weight, tokens| Caps { weight, ..acme }.charge(tokens);
        assert_eq!([charge(0, 90), charge(1, 90), charge(3, 90), charge(100, 90)], [90, 90, 30, 1]);
    }
}
