//! Money as people read it.

use store::Spent;

/// Cents are enough for people; a part of one counts as a whole one.
pub(super) fn written(currency: &str, micros: u64) -> String {
    let cents = micros.div_ceil(10_000);
    format!("{} {}.{:02}", currency.to_uppercase(), cents / 100, cents % 100)
}

pub(super) fn of_cost(cost: &seedance::Cost) -> String {
    written(&cost.currency.to_string(), cost.micros)
}

/// Nothing where nothing was spent.
pub(super) fn of_spent(spent: &Spent) -> Option<String> {
    let each = spent.micros.iter().filter(|(_, micros)| **micros > 0);
    let each: Vec<String> = each.map(|(currency, micros)| written(currency, *micros)).collect();
    (!each.is_empty()).then(|| each.join(" + "))
}

/// What one of so many cost on average.
pub(super) fn of_each(spent: &Spent, n: u64) -> Option<String> {
    let each = |micros: &u64| micros.checked_div(n);
    let shares =
        spent.micros.iter().map(|(currency, micros)| Some((currency.clone(), each(micros)?)));
    of_spent(&Spent { tokens: 0, micros: shares.collect::<Option<_>>()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn sums_are_told_in_cents_and_by_currency() {
        let spent = |sums: &[(&str, u64)]| {
            let micros: BTreeMap<String, u64> =
                sums.iter().map(|(currency, n)| ((*currency).to_owned(), *n)).collect();
            Spent { tokens: 0, micros }
        };
        let usd = spent(&[("usd", 1_234_500)]);
        assert_eq!(of_spent(&usd).as_deref(), Some("USD 1.24"));
        assert_eq!(of_each(&usd, 3).as_deref(), Some("USD 0.42"));
        assert_eq!(of_each(&usd, 0), None);
        assert_eq!(of_spent(&spent(&[("usd", 0)])), None);
        let both = spent(&[("cny", 70_000), ("usd", 20_000)]);
        assert_eq!(of_spent(&both).as_deref(), Some("CNY 0.07 + USD 0.02"));
    }
}
