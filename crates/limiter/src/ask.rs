//! Limits that a person wants to change while the fleet runs: what may be wanted, judged before it is written.
//!
//! The configuration says what the provider allows, so it is the ceiling. Below it everything is a person's to
//! choose; above it nothing is taken: what the provider has raised is written down once, where every process
//! reads it at its start.

use job::{AccountSettings, PoolSettings, REASON_CHARS_MAX};
use seedance::{Fault, SlotClass};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;
use store::{Limit, LimitChange};

/// Least calls a second: one in ten seconds. Whoever waits for a turn keeps a lease meanwhile.
const QPS_MIN: f64 = 0.1;
/// Longest time for which a limit may be set with an end.
const FOR_MAX: Duration = Duration::from_secs(366 * 86_400);

/// What of section `submit` bounds an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Feed {
    /// Tasks an account is fed beyond what it runs at once.
    pub lookahead: u32,
}

/// What the configuration allows, and the key that says so.
fn ceiling(
    limit: Limit,
    (name, account): (&str, &AccountSettings),
    lookahead: u32,
    class: SlotClass,
) -> (u32, String) {
    let limits = account.class_limits(class);
    let key = |key: &str| format!("accounts.{name}.limits.{key}");
    let of_class = |what: &str| key(&format!("classes.\"{}\".{what}", class.word()));
    match limit {
        Limit::CreateRpm => (limits.create_rpm, of_class("create_rpm")),
        Limit::Running => (limits.running, of_class("running")),
        Limit::Lookahead => (lookahead, "submit.lookahead".to_owned()),
        Limit::RetrieveQps => (account.retrieve_qps(), key("retrieve_qps")),
        Limit::ListQps => (account.list_qps(), key("list_qps")),
        Limit::DeleteQps => (account.delete_qps(), key("delete_qps")),
    }
}

/// The least that may be set. Nothing running is a wish that makes sense.
const fn least(limit: Limit) -> f64 {
    match limit {
        Limit::CreateRpm => 1.0,
        Limit::Running | Limit::Lookahead => 0.0,
        Limit::RetrieveQps | Limit::ListQps | Limit::DeleteQps => QPS_MIN,
    }
}

/// What a person wants of an account.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wanted {
    /// Which account.
    pub account: String,
    /// Which class, for limits of a class.
    pub class: Option<SlotClass>,
    /// The limits from here on.
    pub limits: BTreeMap<Limit, f64>,
    /// For how long; none: until they are taken back.
    pub lasts: Option<Duration>,
}

fn account_fault(pool: &PoolSettings, name: &str) -> Fault {
    let known = pool.accounts.keys().cloned().collect::<Vec<_>>().join(", ");
    let what = format!("no account is called {:?}", name.chars().take(64).collect::<String>());
    Fault::new("/account", "value-not-allowed", what, "name one of the pool's").allowing(known)
}

fn class_fault(limit: Limit) -> Fault {
    let what = format!("{} is a limit of a class, and no class is named", limit.word());
    let known = SlotClass::ALL.map(SlotClass::word).join(", ");
    Fault::new("/class", "missing-field", what, "name the class").allowing(known)
}

/// The changes that a wish comes to.
///
/// # Errors
///
/// Every fault at once: which field, what is allowed, what to do.
pub fn judge(
    pool: &PoolSettings,
    lookahead: u32,
    wanted: &Wanted,
) -> Result<Vec<LimitChange>, Vec<Fault>> {
    let Some(account) = pool.accounts.get(&wanted.account) else {
        return Err(vec![account_fault(pool, &wanted.account)]);
    };
    let (mut changes, mut faults) = (Vec::new(), Vec::new());
    if wanted.limits.is_empty() {
        let known = Limit::ALL.map(Limit::word).join(", ");
        let what = "no limit is named";
        faults.push(Fault::new("", "missing-field", what, "name at least one").allowing(known));
    }
    if wanted.lasts.is_some_and(|lasts| lasts.is_zero() || lasts > FOR_MAX) {
        let what = "the time is too short or too long";
        let fault = Fault::new("/for_s", "out-of-range", what, "choose another, or leave it out");
        faults.push(fault.allowing(format!("1 to {} seconds", FOR_MAX.as_secs())));
    }
    for (limit, value) in &wanted.limits {
        let Some((row, kind)) = limit.place(wanted.class) else {
            faults.push(class_fault(*limit));
            continue;
        };
        let class = wanted.class.unwrap_or(SlotClass::V20);
        let (most, key) = ceiling(*limit, (&wanted.account, account), lookahead, class);
        match fitting(*limit, *value, most) {
            Some(value) => changes.push(LimitChange {
                account: wanted.account.clone(),
                row,
                kind,
                value: Some(value),
            }),
            None => faults.push(range_fault(*limit, *value, most, &key)),
        }
    }
    if faults.is_empty() { Ok(changes) } else { Err(faults) }
}

/// The value as it is stored, if it is in range: calls in thousandths.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range by then")]
fn fitting(limit: Limit, value: f64, most: u32) -> Option<u64> {
    let in_range = value >= least(limit) && value <= f64::from(most);
    let fits = in_range && (!limit.is_of_a_class() || value.fract() == 0.0);
    let thousandths = match limit {
        Limit::Running | Limit::Lookahead => 1.0,
        Limit::CreateRpm | Limit::RetrieveQps | Limit::ListQps | Limit::DeleteQps => 1_000.0,
    };
    fits.then(|| (value * thousandths).round() as u64)
}

fn range_fault(limit: Limit, value: f64, most: u32, key: &str) -> Fault {
    let (word, least) = (limit.word(), least(limit));
    let whole = if limit.is_of_a_class() { "whole, " } else { "" };
    let pointer = format!("/{word}");
    let (what, fix) = if value > f64::from(most) {
        let what = format!("{value} is more than the {most} that the configuration allows");
        (what, format!("if the provider allows more, raise {key} in the configuration first"))
    } else {
        (format!("{value} cannot be set"), "choose a value in range".to_owned())
    };
    Fault::new(pointer, "out-of-range", what, fix).allowing(format!("{whole}{least} to {most}"))
}

/// The changes by which limits are as configured again: those named, or all of the account, or of one class.
///
/// # Errors
///
/// As [`judge`].
pub fn taken_back(
    pool: &PoolSettings,
    account: &str,
    class: Option<SlotClass>,
    limits: &[Limit],
) -> Result<Vec<LimitChange>, Vec<Fault>> {
    if !pool.accounts.contains_key(account) {
        return Err(vec![account_fault(pool, account)]);
    }
    let named = |limit: Limit| limits.is_empty() || limits.contains(&limit);
    let classes: Vec<SlotClass> = class.map_or_else(|| SlotClass::ALL.to_vec(), |one| vec![one]);
    let mut changes = Vec::new();
    for limit in Limit::ALL.into_iter().filter(|limit| named(*limit)) {
        let places: Vec<_> = if limit.is_of_a_class() {
            classes.iter().filter_map(|class| limit.place(Some(*class))).collect()
        } else if class.is_none() || !limits.is_empty() {
            limit.place(None).into_iter().collect()
        } else {
            Vec::new()
        };
        changes.extend(places.into_iter().map(|(row, kind)| LimitChange {
            account: account.to_owned(),
            row,
            kind,
            value: None,
        }));
    }
    Ok(changes)
}

/// A reason that says something and fits.
///
/// # Errors
///
/// What is wrong with it.
pub fn reason(text: &str) -> Result<&str, Fault> {
    job::reason(text).ok_or_else(|| {
        let what = "a reason is needed: it stays in the audit";
        let allowed = format!("1 to {REASON_CHARS_MAX} characters on one line");
        Fault::new("/reason", "out-of-range", what, "write why").allowing(allowed)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use job::{ClassLimits, LimitSettings};
    use seedance::{Route, Tier};

    fn pool() -> PoolSettings {
        let limits = ClassLimits { create_rpm: 600, running: 10 };
        let account = AccountSettings {
            api_key_file: "unused".into(),
            tier: Tier::Enterprise,
            limits: LimitSettings {
                classes: BTreeMap::from([(SlotClass::V20, limits)]),
                ..LimitSettings::default()
            },
        };
        PoolSettings {
            route: Route::Byteplus,
            base_url: None,
            simulated: true,
            policy: None,
            output_origins: Vec::new(),
            buy_day_max: 0,
            buy_total_max: 0,
            accounts: BTreeMap::from([("a".to_owned(), account)]),
        }
    }

    fn wanted(limits: &[(Limit, f64)]) -> Wanted {
        Wanted {
            account: "a".into(),
            class: Some(SlotClass::V20),
            limits: limits.iter().copied().collect(),
            lasts: None,
        }
    }

    #[test]
    fn what_is_below_the_configuration_is_taken_and_what_is_above_is_refused_with_the_cure() {
        let judged = |limits: &[(Limit, f64)]| judge(&pool(), 2, &wanted(limits));
        let taken = judged(&[
            (Limit::CreateRpm, 600.0),
            (Limit::Running, 0.0),
            (Limit::Lookahead, 1.0),
            (Limit::ListQps, 0.25),
        ]);
        let values: Vec<_> = taken.expect("in range").into_iter().map(|c| c.value).collect();
        assert_eq!(values, [Some(600_000), Some(0), Some(1), Some(250)]);
        let wrong = [
            (Limit::CreateRpm, 601.0),
            (Limit::Running, 2.5),
            (Limit::Lookahead, 3.0),
            (Limit::RetrieveQps, 0.01),
            (Limit::DeleteQps, f64::NAN),
        ];
        let faults = judged(&wrong).expect_err("out of range");
        assert_eq!(faults.len(), wrong.len(), "each is told: {faults:?}");
        let said = faults[0].to_string();
        for words in ["/create_rpm", "601", "whole, 1 to 600", "accounts.a.limits.classes.\"2.0\""]
        {
            assert!(said.contains(words), "{said}");
        }
    }

    #[test]
    fn account_class_and_length_of_time_are_looked_at() {
        let codes = |wanted: &Wanted| {
            let faults = judge(&pool(), 2, wanted).expect_err("a fault");
            faults.into_iter().map(|fault| fault.pointer).collect::<Vec<_>>()
        };
        let rpm = wanted(&[(Limit::CreateRpm, 5.0)]);
        assert_eq!(codes(&Wanted { account: "b".into(), ..rpm.clone() }), ["/account"]);
        assert_eq!(codes(&Wanted { class: None, ..rpm.clone() }), ["/class"]);
        assert_eq!(codes(&Wanted { lasts: Some(Duration::ZERO), ..rpm }), ["/for_s"]);
        assert_eq!(codes(&wanted(&[])), [""]);
        let reads = Wanted { class: None, ..wanted(&[(Limit::RetrieveQps, 1.0)]) };
        assert_eq!(judge(&pool(), 2, &reads).map(|changes| changes.len()), Ok(1));
    }

    #[test]
    fn what_is_taken_back_is_what_was_named() {
        let back = |class, limits: &[Limit]| taken_back(&pool(), "a", class, limits).unwrap().len();
        assert_eq!(back(None, &[]), 4 * 3 + 3);
        assert_eq!(back(Some(SlotClass::V20), &[]), 3);
        assert_eq!(back(Some(SlotClass::V20), &[Limit::Running, Limit::ListQps]), 2);
        assert!(taken_back(&pool(), "b", None, &[]).is_err());
    }

    #[test]
    fn a_reason_says_something_on_one_line() {
        assert!(reason(" ").is_err() && reason("a\nb").is_err());
        assert_eq!(reason(" less "), Ok("less"));
    }
}
