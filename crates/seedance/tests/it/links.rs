//! When result links die.

use proptest::prelude::*;
use seedance::links_die_at_unix_s;

#[test]
fn signing_time_plus_granted_life() {
    let url = "https://b.tos-ap-southeast-1.volces.com/m/f.mp4?X-Tos-Algorithm=TOS4-HMAC-SHA256\
        &X-Tos-Date=20261122T120100Z&X-Tos-Expires=86400&X-Tos-SignedHeaders=host";
    assert_eq!(links_die_at_unix_s(url), Some(1_795_348_860 + 86_400));
    let leap = "https://b.example/f?X-Tos-Date=20280229T235959Z&X-Tos-Expires=1";
    assert_eq!(links_die_at_unix_s(leap), Some(1_835_481_600));
}

#[test]
fn a_link_that_does_not_say_is_not_guessed() {
    for url in [
        "",
        "not a url",
        "https://b.example/f.mp4",
        "https://b.example/f?X-Tos-Date=20261122T120100Z",
        "https://b.example/f?X-Tos-Expires=86400",
        "https://b.example/f?X-Tos-Date=20261322T120100Z&X-Tos-Expires=86400",
        "https://b.example/f?X-Tos-Date=20270229T120100Z&X-Tos-Expires=86400",
        "https://b.example/f?X-Tos-Date=20261122T250100Z&X-Tos-Expires=86400",
        "https://b.example/f?X-Tos-Date=20261122%20120100Z&X-Tos-Expires=86400",
        "https://b.example/f?X-Tos-Date=20261122T120100Z&X-Tos-Expires=-5",
        "https://b.example/f?X-Tos-Date=20261122T120100Z&X-Tos-Expires=99999999999999999999",
    ] {
        assert_eq!(links_die_at_unix_s(url), None, "{url}");
    }
}

proptest! {
    #[test]
    fn any_date_text_is_read_without_panic(date in "\\PC{0,17}", life in "\\PC{0,21}") {
        let mut url = url::Url::parse("https://b.example/f").unwrap();
        url.query_pairs_mut().append_pair("X-Tos-Date", &date).append_pair("X-Tos-Expires", &life);
        let _ = links_die_at_unix_s(url.as_str());
    }
}
