//! A pool as the operator writes it: a route with its accounts, the unit of queueing and sharding.

use seedance::{Route, SlotClass, Tier};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What happens to a job whose attempt is proven absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DoubtPolicy {
    /// Park it for a person: never pays twice, whatever the provider does.
    Strict,
    /// Send once more, bounded per job and per day: rests on the echo of the mark and on the lag of the
    /// list, which the account must have shown (`settle.evidence_…`).
    Balanced,
}

/// Section `pools.<pool>`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolSettings {
    /// Region, URLs, model ids and billing, inseparable.
    pub route: Route,
    /// Another base URL; only together with `simulated = true`.
    #[serde(default)]
    pub base_url: Option<String>,
    /// The pool talks to a simulator: marked in every output, never to be billed.
    #[serde(default)]
    pub simulated: bool,
    /// Defaults to `strict`, and to `balanced` for a simulated pool, whose list lag is known.
    #[serde(default)]
    pub policy: Option<DoubtPolicy>,
    /// Exact origins that may serve outputs and references although the guard would refuse them; simulated only.
    #[serde(default)]
    pub output_origins: Vec<String>,
    /// What may be bought on one day (UTC), in whole units of the route's currency; 0: no cap.
    #[serde(default)]
    pub buy_day_max: u32,
    /// What may be bought in all; 0: no cap.
    #[serde(default)]
    pub buy_total_max: u32,
    /// At least one.
    pub accounts: BTreeMap<String, AccountSettings>,
}

/// Section `pools.<pool>.accounts.<account>`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountSettings {
    /// File whose trimmed content is the API key. Read at every start, on SIGHUP, and by itself when its
    /// content changes.
    pub api_key_file: PathBuf,
    /// Quota table; `individual` unless said otherwise.
    #[serde(default = "individual")]
    pub tier: Tier,
    /// Overrides of the table.
    #[serde(default)]
    pub limits: LimitSettings,
}

/// Section `pools.<pool>.accounts.<account>.limits`.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitSettings {
    /// Per slot class: `"2.0"`, `"2.0-4k"`, `"2.0-fast"`, `"2.0-mini"`.
    #[serde(default)]
    pub classes: BTreeMap<SlotClass, ClassLimits>,
    /// Reads of single tasks a second.
    #[serde(default)]
    pub retrieve_qps: Option<u32>,
    /// List pages a second.
    #[serde(default)]
    pub list_qps: Option<u32>,
    /// Deletes a second.
    #[serde(default)]
    pub delete_qps: Option<u32>,
}

/// The two limits of one slot class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct ClassLimits {
    /// Create calls a minute.
    pub create_rpm: u32,
    /// Tasks running at once.
    pub running: u32,
}

fn individual() -> Tier {
    Tier::Individual
}

/// Reads of one account a second, as the provider documents them (`docs/provider.md` §8.1).
const RETRIEVE_QPS: u32 = 20;
const LIST_QPS: u32 = 1;
const DELETE_QPS: u32 = 20;

impl AccountSettings {
    /// The limits in force for one class: the tier's, unless overridden.
    #[must_use]
    pub fn class_limits(&self, class: SlotClass) -> ClassLimits {
        self.limits.classes.get(&class).copied().unwrap_or_else(|| {
            let quota = class.default_quota(self.tier);
            ClassLimits { create_rpm: quota.create_per_minute, running: quota.running }
        })
    }

    /// Reads of single tasks a second.
    #[must_use]
    pub fn retrieve_qps(&self) -> u32 {
        self.limits.retrieve_qps.unwrap_or(RETRIEVE_QPS)
    }

    /// List pages a second.
    #[must_use]
    pub fn list_qps(&self) -> u32 {
        self.limits.list_qps.unwrap_or(LIST_QPS)
    }

    /// Deletes a second.
    #[must_use]
    pub fn delete_qps(&self) -> u32 {
        self.limits.delete_qps.unwrap_or(DELETE_QPS)
    }
}

impl PoolSettings {
    /// What the pool may buy.
    #[must_use]
    pub const fn buy_caps(&self) -> crate::BuyCaps {
        crate::BuyCaps { day_max: self.buy_day_max, total_max: self.buy_total_max }
    }

    /// What the pool does with a proven absence.
    #[must_use]
    pub fn doubt_policy(&self) -> DoubtPolicy {
        self.policy.unwrap_or(if self.simulated {
            DoubtPolicy::Balanced
        } else {
            DoubtPolicy::Strict
        })
    }

    /// Where the route's API lives: an absolute URL without a trailing slash.
    #[must_use]
    pub fn base_url(&self) -> &str {
        self.base_url.as_deref().unwrap_or(self.route.base_url()).trim_end_matches('/')
    }

    /// What is wrong with the section, one sentence each, field first.
    #[must_use]
    pub fn faults(&self, pool: &str) -> Vec<String> {
        let mut faults = Vec::new();
        if pool == "fleet" {
            faults.push(
                "pools.fleet: keys of the whole fleet in Redis stand under this name; choose another"
                    .to_owned(),
            );
        }
        if self.base_url.is_some() && !self.simulated {
            faults.push(format!(
                "pools.{pool}.base_url: another base URL is allowed only with `simulated = true`; \
                 remove it to use the route's own"
            ));
        }
        if !self.output_origins.is_empty() && !self.simulated {
            faults.push(format!(
                "pools.{pool}.output_origins: allowed only with `simulated = true`; remove it"
            ));
        }
        if self.accounts.is_empty() {
            faults.push(format!(
                "pools.{pool}.accounts: at least one account is needed; add \
                 [pools.{pool}.accounts.<name>] with `api_key_file`"
            ));
        }
        for (name, account) in &self.accounts {
            for (class, limits) in &account.limits.classes {
                if limits.create_rpm == 0 || limits.running == 0 {
                    faults.push(format!(
                        "pools.{pool}.accounts.{name}.limits.classes.\"{}\": create_rpm and \
                         running must be at least 1",
                        class.word()
                    ));
                }
            }
        }
        faults
    }
}
