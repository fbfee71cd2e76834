//! `Range`, `If-Range` and `If-None-Match` (RFC 9110), for one range and strong entity tags.

use axum::http::{HeaderMap, HeaderName, header};
use std::ops::Range;

/// What of an object is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All of it: also for ranges we do not serve, which are ignored.
    Whole,
    /// These bytes.
    Part(Range<u64>),
    /// A range outside of it.
    Nothing,
}

/// Whether the caller has this version.
pub(crate) fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let Some(given) = text(headers, header::IF_NONE_MATCH) else { return false };
    let mut tags = given.split(',').map(str::trim);
    tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

/// The range asked for, of an object of `whole` bytes.
pub(crate) fn wanted(headers: &HeaderMap, etag: &str, whole: u64) -> Wanted {
    let Some(asked) = text(headers, header::RANGE) else { return Wanted::Whole };
    // A date is no answer either: only the tag proves that the parts belong together.
    if headers.contains_key(header::IF_RANGE) && text(headers, header::IF_RANGE) != Some(etag) {
        return Wanted::Whole;
    }
    let Some((first, last)) = asked.strip_prefix("bytes=").and_then(|range| range.split_once('-'))
    else {
        return Wanted::Whole;
    };
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        // More digits than a number holds lie beyond every end.
        digits.then(|| text.parse::<u64>().unwrap_or(u64::MAX))
    };
    match (number(first), number(last)) {
        (None, Some(suffix)) if first.is_empty() => match whole.saturating_sub(suffix) {
            start if start < whole => Wanted::Part(start..whole),
            _ => Wanted::Nothing,
        },
        (Some(start), None) if last.is_empty() && start < whole => Wanted::Part(start..whole),
        (Some(start), Some(end)) if start > end => Wanted::Whole,
        (Some(start), Some(end)) if start < whole => {
            Wanted::Part(start..end.saturating_add(1).min(whole))
        }
        (Some(_), Some(_)) => Wanted::Nothing,
        (Some(_), None) if last.is_empty() => Wanted::Nothing,
        (Some(_) | None, _) => Wanted::Whole,
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(range: &str, if_range: Option<&str>) -> Wanted {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, range.parse().unwrap());
        if let Some(tag) = if_range {
            headers.insert(header::IF_RANGE, tag.parse().unwrap());
        }
        wanted(&headers, "\"a\"", 100)
    }

    #[test]
    fn a_range_is_served_as_asked() {
        assert_eq!(of("bytes=0-0", None), Wanted::Part(0..1));
        assert_eq!(of("bytes=90-", None), Wanted::Part(90..100));
        assert_eq!(of("bytes=90-5000", None), Wanted::Part(90..100));
        assert_eq!(of("bytes=-10", None), Wanted::Part(90..100));
        assert_eq!(of("bytes=-1000", None), Wanted::Part(0..100));
        assert_eq!(of("bytes=0-18446744073709551615", None), Wanted::Part(0..100));
        for outside in ["bytes=100-", "bytes=100-200", "bytes=-0", "bytes=99999999999999999999999-"]
        {
            assert_eq!(of(outside, None), Wanted::Nothing, "{outside}");
        }
        for ignored in ["bytes=0-1,5-6", "bytes=5-1", "bytes=", "bytes=-", "lines=1-2", "bytes=a-b"]
        {
            assert_eq!(of(ignored, None), Wanted::Whole, "{ignored}");
        }
    }

    #[test]
    fn a_tag_decides_whether_parts_fit() {
        assert_eq!(of("bytes=0-0", Some("\"a\"")), Wanted::Part(0..1));
        for other in ["\"b\"", "W/\"a\"", "Thu, 26 Nov 2026 00:00:00 GMT"] {
            assert_eq!(of("bytes=0-0", Some(other)), Wanted::Whole, "{other}");
        }
        let known = |tag: &str| {
            is_known(
                &HeaderMap::from_iter([(header::IF_NONE_MATCH, tag.parse().unwrap())]),
                "\"a\"",
            )
        };
        assert!(known("*") && known("\"x\", W/\"a\"") && !known("\"b\"") && !known(""));
    }
}
