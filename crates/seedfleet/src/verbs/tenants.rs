//! `tenants`: who uses the fleet, what each may take and what it has.

use crate::cli::{Global, TenantsVerb};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Row, Rows};
use crate::session::{Session, pools};
use job::PoolSettings;
use job::StateWord;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use store::{DayUsage, IN_FLIGHT, KnownKey, Purse, Store, WAITING};

const COLUMNS: &[&str] = &[
    "tenant",
    "keys",
    "waiting",
    "queued_max",
    "in_flight",
    "in_flight_max",
    "spent_today",
    "spend_day_max",
    "weight",
    "rpm",
];
const DAY_MS: i64 = 86_400_000;

/// Runs the verb.
pub(crate) async fn run(global: &Global, verb: TenantsVerb) -> Outcome {
    let session = Session::open(global).await?;
    let keys = session.store.fleet().api_keys().await?;
    match verb {
        TenantsVerb::List => {
            let mut rows = Rows::new(&global.output, COLUMNS);
            for tenant in names(&session, &keys).await? {
                rows.add(row(&session.store, &tenant, &keys).await?)?;
            }
            rows.end()?;
        }
        TenantsVerb::Show { tenant } => {
            if !names(&session, &keys).await?.contains(&tenant) {
                let what =
                    format!("no tenant is called {tenant:?} in pool {}", session.store.pool());
                let hint = "`seedfleet tenants list` shows those there are";
                return Err(Failure::new(Exit::NotFound, what).hint(hint));
            }
            output::object(&global.output, shown(&session, &tenant, &keys).await?)?;
        }
    }
    Ok(Exit::Done)
}

/// Configured, with a key, or with a job at some time.
async fn names(session: &Session, keys: &[KnownKey]) -> Result<BTreeSet<String>, Failure> {
    let settings = admission::Settings::from_loaded(&session.loaded)?;
    let mut names: BTreeSet<String> = session.store.tenants().await?.into_keys().collect();
    names.extend(settings.tenants.into_keys());
    let spoken_for = keys.iter().map(|known| &known.key.spec.tenant);
    names.extend(spoken_for.filter(|name| *name != access::ANY_TENANT).cloned());
    Ok(names)
}

async fn row(store: &Store, tenant: &str, keys: &[KnownKey]) -> Result<Row, Failure> {
    let caps = store.caps_of(tenant);
    let counts = store.tenant_counts(tenant).await?;
    let sum = |words: &[StateWord]| -> u64 {
        words.iter().map(|word| counts.get(word).copied().unwrap_or(0)).sum()
    };
    let live = keys.iter().filter(|known| known.key.spec.tenant == tenant && known.is_live());
    let today = store.now().await?.unix_ms().div_euclid(DAY_MS);
    let days = store.usage_days(tenant).await?;
    let purse = store.purses(&[Purse::Tenant(tenant.to_owned())]).await?.pop();
    let purse = purse.unwrap_or_default();
    let spent = days.get(&today).copied().unwrap_or_default();
    Ok(Row::from_iter([
        ("tenant".to_owned(), json!(tenant)),
        ("keys".to_owned(), json!(live.count())),
        ("waiting".to_owned(), json!(sum(&WAITING))),
        ("queued_max".to_owned(), cap(u64::from(caps.queued_max))),
        ("in_flight".to_owned(), json!(sum(&IN_FLIGHT))),
        ("in_flight_max".to_owned(), cap(u64::from(caps.in_flight_max))),
        ("spent_today".to_owned(), json!(money(spent))),
        ("spend_day_max".to_owned(), cap(u64::from(caps.spend_day_max))),
        ("bought_today".to_owned(), json!(admission::Money(purse.day.spent_micros).to_string())),
        ("buy_day_max".to_owned(), cap(u64::from(caps.buy_day_max))),
        ("bought_total".to_owned(), json!(admission::Money(purse.total.spent_micros).to_string())),
        ("buy_total_max".to_owned(), cap(u64::from(caps.buy_total_max))),
        ("held_for_budget".to_owned(), json!(purse.held)),
        ("weight".to_owned(), json!(caps.weight.max(1))),
        ("rpm".to_owned(), cap(u64::from(caps.rpm))),
        ("media_bytes_day_max".to_owned(), cap(caps.media_bytes_day_max)),
    ]))
}

async fn shown(session: &Session, tenant: &str, keys: &[KnownKey]) -> Result<Row, Failure> {
    let store = &session.store;
    let settings = admission::Settings::from_loaded(&session.loaded)?;
    let pools = pools(&session.loaded)?;
    let mut row = row(store, tenant, keys).await?;
    for mode in access::Mode::ALL {
        let bound = settings.pool_for(tenant, Some(mode), &simulated(&pools));
        row.insert(format!("{mode}_pool"), json!(bound.ok()));
    }
    let counts = store.tenant_counts(tenant).await?;
    let states: BTreeMap<&str, u64> = counts.iter().map(|(word, n)| (word.as_str(), *n)).collect();
    row.insert("states".to_owned(), json!(states));
    let days: BTreeMap<String, String> = store
        .usage_days(tenant)
        .await?
        .into_iter()
        .map(|(day, usage)| (seedance::Day::from_unix_s(day * 86_400).to_string(), money(usage)))
        .collect();
    row.insert("days".to_owned(), json!(days));
    row.insert("currency".to_owned(), json!(session.pool.route.currency().to_string()));
    let own = keys.iter().filter(|known| known.key.spec.tenant == tenant);
    row.insert(
        "api_keys".to_owned(),
        own.map(|known| Value::Object(super::keys::row(known))).collect(),
    );
    Ok(row)
}

/// Which pools are simulated.
pub(crate) fn simulated(pools: &BTreeMap<String, PoolSettings>) -> BTreeMap<String, bool> {
    pools.iter().map(|(name, pool)| (name.clone(), pool.simulated)).collect()
}

/// A cap; nothing where there is none.
fn cap(max: u64) -> Value {
    if max == 0 { Value::Null } else { json!(max) }
}

fn money(usage: DayUsage) -> String {
    admission::Money(usage.micros).to_string()
}
