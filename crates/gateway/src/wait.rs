//! `Prefer: wait=N`, as far as it is read off a request.

use axum::http::HeaderMap;
use std::time::Duration;

/// The seconds of `Prefer: wait=N`; other preferences are not ours to honour.
pub(crate) fn preferred(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split([',', ';']))
        .filter_map(|preference| preference.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("wait"))
        .and_then(|(_, seconds)| seconds.trim().trim_matches('"').parse().ok())
        .map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preference_is_read_among_others() {
        let of = |value: &str| {
            preferred(&HeaderMap::from_iter([("prefer".parse().unwrap(), value.parse().unwrap())]))
        };
        assert_eq!(of("wait=10"), Some(Duration::from_secs(10)));
        assert_eq!(of("respond-async, Wait = 3"), Some(Duration::from_secs(3)));
        for other in ["wait", "wait=-1", "wait=soon", "waits=1", ""] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
