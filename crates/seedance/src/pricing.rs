//! What tokens cost: the price table, by route, model, resolution, input and day (§9).
//!
//! Prices are data (`config/pricing.toml`) because they change. Money is counted in millionths of
//! the route's currency, as integers. A price that is not in the table is an error, never a guess.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use serde::{Deserialize, Deserializer, Serialize};

use crate::calendar::{DAY_S, date_from_days, days_from_date, digits};
use crate::{ModelKey, Request, Resolution, Route};

/// The currency a route bills in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Currency {
    /// US dollars
    #[serde(rename = "USD")]
    Usd,
    /// Chinese yuan
    #[serde(rename = "CNY")]
    Cny,
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Currency::Usd => "USD",
            Currency::Cny => "CNY",
        })
    }
}

/// A calendar day in UTC, written `2026-11-22`. The caller brings the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Day {
    days_since_1970: i64,
}

impl Day {
    /// The day that holds this instant.
    pub fn from_unix_s(unix_s: i64) -> Day {
        // Four-digit years only, so that text and value are one to one.
        let last = days_from_date(9999, 12, 31).unwrap_or(i64::MAX);
        Day { days_since_1970: unix_s.div_euclid(DAY_S).clamp(0, last) }
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = date_from_days(self.days_since_1970);
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

impl FromStr for Day {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split('-');
        let mut part = |len| digits(parts.next().filter(|part| part.len() == len));
        let date = (part(4), part(2), part(2));
        let days = match date {
            (Some(year), Some(month), Some(day)) if parts.next().is_none() => {
                days_from_date(year, month, day)
            }
            _ => None,
        };
        days.map(|days_since_1970| Day { days_since_1970 })
            .ok_or_else(|| format!("{text:?} is not a day; write it like 2026-11-22"))
    }
}

impl From<Day> for String {
    fn from(day: Day) -> String {
        day.to_string()
    }
}

impl TryFrom<String> for Day {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// An amount of money with the price it was reckoned at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// The route's currency.
    pub currency: Currency,
    /// Millionths of the currency, rounded up.
    pub micros: u64,
    /// Since when the price stands: the price version a job freezes (M3).
    pub effective_from: Day,
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}.{:06}", self.currency, self.micros / 1_000_000, self.micros % 1_000_000)
    }
}

/// No price is known, so nothing may be reckoned or reserved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "no price for {model} at {resolution} {} video input on {route} on {day}; add it to pricing.toml",
    if *.video_input { "with" } else { "without" }
)]
pub struct UnknownPrice {
    /// The route asked about.
    pub route: Route,
    /// The model asked about.
    pub model: ModelKey,
    /// The resolution asked about.
    pub resolution: Resolution,
    /// Whether a reference video goes in.
    pub video_input: bool,
    /// The day asked about.
    pub day: Day,
}

/// A price file that cannot be used. Refuse to start with it.
#[derive(Debug, thiserror::Error)]
pub enum PricingError {
    /// Not TOML, or not a list of `[[price]]`.
    #[error("it is no price table: {0}")]
    Form(#[from] toml::de::Error),
    /// An unknown or missing field, or a value of the wrong form; the error names the field.
    #[error("row {row}: {error}")]
    Row {
        /// The n-th `[[price]]`, from 1.
        row: usize,
        /// What is wrong.
        error: toml::de::Error,
    },
    /// Two prices for one thing on one day.
    #[error(
        "row {row}: effective_from: there is a price for {model} at {resolution} on {route} from {effective_from} already"
    )]
    Twice {
        /// The n-th `[[price]]`, from 1.
        row: usize,
        /// Of this route.
        route: Route,
        /// Of this model.
        model: ModelKey,
        /// At this resolution.
        resolution: Resolution,
        /// From this day on.
        effective_from: Day,
    },
    /// A currency its route does not bill in.
    #[error("row {row}: currency: {route} bills in {}, not in {currency}", .route.currency())]
    Currency {
        /// The n-th `[[price]]`, from 1.
        row: usize,
        /// The route of the row.
        route: Route,
        /// The currency of the row.
        currency: Currency,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    price: Vec<toml::Table>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    effective_from: Day,
    route: Route,
    currency: Currency,
    model: ModelKey,
    resolutions: Vec<Resolution>,
    /// Micros per million tokens, which is also micro-micros per token.
    #[serde(default, deserialize_with = "optional_micros")]
    per_million_tokens: Option<u64>,
    #[serde(default, deserialize_with = "optional_micros")]
    per_million_tokens_with_video: Option<u64>,
}

fn optional_micros<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let text = String::deserialize(deserializer)?;
    micros(&text).map(Some).ok_or_else(|| {
        serde::de::Error::custom(format!("{text:?} is not an amount; write it like \"7.0\""))
    })
}

/// A decimal amount such as `12.5` as millionths, exactly; none where it is not one.
#[must_use]
pub fn micros(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if fraction.len() > 6 {
        return None;
    }
    let whole = u64::try_from(digits(Some(whole))?).ok()?;
    let fraction = u64::try_from(digits(Some(&format!("{fraction:0<6}")))?).ok()?;
    whole.checked_mul(1_000_000)?.checked_add(fraction)
}

/// The table that this process reckons with, where it is not the one that ships.
static OWN: OnceLock<PriceTable> = OnceLock::new();

/// All prices we know, of all days.
#[derive(Debug)]
pub struct PriceTable {
    rows: Vec<Row>,
}

impl PriceTable {
    /// The table that ships with the program.
    pub fn builtin() -> &'static PriceTable {
        static TABLE: OnceLock<PriceTable> = OnceLock::new();
        TABLE.get_or_init(|| {
            PriceTable::parse(include_str!("../../../config/pricing.toml"))
                .expect("the embedded price table is tested")
        })
    }

    /// The table that this process reckons with: the operator's own, or the one that ships.
    pub fn in_force() -> &'static PriceTable {
        OWN.get().unwrap_or_else(PriceTable::builtin)
    }

    /// Reckons with this table from here on, once for the life of a process, at its start. Tells whether it does;
    /// another one was put in force before where it does not.
    pub fn put_in_force(self) -> bool {
        OWN.set(self).is_ok()
    }

    /// Reads an operator's own table.
    ///
    /// # Errors
    ///
    /// [`PricingError`]; the table must be mended before the program may start.
    pub fn parse(text: &str) -> Result<PriceTable, PricingError> {
        let File { price } = toml::from_str(text)?;
        let mut rows = Vec::with_capacity(price.len());
        for (index, table) in price.into_iter().enumerate() {
            let row = Row::deserialize(toml::Value::Table(table));
            rows.push(row.map_err(|error| PricingError::Row { row: index + 1, error })?);
        }
        for (index, row) in rows.iter().enumerate() {
            let Row { route, currency, model, effective_from, .. } = *row;
            let number = index + 1;
            if currency != route.currency() {
                return Err(PricingError::Currency { row: number, route, currency });
            }
            for resolution in &row.resolutions {
                let again = rows[..index].iter().any(|earlier| {
                    earlier.route == route
                        && earlier.model == model
                        && earlier.effective_from == effective_from
                        && earlier.resolutions.contains(resolution)
                });
                if again {
                    let resolution = *resolution;
                    let row = number;
                    return Err(PricingError::Twice {
                        row,
                        route,
                        model,
                        resolution,
                        effective_from,
                    });
                }
            }
        }
        Ok(PriceTable { rows })
    }

    /// What `tokens` of this request cost on `day`.
    ///
    /// # Errors
    ///
    /// [`UnknownPrice`] if the table has no price in force.
    pub fn cost(
        &self,
        route: Route,
        request: &Request,
        tokens: u64,
        day: Day,
    ) -> Result<Cost, UnknownPrice> {
        let video_input = request.has_video_input();
        self.cost_of(route, request.model, request.resolution, video_input, tokens, day)
    }

    /// The same without a request at hand.
    ///
    /// # Errors
    ///
    /// [`UnknownPrice`] if the table has no price in force.
    pub fn cost_of(
        &self,
        route: Route,
        model: ModelKey,
        resolution: Resolution,
        video_input: bool,
        tokens: u64,
        day: Day,
    ) -> Result<Cost, UnknownPrice> {
        let row = self
            .rows
            .iter()
            .filter(|row| row.route == route && row.model == model)
            .filter(|row| row.resolutions.contains(&resolution) && row.effective_from <= day)
            .max_by_key(|row| row.effective_from);
        let price = row.and_then(|row| {
            let micros = if video_input {
                row.per_million_tokens_with_video
            } else {
                row.per_million_tokens
            };
            Some((micros?, row))
        });
        let Some((per_million, row)) = price else {
            return Err(UnknownPrice { route, model, resolution, video_input, day });
        };
        let micros = (u128::from(tokens) * u128::from(per_million)).div_ceil(1_000_000);
        Ok(Cost {
            currency: row.currency,
            micros: u64::try_from(micros).unwrap_or(u64::MAX),
            effective_from: row.effective_from,
        })
    }
}
