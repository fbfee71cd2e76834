//! What a key accepts, read from the `Allowed:` words of its comment.
//!
//! Grammar of the first clause: a kind (`duration`, `count`, `bytes`, `seconds`, `ratio`, `true or
//! false`, `list`, anything else is text), then bounds, each after a comma or `and`: `A to B`,
//! `at least A`, `above A`, `at most B`, `below B`. A bound is a literal, a key in backticks,
//! `half of` or `twice` such a key, or a key `plus` a literal. Parentheses and whatever follows
//! `;` or the first full stop is prose for people.

use crate::key::Key;
use crate::mask::as_toml;
use config::ValueKind;
use humantime_serde::re::humantime;

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    List,
    Bool,
    Integer,
    Ratio,
    Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    AtLeast,
    Above,
    AtMost,
    Below,
}

/// A number, or another key's value scaled and shifted. Durations count in seconds.
#[derive(Debug, Clone, PartialEq)]
struct Operand {
    key: Option<Key>,
    times: f64,
    plus: f64,
}

#[derive(Debug, Clone, PartialEq)]
struct Bound {
    side: Side,
    operand: Operand,
    words: String,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rule {
    pub(crate) kind: Kind,
    bounds: Vec<Bound>,
}

impl Rule {
    /// Never fails: what is not understood bounds nothing. A test holds every number to two bounds.
    pub(crate) fn from_allowed(allowed: &str) -> Self {
        let clause = enforced_part(allowed);
        let kind = kind_of(&clause);
        let bounds = clause
            .split(", ")
            .flat_map(|part| part.split(" and "))
            .flat_map(|part| bounds_of(part.trim(), kind))
            .collect();
        Self { kind, bounds }
    }

    /// Lower and upper bounds in force.
    #[cfg(test)]
    pub(crate) fn bound_counts(&self) -> (usize, usize) {
        let lower = |b: &&Bound| matches!(b.side, Side::AtLeast | Side::Above);
        let lowers = self.bounds.iter().filter(lower).count();
        (lowers, self.bounds.len() - lowers)
    }

    /// Keys the bounds refer to.
    #[cfg(test)]
    pub(crate) fn referred(&self) -> impl Iterator<Item = &Key> {
        self.bounds.iter().filter_map(|b| b.operand.key.as_ref())
    }

    /// What `value` breaks, in words; `lookup` answers with another key's value.
    pub(crate) fn broken_by<'a>(
        &self,
        value: &ValueKind,
        lookup: impl Fn(&Key) -> Option<&'a ValueKind>,
    ) -> Option<String> {
        let number = number_in(self.kind, value)?;
        self.bounds.iter().find_map(|bound| {
            let (limit, named) = match &bound.operand.key {
                None => (bound.operand.plus, String::new()),
                Some(key) => {
                    let other = lookup(key)?;
                    let base = number_in(self.kind, other)?;
                    let limit = base * bound.operand.times + bound.operand.plus;
                    (limit, format!(", which is {}", as_toml(other)))
                }
            };
            let holds = match bound.side {
                Side::AtLeast => number >= limit,
                Side::Above => number > limit,
                Side::AtMost => number <= limit,
                Side::Below => number < limit,
            };
            (!holds).then(|| format!("{} is not {}{named}", as_toml(value), bound.words))
        })
    }
}

/// The first sentence up to `;`, without parentheses. A dot inside a number ends no sentence.
fn enforced_part(allowed: &str) -> String {
    let mut depth = 0_usize;
    let mut plain = String::new();
    for c in allowed.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            other if depth == 0 => plain.push(other),
            _ => {}
        }
    }
    let end = plain
        .char_indices()
        .find(|&(at, c)| {
            let rest = &plain[at + c.len_utf8()..];
            c == ';' || (c == '.' && (rest.is_empty() || rest.starts_with(' ')))
        })
        .map_or(plain.len(), |(at, _)| at);
    plain[..end].split_whitespace().collect::<Vec<_>>().join(" ")
}

fn kind_of(clause: &str) -> Kind {
    if clause.starts_with("true or false") {
        return Kind::Bool;
    }
    match clause.split([' ', ',']).next().unwrap_or_default() {
        "duration" => Kind::Duration,
        "count" | "bytes" | "seconds" => Kind::Integer,
        "ratio" => Kind::Ratio,
        "list" => Kind::List,
        _ => Kind::Text,
    }
}

fn bounds_of(part: &str, kind: Kind) -> Vec<Bound> {
    let one = |side, words: &str, operand: &str| {
        let words = words.to_owned();
        operand_of(operand, kind).map(|operand| Bound { side, operand, words })
    };
    if let Some((low, high)) = part.split_once(" to ") {
        let lower = one(Side::AtLeast, &format!("at least {low}"), low);
        let upper = one(Side::AtMost, &format!("at most {high}"), high);
        return lower.into_iter().chain(upper).collect();
    }
    [
        ("at least ", Side::AtLeast),
        ("above ", Side::Above),
        ("at most ", Side::AtMost),
        ("below ", Side::Below),
    ]
    .into_iter()
    .filter_map(|(prefix, side)| one(side, part, part.strip_prefix(prefix)?))
    .collect()
}

fn operand_of(words: &str, kind: Kind) -> Option<Operand> {
    let literal = |text: &str| match kind {
        Kind::Duration => humantime::parse_duration(text).ok().map(|d| d.as_secs_f64()),
        Kind::Integer | Kind::Ratio => text.parse().ok(),
        Kind::Text | Kind::List | Kind::Bool => None,
    };
    if let Some(fixed) = literal(words) {
        return Some(Operand { key: None, times: 1.0, plus: fixed });
    }
    let (words, times) = if let Some(rest) = words.strip_prefix("half of ") {
        (rest, 0.5)
    } else if let Some(rest) = words.strip_prefix("twice ") {
        (rest, 2.0)
    } else {
        (words, 1.0)
    };
    let (name, rest) = words.strip_prefix('`')?.split_once('`')?;
    let plus = match rest.strip_prefix(" plus ") {
        Some(text) => literal(text)?,
        None => 0.0,
    };
    Some(Operand { key: Some(Key::from_dotted(name)), times, plus })
}

/// The value as a number to compare; `None` where a kind has no order.
fn number_in(kind: Kind, value: &ValueKind) -> Option<f64> {
    match (kind, value) {
        (Kind::Duration, ValueKind::String(text)) => {
            humantime::parse_duration(text).ok().map(|d| d.as_secs_f64())
        }
        // Our integers stay far below 2^53, where f64 would begin to round.
        (Kind::Integer, ValueKind::I64(n)) => Some(*n as f64),
        (Kind::Ratio, ValueKind::Float(n)) => Some(*n),
        _ => None,
    }
}

/// A value from a file, if its type fits. Whole numbers serve as ratios.
pub(crate) fn accept(kind: Kind, value: ValueKind) -> Result<ValueKind, String> {
    match (kind, value) {
        (Kind::Text, ValueKind::String(text)) => Ok(ValueKind::String(text)),
        (Kind::Bool, ValueKind::Boolean(flag)) => Ok(ValueKind::Boolean(flag)),
        (Kind::Integer, ValueKind::I64(n)) => Ok(ValueKind::I64(n)),
        (Kind::Ratio, ValueKind::I64(n)) => Ok(ValueKind::Float(n as f64)),
        (Kind::Ratio, ValueKind::Float(n)) if n.is_finite() => Ok(ValueKind::Float(n)),
        (Kind::Duration, ValueKind::String(text)) => match humantime::parse_duration(&text) {
            Ok(_) => Ok(ValueKind::String(text)),
            Err(_) => Err("it is no duration such as \"30s\"".to_owned()),
        },
        (Kind::List, ValueKind::Array(items)) if items.iter().all(is_text) => {
            Ok(ValueKind::Array(items))
        }
        (Kind::List, ValueKind::Array(_)) => {
            Err("the list holds something else than texts".to_owned())
        }
        (wanted, other) => {
            Err(format!("a {} where {} belongs", as_toml(&other).type_str(), wanted.words()))
        }
    }
}

fn is_text(item: &config::Value) -> bool {
    matches!(item.kind, ValueKind::String(_))
}

/// A value from the environment, a file named there, or a flag.
pub(crate) fn parse(kind: Kind, text: &str) -> Result<ValueKind, String> {
    match kind {
        Kind::Text | Kind::Duration => accept(kind, ValueKind::String(text.to_owned())),
        Kind::Bool => match text {
            "true" => Ok(ValueKind::Boolean(true)),
            "false" => Ok(ValueKind::Boolean(false)),
            _ => Err("it is neither true nor false".to_owned()),
        },
        Kind::Integer => text
            .replace('_', "")
            .parse()
            .map(ValueKind::I64)
            .map_err(|_| "it is no whole number".to_owned()),
        Kind::Ratio => match text.parse::<f64>() {
            Ok(n) => accept(kind, ValueKind::Float(n)).map_err(|_| "it is no number".to_owned()),
            Err(_) => Err("it is no number".to_owned()),
        },
        Kind::List if text.starts_with('[') => serde_json::from_str::<Vec<String>>(text)
            .map(ValueKind::from)
            .map_err(|_| "it is no JSON list of texts".to_owned()),
        Kind::List => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Ok(ValueKind::from(items.collect::<Vec<_>>()))
        }
    }
}

impl Kind {
    fn words(self) -> &'static str {
        match self {
            Self::Text => "a text in quotes",
            Self::List => "a list of texts",
            Self::Bool => "true or false",
            Self::Integer => "a whole number",
            Self::Ratio => "a number",
            Self::Duration => "a duration in quotes, such as \"30s\",",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(allowed: &str, value: ValueKind) -> Option<String> {
        Rule::from_allowed(allowed).broken_by(&value, |_| None)
    }

    fn duration(text: &str) -> ValueKind {
        ValueKind::String(text.to_owned())
    }

    #[test]
    fn ranges_hold_at_their_ends_and_break_beyond() {
        let allowed = "duration, 100ms to 5m. Longer is folly.";
        assert_eq!(broken(allowed, duration("100ms")), None);
        assert_eq!(broken(allowed, duration("5m")), None);
        assert!(broken(allowed, duration("99ms")).is_some());
        assert!(broken(allowed, duration("301s")).is_some());
        let allowed = "bytes, 5 (a, b. c) to 10 (ten); more words, at most 1.";
        assert_eq!(broken(allowed, ValueKind::I64(10)), None);
        assert!(broken(allowed, ValueKind::I64(11)).is_some());
        let allowed = "ratio, above 0 and at most 0.5.";
        assert!(broken(allowed, ValueKind::Float(0.0)).is_some());
        assert_eq!(broken(allowed, ValueKind::Float(0.5)), None);
        assert!(broken(allowed, ValueKind::Float(0.51)).is_some());
    }

    #[test]
    fn bounds_may_name_other_keys() {
        let other = duration("10s");
        let look = |key: &Key| (key.to_string() == "a.b").then_some(&other);
        let rule = Rule::from_allowed("duration, 1s to half of `a.b`, at least `a.b` plus 1s");
        assert_eq!(rule.bound_counts(), (2, 1));
        let told = rule.broken_by(&duration("6s"), look).expect("6s is more than half of 10s");
        assert_eq!(told, "\"6s\" is not at most half of `a.b`, which is \"10s\"");
        let rule = Rule::from_allowed("duration, at least twice `a.b`");
        assert!(rule.broken_by(&duration("19s"), look).is_some());
        assert_eq!(rule.broken_by(&duration("20s"), look), None);
    }

    #[test]
    fn texts_become_typed_values() {
        assert_eq!(parse(Kind::Integer, "8_388_608"), Ok(ValueKind::I64(8_388_608)));
        assert_eq!(parse(Kind::Ratio, "1"), Ok(ValueKind::Float(1.0)));
        assert_eq!(parse(Kind::Bool, "true"), Ok(ValueKind::Boolean(true)));
        let both = ValueKind::from(vec!["a", "b"]);
        assert_eq!(parse(Kind::List, "a, b"), Ok(both.clone()));
        assert_eq!(parse(Kind::List, r#"["a","b"]"#), Ok(both));
        assert_eq!(parse(Kind::List, ""), Ok(ValueKind::Array(vec![])));
        for (kind, text) in [
            (Kind::Integer, "1.5"),
            (Kind::Ratio, "NaN"),
            (Kind::Bool, "yes"),
            (Kind::Duration, "30"),
            (Kind::List, "[1]"),
        ] {
            assert!(parse(kind, text).is_err(), "{kind:?} took {text}");
        }
    }
}
