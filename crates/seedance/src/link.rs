//! When a signed result link dies (§8.3).

use url::Url;

use crate::calendar::{DAY_S, days_from_date, digits, seconds_from_time};

/// The second at which a link signed by the provider's object store stops working, in Unix seconds:
/// signing time plus granted life. `None` if the link does not say.
pub fn links_die_at_unix_s(url: &str) -> Option<i64> {
    let url = Url::parse(url).ok()?;
    let value = |name: &str| {
        let mut pairs = url.query_pairs();
        pairs.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.into_owned())
    };
    let signed_at_s = basic_utc_s(&value("X-Tos-Date")?)?;
    let life_s = digits(Some(&value("X-Tos-Expires")?))?;
    signed_at_s.checked_add(life_s)
}

/// Reads `YYYYMMDDTHHMMSSZ`.
fn basic_utc_s(text: &str) -> Option<i64> {
    if text.len() != 16 || text.get(8..9) != Some("T") || !text.ends_with('Z') {
        return None;
    }
    let part = |from: usize, to: usize| digits(text.get(from..to));
    let days = days_from_date(part(0, 4)?, part(4, 6)?, part(6, 8)?)?;
    Some(days * DAY_S + seconds_from_time(part(9, 11)?, part(11, 13)?, part(13, 15)?)?)
}
